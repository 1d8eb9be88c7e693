"""The effects node: a rack in a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from stepedit_fx.audio import Audio
from stepedit_fx.effects.chain import Series
from stepedit_fx.engines.base import open_engine
from stepedit_fx.errors import EffectError
from stepedit_fx.nodes import NODES
from stepedit_fx.nodes.base import Context
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.speech import Transcript

RATE = 24_000


@pytest.fixture(scope="module")
def context() -> Context:
    return Context(open_engine())


def noise(channels: int = 1) -> Audio:
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, (channels, RATE // 2))
    return Audio(drawn.astype(np.float32), RATE, 3.5, Transcript("hello"))


def test_sound_keeps_its_place_and_words(context: Context) -> None:
    sound = noise()
    out = Effects(["Reverb"], tail_s=0.25).run([sound], context)
    assert (out.start_s, out.transcript, out.sample_rate) == (3.5, sound.transcript, RATE)
    assert out.frames == sound.frames + RATE // 4
    assert np.abs(out.samples[:, : sound.frames] - sound.samples).max() > 0.01


def test_bypass_gives_the_very_samples(context: Context) -> None:
    sound = noise()
    assert Effects(["Reverb"], bypass=True, tail_s=1).run([sound], context) is sound


def test_every_problem_is_at_its_place_in_the_data() -> None:
    """So that a graph's messages have file, line and column."""
    data: list[Any] = [{"Reverb": {"room_size": 3}}, {"Mix": [["Revreb"]]}]
    for make in (lambda: Effects(chain=data), lambda: Effects.model_validate({"chain": data})):
        with pytest.raises(ValidationError) as caught:
            make()
        errors = caught.value.errors()
        places = [("chain", 0, "Reverb", "room_size"), ("chain", 1, "Mix", 0, 0)]
        assert [e["loc"] for e in errors] == places
        assert errors[0]["msg"] == "room_size must be at most 1, got 3"


def test_fields_dump_to_data_that_reads_back() -> None:
    node = Effects(["Reverb", {"Gain": {"gain_db": {"keyframes": [[0, 0], [1, 3]]}}}])
    data = node.model_dump(mode="json")
    assert data["chain"][1]["Gain"]["gain_db"] == {"keyframes": [[0, 0], [1, 3]], "shape": "linear"}
    again = Effects.model_validate(data)
    assert again == node
    assert Effects.model_validate_json(node.model_dump_json(), strict=True) == node
    assert isinstance(again.chain, Series)


def test_paths_are_relative_to_the_graph(context: Context, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "room.wav", np.ones((8, 1)) / 8, RATE)
    node = Effects([{"Convolution": {"impulse_response_filename": "room.wav"}}])
    assert node.reads(tmp_path) == (tmp_path / "room.wav",)
    out = node.run([noise(2)], Context(context.engine, folder=tmp_path))
    assert out.channels == 2


def test_plugins_need_an_allowed_folder(context: Context, tmp_path: Path) -> None:
    (tmp_path / "x.vst3").touch()
    node = Effects([{"VST3": {"path": "x.vst3"}}])
    with pytest.raises(EffectError, match="--allow-plugins"):
        node.run([noise()], Context(context.engine, folder=tmp_path))


def test_schema_holds_every_effect() -> None:
    schema = NODES["effects"].model_json_schema()
    assert schema["properties"]["chain"]["$ref"] == "#/$defs/EffectChain"
    assert "Reverb" in str(schema["$defs"]["EffectChain"])
