"""Answers of the language model: whole groups, repeatable, each to its own end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stepedit_fx.engines.step_audio import token_loop
from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.generation import Generated, Request, generate, pass_seed
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.lm_cache import Step
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import (
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
    SLOT_RANGES,
    from_lm,
)
from stepedit_fx.errors import EngineError, RequestError


def tiny(end: float = 0.0, **sizes: Any) -> Step1ForCausalLM:
    """Random weights with the published vocabulary. end: how strong the end of turn speaks."""
    torch.manual_seed(5)
    config = Step1Config(
        **{
            "hidden_size": 30,
            "intermediate_size": 40,
            "num_attention_heads": 6,
            "num_attention_groups": 2,
            "num_hidden_layers": 2,
            "initializer_range": 0.4,
            **sizes,
        }
    )
    model = Step1ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[END_OF_TURN_ID] *= end
    return model


def loving(favourite: int) -> Step1ForCausalLM:
    """A model to which one id is always by far the likeliest."""
    model = tiny()

    def prefer(_module: Any, _args: Any, logits: Tensor) -> None:
        logits[..., favourite] = 80.0

    model.lm_head.register_forward_hook(prefer)
    return model


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    """Ends often by itself: at a group's end, now and then, depending on what was said."""
    return tiny(end=3.5)


REQUESTS = [
    Request(tuple(range(9, 12)), 9, seed=1),
    Request(tuple(range(100, 171)), 14, seed=2, sampling=Sampling(temperature=1, top_p=0.8)),
    Request(np.arange(700, 717), 5, seed=3, min_groups=3, sampling=Sampling(top_k=20, min_p=0.02)),
    Request(tuple(range(65600, 65640)), 14, seed=4, sampling=Sampling(repetition_rule=False)),
    Request((1,), 2, seed=5),
]


def same(one: Generated, other: Generated) -> bool:
    return np.array_equal(one.ids, other.ids) and one.stop == other.stop


def test_every_answer_is_whole_groups_and_says_why_it_stopped(model: Step1ForCausalLM) -> None:
    answers = generate(model, REQUESTS)
    for request, answer in zip(REQUESTS, answers, strict=True):
        from_lm(answer.ids)  # raises if a slot is out of its range
        assert answer.ids.dtype == np.int64
        groups = len(answer.ids) // GROUP
        assert request.min_groups <= groups <= request.max_groups
        assert answer.stop == "budget" if groups == request.max_groups else "end"
    assert {answer.stop for answer in answers} == {"end", "budget"}


def test_an_item_gets_the_same_codes_alone_in_a_batch_and_in_any_order(
    model: Step1ForCausalLM,
) -> None:
    together = generate(model, REQUESTS)
    backwards = generate(model, REQUESTS[::-1])[::-1]
    for request, answer, other in zip(REQUESTS, together, backwards, strict=True):
        assert same(generate(model, [request])[0], answer)
        assert same(other, answer)


def test_the_seed_alone_decides(model: Step1ForCausalLM) -> None:
    one, again, other = (
        generate(model, [Request((5, 6, 7), 4, seed=seed)])[0] for seed in (11, 11, 12)
    )
    torch.manual_seed(99)  # the global generator has no say
    assert same(one, again)
    assert same(one, generate(model, [Request((5, 6, 7), 4, seed=11)])[0])
    assert not same(one, other)


def test_answers_are_those_of_the_whole_sequence_run_anew_for_every_id(
    model: Step1ForCausalLM,
) -> None:
    for request in REQUESTS[:1] + REQUESTS[3:]:
        wanted = step_by_step(model, request)
        assert generate(model, [request])[0].ids.tolist() == wanted


@torch.inference_mode()
def step_by_step(model: Step1ForCausalLM, request: Request) -> list[int]:
    """Without cache, batch, filters or shared code; at the temperature of 0.7."""
    prompt = list(request.prompt_ids)
    ids = list(prompt)
    generator = torch.Generator().manual_seed(request.seed)
    while len(ids) - len(prompt) < request.max_groups * GROUP:
        done = len(ids) - len(prompt)
        logits = model(torch.tensor([ids])).logits[0, -1].double().numpy()
        low, high = SLOT_RANGES[done % GROUP]
        candidates = [FIRST_AUDIO_ID + mixed for mixed in range(low, high + 1)]
        if done % GROUP == 0 and done >= request.min_groups * GROUP:
            candidates = [END_OF_TURN_ID, *candidates]
        last = ids[-1]
        if request.sampling.repetition_rule and len(ids) >= 10 and ids[-10:].count(last) > 1:
            candidates = [i for i in candidates if i != last]
        weights = np.exp((logits[candidates] - logits[candidates].max()) / 0.7)
        drawn = torch.rand((), generator=generator, dtype=torch.float64).item()
        at = np.searchsorted(np.cumsum(weights) / weights.sum(), drawn, side="right")
        if candidates[at] == END_OF_TURN_ID:
            break
        ids.append(candidates[at])
    return ids[len(prompt) :]


def test_the_end_is_not_taken_before_the_least_length() -> None:
    eager = loving(END_OF_TURN_ID)
    for least in (1, 4):
        answer = generate(eager, [Request((8, 9), 9, seed=0, min_groups=least)])[0]
        assert (len(answer.ids) // GROUP, answer.stop) == (least, "end")


def test_the_repetition_rule_keeps_an_id_from_coming_thrice_in_ten() -> None:
    favourite = FIRST_AUDIO_ID + 7
    ruled, free = generate(
        loving(favourite),
        [
            Request(tuple(range(20, 30)), 6, seed=0),
            Request(tuple(range(20, 30)), 6, seed=0, sampling=Sampling(repetition_rule=False)),
        ],
    )
    pairs = ruled.ids.reshape(-1, GROUP)[:, :2] == favourite
    assert (free.ids.reshape(-1, GROUP)[:, :2] == favourite).all()
    assert pairs.all(axis=1).sum() == 1  # the second of two is barred once it has repeated


def test_finished_items_leave_the_batch(model: Step1ForCausalLM) -> None:
    """Else a short take costs as much as the longest beside it."""
    seen: list[tuple[int, int]] = []

    def note(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if isinstance(kwargs["past_key_values"], Step):
            seen.append((args[0].shape[0], args[1].shape[-1]))

    requests = [Request(tuple(range(5, 45)), 1, seed=0), Request((5, 6), 6, seed=1, min_groups=6)]
    hook = model.model.layers[0].register_forward_pre_hook(note, with_kwargs=True)
    try:
        generate(model, requests)
    finally:
        hook.remove()
    # Five ids together, then the short prompt alone, not looking where the long one was.
    assert seen == [*((2, 40 + n) for n in range(5)), *((1, 2 + n) for n in range(5, 30))]


def test_a_long_prompt_goes_in_pieces_with_the_same_result(
    model: Step1ForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = generate(model, REQUESTS)
    monkeypatch.setattr(token_loop, "PREFILL_IDS", 13)
    assert all(map(same, whole, generate(model, REQUESTS)))


def after(calls: int) -> Callable[[], bool]:
    """Asks to stop from the given call on."""
    count = iter(range(10_000))
    return lambda: next(count) >= calls


def test_cancelling_keeps_the_whole_groups_so_far(model: Step1ForCausalLM) -> None:
    long = [Request((5 + s, 6), 20, seed=s, min_groups=20) for s in (1, 2)]
    whole = generate(model, long)
    # Two questions for each prompt (before and after its one piece), then one before each group.
    for calls, groups in [(0, 0), (1, 0), (3, 0), (4, 0), (4 + 1, 1), (4 + 2, 2)]:
        answers = generate(model, long, cancelled=after(calls))
        for answer, full in zip(answers, whole, strict=True):
            assert answer.stop == "cancelled"
            assert answer.ids.tolist() == full.ids[: groups * GROUP].tolist()


def test_what_ended_before_the_cancelling_keeps_its_end(model: Step1ForCausalLM) -> None:
    requests = [Request((5, 6), 1, seed=1), Request((6, 6), 20, seed=2, min_groups=20)]
    short, long = generate(model, requests, cancelled=after(4 + 2))
    assert (short.stop, len(short.ids)) == ("budget", GROUP)
    assert (long.stop, len(long.ids)) == ("cancelled", 2 * GROUP)


def test_progress_is_told_at_every_group(model: Step1ForCausalLM) -> None:
    told: list[tuple[int, int]] = []
    requests = [Request((5,), 1, seed=1), Request((5,), 3, seed=2, min_groups=3)]
    generate(model, requests, progress=lambda step, active: told.append((step, active)))
    assert told == [(5, 1), (10, 1), (15, 0)]


def test_nothing_asked_is_nothing_done(model: Step1ForCausalLM) -> None:
    assert generate(model, []) == []


def test_the_models_length_bounds_prompt_and_answer() -> None:
    short = tiny(max_seq_len=40)
    answer = generate(short, [Request(tuple(range(5, 33)), 90, seed=0)])[0]
    assert (len(answer.ids), answer.stop) == (10, "budget")  # 28 + 10 of 40
    with pytest.raises(RequestError, match="longer than the 40") as caught:
        generate(short, [Request(tuple(range(5, 42)), 90, seed=0)])
    assert "Shorten" in caught.value.remedy
    with pytest.raises(RequestError, match="longer than the 8192"):
        generate(tiny(), [Request((5,) * 8190, 1, seed=0)])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request((), 3, seed=0), "must hold ids"),
        (Request((5, 74752), 3, seed=0), "must hold ids"),
        (Request((5, -1), 3, seed=0), "must hold ids"),
        (Request((5,), 0, seed=0), "groups"),
        (Request((5,), 3, seed=0, min_groups=4), "groups"),
        (Request((5,), 3, seed=0, min_groups=0), "groups"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    model: Step1ForCausalLM, request_: Request, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        generate(model, [REQUESTS[0], request_])


def test_a_model_without_audio_ids_is_refused() -> None:
    with pytest.raises(EngineError, match="no audio"):
        generate(tiny(vocab_size=32000), [Request((5,), 1, seed=0)])


def test_damaged_weights_are_an_error_and_not_noise() -> None:
    damaged = tiny()
    with torch.no_grad():
        damaged.model.layers[1].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(EngineError, match="NaN"):
        generate(damaged, [Request((5, 6), 1, seed=0)])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_answers_are_well_formed(dtype: torch.dtype) -> None:
    answers = generate(tiny(end=3.5).to(dtype), REQUESTS)
    for answer in answers:
        from_lm(answer.ids)


def test_a_model_partly_on_disk_answers_the_same(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    whole = tiny(end=3.5)
    whole.save_pretrained(tmp_path / "lm")
    places = {"model.embed_tokens": "disk", "model.layers": "cpu", "model.norm": "cpu"}
    parted = Step1ForCausalLM.from_pretrained(
        tmp_path / "lm", device_map={**places, "lm_head": "disk"}, offload_folder=tmp_path
    )
    assert all(map(same, generate(whole, REQUESTS[:2]), generate(parted, REQUESTS[:2])))


@pytest.mark.filterwarnings("ignore:.*checkpointing.*:FutureWarning")
def test_a_model_with_lora_answers_and_one_in_training_is_refused() -> None:
    peft = pytest.importorskip("peft")
    base = tiny(end=3.5)
    plain = generate(base, REQUESTS[:2])
    lora = peft.LoraConfig(target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    tuned = peft.get_peft_model(base, lora).eval()
    assert all(map(same, plain, generate(tuned, REQUESTS[:2])))  # LoRA starts as nothing
    for module in base.modules():
        module.gradient_checkpointing = True
    with pytest.raises(EngineError, match="training"):
        generate(tuned.train(), REQUESTS[:1])


@settings(max_examples=50)
@given(st.integers(-(2**62), 2**62), st.text(max_size=5), st.integers(0, 9))
def test_seeds_of_passes_fit_a_generator_and_differ(seed: int, label: str, index: int) -> None:
    found = pass_seed(seed, label, index)
    assert found == pass_seed(seed, label, index)
    assert 0 <= found < 2**63
    assert found not in {pass_seed(seed, label, index + 1), pass_seed(seed + 1, label, index)}
    torch.Generator().manual_seed(found)


def test_seeds_of_passes_are_the_same_in_every_process() -> None:
    assert pass_seed(7, "edit", 0) == 431613377866186759
