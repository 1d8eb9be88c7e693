"""One row at a time goes another way than many on a CPU; what comes of it is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from language_models import tiny

from stepedit_fx.engines.step_audio.linear import RowLinear, linear
from stepedit_fx.engines.step_audio.lm_loading import load_language_model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_single_row_is_a_row_of_a_batch(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    weight = torch.randn(96, 48).to(dtype) / 7
    rows = torch.randn(5, 1, 48).to(dtype)
    loose = 2e-2 if dtype == torch.bfloat16 else 1e-6
    for row, wanted in zip(rows, linear(rows, weight), strict=True):
        assert torch.allclose(linear(row[None], weight)[0], wanted, atol=loose, rtol=loose)


@torch.inference_mode()
def test_a_checkpoint_in_bfloat16_says_the_same_on_a_cpu(tmp_path: Path) -> None:
    """Id by id as all at once; its weights are there once."""
    model = tiny(hidden_size=128, num_attention_heads=4, intermediate_size=192)
    model.save_pretrained(tmp_path)
    loaded = load_language_model(tmp_path, dtype=torch.bfloat16, device=torch.device("cpu"))
    assert type(loaded.model.layers[0].mlp.up_proj) is RowLinear
    assert sum(p.numel() for p in loaded.parameters()) == sum(p.numel() for p in model.parameters())
    ids = torch.arange(12)[None]
    cache, singly = None, []
    for place in range(12):
        out = loaded(ids[:, place : place + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        singly.append(out.logits[0, 0].float())
    alike = torch.nn.functional.cosine_similarity(
        torch.stack(singly), loaded(ids).logits[0].float(), dim=-1
    )
    assert alike.min() > 0.999
