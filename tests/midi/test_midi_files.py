"""MIDI files as automation: the sound moves as the file says, and what cannot move is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stepedit_fx.cli.app import app
from stepedit_fx.errors import GraphError, ReadError, RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import controls_of
from stepedit_fx.midi.automation import TOLERANCE, automation_sets, simplified
from stepedit_fx.midi.curves import Travel
from stepedit_fx.midi.files import read_moves
from stepedit_fx.midi.reading import parse_map

GRAPH = """\
version: 1
name: moved
nodes:
  take: {type: input}
  mood: {type: emotion, from: take, value: happy, strength: 0.5, bypass: true}
  voice: {type: decode, from: mood}
  rack:
    type: effects
    from: voice
    chain:
      - Gain
      - Invert
      - Mix: [[Gain: {gain_db: -6}], [Chain: [Delay, {Gain: {gain_db: -6}}]]]
  out: {type: output, from: rack, path: "{stem}.{graph}.wav", subtype: FLOAT}
"""
ONE_GAIN = """\
version: 1
name: moved
chain:
  - emotion: {value: happy, bypass: true}
  - effects: {chain: [Gain: {gain_db: 0}]}
  - output: {path: "{stem}.{graph}.wav", subtype: FLOAT}
"""
MAP = """\
version: 1
mappings:
- {source: {type: cc, number: 7}, target: /stepedit/node/rack.0/param/gain_db, range: [-24, 0]}
- {source: {type: cc14, number: 1}, target: /stepedit/node/rack.2.1.0.1/param/gain_db,
   range: [-60, 0]}
- {source: {type: cc, number: 20}, target: /stepedit/node/mood/param/strength}
- {source: {type: cc, number: 21}, target: /stepedit/node/rack.1/bypass}
- {source: {type: program_change}, target: /stepedit/scene/recall, scenes: [a, b]}
"""


def cc(control: int, value: int, time: int = 0) -> Any:
    return mido.Message("control_change", control=control, value=value, time=time)


def midi_file(path: Path, *messages: Any, ticks: int = 480) -> Path:
    """A file with these messages; their times are in ticks, at 120 beats a minute."""
    file = mido.MidiFile(ticks_per_beat=ticks)
    file.tracks.append(mido.MidiTrack(messages))
    file.save(path)
    return path


def sets(path: Path, graph: str = GRAPH, map: str = MAP) -> tuple[str, ...]:
    return automation_sets(Graph.parse(graph), path, parse_map(map))


def test_the_tempo_map_counts(tmp_path: Path) -> None:
    """A file whose tempo changes moves things when its DAW did."""
    tempo = mido.MetaMessage("set_tempo", tempo=1_000_000, time=480)
    path = midi_file(tmp_path / "a.mid", tempo, cc(7, 1, 480), cc(7, 2, 960))
    assert [t for t, m in read_moves(path) if m.type == "cc"] == pytest.approx([1.5, 3.5])


def test_smpte_time_counts(tmp_path: Path) -> None:
    """A file in frames (25 a second, 40 ticks each) is in seconds as well."""
    path = midi_file(tmp_path / "a.mid", cc(70, 1, 1500), ticks=-25 * 256 + 40)
    assert [t for t, _ in read_moves(path)] == pytest.approx([1.5])


def test_a_coarse_half_alone_moves_when_it_was_sent(tmp_path: Path) -> None:
    """Waiting for a fine half that never comes does not delay the automation."""
    path = midi_file(tmp_path / "a.mid", cc(1, 64, 960), cc(70, 1, 9600))
    found = [t for t, m in read_moves(path) if m.type == "cc14"]
    assert found == pytest.approx([1.0])


def test_the_sound_moves_as_the_file_says(tmp_path: Path, short_clip: Path) -> None:
    """A gain drawn in a DAW is heard in the render, where it was drawn."""
    take = Path(shutil.copy(short_clip, tmp_path / "take.wav"))
    (tmp_path / "moved.yaml").write_text(ONE_GAIN)
    text = "".join(MAP.splitlines(keepends=True)[:3]).replace("rack.0", "effects.0")
    (tmp_path / "map.yaml").write_text(text)
    # At the top, from 0.4 s down in a line to the bottom at 0.8 s.
    down = [cc(7, value, 3) for value in range(126, -1, -1)]
    path = midi_file(tmp_path / "a.mid", cc(7, 127), cc(7, 127, 381), *down)
    out = tmp_path / "out"
    asked = ["run", tmp_path / "moved.yaml", take, "-o", out, "--midi", path]
    asked += ["--midi-map", tmp_path / "map.yaml", "--no-store"]
    plain = ["run", tmp_path / "moved.yaml", take, "-o", tmp_path / "plain", "--no-store"]
    for args in (asked, plain):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert result.exit_code == 0, result.output
    moved, rate = soundfile.read(out / "take.moved.wav")
    still, _ = soundfile.read(tmp_path / "plain" / "take.moved.wav")

    def change_db(start_s: float, end_s: float) -> float:
        part = slice(round(start_s * rate), round(end_s * rate))
        return 10 * np.log10(np.sum(moved[part] ** 2) / np.sum(still[part] ** 2))

    assert change_db(0, 0.35) == pytest.approx(0, abs=0.01)
    assert change_db(0.595, 0.6) == pytest.approx(-24 * 0.5, abs=0.5)
    assert change_db(0.85, 1.1) == pytest.approx(-24, abs=0.01)
    # The same again is up to date; another file is not.
    again = CliRunner().invoke(app, [str(arg) for arg in asked])
    assert "up to date" in again.output
    midi_file(path, cc(7, 0))
    assert "up to date" not in CliRunner().invoke(app, [str(arg) for arg in asked]).output


def test_effects_are_reached_however_they_are_written(tmp_path: Path) -> None:
    """A bare word, and an effect inside a Mix inside a Chain, can be automated."""
    path = midi_file(
        tmp_path / "a.mid", cc(7, 127), cc(1, 0), cc(33, 0), cc(21, 127), cc(7, 0, 960),
        cc(1, 127, 10), cc(33, 127),
    )  # fmt: skip
    found = sets(path)
    assert [text.partition("=")[0] for text in found] == [
        "rack.chain.0",
        "rack.chain.1",
        "rack.chain.2",
    ]
    graph = Graph.parse(GRAPH, sets=found)
    values = controls_of(graph).initial
    assert values["/stepedit/node/rack.1/bypass"] is True
    assert values["/stepedit/node/rack.2.1.0.1/param/gain_db"] == -60.0
    assert "keyframes" in found[2]


def test_what_cannot_change_is_set_at_the_start(tmp_path: Path) -> None:
    """A switch takes its value from the file's start, and a later change is refused."""
    assert sets(midi_file(tmp_path / "a.mid", cc(21, 127), cc(21, 127, 900))) == (
        'rack.chain.1={"Invert": {}, "bypass": true}',
    )
    with pytest.raises(RequestError, match=r"node 'rack': .*moved at 0\.94 s"):
        sets(midi_file(tmp_path / "b.mid", cc(21, 127), cc(21, 0, 900)))


def test_a_speech_edit_moves_with_the_file(tmp_path: Path) -> None:
    """Whoever draws an emotion's strength in a DAW gets it where it was drawn."""
    assert sets(midi_file(tmp_path / "a.mid", cc(20, 127), cc(20, 127, 900))) == (
        "mood.strength=1.0",
    )
    found = sets(midi_file(tmp_path / "b.mid", cc(20, 127), cc(20, 0, 960)))
    assert found == ("mood.strength=[[0.0, 1.0], [0.999, 1.0], [1.0, 0.0]]",)
    mood: Any = Graph.parse(GRAPH, sets=found).nodes["mood"].node
    assert mood.edit().strengths == ((0.0, 1.0), (0.999, 1.0), (1.0, 0.0))


def test_the_tag_of_an_edit_changes_with_the_file(tmp_path: Path) -> None:
    """A program change in the middle of a take makes the voice sad from there on."""
    map = """\
version: 1
mappings: [{source: {type: program_change}, target: /stepedit/node/mood/param/value}]
"""
    change = [mido.Message("program_change", program=n, time=t) for n, t in ((0, 0), (1, 960))]
    tags = list(controls_of(Graph.parse(GRAPH))["/stepedit/node/mood/param/value"].choices)
    (text,) = sets(midi_file(tmp_path / "a.mid", *change), map=map)
    assert text == f'mood.value=[[0.0, "{tags[0]}"], [1.0, "{tags[1]}"]]'
    Graph.parse(GRAPH, sets=[text])


def test_a_resting_control_jumps_when_it_moves_again(tmp_path: Path) -> None:
    """A value drawn at 1 s does not start to glide there from the one at 0 s."""
    (text,) = sets(midi_file(tmp_path / "a.mid", cc(7, 127), cc(7, 0, 960)))
    assert '"keyframes": [[0.0, 0.0], [0.999, 0.0], [1.0, -24.0]]' in text


def test_scenes_in_a_file_are_said_to_mean_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody wonders why a program change in a file did nothing."""
    assert sets(midi_file(tmp_path / "a.mid", mido.Message("program_change", program=1))) == ()
    assert "/stepedit/scene/recall means nothing" in caplog.text


@pytest.mark.parametrize(
    "data", [b"", b"MThd", b"RIFF" * 100, b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0"]
)
def test_what_is_no_midi_file_is_refused(data: bytes, tmp_path: Path) -> None:
    """A wrong file gives a message and no traceback."""
    (tmp_path / "a.mid").write_bytes(data)
    with pytest.raises(ReadError):
        read_moves(tmp_path / "a.mid")


@given(data=st.binary(max_size=300))
def test_any_track_is_read_or_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No bytes crash the reader."""
    path = tmp_path_factory.getbasetemp() / "junk.mid"
    head = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(data).to_bytes(4, "big")
    path.write_bytes(head + data)
    try:
        read_moves(path)
    except (ReadError, RequestError):
        return


def test_type_2_and_a_map_of_another_graph_are_refused(tmp_path: Path) -> None:
    """Both say why."""
    file = mido.MidiFile(type=2, tracks=[mido.MidiTrack(), mido.MidiTrack()])
    file.save(tmp_path / "a.mid")
    with pytest.raises(RequestError, match="type 2"):
        read_moves(tmp_path / "a.mid")
    with pytest.raises(GraphError, match=r"there is no '/stepedit/node/rack\.0/param/gain_db'"):
        sets(midi_file(tmp_path / "b.mid"), "chain: [decode]")


def test_the_options_belong_together(tmp_path: Path, short_clip: Path) -> None:
    """--midi without a map says what is missing."""
    result = CliRunner().invoke(app, ["run", "quickstart", str(short_clip), "--midi", "a.mid"])
    assert result.exit_code == 2
    assert "--midi-map" in result.output


points = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 127)), min_size=1, max_size=60
).map(lambda pairs: (np.cumsum([t / 1e3 for t, _ in pairs]), np.array([v / 127 for _, v in pairs])))


@given(points, st.sampled_from([Travel(-24, 12), Travel(20, 20000, "log"), Travel(1, 0, "exp")]))
def test_fewer_points_stay_within_half_a_step(
    found: tuple[np.ndarray, np.ndarray], travel: Travel
) -> None:
    """Thinned automation is never further from the drawn one than a controller can tell."""
    times, places = found
    numbers = travel.values(places)
    kept = simplified(times, numbers, travel)
    line = np.interp(times, times[kept], numbers[kept])
    assert np.abs(travel.positions(line) - travel.positions(numbers)).max() <= TOLERANCE + 1e-9
    assert {0, len(times) - 1} <= set(kept.tolist())
