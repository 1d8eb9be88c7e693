"""What is listened to follows the knobs: the newest wins, and never an older after a newer."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.errors import NotFound, RenderError, RequestError
from stepedit_fx.files import write_audio
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Event, Heard, Session, Trouble
from tests.peers import until

GAIN = f"{ROOT}/node/gain.0/param/gain_db"
AFTER = f"{ROOT}/node/after.0/param/gain_db"
MOOD = f"{ROOT}/node/mood/param/value"
TEXT = """
version: 1
name: heard
nodes:
  take: {type: input}
  gain: {type: effects, from: take, chain: [{Gain: {gain_db: 0}}]}
  after: {type: effects, from: gain, chain: [{Gain: {gain_db: 0}}]}
  out: {type: output, from: after}
"""
LEVEL = 0.25


def graph(text: str = TEXT) -> GraphSource:
    return GraphSource(text, "heard.yaml", Path())


class Ear:
    """Takes what is heard, and notes it."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def __call__(self, heard: Heard) -> None:
        self.heard.append(heard)

    @property
    def levels_db(self) -> list[float]:
        return [20 * np.log10(np.median(np.abs(h.audio.samples)) / LEVEL) for h in self.heard]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("monitor")
    tone = folder / "tone.wav"
    write_audio(tone, Audio(np.full((1, 2000), LEVEL, np.float32), 8000))
    with Session(graph(), spool=folder / "spool", source=tone) as session:
        yield session


@pytest.fixture
def session(shared: Session) -> Session:
    shared.open(graph())
    return shared


def test_it_is_heard_at_once_and_at_every_turn(session: Session) -> None:
    """Opening what plays gives sound; turning a knob gives it anew, at the card's rate."""
    ear = Ear()
    monitor = session.monitor("out", sample_rate=16_000, channels=2, heard=ear)
    until(lambda: ear.heard, "the first sound")
    first = ear.heard[0].audio
    assert (first.sample_rate, first.channels, first.frames) == (16_000, 2, 4000)
    assert not first.samples.flags.writeable
    session.set({GAIN: -6})
    until(lambda: ear.heard[-1].generation == session.generation, "the new sound")
    assert ear.levels_db[-1] == pytest.approx(-6, abs=0.1)
    until(lambda: not monitor.is_busy, "rest")
    monitor.close()
    count = len(ear.heard)
    session.set({GAIN: -12})
    time.sleep(0.15)
    assert len(ear.heard) == count


def test_only_knobs_above_it_matter(session: Session) -> None:
    """An effect that comes after what is listened to does not render it again."""
    ear = Ear()
    monitor = session.monitor("gain", sample_rate=8000, channels=1, heard=ear)
    until(lambda: ear.heard and not monitor.is_busy, "the first sound")
    count = len(ear.heard)
    session.set({AFTER: -6})
    time.sleep(0.15)
    assert len(ear.heard) == count
    assert not monitor.is_busy
    monitor.close()


@pytest.mark.parametrize("seed", range(3))
def test_never_an_older_after_a_newer(session: Session, seed: int) -> None:
    """However a knob is turned, the sound ends where the knob does, and never jumps back."""
    dice = random.Random(seed)
    ear = Ear()
    monitor = session.monitor("out", sample_rate=8000, channels=1, heard=ear)
    last = 0.0
    for _ in range(8):  # bursts, some with rests long enough to begin a render in between
        for _ in range(dice.randint(1, 40)):
            last = session.set({GAIN: dice.uniform(-20, 0)})[GAIN]  # type: ignore[assignment]
            time.sleep(dice.choice([0, 0, 0.001, 0.004]))
        time.sleep(dice.choice([0, 0.02, 0.06, 0.12]))
    until(lambda: ear.heard and ear.heard[-1].generation == session.generation, "the last sound")
    monitor.close()
    generations = [heard.generation for heard in ear.heard]
    assert generations == sorted(generations)
    assert ear.levels_db[-1] == pytest.approx(last, abs=0.1)


def test_a_knob_that_never_rests_is_heard_on_its_way(session: Session) -> None:
    """A slow sweep is not silent until the hand leaves the knob."""
    ear = Ear()
    monitor = session.monitor("out", sample_rate=8000, channels=1, heard=ear)
    until(lambda: ear.heard and not monitor.is_busy, "the first sound")
    start, count = time.monotonic(), len(ear.heard)
    number = 0
    while len(ear.heard) < count + 2 and time.monotonic() - start < 15:
        number += 1
        session.set({GAIN: -(number % 20)})
        time.sleep(0.005)
    monitor.close()
    assert len(ear.heard) >= count + 2


def test_two_listen_to_two_nodes(session: Session) -> None:
    """Hearing before and after an effect side by side works."""
    before, after = Ear(), Ear()
    one = session.monitor("gain", sample_rate=8000, channels=1, heard=before)
    two = session.monitor("out", sample_rate=8000, channels=1, heard=after)
    session.set({AFTER: -10})
    until(lambda: after.heard and after.heard[-1].generation == session.generation, "both")
    until(lambda: before.heard, "the first")
    assert before.levels_db[-1] == pytest.approx(0, abs=0.1)
    assert after.levels_db[-1] == pytest.approx(-10, abs=0.1)
    one.close()
    two.close()


def test_what_cannot_be_heard_is_said(session: Session, tmp_path: Path) -> None:
    """A node that does not exist is named, with the nearest that does."""
    with pytest.raises(NotFound, match="Did you mean 'gain'"):
        session.monitor("gian", sample_rate=8000, channels=1, heard=Ear())
    with (
        Session(graph(), spool=tmp_path) as without,
        pytest.raises(RequestError, match="recording"),
    ):
        without.monitor("out", sample_rate=8000, channels=1, heard=Ear())


def test_a_process_that_dies_is_told_and_the_next_turn_is_heard(session: Session) -> None:
    """The sound stays as it is, trouble is seen, and the next turn of a knob works again."""
    ear, told = Ear(), list[Event]()
    end = session.subscribe(told.append)
    monitor = session.monitor("out", sample_rate=8000, channels=1, heard=ear)
    until(lambda: ear.heard and not monitor.is_busy, "the first sound")
    pid = session._listen_lane.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)  # so that it is sure to be in the middle of it
    session.set({GAIN: -1})
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    until(lambda: any(isinstance(event, Trouble) for event in told), "the trouble is told")
    (trouble,) = (event for event in told if isinstance(event, Trouble))
    assert isinstance(trouble.error, RenderError)
    session.set({GAIN: -2})
    until(lambda: ear.heard[-1].generation == session.generation, "sound again")
    assert ear.levels_db[-1] == pytest.approx(-2, abs=0.1)
    monitor.close()
    end()


def test_a_swapped_graph_closes_what_listened_to_the_old(session: Session) -> None:
    """After another graph is opened, nothing of the old one is played."""
    ear = Ear()
    monitor = session.monitor("out", sample_rate=8000, channels=1, heard=ear)
    session.set({GAIN: -3})
    session.open(graph(TEXT.replace("gain_db: 0", "gain_db: -9")))
    count = len(ear.heard)
    time.sleep(0.2)
    assert len(ear.heard) <= count + 1  # one may have been on its way
    session.set({GAIN: -4})
    again = Ear()
    second = session.monitor("out", sample_rate=8000, channels=1, heard=again)
    until(lambda: again.heard, "the new graph's sound")
    assert again.levels_db[-1] == pytest.approx(-13, abs=0.1)
    monitor.close()  # again: no harm
    second.close()


def test_an_ear_that_fails_does_not_deafen_the_rest(session: Session) -> None:
    """One player that breaks stops neither the others nor its own next sound."""
    calls: list[int] = []

    def broken(heard: Heard) -> None:
        calls.append(heard.generation)
        raise ValueError("no ear")

    ear = Ear()
    one = session.monitor("out", sample_rate=8000, channels=1, heard=broken)
    two = session.monitor("out", sample_rate=8000, channels=1, heard=ear)
    until(lambda: ear.heard and calls, "both are called")
    session.set({GAIN: -5})
    until(lambda: ear.heard[-1].generation == session.generation, "the other hears")
    until(lambda: calls[-1] == session.generation, "it is called again")
    until(lambda: not one.is_busy, "it comes to rest", patience_s=5)
    one.close()
    two.close()


def test_nothing_is_left_after_close(tmp_path: Path, short_clip: Path) -> None:
    """Closing in the middle of it leaves no thread, no process, no memory."""
    threads = threading.active_count()
    session = Session(graph(), spool=tmp_path / "spool", source=short_clip)
    ear = Ear()
    session.monitor("out", sample_rate=48_000, channels=2, heard=ear)
    until(lambda: ear.heard, "sound")
    held = ear.heard[0].audio.samples
    session.set({GAIN: -3})
    desks = [Path(lane._desk.name) for lane in (session._listen_lane, session._file_lane)]
    assert all(desk.is_dir() for desk in desks)
    pid = session._listen_lane.pid
    session.close()
    assert not any(desk.exists() for desk in desks)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the process is gone")
    until(lambda: threading.active_count() <= threads, "its threads are gone")
    assert np.abs(held).max() > 0  # what was handed over stays whole
