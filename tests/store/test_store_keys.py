"""Keys: equal exactly when what they were made from is."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.store import digest

GOLDEN = "caf2ea0a23d127b9e92e0b8c31481ec76e17a776f72a246eefaad0a02fbcfaeb"

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def typed(value: object) -> object:
    """A value as something whose == is what digest promises: 1, 1.0 and True differ."""
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(typed(item) for item in value))
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    return (type(value).__name__, value)


@settings(max_examples=300)
@given(VALUES, VALUES)
def test_keys_are_equal_exactly_when_values_are(left: object, right: object) -> None:
    """One result would be served for another, or an unchanged edit rendered again."""
    assert (digest(left) == digest(right)) == (typed(left) == typed(right))


@settings(max_examples=100)
@given(st.lists(st.text(max_size=3), max_size=5), st.lists(st.text(max_size=3), max_size=5))
def test_where_one_value_ends_and_the_next_starts_counts(left: list[str], right: list[str]) -> None:
    """Fields "ab", "c" and "a", "bc" would share a result."""
    assert (digest(*left) == digest(*right)) == (left == right)


LOOKALIKES: list[object] = [
    None, True, False, 0, 1, 0.0, 1.0, "", "1", "None", b"", b"1", [], (), {}, [1], (1,), [[]],
    [()], {"": None}, {"1": 1}, -1, 255, -256, 2**63, 2**4000, math.inf, -math.inf, "é", "e\u0301",
]  # fmt: skip


def test_lookalikes_differ() -> None:
    """strength: 1 and strength: true would give the same sound."""
    assert len({digest(value) for value in LOOKALIKES}) == len(LOOKALIKES)
    assert digest() != digest(()) != digest(None)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=3), SCALARS, max_size=6))
def test_the_order_of_fields_does_not_count(fields: dict[str, object]) -> None:
    """Sorting a graph file's lines would render everything again."""
    assert digest(fields) == digest(dict(reversed(fields.items())))


def test_minus_zero_is_zero() -> None:
    """A gain of -0.0 dB would render again what 0.0 dB has rendered."""
    assert digest(-0.0) == digest(0.0)


@pytest.mark.parametrize("value", [math.nan, [math.nan], {"x": (1, math.nan)}])
def test_nan_is_refused(value: object) -> None:
    """A result would be kept under a key nobody can mean."""
    with pytest.raises(ValueError, match="NaN"):
        digest(value)


@pytest.mark.parametrize("value", [object(), {1: 2}, {1, 2}, Path("x"), 1j, bytearray(b"x")])
def test_other_types_are_refused(value: object) -> None:
    """A key would hang on where in memory an object lies."""
    with pytest.raises(TypeError, match="no digest for"):
        digest(value)


def test_the_same_key_in_every_process_and_version() -> None:
    """Every result kept so far would be lost with the next start or release."""
    code = (
        "from stepedit_fx.store import digest;"
        "print(digest('emotion', 1, {'b': [0.5, None], 'a': b'x'}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == digest("emotion", 1, {"a": b"x", "b": [0.5, None]})
    assert done.stdout.strip() == GOLDEN
