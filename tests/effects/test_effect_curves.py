"""Curves over time: what a user draws is what a parameter does."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.effects.curves import (
    KEYFRAME_SHAPES,
    LFO_SHAPES,
    SMOOTHING_S,
    Curve,
    Keyframes,
    Lfo,
    Ramp,
    smoothed,
)

TIMES_S = st.floats(0, 100, allow_subnormal=False)
VALUES = st.floats(-1e4, 1e4, allow_subnormal=False)
STEP_S = 1 / 6000


@st.composite
def keyframes(draw: st.DrawFn) -> Keyframes:
    times = sorted(draw(st.sets(TIMES_S, min_size=1, max_size=8)))
    points = tuple((t, draw(VALUES)) for t in times)
    return Keyframes(points, draw(st.sampled_from(KEYFRAME_SHAPES)))


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    start = draw(TIMES_S)
    return Ramp(draw(VALUES), draw(VALUES), start, start + draw(st.floats(0.001, 50)))


LFOS = st.builds(
    Lfo,
    st.sampled_from(LFO_SHAPES),
    st.floats(0.001, 20),
    VALUES,
    st.floats(0, 1e3),
    st.floats(0, 1),
    st.integers(0, 2**31 - 1),
)
CURVES = st.one_of(keyframes(), ramps(), LFOS)
SETTINGS = settings(max_examples=60)


def within(values: np.ndarray, curve: Curve) -> bool:
    low, high = curve.extent
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    return bool((values >= low - slack).all() and (values <= high + slack).all())


@SETTINGS
@given(CURVES, st.integers(0, 100_000))
def test_never_leaves_its_extent(curve: Curve, first: int) -> None:
    """A range checked before the run holds at every moment of it."""
    values = smoothed(curve, first, 500, STEP_S)
    assert within(values, curve)
    assert within(curve.at(np.linspace(0, 120, 997)), curve)


@SETTINGS
@given(CURVES, st.integers(0, 5000), st.integers(1, 400), st.integers(1, 400))
def test_evaluated_in_pieces_it_is_the_same(curve: Curve, at: int, one: int, two: int) -> None:
    """Long recordings are rendered a piece at a time: no seam may be heard."""
    whole = smoothed(curve, at, one + two, STEP_S)
    pieces = [smoothed(curve, at, one, STEP_S), smoothed(curve, at + one, two, STEP_S)]
    np.testing.assert_allclose(np.concatenate(pieces), whole, rtol=1e-9, atol=1e-7)


@SETTINGS
@given(keyframes())
def test_meets_every_keyframe(curve: Keyframes) -> None:
    times, values = (np.array(column) for column in zip(*curve.points, strict=True))
    np.testing.assert_allclose(curve.at(times), values, rtol=1e-9, atol=1e-9)
    outside = curve.at(np.array([0.0, 1e6]))
    assert outside[1] == values[-1]
    assert times[0] == 0 or outside[0] == values[0]


@SETTINGS
@given(VALUES, VALUES, st.sampled_from(["linear", "smooth"]))
def test_goes_one_way_between_two_keyframes(first: float, last: float, shape: str) -> None:
    curve = Keyframes(((1.0, first), (2.0, last)), shape)
    moves = np.diff(smoothed(curve, 0, 18_000, STEP_S)) * np.sign(last - first)
    assert (moves >= -1e-9 * max(1.0, abs(first), abs(last))).all()


def test_linear_keyframes_are_straight_lines() -> None:
    curve = Keyframes(((0.0, 0.0), (2.0, 10.0)))
    assert curve.at(np.array([0.5, 1.0]))[0] == 2.5
    assert smoothed(curve, 6000, 1, STEP_S)[0] == np.float64(5.0).round(9)


def test_hold_stays_and_then_jumps_within_the_smoothing_window() -> None:
    curve = Keyframes(((0.0, 1.0), (1.0, 2.0)), "hold")
    values = smoothed(curve, 0, 12_000, STEP_S)
    around = int(SMOOTHING_S / 2 / STEP_S) + 1
    assert (values[: 6000 - around] == 1.0).all()
    assert (values[6000 + around :] == 2.0).all()
    assert np.abs(np.diff(values)).max() < 2.5 / (SMOOTHING_S / STEP_S)


@SETTINGS
@given(VALUES, st.integers(0, 10_000))
def test_what_stands_still_is_exact(value: float, first: int) -> None:
    """A parameter at rest has the very value that was asked for."""
    curve = Keyframes(((0.0, value), (1e3, value), (2e3, value + 1)))
    assert (smoothed(curve, first, 100, STEP_S) == value).all()


def test_lfos_swing_as_their_names_say() -> None:
    quarters = np.array([0.0, 0.25, 0.5, 0.75])
    sine = Lfo("sine", 1.0, 5.0, 2.0).at(quarters)
    np.testing.assert_allclose(sine, [5, 7, 5, 3], atol=1e-12)
    triangle = Lfo("triangle", 1.0, 5.0, 2.0).at(quarters)
    np.testing.assert_allclose(triangle, [5, 7, 5, 3], atol=1e-12)
    square = Lfo("square", 1.0, 5.0, 2.0).at(quarters)
    np.testing.assert_allclose(square, [7, 7, 3, 3], atol=1e-12)
    later = Lfo("sine", 1.0, 5.0, 2.0, phase=0.25).at(quarters)
    np.testing.assert_allclose(later, [7, 5, 3, 5], atol=1e-12)


def test_a_random_lfo_is_its_seeds_own() -> None:
    times = np.arange(50) * 0.1
    one, again, other = (Lfo("random", 10.0, 0.0, 1.0, seed=s).at(times) for s in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
    assert len(set(one.tolist())) > 25
