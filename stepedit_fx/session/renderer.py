"""Renders in a process of their own, so that turning knobs and playing sound never wait for one.

Orders and replies are lines of JSON over the process's own pipes; sound comes back in a file
that is mapped into memory, so that taking it over costs nothing in the thread that plays.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stepedit_fx import errors
from stepedit_fx.audio import Audio
from stepedit_fx.errors import RenderError, StepEditError
from stepedit_fx.graph.controls import Value
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session.jobs import Rendered

logger = logging.getLogger(__name__)

STOP_S = 2.0  # what a process gets to end by itself before it is killed
_DESK = "stepedit-fx-desk-"
# A file system in memory, where there is one; what we put there tempfile makes, for us alone.
_MEMORY = Path("/dev/shm")  # noqa: S108  # nosec B108


@dataclass(frozen=True)
class Order:
    """One render. values: those that are not the graph file's own.

    write_to: output files get this path, with the node's id and ending; without it the sound of
    the node up_to comes back, at sample_rate and with channels.
    """

    name: str
    graph_source: GraphSource
    values: Mapping[str, Value]
    source: Path | None
    span_s: tuple[float, float] | None = None
    write_to: Path | None = None
    up_to: str = ""
    sample_rate: int = 0
    channels: int = 0

    def data(self) -> dict[str, Any]:
        graph = self.graph_source
        return {
            "name": self.name,
            "graph": {
                "text": graph.text,
                "file": graph.file,
                "folder": str(graph.folder),
                "sets": list(graph.sets),
                "variables": dict(graph.variables),
            },
            "values": dict(self.values),
            "source": None if self.source is None else str(self.source),
            "span_s": self.span_s,
            "write_to": None if self.write_to is None else str(self.write_to),
            "up_to": self.up_to,
            "sample_rate": self.sample_rate,
            "channels": self.channels,
        }


@dataclass(frozen=True)
class Reply:
    """What became of an order so far; the last is done, failed or cancelled."""

    state: Literal["running", "progress", "done", "failed", "cancelled"]
    fraction: float = 0.0
    step: str = ""
    files: tuple[Rendered, ...] = ()
    audio: Audio | None = field(default=None, repr=False)
    error: StepEditError | None = None


Replied = Callable[[Reply], None]


class Renderer:
    """Does orders one after another in one process, which is started again should it die.

    purpose: what it is for, in messages and thread names. Safe to use from any thread; replies
    come from its own.
    """

    def __init__(
        self, purpose: str, store: Path | None, plugin_folders: tuple[Path, ...] = ()
    ) -> None:
        self._purpose = purpose
        self._desk = _made_desk()
        self._setup = {
            "desk": self._desk.name,
            "store": None if store is None else str(store),
            "plugin_folders": [str(folder) for folder in plugin_folders],
        }
        self._condition = threading.Condition()
        self._sending = threading.Lock()  # one line at a time
        self._waiting: deque[tuple[Order, Replied]] = deque()
        self._current = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"render {purpose}", daemon=True)
        self._thread.start()

    def submit(self, order: Order, replied: Replied) -> None:
        """Do an order after those that wait; replied is told of it, its end always."""
        with self._condition:
            if not self._closed:
                self._waiting.append((order, replied))
                self._condition.notify_all()
                return
        replied(Reply("cancelled"))

    def cancel(self, name: str) -> None:
        """Stop an order, or take it from the queue; its reply says "cancelled"."""
        with self._condition:
            dropped = [item for item in self._waiting if item[0].name == name]
            self._waiting = deque(item for item in self._waiting if item[0].name != name)
            process = self._process if self._current == name else None
        for _, replied in dropped:
            replied(Reply("cancelled"))
        if process is not None:
            self._send(process, {"cancel": name})

    @property
    def pid(self) -> int | None:
        """The process's id, None while there is none."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Cancel everything and end the process."""
        with self._condition:
            if self._closed:
                return
            self._closed = True
            dropped, self._waiting = self._waiting, deque()
            process = self._process
            self._condition.notify_all()
        for _, replied in dropped:
            replied(Reply("cancelled"))
        if process is not None:
            _end(process)
        if threading.current_thread() is not self._thread:
            self._thread.join(2 * STOP_S)
        if process is not None and not self._thread.is_alive():
            _release(process)
        self._desk.cleanup()

    # In the renderer's own thread

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                order, replied = self._waiting.popleft()
                self._current = order.name
                process = self._ready()
            try:
                if isinstance(process, StepEditError):
                    last = Reply("failed", error=process)
                else:
                    last = self._done(process, order, replied)
            except Exception as error:  # a fault of ours must not end every render to come
                logger.exception("rendering failed")
                last = Reply("failed", error=RenderError(f"{type(error).__name__}: {error}"))
            with self._condition:
                self._current = ""
            self._told(replied, last)

    def _done(self, process: subprocess.Popen[bytes], order: Order, replied: Replied) -> Reply:
        """The last reply to an order; the others are passed on as they come."""
        self._told(replied, Reply("running"))
        self._send(process, order.data())
        assert process.stdout is not None
        for line in process.stdout:
            reply = _reply(json.loads(line), order.name)
            if reply is None:
                continue
            if reply.state != "progress":
                return reply
            self._told(replied, reply)
        code = process.wait()
        _release(process)
        if self._closed:
            return Reply("cancelled")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        error = RenderError(
            f"the process that renders {self._purpose} was killed ({how})",
            remedy="Ask again; if it goes on, free some memory.",
        )
        return Reply("failed", error=error)

    def _told(self, replied: Replied, reply: Reply) -> None:
        try:
            replied(reply)
        except Exception:  # whoever listens must not end the renders of others
            logger.exception("a listener failed on a render's reply")

    def _ready(self) -> subprocess.Popen[bytes] | StepEditError:
        """The process, started where none runs; why there is none, where it cannot be."""
        if self._process is not None and self._process.poll() is not None:
            _release(self._process)
            self._process = None
        if self._process is None:
            try:
                self._process = self._started()
            except OSError as error:
                return RenderError(
                    f"the process that renders {self._purpose} cannot be started: {error.strerror}",
                    remedy="End other programs, and ask again.",
                )
        return self._process

    def _started(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join(path for path in sys.path if path)
        process = subprocess.Popen(
            [sys.executable, "-m", "stepedit_fx.session.process"],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(process, self._setup)
        return process

    def _send(self, process: subprocess.Popen[bytes], data: Mapping[str, Any]) -> None:
        assert process.stdin is not None
        try:
            with self._sending:
                process.stdin.write(json.dumps(data).encode() + b"\n")
                process.stdin.flush()
        except (OSError, ValueError):
            return  # it died; whoever reads from it sees so


def _reply(data: Mapping[str, Any], name: str) -> Reply | None:
    """A line from the process; None for one about an order that is over."""
    if data["name"] != name:
        return None
    if data["state"] == "progress":
        return Reply("progress", data["fraction"], data["step"])
    if data["state"] == "failed":
        said = data["error"]
        kind = getattr(errors, said["kind"], RenderError)
        error = RenderError(said["cause"], remedy=said["remedy"], node=said["node"])
        if kind is not errors.GraphError:  # which is made of problems, not of a cause
            error = kind(said["cause"], remedy=said["remedy"], node=said["node"])
        return Reply("failed", error=error)
    if data["state"] == "cancelled":
        return Reply("cancelled")
    files = tuple(Rendered(**{**file, "path": Path(file["path"])}) for file in data["files"])
    sound = data["sound"]
    return Reply("done", 1.0, files=files, audio=_attached(sound) if sound else None)


def _attached(sound: Mapping[str, Any]) -> Audio:
    """Sound out of the file it lies in, mapped; the file's name is gone at once."""
    path, shape = Path(sound["path"]), tuple(sound["shape"])
    if not shape[0] * shape[1]:
        samples = np.zeros(shape, np.float32)
    else:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        samples = np.frombuffer(mapped, np.float32).reshape(shape)
    if os.name == "posix":  # elsewhere a mapped file stays until the folder goes
        path.unlink()
    return Audio(samples, sound["sample_rate"], sound["start_s"])


def _made_desk() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory for sound on its way; those of sessions that were killed go first."""
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    place = _MEMORY if in_memory else Path(tempfile.gettempdir())
    if os.name == "posix":
        for desk in place.glob(f"{_DESK}*-*"):
            _clear_if_stale(desk)
    return tempfile.TemporaryDirectory(
        prefix=f"{_DESK}{os.getpid()}-", dir=place, ignore_cleanup_errors=True
    )


def _clear_if_stale(desk: Path) -> None:
    owner = desk.name.removeprefix(_DESK).partition("-")[0]
    try:
        if not owner.isdecimal() or desk.lstat().st_uid != os.getuid():
            return
        os.kill(int(owner), 0)  # no signal: only whether there is such a process
    except (ProcessLookupError, OverflowError):
        shutil.rmtree(desk, ignore_errors=True)
    except OSError:
        return  # gone meanwhile, or somebody else's


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()  # which it takes as its end
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _release(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes to a process that ended, once nobody reads from it any more."""
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
