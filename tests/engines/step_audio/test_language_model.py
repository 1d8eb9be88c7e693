"""The language model: the golden numbers, other sizes, and what transformers does with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from language_models import EXACT, GOLDEN, relative, tiny
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from transformers.cache_utils import DynamicCache

from stepedit_fx.engines.step_audio import lm_attention
from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.errors import EngineError, RequestError


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    found: Step1ForCausalLM = Step1ForCausalLM.from_pretrained(GOLDEN, dtype=torch.float32)
    return found


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "io.safetensors")


def by_formula(model: Step1ForCausalLM, ids: list[int]) -> NDArray[np.float64]:
    """The whole model in float64, written from the facts."""
    state = {name: t.detach().double().numpy() for name, t in model.state_dict().items()}
    config = model.config
    heads, groups = config.num_attention_heads, config.num_attention_groups
    power = 2 ** int(np.log2(heads))
    steep = [2 ** (-8 * k / power) for k in range(1, power + 1)]
    steep += [2 ** (-4 * (2 * k - 1) / power) for k in range(1, heads - power + 1)]
    apart = np.arange(len(ids))[:, None] - np.arange(len(ids))[None, :]

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + config.rms_norm_eps) * state[name]

    x = state["model.embed_tokens.weight"][ids]
    for n in range(config.num_hidden_layers):
        layer = f"model.layers.{n}."
        y = norm(x, layer + "input_layernorm.weight")
        q, k, v = (
            (y @ state[f"{layer}self_attn.{p}_proj.weight"].T).reshape(len(ids), -1, 8)
            for p in "qkv"
        )
        mixed = np.zeros_like(q)
        for h in range(heads):
            g = h // (heads // groups)
            logits = q[:, h] @ k[:, g].T / np.sqrt(8)
            logits = np.where(apart >= 0, logits - steep[h] * np.sqrt(np.maximum(apart, 0)), -1e30)
            weights = np.exp(logits - logits.max(-1, keepdims=True))
            mixed[:, h] = weights / weights.sum(-1, keepdims=True) @ v[:, g]
        x = x + mixed.reshape(len(ids), -1) @ state[layer + "self_attn.o_proj.weight"].T
        y = norm(x, layer + "post_attention_layernorm.weight")
        gate = y @ state[layer + "mlp.gate_proj.weight"].T
        up = y @ state[layer + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ state[layer + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ state["lm_head.weight"].T


@torch.inference_mode()
def test_logits_are_the_published_models(
    model: Step1ForCausalLM, golden: dict[str, Tensor]
) -> None:
    assert relative(model(golden["prompt_ids"][None]).logits[0], golden["logits"]) < EXACT
    assert relative(model(golden["prompt2_ids"][None]).logits[0], golden["logits2"]) < EXACT


@pytest.mark.parametrize("side", ["left", "right"])
@torch.inference_mode()
def test_padding_on_either_side_changes_nothing(
    model: Step1ForCausalLM, golden: dict[str, Tensor], side: str
) -> None:
    first, second = golden["prompt_ids"], golden["prompt2_ids"]
    place = slice(-len(second), None) if side == "left" else slice(0, len(second))
    ids = torch.full((2, len(first)), 7)
    mask = torch.zeros_like(ids)
    ids[0], mask[0] = first, 1
    ids[1, place], mask[1, place] = second, 1
    logits = model(ids, attention_mask=mask).logits
    assert relative(logits[0], golden["logits"]) < EXACT
    assert relative(logits[1, place], golden["logits2"]) < EXACT


@torch.inference_mode()
def test_transformers_greedy_generation_gives_the_golden_ids(
    model: Step1ForCausalLM, golden: dict[str, Tensor]
) -> None:
    prompt = golden["prompt_ids"][None]
    out = model.generate(prompt, max_new_tokens=40, do_sample=False, eos_token_id=None)
    assert out[0, prompt.shape[1] :].tolist() == golden["greedy_ids"].tolist()


@torch.inference_mode()
def test_transformers_generates_a_batch_of_unequal_prompts_as_one_by_one(
    model: Step1ForCausalLM, golden: dict[str, Tensor]
) -> None:
    prompts = [golden["prompt_ids"], golden["prompt2_ids"]]
    longest = max(map(len, prompts))
    ids = torch.stack([torch.cat([p.new_zeros(longest - len(p)), p]) for p in prompts])
    mask = torch.stack([torch.arange(longest) >= longest - len(p) for p in prompts]).long()
    settings = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None}
    together = model.generate(ids, attention_mask=mask, **settings)
    for row, prompt in zip(together, prompts, strict=True):
        alone = model.generate(prompt[None], **settings)
        assert row[longest:].tolist() == alone[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    ("heads", "groups", "layers"), [(5, 1, 2), (12, 3, 1), (6, 6, 1), (8, 2, 3)]
)
@torch.inference_mode()
def test_other_sizes_agree_with_the_formula(heads: int, groups: int, layers: int) -> None:
    model = tiny(
        num_attention_heads=heads,
        num_attention_groups=groups,
        num_hidden_layers=layers,
        hidden_size=8 * heads,
    )
    ids = torch.randint(0, 90, (37,), generator=torch.Generator().manual_seed(heads))
    wanted = torch.from_numpy(by_formula(model, ids.tolist()))
    assert relative(model(ids[None]).logits[0], wanted) < EXACT


@pytest.mark.parametrize("use_cache", [True, False])
@torch.inference_mode()
def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, use_cache: bool
) -> None:
    model = tiny()
    ids = torch.randint(0, 90, (3, 61), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(61) >= torch.tensor([[0], [20], [59]])).long()
    whole = model(ids, attention_mask=mask).logits
    monkeypatch.setattr(lm_attention, "MOST_BIAS_CPU", 3 * 5 * 61 * 7)  # seven queries
    pieces = model(ids, attention_mask=mask, use_cache=use_cache)
    for row, start in enumerate([0, 20, 59]):
        torch.testing.assert_close(pieces.logits[row, start:], whole[row, start:])
    assert (pieces.past_key_values is not None) == use_cache


@torch.inference_mode()
def test_decoding_from_the_cache_gives_the_logits_of_the_whole() -> None:
    model = tiny()
    ids = torch.randint(0, 90, (2, 30), generator=torch.Generator().manual_seed(2))
    mask = (torch.arange(30) >= torch.tensor([[0], [9]])).long()
    whole = model(ids, attention_mask=mask).logits
    cache = DynamicCache()
    for start, end in [(0, 17), (17, 18), (18, 25), (25, 30)]:
        out = model(ids[:, start:end], attention_mask=mask[:, :end], past_key_values=cache)
        fresh = slice(max(start, 9), end)
        torch.testing.assert_close(
            out.logits[:, fresh.start - start :], whole[:, fresh], atol=1e-5, rtol=1e-4
        )


@torch.inference_mode()
def test_only_the_logits_that_are_wanted_are_computed() -> None:
    model = tiny()
    ids = torch.arange(12)[None]
    whole = model(ids).logits
    assert model(ids, logits_to_keep=1).logits.shape == (1, 1, 90)
    torch.testing.assert_close(model(ids, logits_to_keep=3).logits, whole[:, -3:])
    kept = torch.tensor([2, 5])
    torch.testing.assert_close(model(ids, logits_to_keep=kept).logits, whole[:, kept])


@torch.inference_mode()
def test_hidden_states_are_given_to_those_who_ask() -> None:
    model = tiny(num_hidden_layers=3)
    states = model(torch.arange(9)[None], output_hidden_states=True).hidden_states
    assert [tuple(s.shape) for s in states] == [(1, 9, 40)] * 4
    torch.testing.assert_close(model.lm_head(states[-1]), model(torch.arange(9)[None]).logits)


def test_nothing_but_the_published_tensors_is_in_the_model(model: Step1ForCausalLM) -> None:
    assert set(model.state_dict()) == set(load_file(GOLDEN / "model.safetensors"))
    assert not list(model.buffers())


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(EngineError, match="do not divide"):
        Step1Config(hidden_size=100, num_attention_heads=48)


@torch.inference_mode()
def test_bfloat16_stays_near_float32(golden: dict[str, Tensor]) -> None:
    model = Step1ForCausalLM.from_pretrained(GOLDEN, dtype=torch.bfloat16)
    logits = model(golden["prompt_ids"][None]).logits
    assert logits.dtype == torch.bfloat16
    assert relative(logits[0].float(), golden["logits"]) < 0.1


@torch.inference_mode()
def test_asking_for_flex_attention_on_a_cpu_changes_nothing(golden: dict[str, Tensor]) -> None:
    model = Step1ForCausalLM.from_pretrained(
        GOLDEN, dtype=torch.float32, attn_implementation="flex_attention"
    )
    ids = golden["prompt_ids"].repeat(4)[None]
    plain = Step1ForCausalLM.from_pretrained(GOLDEN, dtype=torch.float32)
    torch.testing.assert_close(model(ids).logits, plain(ids).logits)


def test_the_loss_is_the_cross_entropy_of_the_next_id() -> None:
    model = tiny().train()
    ids = torch.arange(24).reshape(2, 12)
    labels = ids.clone()
    labels[1, :5] = -100
    out = model(ids, labels=labels)
    wanted = torch.nn.functional.cross_entropy(
        out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
    )
    torch.testing.assert_close(out.loss, wanted)


def enable_checkpointing(model: Step1ForCausalLM, **how: bool) -> None:
    """By the name that this version of transformers has for it."""
    old = model.gradient_checkpointing_enable
    getattr(model, "activation_checkpointing_enable", old)(how)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant: bool) -> None:
    ids = torch.arange(24).reshape(2, 12)
    gradients = []
    for checkpointing in (False, True):
        model = tiny().train()
        if checkpointing:
            enable_checkpointing(model, use_reentrant=reentrant)
        model(ids, labels=ids).loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_packed_rows_are_refused_instead_of_read_as_one() -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(RequestError, match="packed"):
        tiny()(torch.arange(5)[None], position_ids=positions)
    tiny()(torch.arange(5)[None], position_ids=torch.arange(5)[None])


def test_a_mask_of_another_form_is_refused() -> None:
    with pytest.raises(RequestError, match=r"\(batch, length\)"):
        tiny()(torch.arange(5)[None], attention_mask=torch.ones(1, 1, 5, 5))


@pytest.mark.filterwarnings("ignore:.*checkpointing.*:FutureWarning")  # peft's own
def test_lora_learns_and_leaves_the_weights_alone() -> None:
    peft = pytest.importorskip("peft")
    base = tiny()
    before = {n: t.clone() for n, t in base.state_dict().items()}
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")
    )
    ids = torch.randint(0, 90, (2, 16), generator=torch.Generator().manual_seed(3))
    learnt = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(12):
        loss = model(input_ids=ids, labels=ids).loss
        losses.append(loss.item())
        loss.backward()
        learnt.step()
        learnt.zero_grad()
    assert losses[-1] < 0.7 * losses[0]
    with torch.inference_mode():
        tuned = model.eval()(input_ids=ids).logits
        merged = model.merge_and_unload()
        torch.testing.assert_close(merged(ids).logits, tuned, atol=1e-4, rtol=1e-4)
    assert torch.equal(merged.lm_head.weight, before["lm_head.weight"])
