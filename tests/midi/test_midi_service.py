"""MIDI on a live session, over real JACK ports: a controller made of RtMidi ports turns it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.midi.ports import Ports, list_ports
from stepedit_fx.midi.reading import load_map, parse_map
from stepedit_fx.midi.rtmidi_ports import RtPorts, listed
from stepedit_fx.midi.service import MidiService, MidiSettings
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Session
from stepedit_fx.shipped import find_graph
from tests.conftest import REPO
from tests.midi.knobs import Knobs
from tests.peers import library, program, until

jack = library("jack")

pytestmark = pytest.mark.alone  # JACK

STRENGTH = "/stepedit/node/emotion/param/strength"
ROOM = "/stepedit/node/effects.2/param/room_size"
WET = "/stepedit/node/effects.2/param/wet_level"
BYPASS = "/stepedit/node/effects/bypass"
MAP = f"""\
version: 1
defaults: {{takeover: jump}}
mappings:
- {{source: {{type: cc, number: 74}}, target: {STRENGTH}}}
- {{source: {{type: cc, number: 7}}, target: {ROOM}}}
- {{source: {{type: nrpn, channel: 2, number: 300}}, target: {WET}}}
- {{source: {{type: note, number: 60}}, target: {BYPASS}, mode: toggle}}
- {{source: {{type: program_change}}, target: /stepedit/scene/recall, scenes: [one, two]}}
- {{source: {{type: cc, number: 80}}, target: /stepedit/scene/store, scenes: [stored]}}
"""


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    source = GraphSource.load(find_graph("quickstart"))
    with Session(source, spool=tmp_path / "spool") as made:
        yield made


@contextmanager
def served(session: Session, text: str = MAP, *, name: str = "testmidi") -> Iterator[MidiService]:
    settings = MidiSettings.of(parse_map(text), port=name, virtual=True, backend="jack")
    service = MidiService(session, settings)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def plugged(session: Session, text: str = MAP) -> Iterator[Knobs]:
    """A served session and a controller that is connected to it."""
    with served(session, text), closing(Knobs()) as knobs:
        knobs.plug_into("testmidi")
        yield knobs


def insist(knobs: Knobs, messages: list[list[int]], true: Callable[[], object], what: str) -> None:
    """Send until it has its effect: on a busy machine JACK loses a message in five hundred."""
    for _ in range(5):
        for message in messages:
            knobs.send(*message)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            if true():
                return
            time.sleep(0.01)
    pytest.fail(f"{what}: not in five times")


def nearly(session: Session, address: str, value: float) -> Callable[[], bool]:
    return lambda: abs(float(session.value(address)) - value) < 1e-5


def test_controls_turn_parameters(jackd: str, session: Session) -> None:
    """A knob, an NRPN fader and a pad on a real port turn what the map says."""
    changes: list[Changed] = []
    session.subscribe(lambda e: changes.append(e) if isinstance(e, Changed) else None)
    with plugged(session) as knobs:
        insist(
            knobs,
            [[0xB3, 74, 127]],
            nearly(session, STRENGTH, 1.0),
            "the knob turns the strength",
        )
        fader = [[0xB1, 99, 2], [0xB1, 98, 44], [0xB1, 6, 64], [0xB1, 38, 0]]
        insist(knobs, fader, nearly(session, WET, 8192 / 16383), "the fader turns the reverb")
        pad = [[0x90, 60, 5], [0x80, 60, 5]]
        insist(knobs, pad, lambda: session.value(BYPASS) is True, "the pad bypasses")
        insist(knobs, pad, lambda: session.value(BYPASS) is False, "the pad switches back")
    assert {change.origin for change in changes} == {"midi"}


def test_coarse_steps_glide(jackd: str, session: Session) -> None:
    """A 7-bit knob moves an effect in small steps, and ends where it was put."""
    seen: list[float] = []

    def listen(event: Any) -> None:
        if isinstance(event, Changed) and ROOM in event.values:
            seen.append(float(event.values[ROOM]))

    session.subscribe(listen)
    with plugged(session) as knobs:
        insist(knobs, [[0xB0, 7, 127]], nearly(session, ROOM, 1.0), "the room grows")
    assert seen == sorted(seen)
    assert len(seen) >= 3


def test_scenes_by_program_and_button(jackd: str, session: Session) -> None:
    """Program changes recall scenes, one that is not in the list does nothing; a button stores."""
    session.store_scene("one")
    session.set({STRENGTH: 0.1})
    session.store_scene("two")
    with plugged(session) as knobs:
        insist(
            knobs,
            [[0xC0, 0]],
            nearly(session, STRENGTH, 0.8),
            "program 0 recalls the first",
        )
        knobs.send(0xC0, 9)
        insist(
            knobs,
            [[0xC0, 1]],
            nearly(session, STRENGTH, 0.1),
            "program 1 recalls the second",
        )
        insist(
            knobs,
            [[0xB0, 80, 127]],
            lambda: "stored" in session.scenes,
            "the button stores",
        )


class Tape:
    """A transport that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def play(self) -> None:
        self.told.append("play")

    def stop(self) -> None:
        self.told.append("stop")

    def locate(self, position_s: float) -> None:
        self.told.append(position_s)

    def set_loop(self, loop: bool) -> None:
        self.told.append(loop)


ACTIONS = """\
version: 1
mappings:
- {source: {type: note, number: 1}, target: /stepedit/transport/play}
- {source: {type: note, number: 2}, target: /stepedit/transport/loop}
- {source: {type: cc, number: 3}, target: /stepedit/transport/locate, range: [0, 127]}
- {source: {type: cc, number: 4}, target: /stepedit/scene/morph, scenes: [low, high]}
- {source: {type: note, number: 5}, target: /stepedit/render}
"""


def test_transport_morph_and_render(
    jackd: str, session: Session, short_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pads play and loop, a knob goes between scenes, and a pad renders what is heard."""
    for name, value in (("low", 0.0), ("high", 1.0)):
        session.set({STRENGTH: value})
        session.store_scene(name)
    session.source = short_clip
    tape = Tape()
    with plugged(session, ACTIONS) as knobs:
        pad = [[0x90, 1, 1], [0x80, 1, 0]]
        insist(knobs, pad, lambda: "nothing plays here" in caplog.text, "no transport is told")
        session.transport = tape
        insist(knobs, pad, lambda: "play" in tape.told, "it plays")
        loop = [[0x90, 2, 1], [0x80, 2, 0]]
        insist(knobs, loop, lambda: True in tape.told, "it loops")
        insist(knobs, loop, lambda: False in tape.told, "and no more")
        insist(knobs, [[0xB0, 3, 64]], lambda: 64.0 in tape.told, "it goes to a time")
        insist(knobs, [[0xB0, 4, 32]], nearly(session, STRENGTH, 32 / 127), "scenes are morphed")
        insist(knobs, [[0x90, 5, 1], [0x80, 5, 0]], lambda: session.jobs, "it renders")
        for job in session.jobs:
            session.cancel(job.id)


def test_a_glide_gives_way_to_another_hand(jackd: str, session: Session) -> None:
    """A value set while a knob's last step glides stays; the knob does not pull it back."""
    text = MAP.replace("takeover: jump", "takeover: jump, smooth_ms: 2000")
    with plugged(session, text) as knobs:
        insist(knobs, [[0xB0, 7, 127]], lambda: float(session.value(ROOM)) > 0.3, "it glides")
        session.set({ROOM: 0.125}, origin="osc")
        time.sleep(0.2)
        assert session.value(ROOM) == 0.125


def hears(session: Session, knobs: Knobs, address: str, value: float, wanted: list[Any]) -> None:
    """Set something from elsewhere until the controller has heard these messages."""
    for _ in range(5):
        session.set({address: 0.9}, origin="osc")
        time.sleep(0.05)
        session.set({address: value}, origin="osc")
        end = time.monotonic() + 2
        while time.monotonic() < end:
            if all(message in knobs.heard for message in wanted):
                return
            time.sleep(0.01)
    pytest.fail(f"{wanted} not among {knobs.heard}")


def test_feedback_reaches_the_controller(jackd: str, session: Session) -> None:
    """A motor fader goes where a mouse put the parameter; the hand on it is not fought with."""
    with plugged(session) as knobs:
        hears(session, knobs, STRENGTH, 0.5, [[0xB0, 74, 64]])
        fine = round(0.25 * 16383)
        fader = [[0xB1, 99, 2], [0xB1, 98, 44], [0xB1, 6, fine >> 7], [0xB1, 38, fine & 127]]
        hears(session, knobs, WET, 0.25, fader)
        time.sleep(0.1)
        insist(knobs, [[0xB0, 74, 100]], nearly(session, STRENGTH, 100 / 127), "the hand moves it")
        knobs.heard.clear()
        session.set({STRENGTH: 0.0}, origin="osc")
        time.sleep(0.1)
        assert [m for m in knobs.heard if m[1] == 74] == []  # it is held
        time.sleep(0.3)
        hears(session, knobs, STRENGTH, 0.0, [[0xB0, 74, 0]])


def test_a_pad_is_lit(jackd: str, session: Session) -> None:
    """The light of a toggle shows what it switched, which the pad cannot know."""
    pad = [[0x90, 60, 100], [0x80, 60, 0]]

    def is_lit() -> bool:
        return [0x90, 60, 127] in knobs.heard

    def is_dark() -> bool:
        return any(m[:2] == [0x90, 60] and m[2] == 0 for m in knobs.heard)

    with plugged(session) as knobs:
        insist(knobs, pad, is_lit, "the pad is lit")
        knobs.heard.clear()
        insist(knobs, pad, is_dark, "and goes out")


def test_a_flood_of_changes_is_coalesced(jackd: str, session: Session) -> None:
    """A fast mouse does not fill a slow cable: the newest value goes out, most others do not."""
    with plugged(session) as knobs:
        knobs.heard.clear()
        for index in range(2000):
            session.set({STRENGTH: index / 1999}, origin="osc")
        time.sleep(0.2)
        assert len(knobs.heard) < 1000
        hears(session, knobs, STRENGTH, 1.0, [[0xB0, 74, 127]])


def test_learning(jackd: str, session: Session, tmp_path: Path) -> None:
    """The control that is moved turns the address from then on, and is in the map's file."""
    path = tmp_path / "map.yaml"
    path.write_text(MAP + "# mine\n")
    settings = MidiSettings.of(load_map(path), port="testmidi", virtual=True, backend="jack")
    service = MidiService(session, settings)
    service.start()
    told: list[str | StepEditError] = []
    try:
        with closing(Knobs()) as knobs:
            knobs.plug_into("testmidi")
            assert session.learner is service
            service.learn(WET, told.append)
            service.learn(WET, told.append)  # the first gives way
            until(lambda: len(told) == 1, "the first is told")
            time.sleep(0.05)
            pair = [[0xB0, 7, 10], [0xB0, 39, 10]]
            insist(knobs, pair, lambda: len(told) == 2, "learned")
            pair = [[0xB0, 7, 127], [0xB0, 39, 127]]
            insist(knobs, pair, nearly(session, WET, 1.0), "it turns")
            service.learn("/stepedit/node/nobody/bypass", told.append)
            until(lambda: len(told) == 3, "an address that does not exist is told")
    finally:
        service.stop()
    assert isinstance(told[0], RequestError)
    assert isinstance(told[2], RequestError)
    assert "cc14 7 on channel 1 turns" in str(told[1])
    assert load_map(path).entries[2].source.type == "cc14"
    assert path.read_text().endswith("# mine\n")
    assert session.learner is None


def test_a_controller_that_is_unplugged_and_comes_back(
    jackd: str, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A cable that falls out is said once, and the controller works again when it is back."""
    settings = MidiSettings.of(parse_map(MAP), port="wobbly", backend="jack")
    service = MidiService(session, settings)
    service.start()  # it is not there yet
    try:
        for value in (127, 0):
            with closing(Knobs("wobbly")) as knobs:
                until(lambda: service.is_connected, "it is found")
                time.sleep(0.1)
                insist(
                    knobs,
                    [[0xB0, 74, value]],
                    nearly(session, STRENGTH, value / 127),
                    "it turns",
                )
                hears(session, knobs, WET, 0.25, [[0xB1, 98, 44]])
            until(lambda: not service.is_connected, "it is missed")
    finally:
        service.stop()
    assert caplog.text.count("is gone") == 2
    assert "'wobbly' is not there" in caplog.text


def test_another_graph_takes_the_map_over(jackd: str, session: Session) -> None:
    """Opening another graph lets the knobs turn what it has of their targets."""
    with plugged(session) as knobs:
        session.open(GraphSource.load(find_graph("breath-and-sigh")))
        time.sleep(0.1)
        insist(
            knobs,
            [[0xB0, 74, 32]],
            nearly(session, STRENGTH, 32 / 127),
            "the knob turns the other graph",
        )
        knobs.send(0xB0, 7, 127)  # has no target any more
        insist(knobs, [[0xB0, 74, 0]], nearly(session, STRENGTH, 0.0), "the others work on")


def test_junk_and_broken_scenes_stop_nothing(
    jackd: str, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """A scene that is not there is said once, however often its program is sent."""
    with plugged(session) as knobs:
        for _ in range(5):
            knobs.send(0xC0, 0)
            knobs.send(0xF0, 1, 2, 3, 0xF7)
            knobs.send(0xFA)
        insist(
            knobs,
            [[0xB0, 74, 127]],
            nearly(session, STRENGTH, 1.0),
            "the knob still works",
        )
    assert caplog.text.count("there is no scene 'one'") == 1


def test_stopping_is_quick_and_can_be_done_twice(jackd: str, session: Session) -> None:
    """Ctrl-C does not hang, and whoever waits to learn is told."""
    told: list[str | StepEditError] = []
    with served(session) as service:
        service.learn(STRENGTH, told.append)
        time.sleep(0.05)
        start = time.monotonic()
        service.stop()
        service.stop()
        assert time.monotonic() - start < 2
    assert len(told) == 1
    assert not [t for t in threading.enumerate() if t.name == "midi"]
    assert not [name for name in list_ports("jack").outputs if name.startswith("testmidi")]


def test_a_system_that_does_not_work_is_said(session: Session) -> None:
    """Without the system that was asked for, starting fails and says what to do."""
    service = MidiService(session, MidiSettings(parse_map(MAP), backend="windows"))
    with pytest.raises(RequestError, match="no MIDI system works"):
        service.start()
    service.stop()


def test_a_jack_server_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """The process survives the end of JACK, and the controls work again with the next server."""
    program("jackd")
    command = [sys.executable, "-m", "tests.midi.outlive_jack", str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "outlived" in done.stdout
    assert done.stderr.count("is gone") == 1


def test_ports_leave_devices_alone_that_are_not_meant(jackd: str) -> None:
    """A part of a name finds its device, and no device is made up."""
    with closing(Knobs("Faderport")):
        ports = Ports("faderp", virtual=False, backend="jack", heard=lambda _: None)
        assert ports.open()
        assert "Faderport" in ports.told
        ports.close()
        ports = Ports("nothing like it", virtual=False, backend="jack", heard=lambda _: None)
        assert not ports.open()
        ports.close()


def test_rtmidi_ports(jackd: str) -> None:
    """Ports of the operating system: found, opened, used both ways, missed, closed.

    ALSA is not there in a container, so RtMidi's own JACK stands in for it.
    """
    rtmidi = library("rtmidi")
    heard: list[list[int]] = []
    peer = RtPorts.opened(rtmidi.API_UNIX_JACK, "Fader", True, heard.append)
    assert peer is not None
    assert RtPorts.opened(rtmidi.API_UNIX_JACK, "nothing like it", False, heard.append) is None
    got: list[list[int]] = []
    ours = RtPorts.opened(rtmidi.API_UNIX_JACK, "fader", False, got.append)
    assert ours is not None
    assert ours.device == "Fader-out:Fader"
    peer.send([0xB0, 1, 2])
    until(lambda: got == [[0xB0, 1, 2]], "it is heard")
    ours.send([0xB0, 3, 4])
    until(lambda: heard == [[0xB0, 3, 4]], "and answered")
    assert ours.is_there()
    peer.close()
    until(lambda: not ours.is_there(), "it is missed")
    ours.close()
    inputs, outputs = listed(rtmidi.API_UNIX_JACK)
    assert not [name for name in (*inputs, *outputs) if "Fader" in name]
