"""Weights in 8 bits: nearly the same model in half the memory, on any device."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import tiny
from torch import nn

from stepedit_fx.engines.step_audio.generation import Request, generate
from stepedit_fx.engines.step_audio.int8 import Int8Linear, has_kernel
from stepedit_fx.engines.step_audio.lm_loading import load_language_model

CPU = torch.device("cpu")


@settings(max_examples=40)
@given(
    outputs=st.sampled_from([1, 7, 32, 96]),
    inputs=st.sampled_from([5, 32, 64]),
    rows=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_a_layer_is_nearly_the_one_that_it_is_made_of(
    outputs: int, inputs: int, rows: int, dtype: torch.dtype, scale: float
) -> None:
    """Whatever kernel does it, and however large or small the weights are."""
    torch.manual_seed(0)
    plain = nn.Linear(inputs, outputs, bias=False).to(dtype)
    with torch.no_grad():
        plain.weight *= scale
        x = torch.randn(2, rows, inputs).to(dtype)
        wanted, found = plain(x).float(), Int8Linear(plain.weight)(x).float()
    assert found.shape == wanted.shape
    # Half a step of each weight, as a walk over the inputs, and what the numbers themselves lose.
    step = plain.weight.abs().float().amax() / 127
    loose = 0.02 if dtype == torch.bfloat16 else 1e-5
    bound = 3 * step * x.float().abs().amax() * inputs**0.5 + loose * wanted.abs().amax()
    assert (found - wanted).abs().amax() <= bound


def test_a_weight_of_nothing_gives_nothing() -> None:
    layer = Int8Linear(torch.zeros(4, 8))
    assert torch.equal(layer(torch.ones(3, 8)), torch.zeros(3, 4))


def test_float16_does_not_overflow() -> None:
    """Sums of whole numbers up to 127 leave its range; older cards compute in it."""
    torch.manual_seed(2)
    weight = (torch.randn(16, 8192) / 90).half()
    x = (10 * torch.randn(8, 8192)).half()
    found = Int8Linear(weight)(x).float()
    assert torch.isfinite(found).all()
    assert torch.allclose(found, x.float() @ weight.float().T, atol=2.0)


def test_a_device_without_torch_s_kernel_is_served_all_the_same() -> None:
    """It is asked by a trial; one that gives no numbers has failed it."""
    assert not has_kernel("meta")


@torch.inference_mode()
def test_a_checkpoint_loads_in_half_the_memory(tmp_path: Path) -> None:
    model = tiny(hidden_size=128, num_attention_heads=4, intermediate_size=192)
    model.save_pretrained(tmp_path)
    small = load_language_model(tmp_path, dtype=torch.bfloat16, device=CPU, quantization="int8")
    assert type(small.lm_head) is nn.Linear  # the codes are read off it
    held = sum(b.numel() * b.element_size() for b in small.model.layers.buffers())
    whole = sum(p.numel() for n, p in model.model.layers.named_parameters() if "proj" in n)
    assert held < 1.05 * whole
    ids = torch.arange(40).reshape(2, 20)
    alike = torch.nn.functional.cosine_similarity(
        small(ids).logits.float(), model(ids).logits, dim=-1
    )
    assert alike.mean() > 0.995


def test_a_batch_says_what_each_says_alone(tmp_path: Path) -> None:
    tiny(vocab_size=74752).save_pretrained(tmp_path)
    small = load_language_model(tmp_path, dtype=torch.float32, device=CPU, quantization="int8")
    requests = [Request(tuple(range(9, 30 + n)), 3, seed=n) for n in range(3)]
    together = generate(small, requests)
    for request, answer in zip(requests, together, strict=True):
        assert generate(small, [request])[0].ids.tolist() == answer.ids.tolist()
