from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.effects.curves import Keyframes
from stepedit_fx.effects.table import EFFECTS, Param
from stepedit_fx.live.knobs import CURVE_FRAMES, Knob

RATE = 48_000
PARAMS = [
    param
    for spec in EFFECTS.values()
    if not spec.whole
    for param in spec.params.values()
    if param.automatable
]


@given(st.sampled_from(PARAMS), st.floats(0, 1))
def test_every_place_on_a_knob_is_a_value_and_back(param: Param, share: float) -> None:
    """A glide would end, or pass, where the plugin cannot go."""
    knob = Knob(param, param.low, param.low, RATE)
    top = min(param.high, 0.49 * RATE) if param.below_nyquist else param.high
    value = param.low + share * (top - param.low)
    assert knob.value(knob.place(value)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    for place in (knob.place(param.low) - 1, knob.place(top) + 1):
        assert param.low <= knob.value(place) <= top


def test_a_curve_is_looked_up_within_its_sound_and_held_after_it() -> None:
    """A sound that came in longer than its curve would end the callback with an error."""
    curve = Keyframes(((0.0, -20.0), (0.5, -20.0), (0.6, 0.0)))
    knob = Knob(EFFECTS["Gain"].params["gain_db"], curve, -20.0, RATE)
    assert knob.value(knob.goal(None, 10**9)) == pytest.approx(-20.0)  # not worked out yet
    knob.cover(RATE)
    assert knob.value(knob.goal(None, 0)) == pytest.approx(-20.0)
    assert knob.value(knob.goal(None, RATE - CURVE_FRAMES)) == pytest.approx(0.0)
    assert knob.value(knob.goal(None, 10**9)) == pytest.approx(0.0)
    knob.cover(RATE // 2)  # a shorter one takes nothing away
    assert knob.value(knob.goal(None, RATE)) == pytest.approx(0.0)
