"""The process that renders for a session: `python -m stepedit_fx.session.process`.

Takes a line of set-up and then orders, one at a time, from its standard input; answers each with
lines on its standard output. Ends when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from stepedit_fx.audio import Audio, Sound, held
from stepedit_fx.engines.base import urgently
from stepedit_fx.errors import (
    Cancelled,
    RenderError,
    RequestError,
    StepEditError,
    WriteError,
)
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import HEARD, up_to, with_values
from stepedit_fx.graph.plan import PlannedStep
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output
from stepedit_fx.provenance import GraphSource
from stepedit_fx.speech import Transcript
from stepedit_fx.store import Store


class _Desk:
    """Where orders come in and replies go out."""

    def __init__(self, orders: IO[bytes], replies: IO[bytes]) -> None:
        self._orders = orders
        self._replies = replies
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self.setup = json.loads(orders.readline() or "null")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for line in self._orders:
                data = json.loads(line)
                if "cancel" in data:
                    self._cancelled.add(data["cancel"])
                else:
                    self._queue.put(data)
        finally:  # half a line is the end too: of somebody who was killed while writing it
            os._exit(0)  # nobody is there any more, and a step under way cannot be stopped

    def next(self) -> dict[str, Any] | None:
        return self._queue.get()

    def forget(self, name: str) -> None:
        self._cancelled.discard(name)

    def is_cancelled(self, name: str) -> bool:
        return name in self._cancelled

    def reply(self, name: str, state: str, **more: Any) -> None:
        self._replies.write(json.dumps({"name": name, "state": state, **more}).encode() + b"\n")
        self._replies.flush()


def main() -> None:
    """Do orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    # What libraries print must not end up between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    desk = _Desk(sys.stdin.buffer, replies)
    if desk.setup is None:
        return
    folder = desk.setup["store"]
    store = Store.in_memory() if folder is None else Store(Path(folder))
    plugin_folders = tuple(Path(folder) for folder in desk.setup["plugin_folders"])
    while (order := desk.next()) is not None:
        name = order["name"]
        try:
            done = _Render(desk, order, store, plugin_folders).done()
        except Cancelled:
            desk.reply(name, "cancelled")
        except StepEditError as error:
            desk.reply(name, "failed", error=_said(error))
        except MemoryError:
            short = RenderError("there is not enough memory", remedy="Render a shorter range.")
            desk.reply(name, "failed", error=_said(short))
        except Exception as error:  # noqa: BLE001 - it is reported; others' orders are to come
            fault = RenderError(f"{type(error).__name__}: {error}")
            desk.reply(name, "failed", error=_said(fault))
        else:
            desk.reply(name, "done", **done)
        finally:
            desk.forget(name)


def _said(error: StepEditError) -> dict[str, str]:
    return {
        "kind": type(error).__name__,
        "cause": error.cause,
        "remedy": error.remedy,
        "node": error.node,
    }


class _Render:
    """One order being done."""

    def __init__(
        self, desk: _Desk, order: Mapping[str, Any], store: Store, plugin_folders: tuple[Path, ...]
    ) -> None:
        self.desk = desk
        self.order = order
        self.store = store
        self.plugin_folders = plugin_folders
        self.name: str = order["name"]

    def done(self) -> dict[str, Any]:
        """What to reply. Raises StepEditError."""
        graph = _graph(json.dumps(self.order["graph"]))
        graph = with_values(graph, self.order["values"])
        if self.order["up_to"]:
            graph = up_to(graph, self.order["up_to"])
        source = self._source(graph)
        self._cancel_if_asked()
        plan = graph.plan(source, store=self.store)
        work = {s.id: (s.estimate_s or 0.001) for s in plan.of("run")}
        total, spent, at = sum(work.values()), 0.0, ""

        def tell(fraction: float) -> None:
            self.desk.reply(self.name, "progress", fraction=fraction, step=at)

        def told(step: str, state: str) -> None:
            nonlocal spent, at
            at = step
            if plan.is_long or state.endswith("tokens"):
                return  # its steps all end together; it tells of every segment
            if state == "done":
                spent += work.get(step, 0.0)
            tell(min(spent / total, 1.0) if total else 1.0)

        listening = bool(self.order["up_to"])
        with urgently() if listening else contextlib.nullcontext():
            result = graph.run(
                source,
                out_dir=None,
                store=self.store,
                plugin_folders=self.plugin_folders,
                progress=told,
                portion=tell,
                cancelled=lambda: self.desk.is_cancelled(self.name),
            )
        self._cancel_if_asked()
        if self.order["up_to"]:
            return {"files": [], "sound": self._handed_over(held(result.values[HEARD]))}
        steps = {step.id: step for step in result.plan.steps}
        files = [self._written(steps[key], audio) for key, audio in result.values.items()]
        return {"files": files, "sound": None}

    def _cancel_if_asked(self) -> None:
        if self.desk.is_cancelled(self.name):
            raise Cancelled("the render was cancelled")

    def _source(self, graph: Graph) -> Audio | None:
        """The recording, or the range of it; None for a graph that brings its own."""
        wanting = [s.node for s in graph.nodes.values() if isinstance(s.node, Input)]
        wanting = [node for node in wanting if not node.path]
        span_s = self.order["span_s"]
        if not wanting:
            if span_s is not None:
                raise RequestError(
                    f"graph '{graph.name}' reads its own recordings, and those as a whole",
                    remedy="Take the path out of its input, or ask for no range.",
                )
            return None
        path = Path(self.order["source"])
        stat = path.stat() if path.exists() else None
        stamp = (stat.st_mtime_ns, stat.st_size) if stat else None
        audio = _recording(path, wanting[0], stamp)
        return audio if span_s is None else _range(audio, *span_s)

    def _written(self, step: PlannedStep, audio: Sound) -> dict[str, Any]:
        from stepedit_fx.files import write_audio

        assert isinstance(step.node, Output)
        base = Path(self.order["write_to"])
        path = base.with_name(f"{base.name}-{step.id}{step.node.ending}")
        write_audio(path, audio, subtype=step.subtype)
        return {
            "node": step.id,
            "path": str(path),
            "start_s": audio.start_s,
            "length_s": audio.duration_s,
            "sample_rate": audio.sample_rate,
        }

    def _handed_over(self, audio: Audio) -> dict[str, Any]:
        rate, channels = self.order["sample_rate"], self.order["channels"]
        samples = _resampled(audio, rate).samples
        if samples.shape[0] == 1:
            samples = samples.repeat(channels, axis=0)
        elif samples.shape[0] > channels:
            samples = samples.mean(axis=0, keepdims=True).repeat(channels, axis=0)
        path = _put_down(samples.tobytes(), self.desk.setup["desk"], tempfile.gettempdir())
        return {
            "path": str(path),
            "shape": list(samples.shape),
            "sample_rate": rate,
            "start_s": audio.start_s,
        }


def _put_down(data: bytes, *folders: str) -> Path:
    """Data in a file of its own, in the first of the folders that holds it. Raises WriteError.

    The first lies in memory, of which a container may have as little as 64 MiB.
    """
    for folder in folders:
        path = Path(folder) / f"stepedit-fx-{secrets.token_hex(8)}"
        try:
            path.write_bytes(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()  # what was written of it would stay, and memory be full for good
            failed = WriteError.of(path, error.strerror or str(error))
        else:
            return path
    raise failed


@lru_cache(maxsize=4)
def _graph(data: str) -> Graph:
    fields = json.loads(data)
    return GraphSource(
        fields["text"],
        fields["file"],
        Path(fields["folder"]),
        tuple(fields["sets"]),
        fields["variables"],
    ).graph()


@lru_cache(maxsize=2)
def _recording(path: Path, node: Input, stamp: object) -> Audio:
    """A recording with its words; stamp: changes when the file does."""
    return node.read(path)


def _resampled(audio: Audio, rate: int) -> Audio:
    if audio.sample_rate == rate:
        return audio
    from stepedit_fx.effects.plugins import resampled

    return Audio(resampled(audio.samples, audio.sample_rate, rate), rate, audio.start_s)


def _range(audio: Audio, start_s: float, end_s: float) -> Audio:
    """The part of a recording from start to end, with the words in it.

    Without word times nobody knows which words those are: the part then has none, unless it is
    all of the recording. Raises RequestError for a range outside it.
    """
    start, end = (round(t * audio.sample_rate) for t in (start_s, end_s))
    end = min(end, audio.frames)
    if start >= end:
        raise RequestError(
            f"the range {start_s:g} to {end_s:g} s lies outside the recording of "
            f"{audio.duration_s:g} s",
            remedy="Seconds count from the start of the recording.",
        )
    if start == 0 and end == audio.frames:
        return audio
    words = tuple(
        replace(w, start_s=max(w.start_s - start_s, 0.0), end_s=min(w.end_s, end_s) - start_s)
        for w in audio.transcript.words
        if start_s <= (w.start_s + w.end_s) / 2 < end_s
    )
    said = Transcript(" ".join(w.text for w in words), audio.transcript.language, words)
    return Audio(
        audio.samples[:, start:end],
        audio.sample_rate,
        audio.start_s + start / audio.sample_rate,
        said,
    )


if __name__ == "__main__":
    main()
