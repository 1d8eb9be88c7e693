"""A plan done: independent branches side by side, outputs written last and whole."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepedit_fx.audio import Audio, Sound
from stepedit_fx.engines.base import Hear, cancelled_by, heard_by, told_of, urgently
from stepedit_fx.errors import Cancelled, RequestError, StepEditError
from stepedit_fx.graph.naming import naming
from stepedit_fx.graph.plan import Plan, PlannedStep
from stepedit_fx.nodes.base import Context, Value
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output
from stepedit_fx.speech import Speech

if TYPE_CHECKING:
    from stepedit_fx.graph.listening import Listening
    from stepedit_fx.store import Store

Progress = Callable[[str, str], None]  # see Graph.run
# Called with the share of the work that is done, 0 to 1, again and again within a long recording.
Portion = Callable[[float], None]
# How often a wait for a step looks whether somebody wants the run to stop.
POLL_S = 0.05
MAX_THREADS = 8


@dataclass(frozen=True)
class RunResult:
    """What a run made. outputs, values: by output node, the file written and its sound.

    A sound made of a long recording lies on disk (`files.Spool`) for as long as it is held here;
    `audio.held` gives all of it at once. ran, reused: ids of steps. seconds: of work, by step that
    ran. plan: as it was carried out.
    """

    outputs: Mapping[str, Path]
    values: Mapping[str, Sound]
    ran: tuple[str, ...]
    reused: tuple[str, ...]
    seconds: Mapping[str, float]
    plan: Plan = field(repr=False)


def run_plan(
    plan: Plan,
    *,
    store: Store | None = None,
    plugin_folders: tuple[Path, ...] = (),
    progress: Progress | None = None,
    portion: Portion | None = None,
    cancelled: Callable[[], bool] | None = None,
    hear: Hear | None = None,
) -> RunResult:
    """See `Graph.run`."""
    missing = [
        s.id for s in plan.steps if isinstance(s.node, Input) and s.id not in plan.recordings
    ]
    if missing:
        raise RequestError(
            "no recording was given", remedy="Name an input file to run on.", node=missing[0]
        )
    context = Context(plan.engine, plan.source, plan.graph.folder, plugin_folders)
    for step in plan.steps:
        with naming(step):
            step.node.check_context(context)
    plan, values = _with_stored_values(plan, store)
    listening = None
    if hear is not None:
        from stepedit_fx.graph.listening import Listening

        listening = Listening(plan, hear)
    return _Run(plan, values, context, store, progress, portion, cancelled, listening).result()


def _with_stored_values(plan: Plan, store: Store | None) -> tuple[Plan, dict[str, Value]]:
    """The plan with what the store really gives: an entry may be damaged, or evicted by now."""
    values: dict[str, Value] = {}
    lost: set[str] = set()
    while store is not None:
        before = len(lost)
        for step in plan.of("cached"):
            value = values.get(step.id) or store.get(step.key)
            if value is None:
                lost.add(step.key)
            else:
                values[step.id] = value
        if len(lost) == before:
            break
        plan = plan.with_stored(partial(_is_stored, store, lost))
    return plan, values


def _is_stored(store: Store, lost: set[str], key: str) -> bool:
    return key not in lost and store.has(key)


class _Run:
    """One run: its values so far, and who still needs them."""

    def __init__(
        self,
        plan: Plan,
        values: Mapping[str, Value],
        context: Context,
        store: Store | None,
        progress: Progress | None,
        portion: Portion | None,
        cancelled: Callable[[], bool] | None,
        listening: Listening | None,
    ) -> None:
        self.plan = plan
        self.listening = listening
        self.values: dict[str, Value | Sound] = dict(values)
        self.context = context
        self.store = store
        self.tell = progress or (lambda step_id, state: None)
        self.portion = portion or (lambda share: None)
        self.cancelled = cancelled or (lambda: False)
        self.stopping = False
        self.seconds: dict[str, float] = {}
        self.unstored: list[tuple[str, Value]] = []
        self.steps = {step.id: step for step in plan.of("run")}
        self.uses = Counter(source for step in self.steps.values() for source in step.sources)

    def result(self) -> RunResult:
        for step in self.plan.of("cached"):
            self.tell(step.id, "cached")
        ran = set(self.steps)
        if self.plan.is_long:
            ran = self._render_long()
        else:
            self._render()
        outputs = [step for step in self.steps.values() if isinstance(step.node, Output)]
        sounds = {step.id: self.values[step.id] for step in outputs}
        values = {step_id: v for step_id, v in sounds.items() if not isinstance(v, Speech)}
        written = self._write(outputs)
        if self.listening is not None:
            self.listening.finish(values)
        return RunResult(
            outputs=written,
            values=values,
            ran=tuple(step_id for step_id in self.steps if step_id in ran),
            reused=tuple(step.id for step in self.plan.steps if self._is_reused(step, ran)),
            seconds=dict(self.seconds),
            plan=replace(self.plan, recordings={}),  # a result must not keep the source in memory
        )

    def _is_reused(self, step: PlannedStep, ran: set[str]) -> bool:
        return step.state != "skipped" and step.id not in ran

    def _render_long(self) -> set[str]:
        """A recording that is too long to hold; the ids of the steps that did anything."""
        from stepedit_fx.graph.long import Watch, render_long

        watch = Watch(self.tell, self.portion, self.cancelled)
        work = render_long(self.plan, self.context, self.store, _threads(), watch)
        self.values.update(work.sounds)
        self.seconds.update(work.seconds)
        return work.ran

    def _render(self) -> None:
        """Every step that runs, as soon as its sources are there."""
        sorter = TopologicalSorter(
            {s.id: [i for i in s.sources if i in self.steps] for s in self.steps.values()}
        )
        sorter.prepare()
        pool = ThreadPoolExecutor(_threads(), thread_name_prefix="stepedit-fx")
        running: dict[Future[tuple[Value, float]], PlannedStep] = {}
        wait_for_running = True
        try:
            while sorter.is_active():
                self._stop_if_cancelled()
                for step_id in sorter.get_ready():
                    step = self.steps[step_id]
                    self.tell(step_id, "running")
                    inputs = [self.values[source] for source in step.sources]
                    if isinstance(step.node, Input | Output):  # no work: a thread costs more
                        self._keep(step, *self._do(step, inputs))
                        sorter.done(step_id)
                    else:
                        running[pool.submit(copy_context().run, self._do, step, inputs)] = step
                self._store_finished()
                done = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED).done
                for future in [future for future in running if future in done]:
                    step = running.pop(future)
                    self._keep(step, *future.result())
                    sorter.done(step.id)
        except (KeyboardInterrupt, Cancelled):
            self.stopping = True
            # Whoever asked to stop does not want to wait for a step that cannot be stopped; its
            # result is dropped, and nothing but the main thread writes.
            wait_for_running = False
            raise
        except StepEditError:
            self._store_finished()
            raise
        finally:
            pool.shutdown(wait=wait_for_running, cancel_futures=True)

    def _do(self, step: PlannedStep, inputs: Sequence[Any]) -> tuple[Value, float]:
        """One step's result and the seconds it took; runs in a thread of the pool."""
        start = time.perf_counter()
        hear = self.listening.hears(step) if self.listening is not None else None
        urgency = urgently() if self.listening is not None else nullcontext()

        def told(tokens: int) -> None:
            self.tell(step.id, f"{tokens} tokens")

        with naming(step), cancelled_by(self._is_stopping), urgency, heard_by(hear), told_of(told):
            if isinstance(step.node, Input):
                value: Value = self._held(step)
            else:
                value = step.node.run(inputs, self.context)
        return value, time.perf_counter() - start

    def _held(self, step: PlannedStep) -> Audio:
        recording = self.plan.recordings[step.id]
        assert isinstance(recording, Audio), "others are long, and those are run in segments"
        return recording

    def _keep(self, step: PlannedStep, value: Value, seconds: float) -> None:
        """Hold a result for those who need it, and drop what nobody needs any more."""
        self.seconds[step.id] = seconds
        self.values[step.id] = value
        if not isinstance(step.node, Input | Output):
            self.unstored.append((step.key, value))
        for source in step.sources:
            self.uses[source] -= 1
            if not self.uses[source]:
                del self.values[source]
        self.tell(step.id, "done")

    def _store_finished(self) -> None:
        """Done here, while other steps work, so that no thread is stopped in the middle of it."""
        for key, value in self.unstored:
            if self.store is not None:
                self.store.put(key, value)
        self.unstored.clear()

    def _write(self, outputs: Sequence[PlannedStep]) -> dict[str, Path]:
        from stepedit_fx.files import write_audio

        written: dict[str, Path] = {}
        for step in outputs:
            value = self.values[step.id]
            if step.path is None or isinstance(value, Speech):
                continue
            self._stop_if_cancelled()
            with naming(step):
                write_audio(step.path, value, subtype=step.subtype)
            written[step.id] = step.path
        return written

    def _is_stopping(self) -> bool:
        return self.stopping or self.cancelled()

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled("the run was cancelled", remedy="Nothing half-made was kept.")


def _threads() -> int:
    """As many as there are cores for us, within reason: a step mostly runs outside the GIL."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MAX_THREADS, cores or 1)
