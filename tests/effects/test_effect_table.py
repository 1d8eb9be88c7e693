"""The table of effects against pedalboard itself: a user may trust names, ranges and defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.effects.chain import Effect, Series
from stepedit_fx.effects.live import plugin_data
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.effects.table import EFFECTS, LEFT_OUT, EffectSpec, Param

RATE = 24_000
PARAMS = [(s, p) for s in EFFECTS.values() for p in s.params.values() if p.kind != "file"]
NUMBERS = [(s, p) for s, p in PARAMS if p.kind == "number"]
WITHOUT_FILES = [s for s in EFFECTS.values() if s.name != "Convolution"]


def plugin(spec: EffectSpec, **params: Any) -> Any:
    cls = getattr(pedalboard, spec.name)
    if spec.name == "Convolution":
        return cls(np.ones((1, 8), np.float32), sample_rate=RATE, **params)
    return cls(**params)


def native(spec: EffectSpec, param: Param, value: Any) -> Any:
    """A table value as pedalboard takes it."""
    if param.kind != "choice":
        return value
    cls = getattr(pedalboard, spec.name)
    return getattr(cls.Mode if param.name == "mode" else pedalboard.Resample.Quality, value)


def same(value: Any) -> Any:
    """Equal; a number but for the rounding of float32."""
    return pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value


def ids(pairs: list[tuple[EffectSpec, Param]]) -> list[str]:
    return [f"{spec.name}.{param.name}" for spec, param in pairs]


def test_no_effect_of_pedalboard_is_missing() -> None:
    classes = {
        name
        for name, value in vars(pedalboard).items()
        if isinstance(value, type) and issubclass(value, pedalboard.Plugin) and name[0] != "_"
    }
    on_this_system = classes | {"AudioUnitPlugin"}
    assert classes <= EFFECTS.keys() | LEFT_OUT.keys()
    assert EFFECTS.keys() | LEFT_OUT.keys() <= on_this_system
    assert not EFFECTS.keys() & LEFT_OUT.keys()


@pytest.mark.parametrize("spec", EFFECTS.values(), ids=EFFECTS.keys())
def test_no_parameter_of_an_effect_is_missing(spec: EffectSpec) -> None:
    made = plugin(spec)
    properties = {
        name
        for name in dir(made)
        if name[0] != "_" and isinstance(getattr(type(made), name), property)
    }
    # An impulse response is given by its file alone.
    assert properties - {"is_effect", "is_instrument", "impulse_response"} == spec.params.keys()


@pytest.mark.parametrize(("spec", "param"), PARAMS, ids=ids(PARAMS))
def test_default_is_pedalboards_own(spec: EffectSpec, param: Param) -> None:
    own = getattr(plugin(spec), param.name)
    assert param.default is not None
    assert own == same(native(spec, param, param.default))


@pytest.mark.parametrize(("spec", "param"), PARAMS, ids=ids(PARAMS))
def test_value_goes_in_and_reads_back(spec: EffectSpec, param: Param) -> None:
    values = param.choices or ((False, True) if param.kind == "switch" else (param.low, param.high))
    for value in values:
        wanted = native(spec, param, value)
        made = plugin(spec, **{param.name: wanted})
        assert getattr(made, param.name) == same(wanted)
        setattr(made, param.name, wanted)


@pytest.mark.parametrize(("spec", "param"), NUMBERS, ids=ids(NUMBERS))
def test_range_holds_the_default_and_suits_its_knob(spec: EffectSpec, param: Param) -> None:
    assert isinstance(param.default, float)
    assert param.low <= param.default <= param.high
    assert param.low < param.high
    assert param.curve in {"linear", "log"}
    assert param.curve == "linear" or param.low > 0
    assert param.help


@settings(max_examples=120)
@given(st.data())
def test_anything_within_range_sounds(data: st.DataObject) -> None:
    """No value the table lets through makes noise run away, silence a length or fail."""
    spec = data.draw(st.sampled_from(WITHOUT_FILES))
    rate = data.draw(st.sampled_from([8000, 11025, 24000, 44100, 96000]))
    params = {}
    for name, param in spec.params.items():
        top = min(param.high, rate / 2 - 1) if param.below_nyquist else param.high
        if param.kind == "number":
            params[name] = data.draw(st.sampled_from([param.low, top]) | st.floats(param.low, top))
        else:
            params[name] = data.draw(st.sampled_from(param.choices or (False, True)))
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 3000)).astype(np.float32)
    out = render(parse_chain([{spec.name: params}]), Audio(noise, rate))
    assert out.frames == 3000
    assert out.peak < 1e5


@pytest.mark.parametrize("spec", EFFECTS.values(), ids=EFFECTS.keys())
def test_plugin_turns_to_data_and_back(spec: EffectSpec, tmp_path: Any) -> None:
    """A chain built in Python can be written down as YAML."""
    response = str(tmp_path / "room.wav")
    soundfile.write(response, np.ones((8, 1)), RATE)
    made = pedalboard.Convolution(response) if spec.name == "Convolution" else plugin(spec)
    data = plugin_data(made)
    assert data is not None
    chain = parse_chain([data])
    effect = chain.items[0]
    assert isinstance(effect, Effect)
    assert effect.name == spec.name
    assert parse_chain(chain.items_data()) == chain


def test_containers_turn_to_data() -> None:
    gain = pedalboard.Gain(3.0)
    inside = {"Gain": {"gain_db": 3.0}}
    assert plugin_data(pedalboard.Pedalboard([gain])) == {"Chain": [inside]}
    mix = pedalboard.Mix([gain, pedalboard.Chain([gain, pedalboard.Invert()])])
    assert plugin_data(mix) == {"Mix": [[inside], [inside, {"Invert": {}}]]}
    assert isinstance(parse_chain([plugin_data(mix)]), Series)


def test_what_the_table_does_not_know_has_no_data() -> None:
    held = pedalboard.Convolution(np.ones((1, 8), np.float32), sample_rate=RATE)
    assert plugin_data(held) is None
    assert plugin_data(pedalboard.Chain([held])) is None
    assert plugin_data(pedalboard.Mix([pedalboard.Chain([held])])) is None
