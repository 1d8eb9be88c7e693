"""Renders to files: what comes out, what is told meanwhile, cancelling, and processes that die."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stepedit_fx.errors import Busy, NotFound, ReadError, RenderError, RequestError
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Event, Finished, Job, Progressed, Request, Session
from stepedit_fx.session.renderer import Renderer
from stepedit_fx.session.renders import MAX_JOBS
from stepedit_fx.shipped import find_graph
from tests.peers import until

GAIN = f"{ROOT}/node/effects.0/param/gain_db"
LOUD = "version: 1\nname: loud\nchain: [{effects: [{Gain: {gain_db: 0}}]}]\n"
# Long enough to be cancelled while it runs: the clip over and over again through slow effects.
SLOW = "version: 1\nname: slow\nnodes:\n  take: {type: input}\n" + "".join(
    f"  n{i}: {{type: emotion, from: {f'd{i - 1}' if i else 'take'}, value: sad, seed: {i}}}\n"
    f"  d{i}: {{type: decode, from: n{i}}}\n"
    for i in range(12)
)
SLOW += "  out: {type: output, from: d11}\n"


def graph(text: str) -> GraphSource:
    return GraphSource(text, "test.yaml", Path())


class Told:
    """What a session told of, and waiting for the end of a job."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events: list[Event] = []
        self.end = session.subscribe(self.events.append)

    def ended(self, job: Job, patience_s: float = 30.0) -> Job:
        def last() -> Job | None:
            ends = [e.job for e in self.events if isinstance(e, Finished) and e.job.id == job.id]
            return ends[0] if ends else None

        until(last, f"render {job.id} ends", patience_s=patience_s)
        found = last()
        assert found is not None
        return found

    def begun(self, job: Job) -> None:
        until(
            lambda: any(isinstance(e, Progressed) and e.job.id == job.id for e in self.events),
            f"render {job.id} begins",
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, short_clip: Path) -> Iterator[Session]:
    """One session for all tests here: its process takes a second to start."""
    folder = tmp_path_factory.mktemp("renders")
    with Session(graph(LOUD), spool=folder / "spool", source=short_clip) as session:
        yield session


@pytest.fixture
def session(shared: Session) -> Session:
    shared.open(graph(LOUD))
    return shared


@pytest.fixture
def told(session: Session) -> Iterator[Told]:
    told = Told(session)
    yield told
    told.end()


def peak(path: Path) -> float:
    return float(np.abs(soundfile.read(path)[0]).max())


def test_a_render_is_a_file_and_a_document(session: Session, told: Told, short_clip: Path) -> None:
    """A DAW's script finds the file, what it is, and where it belongs, by the job's id."""
    session.set({GAIN: -12})
    asked = session.render(Request(owner="me", note="item {7}"))
    job = told.ended(asked)
    assert (job.state, job.error, job.request.owner, job.request.note) == (
        "done",
        None,
        "me",
        "item {7}",
    )
    assert session.job(job.id) == job
    (file,) = job.files
    assert file.path.parent == session.spool
    assert file.path.name.startswith(job.id)
    assert file.length_s == pytest.approx(1.2)
    assert peak(file.path) == pytest.approx(peak(short_clip) * 10 ** (-12 / 20), rel=1e-2)
    document = json.loads((session.spool / f"{job.id}.json").read_text())
    assert document["state"] == "done"
    assert document["note"] == "item {7}"
    assert document["values"][GAIN] == -12.0
    assert document["files"] == [
        {
            "node": file.node,
            "path": str(file.path),
            "start_s": 0.0,
            "length_s": file.length_s,
            "sample_rate": 24_000,
        }
    ]
    steps = [e for e in told.events if isinstance(e, Progressed)]
    fractions = [e.fraction for e in steps]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert isinstance(told.events[-1], Finished)


def test_values_are_those_of_the_moment_it_was_asked(session: Session, told: Told) -> None:
    """Turning on after asking for a render does not change that render."""
    session.set({GAIN: -6})
    first = session.render(Request())
    session.set({GAIN: -24})
    second = session.render(Request())
    first, second = told.ended(first), told.ended(second)
    assert first.values[GAIN] == -6
    assert second.values[GAIN] == -24
    assert second.generation == first.generation + 1
    ratio = peak(second.files[0].path) / peak(first.files[0].path)
    assert ratio == pytest.approx(10 ** (-18 / 20), rel=1e-2)


def test_a_range_is_that_part_and_says_where_it_lies(
    session: Session, told: Told, short_clip: Path
) -> None:
    """A selected part goes back to its own place on the timeline."""
    job = told.ended(session.render(Request(span_s=(0.25, 0.75))))
    (file,) = job.files
    assert (file.start_s, file.length_s) == (pytest.approx(0.25), pytest.approx(0.5))
    made, rate = soundfile.read(file.path)
    whole, _ = soundfile.read(short_clip)
    np.testing.assert_allclose(made, whole[rate // 4 : rate // 4 * 3], atol=1e-3)


@pytest.mark.parametrize("span_s", [(-1, 1), (1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_a_range_that_is_none_is_refused_at_once(
    session: Session, span_s: tuple[float, float]
) -> None:
    """The end before the start is told to who asks, not by a job that fails."""
    with pytest.raises(RequestError, match="range"):
        session.render(Request(span_s=span_s))


def test_a_range_outside_the_recording_fails_in_words(session: Session, told: Told) -> None:
    """A selection after the end of the recording says so."""
    job = told.ended(session.render(Request(span_s=(5, 6))))
    assert job.state == "failed"
    assert isinstance(job.error, RequestError)
    assert "outside the recording" in str(job.error)
    assert json.loads((session.spool / f"{job.id}.json").read_text())["state"] == "failed"


def test_a_recording_that_is_not_there_fails_in_words(
    session: Session, told: Told, tmp_path: Path
) -> None:
    """A file that was moved is named; the next render is none the worse."""
    job = told.ended(session.render(Request(source=tmp_path / "gone.wav")))
    assert job.state == "failed"
    assert isinstance(job.error, ReadError)  # of its kind, over there and here
    assert "gone.wav" in str(job.error)
    assert told.ended(session.render(Request())).state == "done"


def test_no_recording_at_all_is_said(tmp_path: Path) -> None:
    """A session without a recording says so when asked to render."""
    with (
        Session(graph(LOUD), spool=tmp_path) as session,
        pytest.raises(RequestError, match="recording"),
    ):
        session.render(Request())


def test_cancel_while_waiting_and_while_running(session: Session, told: Told) -> None:
    """A render that is no longer wanted ends, whichever way it stands; nothing is left of it."""
    session.open(graph(SLOW))
    running = session.render(Request())
    waiting = session.render(Request())
    told.begun(running)
    session.cancel(waiting.id)
    assert told.ended(waiting).state == "cancelled"
    session.cancel(running.id)
    assert told.ended(running).state == "cancelled"
    assert not list(session.spool.glob(f"{running.id}*.wav"))
    session.cancel(running.id)  # again: it stays as it is
    assert session.job(running.id).state == "cancelled"
    with pytest.raises(NotFound):
        session.cancel("none-00001")


def test_a_process_that_is_killed(session: Session, told: Told) -> None:
    """Out of memory: that render fails with why and what to do, and the next one succeeds."""
    session.open(graph(SLOW))
    job = session.render(Request())
    told.begun(job)
    pid = session._file_lane.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    job = told.ended(job)
    assert job.state == "failed"
    assert isinstance(job.error, RenderError)
    assert "signal 9" in str(job.error)
    assert job.error.remedy
    session.open(graph(LOUD))
    assert told.ended(session.render(Request())).state == "done"


def test_the_graph_is_swapped_while_it_renders(session: Session, told: Told) -> None:
    """What was asked of the old graph is made with the old graph."""
    session.open(graph(SLOW))
    job = session.render(Request())
    told.begun(job)
    session.open(graph(LOUD))
    session.set({GAIN: -3})
    session.cancel(job.id)
    assert told.ended(job).state == "cancelled"
    assert GAIN not in told.ended(job).values
    assert told.ended(session.render(Request())).values[GAIN] == -3


def test_a_file_of_the_graph_that_went_away(session: Session, told: Told, tmp_path: Path) -> None:
    """An impulse response that was deleted meanwhile is named by the render."""
    room = tmp_path / "room.wav"
    soundfile.write(room, np.ones(8), 24_000)
    effect = f"{{Convolution: {{impulse_response_filename: {room}}}}}"
    session.open(graph(f"version: 1\nname: g\nchain: [{{effects: [{effect}]}}]\n"))
    room.unlink()
    job = told.ended(session.render(Request()))
    assert job.state == "failed"
    assert "room.wav" in str(job.error)


def test_a_queue_has_an_end(session: Session, told: Told) -> None:
    """A surface that asks without end is told to wait, and everything else goes on."""
    session.open(graph(SLOW))
    jobs = [session.render(Request()) for _ in range(MAX_JOBS)]
    with pytest.raises(Busy, match=str(MAX_JOBS)):
        session.render(Request())
    for job in jobs:
        session.cancel(job.id)
    assert {told.ended(job).state for job in jobs} == {"cancelled"}
    assert len({job.id for job in jobs}) == MAX_JOBS
    session.open(graph(LOUD))
    assert told.ended(session.render(Request())).state == "done"
    assert len(session.jobs) <= 2 * MAX_JOBS + 1


def test_a_spool_that_is_gone_fails_in_words(tmp_path: Path, short_clip: Path) -> None:
    """A disk that was unplugged is told of, and does not end the daemon."""
    spool = tmp_path / "spool"
    with Session(graph(LOUD), spool=spool, source=short_clip) as session:
        told = Told(session)
        spool.rmdir()
        spool.write_text("a file now")
        job = told.ended(session.render(Request()))
        assert job.state == "failed"
        assert "spool" in str(job.error)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_nothing_is_left_after_close(tmp_path: Path, short_clip: Path) -> None:
    """Neither a process nor memory stays behind, also when it closes in the middle of a render."""
    threads = threading.active_count()
    session = Session(graph(SLOW), spool=tmp_path / "spool", source=short_clip)
    told = Told(session)
    job = session.render(Request())
    told.begun(job)
    desk = Path(session._file_lane._desk.name)
    assert desk.is_dir()
    pid = session._file_lane.pid
    assert pid
    session.close()
    assert told.ended(job).state == "cancelled"
    until(lambda: not is_alive(pid), "the process is gone")
    assert not desk.exists()
    until(lambda: threading.active_count() <= threads, "its threads are gone")
    late = session.render(Request())
    assert told.ended(late).state == "cancelled"


def test_a_range_of_words(session: Session, told: Told, sample_clip: Path) -> None:
    """Half of a recording that is edited as speech, not only as sound, comes out as that half."""
    session.open(GraphSource.load(find_graph("quickstart")))
    job = told.ended(session.render(Request(source=sample_clip, span_s=(1.0, 2.0))))
    assert job.state == "done", job.error
    assert job.files[0].start_s == pytest.approx(1.0, abs=0.05)
    assert 0.5 < job.files[0].length_s < 2.0


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory")
def test_what_a_killed_session_left_in_memory_goes_with_the_next(tmp_path: Path) -> None:
    """Every crash would take some more of the machine's memory until it is restarted."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from stepedit_fx.session.renderer import Renderer\n"
        "made = Renderer('test', None)\n"
        "print(made._desk.name, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    desk = Path(done.stdout.strip())
    assert desk.is_dir()
    Renderer("test", None).close()
    assert not desk.exists()
