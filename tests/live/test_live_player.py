from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stepedit_fx.audio import Audio
from stepedit_fx.effects import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.errors import NotFound, RequestError, StepEditError
from stepedit_fx.files import read_audio
from stepedit_fx.live import NullDevice, Player
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Event, Session, TransportState, Trouble
from tests.live.conftest import BLOCK, GENTLE, RATE, graph_text, largest_step
from tests.peers import until

Pumped = Callable[..., tuple[Player, NullDevice]]
Opened = Callable[[str, Path], Session]
GAIN = "/stepedit/node/rack.1/param/gain_db"


def states_of(session: Session) -> list[Event]:
    told: list[Event] = []
    session.subscribe(told.append)
    return told


def test_what_is_heard_is_what_the_render_writes(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """Live sound would be another than the file that is rendered in the end."""
    session = open_session(graph_text(GENTLE), hum)
    player, device = pumped(session)
    assert (player.live_nodes, player.rendered_node) == (("rack",), "take")
    heard = device.pump(150)
    offline = render(parse_chain(GENTLE), read_audio(hum)).samples
    assert np.abs(heard[:, : 150 * BLOCK] - offline[:, : 150 * BLOCK]).max() <= 1e-6
    assert player.counts.faults == 0


def test_a_parameter_set_on_the_session_is_heard_in_the_next_block(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """A fader would do nothing, or click."""
    session = open_session(graph_text(GENTLE), hum)
    player, device = pumped(session)
    before = device.pump(60)
    session.set({GAIN: -20.0})
    after = device.pump(60)
    offline = render(parse_chain(GENTLE), read_audio(hum)).samples[:, : 120 * BLOCK]
    assert np.abs(before - offline[:, : 60 * BLOCK]).max() <= 1e-6
    assert np.abs(after[:, :BLOCK] - offline[:, 60 * BLOCK : 61 * BLOCK]).max() > 0
    assert np.abs(after[:, -BLOCK:]).max() < 0.2 * np.abs(before[:, -BLOCK:]).max()
    heard = np.concatenate([before, after], axis=1)
    assert largest_step(heard) <= 1.5 * largest_step(offline)
    assert player.counts.faults == 0


def test_bypass_and_choices_of_a_session_are_heard(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """Switches and modes would wait until the graph is opened again."""
    chain = [*GENTLE, {"LadderFilter": {"mode": "LPF24", "cutoff_hz": 2000}}]
    session = open_session(graph_text(chain), hum)
    player, device = pumped(session)
    full = np.abs(device.pump(188)).max()
    session.set({"/stepedit/node/rack.3/param/mode": "HPF24"})
    until(lambda: np.abs(device.pump(188)).max() < full / 10, "the mode is heard")
    session.set({"/stepedit/node/rack.3/bypass": True})
    until(lambda: np.abs(device.pump(188)).max() > full / 2, "the bypass is heard")
    session.set({"/stepedit/node/rack/bypass": True})
    dry = read_audio(hum).peak
    until(
        lambda: np.abs(device.pump(188)).max() == pytest.approx(dry, rel=1e-3),
        "the whole rack is passed by",
    )
    session.set({"/stepedit/node/rack/bypass": False})
    until(lambda: np.abs(device.pump(188)).max() < 0.9 * dry, "it is back")
    assert player.counts.faults == 0


def test_an_edit_is_rendered_behind_and_comes_in(
    open_session: Opened, pumped: Pumped, short_clip: Path
) -> None:
    """Turning an emotion would not be heard, or would stop the sound while it is rendered."""
    edit = {"type": "speed", "value": "slower", "strength": 0.2}
    session = open_session(graph_text(GENTLE, before=edit), short_clip)
    player, device = pumped(session)
    assert player.rendered_node == "mood"
    device.pump(1)
    length_s = player.state.length_s
    session.set({"/stepedit/node/mood/param/strength": 1.0})
    until(lambda: device.pump(1) is not None and player.deck.swaps == 1, "the edit comes in")
    assert player.state.length_s > 1.05 * length_s
    assert player.deck.program is not None
    assert player.deck.program.sound.generation == session.generation


def test_another_graph_takes_the_place_of_the_first(
    open_session: Opened, pumped: Pumped, hum: Path, tmp_path: Path
) -> None:
    """Opening another graph would need a restart, or end the sound."""
    session = open_session(graph_text(GENTLE), hum)
    player, device = pumped(session)
    device.pump(60)
    other = [{"Gain": {"gain_db": -40}}]
    session.open(GraphSource(graph_text(other), "other.yaml", tmp_path))
    until(lambda: device.pump(1) is not None and player.deck.swaps == 1, "it is heard")
    device.pump(20)
    assert np.abs(device.pump(200)).max() == pytest.approx(0.003, rel=0.01)
    session.set({"/stepedit/node/rack.0/param/gain_db": -20.0})
    device.pump(20)
    assert np.abs(device.pump(200)).max() == pytest.approx(0.03, rel=0.01)


def test_a_value_turned_before_and_while_rendering_is_heard(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """What was set before the first sound would be lost."""
    session = open_session(graph_text([{"Gain": {"gain_db": 0}}]), hum)
    session.set({"/stepedit/node/rack.0/param/gain_db": -20.0})
    _, device = pumped(session)
    assert np.abs(device.pump(190)).max() == pytest.approx(0.03, rel=0.01)


def test_keyframes_are_heard_where_they_stand(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """A fade in the graph would be missing live."""
    chain = [{"Gain": {"gain_db": {"keyframes": [[0, 0], [0.9, -60]]}}}]
    session = open_session(graph_text(chain), hum)
    _, device = pumped(session)
    heard = device.pump(180)
    offline = render(parse_chain(chain), read_audio(hum)).samples[:, : 180 * BLOCK]
    assert np.abs(heard - offline).max() < 3e-3


def test_the_session_is_the_transport(open_session: Opened, pumped: Pumped, hum: Path) -> None:
    """Play, stop, locate and loop of a DAW would do nothing, or not be told to others."""
    session = open_session(graph_text(GENTLE), hum)
    told = states_of(session)
    player, device = pumped(session, playing=False)
    transport = session.transport
    assert transport is not None
    assert not device.pump(20).any()
    transport.locate(0.5)
    transport.play()
    device.pump(2)
    assert player.state.position_s == pytest.approx(0.5, abs=0.02)
    until(lambda: any(isinstance(e, TransportState) and e.playing for e in told), "it is told")
    transport.stop()
    device.pump(20)
    stands = player.state
    device.pump(20)
    assert player.state == stands
    assert not stands.playing
    transport.set_loop(False)
    transport.locate(float("nan"))  # nobody's place
    transport.locate(1e30)
    device.pump(2)
    transport.play()  # at the end: from the start
    device.pump(4)
    assert player.state.position_s < 0.1
    device.pump(190)  # to the end
    until(lambda: device.pump(50) is not None and player.ended.is_set(), "the end is told")
    assert not player.state.playing
    player.stop()
    assert session.transport is None


def test_the_recording_is_what_was_heard(
    open_session: Opened, pumped: Pumped, hum: Path, tmp_path: Path
) -> None:
    """--record would lose the end, or hold another sound."""
    session = open_session(graph_text(GENTLE), hum)
    path = tmp_path / "heard.wav"
    player, device = pumped(session, record=path)
    heard = device.pump(300)
    player.stop()
    there, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    assert np.array_equal(there.T, heard)


@pytest.mark.parametrize("output", ["nothing", "rack"])
def test_an_output_that_is_none_is_refused(open_session: Opened, hum: Path, output: str) -> None:
    """A misspelt --output would play silence."""
    session = open_session(graph_text(GENTLE), hum)
    player = Player(session, NullDevice(clock=False), output=output)
    with pytest.raises(NotFound):
        player.start()
    player.stop()
    assert session.transport is None


def test_a_record_file_that_cannot_be_is_refused(
    open_session: Opened, hum: Path, tmp_path: Path
) -> None:
    """The player would run for an hour and have recorded nothing."""
    session = open_session(graph_text(GENTLE), hum)
    player = Player(session, NullDevice(clock=False), record=tmp_path)
    with pytest.raises(StepEditError, match=str(tmp_path)):
        player.start()


@pytest.mark.parametrize("name", ["take.wav", "link.wav", "own.wav"])
def test_a_recording_never_goes_over_what_is_played(
    open_session: Opened, hum: Path, tmp_path: Path, name: str
) -> None:
    """One `--record` with the wrong name, and the voice that cannot be recorded again is gone."""
    for there in ("take.wav", "own.wav"):
        (tmp_path / there).write_bytes(hum.read_bytes())
    (tmp_path / "link.wav").symlink_to("take.wav")
    nodes = {
        "own": {"type": "input", "path": "own.wav"},
        "take": {"type": "input"},
        "both": {"type": "mix", "from": ["take", "own"]},
        "out": {"type": "output", "from": "both"},
    }
    text = json.dumps({"version": 1, "name": "g", "nodes": nodes})
    session = open_session(text, tmp_path / "take.wav")
    player = Player(session, NullDevice(clock=False), record=tmp_path / name)
    with pytest.raises(RequestError, match="would go over the input"):
        player.start()
    for there in ("take.wav", "own.wav"):
        assert (tmp_path / there).read_bytes() == hum.read_bytes()


def test_an_effect_that_cannot_be_built_is_told_and_the_sound_goes_on(
    open_session: Opened, pumped: Pumped, hum: Path, tmp_path: Path
) -> None:
    """An impulse response that is none would end the sound without a word."""
    session = open_session(graph_text(GENTLE), hum)
    told = states_of(session)
    player, device = pumped(session)
    device.pump(10)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), RATE)
    broken = [{"Convolution": {"impulse_response_filename": "silent.wav"}}]
    session.open(GraphSource(graph_text(broken), "other.yaml", tmp_path))
    until(lambda: any(isinstance(event, Trouble) for event in told), "it is told")
    assert device.pump(200).any()
    (trouble,) = (event for event in told if isinstance(event, Trouble))
    assert "silent.wav" in str(trouble.error)
    # The file is made good, and something live is turned: then it is built.
    soundfile.write(tmp_path / "silent.wav", np.eye(1, 100)[0], RATE)
    session.set({"/stepedit/node/rack.0/param/mix": 0.5})
    until(lambda: device.pump(1) is not None and player.deck.swaps == 1, "the new graph is heard")


def test_without_a_recording_there_is_nothing_to_play(tmp_path: Path) -> None:
    """A session of no recording would wait for ever."""
    with Session(GraphSource(graph_text(GENTLE), "g", tmp_path), spool=tmp_path) as session:
        player = Player(session, NullDevice(clock=False))
        with pytest.raises(RequestError, match="no recording"):
            player.start()


def test_a_stereo_recording_stays_stereo(
    open_session: Opened, pumped: Pumped, tmp_path: Path
) -> None:
    """Both loudspeakers would play the same."""
    path = tmp_path / "both.wav"
    both = np.random.default_rng(0).uniform(-0.1, 0.1, (RATE, 2)).astype(np.float32)
    both[:480] = 0
    soundfile.write(path, both, RATE, subtype="FLOAT")
    session = open_session(graph_text(GENTLE), path)
    _, device = pumped(session)
    heard = device.pump(100)
    offline = render(parse_chain(GENTLE), Audio(both.T, RATE)).samples[:, : 100 * BLOCK]
    assert np.abs(heard - offline).max() <= 1e-6


def test_turning_from_many_threads_ends_at_the_newest(
    open_session: Opened, pumped: Pumped, hum: Path
) -> None:
    """Two surfaces at once would leave sound and session at different values."""
    from threading import Thread

    session = open_session(graph_text(GENTLE), hum)
    player, device = pumped(session)

    def turn(seed: int) -> None:
        random: Any = np.random.default_rng(seed)
        for value in random.uniform(-40, 0, 200):
            session.set({GAIN: float(value), "/stepedit/node/rack.2/bypass": bool(value < -20)})

    threads = [Thread(target=turn, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        device.pump(2)
    for thread in threads:
        thread.join()
    device.pump(1)
    program = player.deck.program
    assert program is not None
    assert program.rack.knobs[GAIN].target == session.value(GAIN)
    assert player.counts.faults == 0
