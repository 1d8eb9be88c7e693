"""What an editor and the help show of effects is what the checks accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.effects.help import EffectLine, effect_lines, markdown, param_lines
from stepedit_fx.effects.reading import read_chain
from stepedit_fx.effects.schema import chain_schema, definitions
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import EffectError

SCHEMA = {**chain_schema(), "$defs": definitions()}
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
DOC = Path(__file__).parents[2] / "docs" / "effects.md"

GOOD: list[Any] = [
    [],
    ["Reverb", {"Reverb": None}, {"Reverb": {}}],
    [{"Gain": {"gain_db": 3, "bypass": True}}, {"Gain": {}, "bypass": False}],
    [{"Mix": [[], ["Gain", {"Chain": [{"Mix": [["Invert"]]}]}]]}],
    [{"Gain": {"gain_db": {"keyframes": [[0, 1], [1, 2]], "shape": "hold"}}}],
    [{"Gain": {"gain_db": {"ramp": {"from": 0, "to": 1, "end": 2}}}}],
    [{"Gain": {"gain_db": {"lfo": {"rate_hz": 2, "center": 0, "depth": 1}}}}],
    [{"LadderFilter": {"mode": "HPF24"}}, {"BrickwallLimiter": {"true_peak": True}}],
    [{"Convolution": {"impulse_response_filename": "room.wav"}}],
    [{"VST3": {"path": "a.vst3", "plugin": "b", "size": 1}}],
]
BAD: list[Any] = [
    "Reverb",
    ["Revreb"],
    ["Convolution"],
    [3],
    [{"Reverb": {"room_size": 2}}],
    [{"Reverb": {"size": 1}}],
    [{"Reverb": {}, "Gain": {}}],
    [{"Gain": {"gain_db": "3"}}],
    [{"Gain": {"gain_db": {"keyframes": [[0]]}}}],
    [{"Gain": {"gain_db": {"lfo": {"rate_hz": 50, "center": 0, "depth": 1}}}}],
    [{"PitchShift": {"semitones": {"ramp": {"from": 0, "to": 1, "end": 2}}}}],
    [{"Mix": []}],
    [{"VST3": {"path": "a.so"}}],
]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("data", GOOD)
def test_an_editor_takes_what_is_right(data: Any) -> None:
    assert read_chain(data)[1] == []
    VALIDATOR.validate(data)


@pytest.mark.parametrize("data", BAD)
def test_an_editor_marks_what_is_wrong(data: Any) -> None:
    assert read_chain(data)[1]
    assert not VALIDATOR.is_valid(data)


@settings(max_examples=100)
@given(st.data())
def test_editor_and_check_agree_on_every_number(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from([s for s in EFFECTS.values() if s.params]))
    param = data.draw(st.sampled_from([p for p in spec.params.values() if p.kind != "file"]))
    edges = [param.low, param.high, param.low - 0.5, param.high + 0.5]
    value = data.draw(st.sampled_from(edges) | st.booleans() | st.sampled_from(["LPF24", "x"]))
    given_params: dict[str, Any] = {param.name: value}
    if spec.name == "Convolution":
        given_params["impulse_response_filename"] = "room.wav"
    chain = [{spec.name: given_params}]
    assert VALIDATOR.is_valid(chain) == (not read_chain(chain)[1])


def test_every_parameter_is_described_to_the_editor() -> None:
    items = definitions()["EffectChain"]["items"]["anyOf"][1:]
    found = {name: item["properties"][name] for item in items for name in item["required"]}
    for spec in EFFECTS.values():
        for name in spec.params:
            assert found[spec.name]["properties"][name]["description"]


def test_help_lists_every_effect_and_parameter() -> None:
    lines = effect_lines()
    assert EFFECTS.keys() | {"Mix", "Chain", "VST3", "AudioUnit"} == {line.name for line in lines}
    assert EffectLine("Invert", "level", EFFECTS["Invert"].help) in lines
    for line in lines:
        wanted = list(EFFECTS[line.name].params) if line.name in EFFECTS else []
        assert [param.name for param in param_lines(line.name)] == wanted
    with pytest.raises(EffectError, match="Did you mean 'Reverb'"):
        param_lines("reverv")


def test_the_documents_table_is_current() -> None:
    """Run `python docs/write_effects.py` after a change of the table."""
    assert markdown() in DOC.read_text(encoding="utf-8")
