"""Renders to files: those that wait, the one that runs, those that ended, and their documents."""

from __future__ import annotations

import itertools
import json
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from stepedit_fx.atomic import write_text
from stepedit_fx.errors import Busy, NotFound, RequestError, StepEditError
from stepedit_fx.graph.controls import Value
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session.events import Event, Finished, Progressed
from stepedit_fx.session.jobs import Job, Request
from stepedit_fx.session.renderer import Order, Renderer, Reply

logger = logging.getLogger(__name__)

MAX_JOBS = 64  # waiting and running; as many again may be asked about


class Renders:
    """The renders of one session. Safe to use from any thread.

    spool: the folder they are written to. lane: what does them. tell: told of their events.
    """

    def __init__(self, spool: Path, lane: Renderer, tell: Callable[[Event], None]) -> None:
        self._spool = spool
        self._lane = lane
        self._tell = tell
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._run = secrets.token_hex(3)  # of this session: two daemons may share a spool
        self._numbers = itertools.count(1)

    def start(
        self,
        request: Request,
        graph: str,
        graph_source: GraphSource,
        values: Mapping[str, Value],
        turned: Mapping[str, Value],
        generation: int,
    ) -> Job:
        """Queue a render. turned: those of the values that are not the graph file's own.

        Raises RequestError for a range that is none, Busy where too many wait.
        """
        _check_span(request.span_s)
        with self._lock:
            if sum(job.state in ("waiting", "running") for job in self._jobs.values()) >= MAX_JOBS:
                raise Busy(f"{MAX_JOBS} renders wait already", remedy="Wait for one, or cancel.")
            job_id = f"{self._run}-{next(self._numbers):05}"
            job = Job(job_id, request, graph, generation, values)
            self._remember(job)
        order = Order(
            job_id,
            graph_source,
            turned,
            source=request.source,
            span_s=request.span_s,
            write_to=self._spool / job_id,
        )
        self._lane.submit(order, lambda reply: self._replied(job_id, reply))
        return job

    def job(self, job_id: str) -> Job:
        """A render by its id. Raises NotFound; the oldest that ended are forgotten."""
        with self._lock:
            if job_id not in self._jobs:
                raise NotFound(f"there is no render '{job_id}'")
            return self._jobs[job_id]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every render that is known, oldest first."""
        with self._lock:
            return tuple(self._jobs.values())

    def cancel(self, job_id: str) -> None:
        """Stop a render; its `Finished` follows. One that ended stays as it is. Raises NotFound."""
        if self.job(job_id).state in ("waiting", "running"):
            self._lane.cancel(job_id)

    def _remember(self, job: Job) -> None:
        self._jobs[job.id] = job
        ended = [k for k, j in self._jobs.items() if j.state in ("done", "failed", "cancelled")]
        for key in ended[: max(0, len(self._jobs) - 2 * MAX_JOBS)]:
            del self._jobs[key]

    def _replied(self, job_id: str, reply: Reply) -> None:
        """Called by the lane's thread, or by whoever cancels what still waits."""
        job = self.job(job_id)
        if reply.state == "running" or reply.state == "progress":
            job = replace(job, state="running")
            event: Event = Progressed(job, reply.fraction, reply.step)
        else:
            job = replace(job, state=reply.state, error=reply.error, files=reply.files)
            job = self._documented(job)  # before anybody hears that it is there
            event = Finished(job)
        with self._lock:
            self._jobs[job_id] = job
        self._tell(event)

    def _documented(self, job: Job) -> Job:
        """The job, with its document in the spool folder: what it was made from and is."""
        request = job.request
        document = {
            "id": job.id,
            "state": job.state,
            "error": str(job.error) if job.error else "",
            "graph": job.graph,
            "values": dict(job.values),
            "source": str(request.source or ""),
            "span_s": request.span_s,
            "note": request.note,
            "files": [
                {
                    "node": file.node,
                    "path": str(file.path),
                    "start_s": file.start_s,
                    "length_s": file.length_s,
                    "sample_rate": file.sample_rate,
                }
                for file in job.files
            ],
        }
        try:
            write_text(self._spool / f"{job.id}.json", json.dumps(document, indent=1))
        except StepEditError as error:
            logger.warning("%s", error)
            if job.state == "done":
                return replace(job, state="failed", error=error)
        return job


def _check_span(span_s: tuple[float, float] | None) -> None:
    if span_s is not None and not 0 <= span_s[0] < span_s[1] < float("inf"):
        raise RequestError(
            f"a range goes from a start to a later end, got {span_s[0]:g} to {span_s[1]:g} s",
            remedy="Seconds in the recording, from 0.",
        )
