"""What may come next, and how it is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from stepedit_fx.engines.step_audio import sampling as sampling_module
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.sampling import (
    REPETITION_WINDOW,
    Sampling,
    audio_columns,
    needs_ranking,
    repeats,
    slot_columns,
)
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, GROUP
from stepedit_fx.errors import RequestError

GOLDEN = Path(__file__).parent / "golden" / "lm"

rows = st.lists(st.floats(-8, 8), min_size=2, max_size=12)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.0]),
    top_k=st.integers(0, 6),
    top_p=st.sampled_from([0.2, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
)


def draw(logits: Tensor, each: Sequence[Sampling], uniforms: Sequence[float]) -> Tensor:
    settings = torch.tensor([sampling.numbers() for sampling in each], dtype=torch.float64)
    at = torch.tensor(uniforms, dtype=torch.float64)
    return sampling_module.draw(logits, settings, at, ranked=needs_ranking(each))


def as_rows(*values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_greedy_with_the_repetition_rule_gives_the_golden_ids() -> None:
    model = Step1ForCausalLM.from_pretrained(GOLDEN, dtype=torch.float32)
    golden = load_file(GOLDEN / "io.safetensors")
    ids = golden["prompt_ids"].tolist()
    start = len(ids)
    with torch.inference_mode():
        for _ in golden["greedy_repetition_aware_ids"]:
            logits = model(torch.tensor([ids]), logits_to_keep=1).logits[:, -1].double()
            window = torch.tensor([ids[-REPETITION_WINDOW:]])
            if len(ids) >= REPETITION_WINDOW and bool(repeats(window)):
                logits[0, ids[-1]] = -torch.inf
            ids.append(int(draw(logits, [Sampling(temperature=0)], [0.5])))
    assert ids[start:] == golden["greedy_repetition_aware_ids"].tolist()


@given(st.lists(st.integers(0, 6), min_size=REPETITION_WINDOW, max_size=REPETITION_WINDOW))
def test_an_id_is_barred_when_the_last_ten_hold_it_twice(ids: list[int]) -> None:
    """A model that stutters would go on for ever."""
    assert bool(repeats(torch.tensor([ids]))) == (ids.count(ids[-1]) >= 2)


@settings(max_examples=150)
@given(rows, samplings, st.floats(0, 1, exclude_max=True))
def test_what_is_drawn_is_what_the_filters_leave(
    values: list[float], sampling: Sampling, uniform: float
) -> None:
    drawn = int(draw(as_rows(values), [sampling], [uniform]))
    assert drawn in allowed(values, sampling)


def allowed(values: list[float], sampling: Sampling) -> set[int]:
    """The filters, one after the other, in plain Python."""
    if sampling.temperature == 0:
        return {i for i, v in enumerate(values) if v == max(values)}
    top = max(values)
    shares = [float(np.exp((v - top) / sampling.temperature)) for v in values]
    order = sorted(range(len(values)), key=lambda i: -shares[i])
    if sampling.top_k:
        order = order[: sampling.top_k]
    whole = sum(shares[i] for i in order)
    kept, held = [], 0.0
    for i in order:
        # Rounding may put a column on either side of the edge.
        if held < sampling.top_p * whole * (1 + 1e-9) or sampling.top_p == 1:
            kept.append(i)
        held += shares[i]
    return {i for i in kept if shares[i] >= sampling.min_p * (1 - 1e-9)}


@settings(max_examples=40)
@given(rows)
def test_columns_come_as_often_as_their_probability_says(values: list[float]) -> None:
    many = 2000
    uniforms = [(n + 0.5) / many for n in range(many)]
    drawn = draw(as_rows(values).expand(many, -1), [Sampling(temperature=1)] * many, uniforms)
    often = torch.bincount(drawn, minlength=len(values)) / many
    wanted = torch.softmax(as_rows(values)[0], dim=0)
    assert (often - wanted).abs().max() <= 1.01 / many


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.floats(-8, 8), min_size=9, max_size=9), samplings, st.floats(0, 0.999)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_row_draws_the_same_alone_and_in_a_batch(
    cases: list[tuple[list[float], Sampling, float]],
) -> None:
    values, each, uniforms = zip(*cases, strict=True)
    together = draw(as_rows(*values), each, uniforms).tolist()
    alone = [int(draw(as_rows(v), [s], [u])) for v, s, u in cases]
    assert together == alone


def test_the_ends_of_the_unit_interval_draw_a_column_that_can_be() -> None:
    logits = as_rows([-torch.inf, 0.0, 1.0, -torch.inf])
    last = np.nextafter(1.0, 0.0)
    assert [int(draw(logits, [Sampling()], [u])) for u in (0.0, last)] == [1, 2]


def test_a_temperature_near_zero_is_the_likeliest_and_not_nan() -> None:
    logits = as_rows([3.0, 400.0, 399.0])
    assert int(draw(logits, [Sampling(temperature=1e-12)], [0.999])) == 1


@pytest.mark.parametrize("slot", range(GROUP))
def test_each_slot_offers_its_own_ids_and_the_end_only_at_a_group(slot: int) -> None:
    """An id of another slot's codebook would be decoded as noise."""
    linguistic, semantic = (65536, 66559), (66560, 70655)
    low, high = linguistic if slot < 2 else semantic
    wanted = [*([END_OF_TURN_ID] if slot == 0 else []), *range(low, high + 1)]
    assert audio_columns()[slot_columns()[slot]].tolist() == wanted


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 1.0},
        {"min_p": -0.1},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(field: dict[str, float]) -> None:
    with pytest.raises(RequestError, match=next(iter(field))):
        Sampling(**field)  # type: ignore[arg-type]


def test_the_defaults_are_the_references() -> None:
    off = Sampling(temperature=0.7, top_k=0, top_p=1.0, min_p=0.0, repetition_rule=True)
    assert Sampling() == off
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(0)).double()
    uniforms = [n / 4000 for n in range(4000)]
    drawn = set(draw(logits.expand(4000, -1), [Sampling()] * 4000, uniforms).tolist())
    shares = torch.softmax(logits[0] / 0.7, dim=0)
    assert drawn >= set(itertools.compress(range(50), (shares > 1 / 2000).tolist()))
