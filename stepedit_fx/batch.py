"""Many recordings through one graph: side by side, resumable, each on its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stepedit_fx.audio import Sound
from stepedit_fx.engines.base import Hear
from stepedit_fx.errors import Cancelled, ReadError, RequestError, StepEditError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.graph.best import kept_take, seeded, takes_data, try_takes
from stepedit_fx.graph.outputs import output_paths
from stepedit_fx.graph.plan import Plan, PlannedStep
from stepedit_fx.graph.run import RunResult, run_plan
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output
from stepedit_fx.pool import Cancel, WorkerLost, spread
from stepedit_fx.provenance import (
    GraphSource,
    Provenance,
    check_free,
    file_digest,
    now,
    read_provenance,
    steps_data,
    versions,
    write_provenance,
)
from stepedit_fx.store import Store
from stepedit_fx.takes import Take, check_places
from stepedit_fx.warned import caught_warnings
from stepedit_fx.worker.opening import holds_model, is_shared

logger = logging.getLogger(__name__)

# Takes have nothing in common, so a store used for a batch need not hold much in memory.
MEMORY_BYTES = 4 << 20
# Starting a process costs about as much as rendering this many short clips.
TAKES_WORTH_A_PROCESS = 10
CLIENTS = 8  # of a worker, where nobody says how many


@dataclass(frozen=True)
class Item:
    """What became of one take.

    outputs: files that are there now. error: why not, for a failed one. warnings: what was
    logged meanwhile. audio_s: length of the recording. ran, reused: ids of steps. tried: where
    the graph makes several takes, all of them, the best (which was kept) first.
    """

    source: Path | None
    state: Literal["done", "up to date", "failed"]
    outputs: tuple[Path, ...] = ()
    error: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    audio_s: float = 0.0
    ran: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Event:
    """Something happened to take number `index` (from 0): it started, took a step, or ended.

    step: as `Graph.run` tells of its progress. portion: the share of the take's work that is done,
    for a long one. These two only where the batch runs in this process.
    """

    index: int
    step: tuple[str, str] | None = None
    portion: float | None = None
    item: Item | None = None


@dataclass(frozen=True)
class Summary:
    """What became of every take, in the order in which they were given."""

    items: tuple[Item, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.state == "failed")


# Told of a take's step, or of the share of its work that is done.
Stepped = Callable[[Take, "tuple[str, str] | None", "float | None"], None]


@dataclass(frozen=True)
class _Setup:
    """What every worker needs; travels between processes."""

    graph_source: GraphSource
    out_dir: Path
    store: Path | None
    plugin_folders: tuple[Path, ...]
    force: bool


def run_batch(
    graph_source: GraphSource,
    takes: Sequence[Take],
    *,
    out_dir: Path,
    store: Store,
    jobs: int | None = None,
    plugin_folders: Sequence[Path] = (),
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Cancel | None = None,
    hear: Hear | None = None,
) -> Summary:
    """Render every take and write its outputs and their provenance.

    takes: from `find_takes`; none for a graph that brings its own recording. store: workers open
    its folder, or keep results in memory where it has none. jobs: processes side by side, None
    for what suits. force: render also what is up to date. hear: given the sound of a single take,
    early where that can be (see `Graph.run`); also of one that is up to date.

    A take that fails, or whose process is killed, is an item of its own and stops nothing.
    Raises RequestError before anything runs where two takes would write one file, or one would
    write over a recording; GraphError; Cancelled; RenderError where processes cannot be started.
    """
    start = time.perf_counter()
    graph = graph_source.graph()
    tell = on_event or (lambda event: None)
    chosen = _given(graph, takes)
    check_places(graph, chosen, out_dir)
    setup = _Setup(graph_source, out_dir, store.folder, tuple(plugin_folders), force)
    items: dict[int, Item] = {}

    def started(index: int) -> None:
        tell(Event(index))

    def stepped(take: Take, step: tuple[str, str] | None, portion: float | None) -> None:
        tell(Event(take.index - 1, step=step, portion=portion))

    count = _suits(graph, len(chosen)) if jobs is None else jobs
    if hear is not None:
        _check_one(graph, chosen)
        count = 1
    factory = _Worker if count > 1 else _in_this_process(store, stepped, graph, hear)
    done = spread(
        factory, setup, chosen, jobs=count, started=started, cancelled=cancelled or (lambda: False)
    )
    with closing(done):
        for index, result in done:
            item = result if isinstance(result, Item) else _lost(chosen[index], result)
            items[index] = item
            tell(Event(index, item=item))
    return Summary(tuple(items[i] for i in range(len(chosen))), time.perf_counter() - start)


def _suits(graph: Graph, takes: int) -> int:
    """How many processes for a graph's takes."""
    if holds_model(graph.engine):
        return 1
    if is_shared(graph.engine):  # they wait for a worker, which does what they ask for together
        return max(1, min(CLIENTS, takes // 2))
    return jobs_for(takes)


def jobs_for(takes: int) -> int:
    """Processes for a number of takes: the processors there are, fewer for few takes."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(processors, takes // TAKES_WORTH_A_PROCESS))


def _check_one(graph: Graph, takes: Sequence[Take]) -> None:
    """Raise RequestError unless there is one sound to listen to."""
    if len(takes) != 1 or graph.takes != 1:
        raise RequestError(
            f"{len(takes)} recordings and {graph.takes} takes of each cannot be heard as one sound",
            remedy="Listen to one recording, and one take.",
        )


def _given(graph: Graph, takes: Sequence[Take]) -> Sequence[Take]:
    wants = any(isinstance(s.node, Input) and not s.node.path for s in graph.nodes.values())
    if wants and not takes:
        raise RequestError(
            f"graph '{graph.name}' needs a recording",
            remedy="Name files, folders or globs to run it on.",
        )
    if takes and not wants:
        raise RequestError(
            f"graph '{graph.name}' reads its own recordings and takes none",
            remedy="Run it without an input, or take a path out of one of its inputs.",
        )
    return takes or (Take(None),)


def _lost(take: Take, lost: WorkerLost) -> Item:
    how = f"signal {-lost.exit_code}" if lost.exit_code < 0 else f"exit code {lost.exit_code}"
    error = f"its worker process was killed ({how}). Out of memory? Try fewer --jobs."
    return Item(take.path, "failed", error=error)


class _Worker:
    """Does one take at a time with one engine and one store."""

    def __init__(
        self,
        setup: _Setup,
        store: Store | None = None,
        stepped: Stepped | None = None,
        graph: Graph | None = None,
        hear: Hear | None = None,
    ) -> None:
        self.setup = setup
        self.hear = hear
        self.graph = graph or setup.graph_source.graph()
        self.engine = self.graph.open_engine()
        self.store = store or _open_store(setup.store)
        self.stepped = stepped

    def __call__(self, take: Take, cancelled: Cancel) -> Item:
        start = time.perf_counter()
        with caught_warnings() as warned:
            try:
                item = self._rendered(take, cancelled)
            except Cancelled:
                raise
            except StepEditError as error:
                _raise_interrupt_behind(error)
                item = Item(take.path, "failed", error=str(error))
            except Exception as error:
                _raise_interrupt_behind(error)
                logger.debug("unexpected error on %s", take.path, exc_info=True)
                item = Item(take.path, "failed", error=f"{type(error).__name__}: {error}")
        return replace(item, warnings=tuple(warned), seconds=time.perf_counter() - start)

    def _rendered(self, take: Take, cancelled: Cancel) -> Item:
        kept = 1 if self.graph.takes == 1 else self._kept(take)
        if kept:
            return self._rendered_one(take, seeded(self.graph, kept), self._told(take), cancelled)
        plan = self._plan(take, self.graph, None)

        def sounds(graph: Graph) -> Mapping[str, Sound]:
            return self._run(take, self._plan(take, graph, None), cancelled).values

        trials = try_takes(self.graph, plan.recordings, sounds)
        best = seeded(self.graph, trials[0].number)
        return self._rendered_one(take, best, takes_data(trials), cancelled)

    def _kept(self, take: Take) -> int:
        """Which take an earlier run kept, 0 where none did, or none that is known of."""
        return 0 if self.setup.force else kept_take(self._told(take), self.graph)

    def _told(self, take: Take) -> Mapping[str, Any]:
        """What the provenance beside the outputs says of takes."""
        if self.graph.takes == 1:
            return {}
        out_dir = self.setup.out_dir / take.folder
        for path in output_paths(self.graph, take.path, out_dir, index=take.index).values():
            try:
                known = read_provenance(path)
            except ReadError:
                known = None
            if known is not None:
                return known.takes
        return {}

    def _plan(self, take: Take, graph: Graph, out_dir: Path | None) -> Plan:
        return graph.plan(
            take.path, store=self.store, out_dir=out_dir, engine=self.engine, index=take.index
        )

    def _rendered_one(
        self, take: Take, graph: Graph, tried: Mapping[str, Any], cancelled: Cancel
    ) -> Item:
        """One take of the graph, written. tried: what its provenance says of others."""
        plan = self._plan(take, graph, self.setup.out_dir / take.folder)
        outputs = [step for step in plan.steps if isinstance(step.node, Output)]
        paths = tuple(step.path for step in outputs if step.path)
        audio_s = max((audio.duration_s for audio in plan.recordings.values()), default=0.0)
        told = tuple(tried.get("all", ()))
        if not self.setup.force and has_all(plan):
            if self.hear is not None and paths:
                self.hear(read_audio(paths[0]))
            return Item(take.path, "up to date", paths, audio_s=audio_s, tried=told)
        for path in paths:
            check_free(path)
        result = self._run(take, plan, cancelled)
        for step in outputs:
            self._sign(step, result, take, tried)
        ran, reused = result.ran, result.reused
        return Item(take.path, "done", paths, audio_s=audio_s, ran=ran, reused=reused, tried=told)

    def _run(self, take: Take, plan: Plan, cancelled: Cancel) -> RunResult:
        stepped = self.stepped
        return run_plan(
            plan,
            store=self.store,
            plugin_folders=self.setup.plugin_folders,
            progress=(lambda step, state: stepped(take, (step, state), None)) if stepped else None,
            portion=(lambda share: stepped(take, None, share)) if stepped else None,
            cancelled=cancelled,
            hear=self.hear,
        )

    def _sign(
        self, step: PlannedStep, result: RunResult, take: Take, tried: Mapping[str, Any]
    ) -> None:
        """Write the provenance of one output, after it."""
        path = result.outputs[step.id]
        provenance = Provenance(
            output=path.name,
            sha256=file_digest(path),
            key=step.key,
            node=step.id,
            graph_source=self.setup.graph_source,
            graph={"name": self.graph.name, "digest": result.plan.graph.digest},
            source=take.path,
            index=take.index,
            engine={
                **self.graph.engine.model_dump(mode="json"),
                "fingerprint": self.engine.fingerprint,
            },
            steps=steps_data(result.plan),
            versions=versions(),
            written=now(),
            takes=tried,
        )
        write_provenance(path, provenance)


def _raise_interrupt_behind(error: BaseException) -> None:
    """Raise KeyboardInterrupt where one was being handled when the error came up.

    Ctrl-C in the middle of a lock's own code ends as "release unlocked lock" (CPython 3.11), which
    is no fault of the take.
    """
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        if isinstance(behind, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        behind = behind.__cause__ or behind.__context__


def _in_this_process(
    store: Store, stepped: Stepped, graph: Graph, hear: Hear | None
) -> Callable[[_Setup], _Worker]:
    return lambda setup: _Worker(setup, store, stepped, graph, hear)


def _open_store(folder: Path | None) -> Store:
    if folder is None:
        return Store.in_memory(memory_bytes=MEMORY_BYTES)
    return Store(folder, memory_bytes=MEMORY_BYTES)


def has_all(plan: Plan) -> bool:
    """Whether every output of a plan is up to date, so that a batch leaves it alone."""
    return all(is_up_to_date(step) for step in plan.steps if isinstance(step.node, Output))


def is_up_to_date(step: PlannedStep) -> bool:
    """Whether an output's file is there, unchanged, and made from what the plan says."""
    if step.path is None or not step.path.is_file():
        return False
    try:
        known = read_provenance(step.path)
        return bool(known and known.key == step.key and known.sha256 == file_digest(step.path))
    except ReadError:
        return False  # a damaged sidecar: render again, which writes a whole one
