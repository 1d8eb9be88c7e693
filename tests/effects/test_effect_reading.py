"""Chains from data: what is right is kept, what is wrong is said, all of it, at its place."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.effects.chain import Effect, External, Parallel, Series, active
from stepedit_fx.effects.curves import Keyframes, Lfo, Ramp
from stepedit_fx.effects.reading import parse_chain, read_chain
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import EffectError


def problems(data: Any) -> list[str]:
    return [str(p) for p in read_chain(data)[1]]


def params(data: Any) -> dict[str, Any]:
    effect = parse_chain([data]).items[0]
    assert isinstance(effect, Effect)
    return dict(effect.params)


def test_left_out_parameters_are_the_defaults() -> None:
    full = {"room_size": 0.2, "damping": 0.5, "wet_level": 0.33, "dry_level": 0.4, "width": 1.0}
    assert params({"Reverb": {"room_size": 0.2}}) == {**full, "freeze_mode": 0.0}
    assert (
        parse_chain(["Reverb"]) == parse_chain([{"Reverb": {}}]) == parse_chain([{"Reverb": None}])
    )


def test_curves_are_read() -> None:
    assert params({"Gain": {"gain_db": {"keyframes": [[0, 1], [2, 3]]}}})["gain_db"] == Keyframes(
        ((0.0, 1.0), (2.0, 3.0)), "linear"
    )
    ramp = {"ramp": {"from": 1, "to": 2, "end": 4}}
    assert params({"Gain": {"gain_db": ramp}})["gain_db"] == Ramp(1.0, 2.0, 0.0, 4.0)
    lfo = {"lfo": {"shape": "random", "rate_hz": 2, "center": 0, "depth": 6, "seed": 7}}
    wanted = Lfo("random", 2.0, 0.0, 6.0, 0.0, 7)
    assert params({"Gain": {"gain_db": lfo}})["gain_db"] == wanted


def test_nesting_and_bypass() -> None:
    chain = parse_chain(
        [
            {"Mix": [["Invert"], []]},
            {"Chain": ["Gain", "Reverb"], "bypass": True},
            {"Delay": {"mix": 0.1, "bypass": True}},
            {"VST3": {"path": "x.vst3", "plugin": "Big", "size": 3}},
        ]
    )
    mix, series, delay, vst = chain.items
    assert isinstance(mix, Parallel)
    assert mix.branches[1] == Series()
    assert isinstance(series, Series)
    assert series.bypass
    assert isinstance(delay, Effect)
    assert delay.bypass
    assert vst == External("VST3", "x.vst3", "Big", (("size", 3),))
    assert [path for path, _ in active(chain)] == [(0, "Mix", 0, 0), (3,)]


CASES: list[tuple[Any, list[str]]] = [
    ("Reverb", ["a chain must be a list of effects, got 'Reverb'"]),
    (None, ["a chain must be a list of effects, got NoneType"]),
    ([3], ["[0]: an effect is Name or {Name: {...}}, got 3"]),
    (["Revreb"], ["[0]: unknown effect 'Revreb'. Did you mean 'Reverb'?"]),
    ([{"highpass": {}}], ["[0]: unknown effect 'highpass'. Did you mean 'HighpassFilter'?"]),
    (
        [{"Gain": {}, "Reverb": {}}],
        ["[0]: an item holds one effect, got 2. Start each effect with a dash of its own."],
    ),
    (
        [{"bypass": True}],
        ["[0]: an item holds one effect, got 0. Start each effect with a dash of its own."],
    ),
    ([{"Gain": 3}], ["[0].Gain: Gain takes a mapping of parameters, got 3"]),
    (
        [{"Reverb": {"room_siz": 1}}],
        ["[0].Reverb.room_siz: Reverb has no parameter 'room_siz'. Did you mean 'room_size'?"],
    ),
    (
        ["Gain", {"Reverb": {"room_size": 2}}],
        ["[1].Reverb.room_size: room_size must be at most 1, got 2"],
    ),
    (
        [{"Compressor": {"attack_ms": -1}}],
        ["[0].Compressor.attack_ms: attack_ms must be at least 0 ms, got -1"],
    ),
    ([{"Gain": {"gain_db": "3"}}], ["[0].Gain.gain_db: gain_db must be a number, got '3'"]),
    ([{"Gain": {"gain_db": True}}], ["[0].Gain.gain_db: gain_db must be a number, got true"]),
    ([{"Gain": {"gain_db": math.nan}}], ["[0].Gain.gain_db: gain_db must be a number, got nan"]),
    (
        [{"LadderFilter": {"mode": "LPF13"}}],
        ["[0].LadderFilter.mode: mode cannot be 'LPF13'. Did you mean 'LPF12'?"],
    ),
    (
        [{"BrickwallLimiter": {"true_peak": 1}}],
        ["[0].BrickwallLimiter.true_peak: true_peak must be true or false, got 1"],
    ),
    (
        [{"Gain": {}, "bypass": "yes"}],
        ["[0].bypass: bypass must be true or false, got 'yes'"],
    ),
    (["Convolution"], ["[0].Convolution: Convolution needs 'impulse_response_filename'"]),
    ([{"Mix": []}], ["[0].Mix: Mix must be a list of chains, got list"]),
    ([{"Mix": ["Gain"]}], ["[0].Mix[0]: a chain must be a list of effects, got 'Gain'"]),
    ([{"VST3": {}}], ["[0].VST3: VST3 needs 'path': a file or bundle ending in .vst3"]),
    ([{"VST3": {"path": "/"}}], ["[0].VST3: VST3 needs 'path': a file or bundle ending in .vst3"]),
    (
        [{"VST3": {"path": "x.vst3", "size": {"ramp": {}}}}],
        [
            "[0].VST3.size: 'size' must be a number, a word, true or false, got dict. "
            "Plugins of others take no curves."
        ],
    ),
    (
        [{"PitchShift": {"semitones": {"lfo": {"rate_hz": 1, "center": 0, "depth": 1}}}}],
        [
            "[0].PitchShift.semitones: PitchShift.semitones cannot change over time: "
            "Rubber Band works in windows. Give it one number."
        ],
    ),
]


@pytest.mark.parametrize(("data", "messages"), CASES)
def test_what_is_wrong_is_said(data: Any, messages: list[str]) -> None:
    assert problems(data) == messages


CURVE_CASES: list[tuple[Any, str, str]] = [
    ({}, "", "must be a number or one of {keyframes"),
    ({"keyframs": []}, "", "must be a number or one of {keyframes"),
    ({"keyframes": []}, ".keyframes", "keyframes must be a list of [seconds, value]"),
    ({"keyframes": [[0]]}, ".keyframes[0]", "a keyframe must be [seconds, value], got list"),
    ({"keyframes": [[-1, 0]]}, ".keyframes[0][0]", "time must be at least 0 s, got -1"),
    ({"keyframes": [[0, "x"]]}, ".keyframes[0][1]", "value must be a number, got 'x'"),
    ({"keyframes": [[1, 0], [1, 2]]}, ".keyframes[1][0]", "keyframes must rise in time"),
    ({"keyframes": [[0, 0]], "shape": "lin"}, ".shape", "Did you mean 'linear'?"),
    ({"keyframes": [[0, 0]], "form": 1}, ".form", "unknown key 'form'"),
    ({"keyframes": [[0, 0], [1, 99]]}, "", "gain_db must be at most 60 dB, the curve reaches 99"),
    ({"ramp": 3}, ".ramp", "ramp must be a mapping with from, to, start, end, got 3"),
    ({"ramp": {"from": 0, "to": 1}}, ".ramp", "ramp needs 'end'"),
    ({"ramp": {"from": 0, "to": 1, "start": 2, "end": 1}}, ".ramp.end", "must end after it starts"),
    ({"ramp": {"from": 0, "to": 1, "end": 1, "shape": "x"}}, ".ramp.shape", "unknown key 'shape'"),
    ({"lfo": {"rate_hz": 50, "center": 0, "depth": 1}}, ".lfo.rate_hz", "at most 20 Hz, got 50"),
    ({"lfo": {"rate_hz": 0, "center": 0, "depth": 1}}, ".lfo.rate_hz", "at least 0.0001 Hz"),
    ({"lfo": {"rate_hz": 1, "center": 0, "depth": -1}}, ".lfo.depth", "depth must be at least 0"),
    ({"lfo": {"rate_hz": 1, "center": 50, "depth": 20}}, "", "the curve reaches 70"),
    ({"lfo": {"rate_hz": 1, "center": 0, "depth": 1, "seed": 0.5}}, ".lfo.seed", "whole number"),
    ({"lfo": {"rate_hz": 1, "center": 0, "depth": 1, "shape": "sin"}}, ".lfo.shape", "'sine'"),
]


@pytest.mark.parametrize(("curve", "place", "words"), CURVE_CASES)
def test_what_is_wrong_with_a_curve_is_said_at_its_place(
    curve: Any, place: str, words: str
) -> None:
    (message,) = problems([{"Gain": {"gain_db": curve}}])
    assert message.startswith(f"[0].Gain.gain_db{place}: ")
    assert words in message


def test_everything_wrong_is_said_at_once() -> None:
    data = [{"Reverb": {"room_size": 2, "wet": 1}}, "Nope", {"Mix": [[{"Gain": {"gain_db": 99}}]]}]
    assert [p.path for p in read_chain(data)[1]] == [
        (0, "Reverb", "room_size"),
        (0, "Reverb", "wet"),
        (1,),
        (2, "Mix", 0, 0, "Gain", "gain_db"),
    ]
    with pytest.raises(EffectError) as caught:
        parse_chain(data)
    assert str(caught.value).count("\n") == 3


def test_nesting_without_end_is_refused() -> None:
    data: list[Any] = []
    data.append({"Chain": data})
    assert any("nested deeper than 16" in message for message in problems(data))


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*EFFECTS, "Mix", "Chain", "VST3", "keyframes", "ramp", "lfo", "bypass"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*EFFECTS, "Mix", "Chain", "VST3", "bypass", "gain_db", "path", "lfo"])
            | st.text(max_size=5),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(ANY)
def test_no_data_is_a_crash(data: Any) -> None:
    """Whatever a file holds, it is a chain or a list of problems."""
    found = read_chain(data)[1]
    if not found:
        chain = parse_chain(data)
        assert parse_chain(chain.items_data()) == chain


@settings(max_examples=80)
@given(st.data())
def test_what_is_written_out_reads_back(data: st.DataObject) -> None:
    """`graph`, provenance and keys hold chains as data: nothing is lost on the way."""
    spec = data.draw(st.sampled_from([s for s in EFFECTS.values() if s.name != "Convolution"]))
    given_params: dict[str, Any] = {}
    for param in spec.params.values():
        if param.kind != "number":
            given_params[param.name] = data.draw(st.sampled_from(param.choices or (True, False)))
            continue
        low = data.draw(st.floats(param.low, param.high))
        high = data.draw(st.floats(low, param.high))
        curve: Any = {"keyframes": [[0, low], [1.5, high]], "shape": "smooth"}
        movable = param.automatable and not spec.whole
        given_params[param.name] = data.draw(st.sampled_from([low, curve])) if movable else low
    chain = parse_chain([{spec.name: given_params}])
    assert parse_chain(chain.items_data()) == chain
