"""MIDI maps: what is read, what is refused, and what a mapping does with a movement."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.errors import GraphError, ReadError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import Controls, controls_of
from stepedit_fx.midi.binding import Bound, as_number
from stepedit_fx.midi.decode import Moved
from stepedit_fx.midi.maps import MidiMap
from stepedit_fx.midi.reading import load_map, parse_map

GRAPH = """\
version: 1
nodes:
  take: {type: input}
  mood: {type: emotion, from: take, value: happy, strength: 0.5}
  voice: {type: decode, from: mood}
  rack: {type: effects, from: voice, chain: [Gain: {gain_db: 0}, HighpassFilter]}
  out: {type: output, from: rack}
"""
GAIN = "/stepedit/node/rack.0/param/gain_db"
CUTOFF = "/stepedit/node/rack.1/param/cutoff_frequency_hz"

KNOB = "{source: {type: cc, number: 7}"


@pytest.fixture(scope="module")
def controls() -> Controls:
    return controls_of(Graph.parse(GRAPH))


def mapped(text: str, controls: Controls | None = None) -> MidiMap:
    return parse_map(f"version: 1\nmappings:\n{text}", file="map.yaml", controls=controls)


def problems(text: str, controls: Controls | None = None) -> list[str]:
    with pytest.raises(GraphError) as caught:
        mapped(text, controls)
    return [str(problem) for problem in caught.value.problems]


def bound(text: str, controls: Controls) -> Bound:
    (entry,) = mapped(text, controls).entries
    made = Bound(entry, controls.by_address.get(entry.target))
    if made.control is not None:
        made.seen(as_number(made.control, controls.initial[entry.target]))
    return made


def cc(value: int, number: int = 7) -> Moved:
    return Moved("cc", 1, number, value)


def test_a_map_as_documented() -> None:
    """The map of the reference is read as it says, defaults included."""
    found = parse_map(
        """\
version: 1
port: {name: stepedit, virtual: true, backend: jack}
defaults: {channel: 3, takeover: scale, smooth_ms: 5, feedback: "off"}
mappings:
- source: {type: cc, channel: 1, number: 74}
  target: /stepedit/node/rack.0/param/gain_db
  range: [12, -12]
  curve: scurve
  takeover: jump
  mode: absolute
  smooth_ms: 0
  feedback: auto
- {source: {type: nrpn, number: 1000}, target: /stepedit/node/mood/bypass, mode: toggle}
- source: {type: program_change, channel: any}
  target: /stepedit/scene/recall
  scenes: [dry, wet]
"""
    )
    first, second, third = found.entries
    assert (found.port.name, found.port.virtual, found.port.backend) == ("stepedit", True, "jack")
    assert (first.source.channel, first.range, first.curve) == (1, (12.0, -12.0), "scurve")
    assert (first.takeover, first.smooth_ms, first.feedback) == ("jump", 0.0, True)
    assert (second.source.channel, second.takeover, second.feedback) == (3, "scale", False)
    assert second.smooth_ms == 5.0
    assert (third.source.channel, third.scenes) == (None, ("dry", "wet"))


def test_every_problem_is_told_with_its_place_and_the_nearest_word() -> None:
    """Someone who mistyped a map mends it in one go."""
    found = problems(
        """\
- source: {type: cc, number: 200}
  target: /stepedit/node/rack.0/param/gain_db
  curve: liner
- source: {type: cc14, nmber: 3, encoding: binary_offset}
  target: /stepedit/scene/recal
- source: {type: pitchbend, number: 3, channel: 17}
  target: /stepedit/transport/locate
- target: /stepedit/render
  takeover: pikup
- source: {type: note, number: 3}
  target: /stepedit/scene/morph
  scenes: [one]
  range: [1]
- 7
"""
    )
    assert [line.removeprefix("map.yaml:") for line in found] == [
        "3:30: number must be a whole number from 0 to 127, got '200'",
        "5:10: curve cannot be 'liner'. Did you mean 'linear'?",
        "6:11: cc14 needs a number from 0 to 31: the controller of the coarse half",
        "6:24: a source has no 'nmber'. Did you mean 'number'?",
        "6:34: encoding is for the type cc_relative. Take it out.",
        "7:11: '/stepedit/scene/recal' is no target. Did you mean '/stepedit/scene/recall'?",
        "8:29: pitchbend has no number. Take it out.",
        "8:49: channel must be a whole number from 1 to 16, got '17'",
        "9:11: /stepedit/transport/locate needs a range, as [0, 60]",
        "10:3: a mapping needs a source, as {type: cc, channel: 1, number: 74}",
        "11:13: takeover cannot be 'pikup'. Did you mean 'pickup'?",
        "14:11: /stepedit/scene/morph needs scenes: 2 names",
        "15:10: range must be two numbers that differ, as [-12, 12]",
        "16:3: a mapping is {source: {type: cc, number: 74}, target: /stepedit/...}",
    ]


def test_targets_are_checked_against_a_graph(controls: Controls) -> None:
    """A map for another graph says what is missing, and what was probably meant."""
    found = problems(
        f"""\
- {{source: {{type: cc, number: 1}}, target: /stepedit/node/rack.0/param/gain}}
- {{source: {{type: cc, number: 2}}, target: {GAIN}, range: [-200, 0]}}
- {{source: {{type: cc, number: 3}}, target: {GAIN}, curve: log}}
- {{source: {{type: cc, number: 4}}, target: {GAIN}, curve: steps}}
""",
        controls,
    )
    assert f"Did you mean '{GAIN}'?" in found[0]
    low, high = controls[GAIN].low, controls[GAIN].high
    assert f"goes from {low:g} to {high:g} dB, not -200 to 0" in found[1]
    assert "needs a range over 0" in found[2]
    assert "needs steps" in found[3]


@pytest.mark.parametrize("text", ["", "- 1", "version: 2", "a: [", "version: 1\nmappings: 7"])
def test_what_is_no_map_is_refused(text: str) -> None:
    """A wrong file gives a message and no traceback."""
    with pytest.raises(GraphError):
        parse_map(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text crashes the reader."""
    with contextlib.suppress(GraphError):
        parse_map("version: 1\nmappings:\n- " + text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A path that is no map says so."""
    (tmp_path / "latin.yaml").write_bytes(b"version: 1 # \xe9")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(ReadError):
            load_map(path)


def test_an_absolute_control(controls: Controls) -> None:
    """A knob moves a gain over the range it was given."""
    line = (
        f"- {{source: {{type: cc, number: 7}}, target: {GAIN}, range: [-12, 12], takeover: jump}}"
    )
    knob = bound(line, controls)
    assert [knob.moved(cc(v)) for v in (0, 127)] == [-12.0, 12.0]


def test_a_frequency_moves_by_ratios_unless_told_otherwise(controls: Controls) -> None:
    """Without a curve a knob travels as the parameter itself does."""
    knob = bound(
        f"- {{source: {{type: cc14, number: 7}}, target: {CUTOFF}, range: [20, 2000],"
        " takeover: jump}",
        controls,
    )
    assert knob.moved(Moved("cc14", 1, 7, 8192)) == pytest.approx(200, rel=1e-3)


def test_pickup_through_a_mapping(controls: Controls) -> None:
    """A knob at another place than the gain does nothing until it gets there."""
    knob = bound(
        f"- {{source: {{type: cc, number: 7}}, target: {GAIN}, range: [-12, 12]}}", controls
    )
    assert [knob.moved(cc(v)) for v in (0, 20, 50)] == [None, None, None]
    assert knob.moved(cc(70)) == pytest.approx(1.23, abs=0.01)


def test_switches(controls: Controls) -> None:
    """64 and up is on; a toggle changes at each press; momentary is on while held."""
    line = "- {{source: {{type: cc, number: 7}}, target: /stepedit/node/mood/bypass{}}}"
    plain = bound(line.format(""), controls)
    assert [plain.moved(cc(v)) for v in (63, 64, 127, 0)] == [0, 1, 1, 0]
    toggle = bound(line.format(", mode: toggle"), controls)
    pressed = []
    for value in (127, 0, 127, 0):
        number = toggle.moved(cc(value))
        if number is not None:
            toggle.seen(number)
        pressed.append(number)
    assert pressed == [1, None, 0, None]
    momentary = bound(line.format(", mode: momentary"), controls)
    assert [momentary.moved(cc(v)) for v in (127, 0)] == [1, 0]


def test_notes(controls: Controls) -> None:
    """A soft stroke of a pad is a press too; velocity stays when the key is let go."""
    gate = bound(
        f"- {{source: {{type: note, number: 60}}, target: {GAIN}, range: [-6, 6], mode: toggle}}",
        controls,
    )
    assert gate.moved(Moved("note", 1, 60, 1)) in (-6, 6)
    velocity = bound(
        f"- {{source: {{type: note, number: 60, value: velocity}}, target: {GAIN}, range: [0, 6]}}",
        controls,
    )
    assert velocity.moved(Moved("note", 1, 60, 127)) == 6
    assert velocity.moved(Moved("note", 1, 60, 0, released=True)) is None


def test_an_endless_encoder_goes_on_from_where_the_parameter_is(controls: Controls) -> None:
    """Encoders never jump; a step is a share of the range."""
    encoder = bound(
        f"- {{source: {{type: cc_relative, number: 7}}, target: {GAIN}, range: [-10, 10],"
        " step: 0.05}",
        controls,
    )
    assert encoder.moved(cc(1)) == pytest.approx(1.0)
    assert encoder.moved(cc(125)) == pytest.approx(-2.0)
    assert encoder.moved(cc(64)) == pytest.approx(-10.0)


def test_choices_and_programs(controls: Controls) -> None:
    """A knob's travel is shared out among the choices; a program picks one by its number."""
    value = "/stepedit/node/mood/param/value"
    names = controls[value].choices
    knob = bound(
        f"- {{source: {{type: cc, number: 7}}, target: {value}, takeover: jump}}", controls
    )
    assert [knob.moved(cc(v)) for v in (0, 127)] == [0, len(names) - 1]
    program = bound(f"- {{source: {{type: program_change}}, target: {value}}}", controls)
    assert program.moved(Moved("program_change", 1, 4, 4)) == 4
    assert program.moved(Moved("program_change", 1, 120, 120)) is None


def test_conflicts_are_found() -> None:
    """One knob on two parameters may be meant, and is told."""
    found = mapped(
        f"""\
- {{source: {{type: cc, number: 7}}, target: {GAIN}}}
- {{source: {{type: cc_relative, channel: 2, number: 7}}, target: {CUTOFF}}}
- {{source: {{type: note, number: 7}}, target: /stepedit/render}}
"""
    ).conflicts()
    assert len(found) == 1
    assert GAIN in str(found[0])
