"""Curves and takeover: where a control stands against what the parameter is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepedit_fx.midi.curves import CURVES, Travel
from stepedit_fx.midi.takeover import REACH, Pickup, Scale, Takeover

positions = st.floats(0, 1)
ends = st.floats(-1000, 1000).map(lambda x: round(x, 3))


@given(st.sampled_from(["linear", "exp", "scurve"]), ends, ends, positions)
def test_a_value_leads_back_to_its_position(
    curve: str, first: float, last: float, position: float
) -> None:
    """A fader that is sent to its parameter's value stands where it stood when it set it."""
    assume(abs(first - last) > 0.01)
    travel = Travel(first, last, curve)
    value = travel.value(position)
    assert min(first, last) - 1e-9 <= value <= max(first, last) + 1e-9
    assert travel.position(value) == pytest.approx(position, abs=1e-4)
    assert travel.value(travel.position(value)) == pytest.approx(value, rel=1e-6, abs=1e-6)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), positions)
def test_the_log_curve_moves_by_ratios(first: float, last: float, position: float) -> None:
    """Half the travel of a frequency is its geometric middle, upwards and downwards."""
    assume(abs(math.log(first / last)) > 0.1)
    travel = Travel(first, last, "log")
    assert travel.value(0.5) == pytest.approx(math.sqrt(first * last))
    assert travel.position(travel.value(position)) == pytest.approx(position, abs=1e-6)


@given(st.integers(2, 128), ends, ends)
def test_steps_are_hit_from_their_middle(count: int, first: float, last: float) -> None:
    """Each of n steps has its share of the knob, and feedback puts the knob in its middle."""
    assume(abs(first - last) > 0.01)
    travel = Travel(first, last, "steps", count)
    values = travel.values((np.arange(count) + 0.5) / count)
    assert values[0] == pytest.approx(first)
    assert values[-1] == pytest.approx(last)
    assert np.allclose(travel.values(travel.positions(values)), values)
    assert len(np.unique(np.round(travel.values(np.linspace(0, 1, 1000)), 9))) == count


@pytest.mark.parametrize("curve", CURVES)
def test_the_ends_of_the_travel_are_the_ends_of_the_range(curve: str) -> None:
    """A knob at its stop gives the very value of the range, also where the range is reversed."""
    for first, last in ((20.0, 20000.0), (20000.0, 20.0)):
        travel = Travel(first, last, curve)
        assert travel.value(0) == pytest.approx(first)
        assert travel.value(1) == pytest.approx(last)
        assert travel.value(-3) == travel.value(0)
        assert travel.value(7) == travel.value(1)


def test_half_an_exp_curve_is_a_tenth() -> None:
    """exp feels as an audio-taper potentiometer does."""
    assert Travel(0, 1, "exp").value(0.5) == pytest.approx(0.1)


@given(st.lists(positions), positions)
def test_jump_goes_to_the_control(moves: list[float], current: float) -> None:
    """With jump the parameter is always where the control is."""
    takeover = Takeover()
    assert [takeover.moved(m, current) for m in moves] == moves


@given(st.lists(st.integers(0, 127).map(lambda v: v / 127), min_size=1), positions)
def test_pickup_never_jumps(moves: list[float], current: float) -> None:
    """The parameter stays until the control reaches or crosses it, and follows from then on."""
    pickup = Pickup()
    standing, caught, last = current, False, None
    for hardware in moves:
        moved = pickup.moved(hardware, standing)
        met = abs(hardware - standing) <= REACH or (
            last is not None and min(last, hardware) <= standing <= max(last, hardware)
        )
        caught = caught or met
        assert (moved is not None) == caught
        standing, last = hardware if caught else standing, hardware


def test_pickup_starts_again_when_somebody_else_moves_it() -> None:
    """After a scene or a mouse moved the parameter, a touched knob does not throw it back."""
    pickup = Pickup()
    assert pickup.moved(0.5, 0.5) == 0.5
    pickup.released()
    assert pickup.moved(0.52, 0.9) is None
    assert pickup.moved(0.95, 0.9) == 0.95


@given(positions, st.lists(positions, min_size=1))
def test_scale_stays_in_range_and_meets_at_the_ends(current: float, moves: list[float]) -> None:
    """With scale the parameter moves the control's way at once; at a stop both are together."""
    scale = Scale()
    last: float | None = None
    for hardware in moves:
        moved = scale.moved(hardware, current)
        if moved is not None:
            assert -1e-9 <= moved <= 1 + 1e-9
            if last is not None and hardware not in (0, 1):
                assert (moved - current) * (hardware - last) >= 0
            current = min(max(moved, 0.0), 1.0)
        last = hardware
    assert scale.moved(1.0, current) == 1.0
    assert scale.moved(0.0, current) == 0.0
