"""No node delays what passes through it: wet and dry line up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.files import read_audio
from stepedit_fx.nodes import NODES
from stepedit_fx.nodes.base import Context, Node
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.speech import Speech
from stepedit_fx.timeline import at

NODE_FIELDS: dict[str, dict[str, object]] = {
    "encode": {},
    "denoise": {},
    "vad": {},
    "emotion": {"value": "happy"},
    "style": {"value": "warm"},
    "speed": {"value": "slower"},
    "paralinguistic": {"text": "[Breathing] Good morning."},
    "decode": {},
    "ladder": {"edit": {"emotion": "sad"}, "position": 0.5},
    "effects": {"chain": ["HighpassFilter", "Compressor", "PitchShift"]},
    "mix": {"wet": 0.5},
}
# Where sound comes in, goes out, or is new altogether.
NO_WAY_THROUGH = {"input", "output", "clone"}
CLICKS_S = (0.05, 2.9, 6.0)  # where the sample clip pauses or nearly does


@pytest.fixture(scope="module")
def clicked(sample_clip: Path) -> Audio:
    clip = read_audio(sample_clip)
    samples = clip.samples.copy()
    for second in CLICKS_S:
        samples[:, round(second * clip.sample_rate)] += 0.6
    return clip.with_samples(samples)


def through(node: Node, audio: Audio, context: Context) -> Audio:
    """The audio after a node, and after whatever makes sound of speech again."""
    if node.takes is Speech:
        value = node.run([Encode().run([audio], context)], context)
    else:
        branches = []
        for branch in node.branches():
            edited = branch.run([Encode().run([audio], context)], context)
            branches.append(Decode().run([edited], context))
        more = [audio] * (node.inputs[0] - 1)
        value = node.run([audio, *more, *branches], context)
    made: Audio = Decode().run([value], context) if isinstance(value, Speech) else value
    return made


def test_every_node_kind_is_measured() -> None:
    """A new kind of node says here whether sound passes through it."""
    assert NODE_FIELDS.keys() | NO_WAY_THROUGH == NODES.keys()


@pytest.mark.parametrize("kind", NODE_FIELDS)
def test_a_click_comes_out_where_the_map_says(kind: str, clicked: Audio) -> None:
    """A dry and a wet take of one source would be heard twice."""
    wet = through(NODES[kind](**NODE_FIELDS[kind]), clicked, Context(open_engine()))
    sharp = np.abs(np.diff(wet.samples[0].astype(np.float64), 2))
    rate = clicked.sample_rate
    for second in CLICKS_S:
        wanted = at(wet.time_map, round(second * rate) / rate) * rate
        first = max(0, round(wanted - 0.015 * rate))
        found = first + 1 + int(np.argmax(sharp[first : round(wanted + 0.015 * rate)]))
        # What a stretcher makes of a single click is wider than that click was.
        assert abs(found - wanted) / rate < 0.0015, second
