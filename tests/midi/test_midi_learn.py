"""Learning: which control was moved, and how it gets into a map without disturbing the rest."""

from __future__ import annotations

from pathlib import Path

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.errors import GraphError
from stepedit_fx.midi.decode import Decoder, Moved
from stepedit_fx.midi.feedback import messages
from stepedit_fx.midi.learn import keep, source_of, with_mapping
from stepedit_fx.midi.reading import parse_map
from stepedit_fx.midi.sources import SOURCES, Source

ADDRESS = "/stepedit/node/rack.0/param/gain_db"
OTHER = "/stepedit/node/mood/bypass"


def gesture(source: Source) -> list[Moved]:
    decoder = Decoder()
    sent = [m for place in (0.1, 0.3, 0.4) for m in messages(source, place, source.channel or 1)]
    return [move for message in sent for move in decoder.feed(message, 0.0)]


@pytest.mark.parametrize(
    "source",
    [
        Source("cc", 3, 74),
        Source("cc", 1, 33),
        Source("cc14", 2, 1),
        Source("nrpn", 16, 1000),
        Source("rpn", 1, 2),
        Source("note", 10, 36),
        Source("pitchbend", 4),
    ],
    ids=str,
)
def test_what_was_moved_is_recognized(source: Source) -> None:
    """A fader of 14 bits or an NRPN knob is not mistaken for the plain controllers it sends."""
    assert source_of(gesture(source)) == source


@pytest.mark.parametrize(
    ("value", "encoding"), [(1, "twos_complement"), (127, "twos_complement"), (65, "binary_offset")]
)
def test_an_encoder_that_is_turned_evenly_is_recognized(value: int, encoding: str) -> None:
    """An endless encoder learned as one does not jump between two values."""
    moves = [Moved("cc", 1, 20, value)] * 5
    assert source_of(moves) == Source("cc_relative", 1, 20, encoding)


def test_program_changes_and_pressure() -> None:
    """What has no encoder on our side can be learned as well."""
    decoder = Decoder()
    for message, source in (
        (mido.Message("program_change", program=7), Source("program_change", 1, 7)),
        (mido.Message("aftertouch", value=7), Source("channel_pressure", 1)),
        (mido.Message("polytouch", note=60, value=7), Source("poly_pressure", 1, 60)),
    ):
        assert source_of(decoder.feed(message, 0.0)) == source


MAPS = {
    "nothing": "",
    "only a comment": "# mine\n",
    "no list": "version: 1\nport: {name: knobs}\n",
    "an empty list": "version: 1\nmappings: []\nport: {name: knobs}\n",
    "nothing in the list": "version: 1\nmappings:\n",
    "a block": f"""\
version: 1
mappings:   # what turns what
  - source: {{type: cc, number: 1}}  # the wheel
    target: {OTHER}
    mode: toggle   # keeps

# the end
port: {{name: knobs}}
""",
    "one line": f"version: 1\nmappings: [{{source: {{type: cc, number: 1}}, target: {OTHER}}}]",
    "flow items": f"version: 1\nmappings:\n- {{source: {{type: cc, number: 1}}, target: {OTHER}}}",
    "there already": f"""\
version: 1
mappings:
- target: {ADDRESS}
  source:
    type: cc   # old
    number: 1
  range: [-12, 12]
- {{source: {{type: cc, number: 2}}, target: {OTHER}}}
""",
}


@pytest.mark.parametrize("name", MAPS)
def test_a_learned_mapping_leaves_the_rest_as_it_is(name: str, tmp_path: Path) -> None:
    """Comments, other mappings and their options are there after learning."""
    path, text, source = tmp_path / "map.yaml", MAPS[name], Source("nrpn", 3, 300)
    path.write_text(text)
    if text.strip() and not text.startswith("#"):
        before = {e.target: e for e in parse_map(text).entries}
        after = keep(path, ADDRESS, source)
    else:
        before, after = {}, parse_map(with_mapping(text, ADDRESS, source))
    found = {e.target: e for e in after.entries}
    assert found[ADDRESS].source == source
    assert {t: e for t, e in found.items() if t != ADDRESS} == {
        t: e for t, e in before.items() if t != ADDRESS
    }
    if ADDRESS in before:
        assert found[ADDRESS].range == before[ADDRESS].range
    new = with_mapping(text, ADDRESS, source)
    for line in text.splitlines():
        comment = line.partition("#")[2]
        assert comment in new or "old" in comment
    if "port" in text:
        assert after.port.name == "knobs"


@given(st.lists(st.sampled_from([ADDRESS, OTHER, "/stepedit/render"]), max_size=6))
def test_learning_again_and_again(addresses: list[str]) -> None:
    """However often something is learned, the map stays one that can be read."""
    text = ""
    for number, address in enumerate(addresses):
        text = with_mapping(text, address, Source("cc", 1, number))
    if addresses:
        entries = parse_map(text).entries
        last = {a: n for n, a in enumerate(addresses)}
        assert {e.target: e.source.number for e in entries} == last
        assert len(entries) == len(last)


def test_a_broken_map_is_left_alone(tmp_path: Path) -> None:
    """Learning into a map with a mistake tells the mistake and changes nothing."""
    path = tmp_path / "map.yaml"
    path.write_text("version: 1\nmappings: 7\n")
    with pytest.raises(GraphError):
        keep(path, ADDRESS, Source("cc", 1, 1))
    assert path.read_text() == "version: 1\nmappings: 7\n"


def test_every_type_writes_what_it_reads() -> None:
    """What learning writes, the map reads as the same source."""
    for kind, spec in SOURCES.items():
        source = Source(kind, 5, 3 if spec.numbers else None)
        (entry,) = parse_map(with_mapping("", ADDRESS, source)).entries
        assert entry.source == source
