"""The numbering of audio tokens: a wrong number anywhere is noise in the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from stepedit_fx.engines.step_audio import vocabulary as v
from stepedit_fx.errors import EngineError

GOLDEN = Path(__file__).parent / "golden"

groups = st.integers(0, 40)


@st.composite
def mixed(draw: st.DrawFn, least: int = 0) -> np.ndarray:
    rows = draw(
        st.lists(
            st.tuples(*(st.integers(low, high) for low, high in v.SLOT_RANGES)),
            min_size=least,
            max_size=30,
        )
    )
    return np.array(rows, np.int64).reshape(-1)


@settings(max_examples=100)
@given(mixed())
def test_every_space_leads_back_to_the_same_tokens(tokens: np.ndarray) -> None:
    """An edit that changes nothing must not change a token on its way through the spaces."""
    assert np.array_equal(v.mix(*v.unmix(tokens)), tokens)
    assert np.array_equal(v.from_lm(v.to_lm(tokens)), tokens)
    assert np.array_equal(v.from_flow(v.to_flow(tokens)), tokens)


@settings(max_examples=50)
@given(
    st.lists(st.integers(0, v.LINGUISTIC_CODES - 1), max_size=40),
    st.lists(st.integers(0, v.SEMANTIC_CODES - 1), max_size=60),
)
def test_mixing_takes_as_many_whole_groups_as_both_have(a: list[int], b: list[int]) -> None:
    """The longer codebook's rest is dropped, never padded."""
    tokens = v.mix(a, b)
    first, second = v.unmix(tokens)
    assert len(tokens) == v.GROUP * min(len(a) // 2, len(b) // 3)
    assert first.tolist() == a[: len(first)]
    assert second.tolist() == b[: len(second)]


@settings(max_examples=100)
@given(mixed(least=1), st.data())
def test_a_token_of_another_slot_is_refused_with_its_place(
    tokens: np.ndarray, data: st.DataObject
) -> None:
    """The reference clamps such tokens and plays noise; here the message says where it stands."""
    at = data.draw(st.integers(0, len(tokens) - 1))
    low, high = v.SLOT_RANGES[at % v.GROUP]
    wrong = data.draw(st.integers(-5, v.AUDIO_TOKENS + 5).filter(lambda n: not low <= n <= high))
    tokens[at] = wrong
    with pytest.raises(EngineError, match=rf"{wrong} at position {at} \(slot {at % v.GROUP}\)"):
        v.check_mixed(tokens)
    with pytest.raises(EngineError):
        v.to_flow(tokens)
    with pytest.raises(EngineError):
        v.from_lm(tokens + v.FIRST_AUDIO_ID)


@settings(max_examples=30)
@given(mixed(least=1), st.integers(1, v.GROUP - 1))
def test_a_cut_group_is_refused(tokens: np.ndarray, left: int) -> None:
    """A group that was cut off is an error, where the reference pads it."""
    cut = tokens[: len(tokens) - v.GROUP + left]
    with pytest.raises(
        EngineError, match=f"position {len(cut) - left}, ends after slot {left - 1}"
    ):
        v.to_lm(cut)


@pytest.mark.parametrize(
    "wrong", [np.zeros((5, 1), np.int64), np.array([0.5] * 5), np.array(["a"] * 5)]
)
def test_what_are_no_tokens_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(EngineError, match="one row of integers"):
        v.check_mixed(wrong)


def test_a_flow_step_without_its_padding_is_refused() -> None:
    rows = v.to_flow([0, 1, 1024, 1025, 1026])
    rows[2, 0] = 7
    with pytest.raises(EngineError, match="flow step 2"):
        v.from_flow(rows)
    with pytest.raises(EngineError, match="whole groups"):
        v.from_flow(rows[:2])


def test_the_flow_gets_the_published_rows() -> None:
    """Against the public reference: the two columns of a real sequence of tokens."""
    golden = load_file(GOLDEN / "acoustic" / "io.safetensors")
    assert np.array_equal(v.to_flow(golden["mixed_tokens"]), golden["dual_tokens"][0])
    assert np.array_equal(v.to_flow(golden["mixed_prompt_tokens"]), golden["dual_prompt_tokens"][0])


def test_the_spaces_are_where_the_published_checkpoint_has_them() -> None:
    assert v.to_lm([0, 1023, 1024, 5119, 1024]).tolist() == [65536, 66559, 66560, 70655, 66560]
    assert v.to_flow([5, 6, 1024, 1025, 5119]).tolist() == [[5, 1025], [6, 1026], [1024, 5120]]
    assert v.FLOW_ROWS == 5121
