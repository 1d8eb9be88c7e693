"""A plan done on a recording that is too long to hold: from disk to disk, speech in segments.

Sound nodes take a sound on disk in blocks and leave another one. Where sound becomes speech it is
cut into segments; every segment goes by itself through all edits and back to sound, under keys of
its own, so that what is stored of it is not done again; and the results are joined.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from stepedit_fx.audio import Audio, Sound
from stepedit_fx.engines.base import cancelled_by
from stepedit_fx.errors import Cancelled, NothingToEdit, RequestError
from stepedit_fx.graph.naming import naming
from stepedit_fx.graph.plan import Plan, PlannedStep, share_equal
from stepedit_fx.graph.steps import Step
from stepedit_fx.nodes.base import Context, Node, Value
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output

if TYPE_CHECKING:
    from stepedit_fx.segments import Joined, Segment
    from stepedit_fx.store import Store

_T = TypeVar("_T")
POLL_S = 0.05
_LEAST_COST_S = 1e-4  # no step is so quick that the share of work done must not move


@dataclass(frozen=True)
class Watch:
    """Who looks on. tell: of a step's state. portion: the share of the work that is done, 0 to 1.

    cancelled: whether somebody wants it no more.
    """

    tell: Callable[[str, Literal["cached", "running", "done"]], None]
    portion: Callable[[float], None]
    cancelled: Callable[[], bool]


@dataclass
class Work:
    """What came of it. sounds: by step, those of outputs. ran: ids. seconds: of work, by step."""

    sounds: dict[str, Sound] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@dataclass
class _Job:
    """One segment on its way. steps: what is to be done with it, by id; keys and sources are its
    own. values: what there is so far. made: what is to be stored. is_left: it stays as it is.
    """

    segment: Segment
    audio: Audio
    steps: dict[str, PlannedStep]
    decodes: dict[str, str]  # of the graph's decode steps -> the step that gives its result
    values: dict[str, Value]
    made: list[tuple[str, Value]] = field(default_factory=list)
    is_left: bool = False
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))


def render_long(
    plan: Plan, context: Context, store: Store | None, threads: int, watch: Watch
) -> Work:
    """Every step of the plan done, up to the sounds of its outputs.

    threads: segments at once, on an engine that is not heavy. Raises what the nodes do, Cancelled,
    WriteError where the disk has no room for the sounds between steps.
    """
    return _LongRun(plan, context, store, threads, watch).done()


class _LongRun:
    def __init__(
        self, plan: Plan, context: Context, store: Store | None, threads: int, watch: Watch
    ) -> None:
        self.plan = plan
        self.context = context
        self.store = store
        self.watch = watch
        self.threads = 1 if plan.engine.is_heavy else threads
        self.steps = {step.id: step for step in plan.of("run")}
        self.uses = Counter(source for step in self.steps.values() for source in step.sources)
        self.work = Work()
        self.stopping = False
        self.total_s = sum(_cost_s(step) for step in self.steps.values())
        self.done_s = 0.0

    def done(self) -> Work:
        for step in self.steps.values():
            self._stop_if_cancelled()
            if isinstance(step.node, Encode):
                self._through_engine(step)
            elif not step.uses_engine:
                self._sound(step)
            self._release(step)
        return self.work

    def _sound(self, step: PlannedStep) -> None:
        """One step from sound to sound."""
        self.watch.tell(step.id, "running")
        with naming(step), self._timed(step.id):
            self.work.sounds[step.id] = self._made(step)
        self.work.ran.add(step.id)
        self._advance(_cost_s(step))
        self.watch.tell(step.id, "done")

    def _made(self, step: PlannedStep) -> Sound:
        from stepedit_fx.files import spooled

        if isinstance(step.node, Input):
            source = self.plan.recordings[step.id]
            if isinstance(source, Audio):
                return source
            said = source.transcript
            return spooled(self._watched(source.blocks()), source.sample_rate, source.start_s, said)
        inputs = [self.work.sounds[source] for source in step.sources]
        if isinstance(step.node, Output):
            return inputs[0]
        with cancelled_by(self._is_stopping):
            return step.node.run_long(inputs, self.context)

    def _watched(self, blocks: Iterator[_T]) -> Iterator[_T]:
        for block in blocks:
            self._stop_if_cancelled()
            yield block

    def _release(self, step: PlannedStep) -> None:
        """Drop the sounds that nobody needs any more."""
        for source in step.sources:
            self.uses[source] -= 1
            if not self.uses[source]:
                self.work.sounds.pop(source, None)

    def _through_engine(self, encode: PlannedStep) -> None:
        """What follows from one encode, segment by segment, to the sounds of its decodes."""
        from stepedit_fx.segments import Joined, cut_sound, speaker_f0_hz

        source = self.work.sounds[encode.sources[0]]
        tree = self._tree(encode)
        _check_no_clone(tree)
        with self._timed(encode.id):
            segments = cut_sound(source, self.plan.engine.segment_s)
            f0_hz = speaker_f0_hz(source, segments)
        jobs = self._jobs(source, tree, segments, f0_hz)
        joined = {step.id: Joined(source) for step in tree if isinstance(step.node, Decode)}
        share_s = sum(_cost_s(step) for step in tree) / len(segments)
        for step in tree:
            self.watch.tell(step.id, "running")
        for job in self._in_order(tree, jobs):
            self._keep(job, joined)
            self._advance(share_s)
        for step in tree:
            if step.id in joined:
                self.work.sounds[step.id] = joined[step.id].done()
            self.watch.tell(step.id, "done" if step.id in self.work.ran else "cached")

    def _tree(self, encode: PlannedStep) -> list[PlannedStep]:
        """The steps that follow from an encode, up to where they are sound again."""
        found = {encode.id: encode}
        for step in self.steps.values():
            follows = any(source in found for source in step.sources)
            if follows and step.uses_engine and not isinstance(step.node, Encode):
                found[step.id] = step
        return list(found.values())

    def _jobs(
        self, source: Sound, tree: Sequence[PlannedStep], segments: Sequence[Segment], f0_hz: float
    ) -> Iterator[_Job]:
        """The segments with what is to be done; their samples are read when they are asked for."""
        from stepedit_fx.timeline import at, inverse

        nodes = {step.id: step.node.shared(source.transcript, segments) for step in tree}
        back = inverse(source.time_map)  # nodes count on the clock of what was read
        for number, segment in enumerate(segments):
            first, end = segment.span
            audio = Audio(
                source.read(first, end),
                source.sample_rate,
                transcript=segment.transcript,
                speaker_f0_hz=f0_hz,
            )
            span_s = [at(back, edge / source.sample_rate) for edge in segment.span]
            parts = []
            for step in tree:
                node = nodes[step.id][number]
                parts.append((step, None if node is None else node.within(span_s[0], span_s[1])))
            yield self._job(segment, audio, parts)

    def _job(
        self, segment: Segment, audio: Audio, parts: Sequence[tuple[PlannedStep, Node | None]]
    ) -> _Job:
        """What a segment needs done: from its decodes backwards, until something is stored."""
        start = parts[0][0].sources[0]
        stands_for: dict[str, str] = {}  # a step that has nothing to do -> what gives its result
        steps = [Step(start, Input(), ())]
        for step, node in parts:
            sources = tuple(stands_for.get(source, source) for source in step.sources)
            if node is None:
                stands_for[step.id] = sources[0]
            else:
                steps.append(Step(step.id, node, sources))
        planned = share_equal(steps, self.plan.graph, self.plan.engine, {start: audio})
        equal = {step_id: step.id for step in planned for step_id in step.serves}
        decodes = {s.id: equal[s.id] for s, _ in parts if isinstance(s.node, Decode)}
        job = _Job(segment, audio, {}, decodes, {start: audio})
        needed = set(decodes.values())
        for step in reversed(planned):
            if step.id not in needed or step.id == start:
                continue
            stored = self.store.get(step.key) if self.store is not None else None
            if stored is None:
                job.steps[step.id] = step
                needed.update(step.sources)
            else:
                job.values[step.id] = stored
        return job

    def _in_order(self, tree: Sequence[PlannedStep], jobs: Iterator[_Job]) -> Iterator[_Job]:
        """The jobs done, in their order; a few batches at once, and no more of them in memory."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="stepedit-fx")
        waiting: deque[Future[list[_Job]]] = deque()
        wait_for_running = True
        try:
            for batch in _batches(jobs, self.plan.engine.batch):
                waiting.append(pool.submit(copy_context().run, self._do, tree, batch))
                if len(waiting) > self.threads:
                    yield from self._result(waiting.popleft())
            while waiting:
                yield from self._result(waiting.popleft())
        except BaseException as error:
            self.stopping = True  # also of the batch that was waited for, which is not in the queue
            # A step that cannot be stopped is not waited for.
            wait_for_running = not isinstance(error, KeyboardInterrupt | Cancelled)
            raise
        finally:
            pool.shutdown(wait=wait_for_running, cancel_futures=True)

    def _result(self, future: Future[list[_Job]]) -> list[_Job]:
        while not wait([future], timeout=POLL_S, return_when=FIRST_COMPLETED).done:
            self._stop_if_cancelled()
        return future.result()

    def _do(self, tree: Sequence[PlannedStep], jobs: list[_Job]) -> list[_Job]:
        """A batch of segments, step by step; runs in a thread of the pool."""
        with cancelled_by(self._is_stopping):
            for step in tree:
                for same in _alike([job for job in jobs if step.id in job.steps], step.id):
                    self._do_step(step, same)
        return jobs

    def _do_step(self, step: PlannedStep, jobs: Sequence[_Job]) -> None:
        """One step on segments for which it is the same."""
        todo = [job for job in jobs if not job.is_left]
        if not todo:
            return
        self._stop_if_cancelled()
        inputs = [[job.values[s] for s in job.steps[step.id].sources] for job in todo]
        start = time.perf_counter()
        try:
            with naming(step):
                made = todo[0].steps[step.id].node.run_batch(inputs, self.context)
        except NothingToEdit:
            # A long take may well be silent somewhere, which not every engine takes; it stays so.
            if not all(job.segment.is_silent for job in todo):
                raise
            for job in todo:
                job.is_left = True
            return
        took_s = time.perf_counter() - start
        for job, value in zip(todo, made, strict=True):
            job.values[step.id] = value
            job.made.append((job.steps[step.id].key, value))
            job.seconds[step.id] += took_s / len(todo)

    def _keep(self, job: _Job, joined: Mapping[str, Joined]) -> None:
        """Store what is new of a segment, and put it to those before it."""
        for key, value in job.made:
            if self.store is not None:
                self.store.put(key, value)
        self.work.ran.update(job.seconds)
        for step_id, seconds in job.seconds.items():
            self.work.seconds[step_id] += seconds
        for step_id, sound in joined.items():
            made = job.audio if job.is_left else job.values[job.decodes[step_id]]
            assert isinstance(made, Audio)
            sound.add(job.segment, made)

    @contextmanager
    def _timed(self, step_id: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.work.seconds[step_id] += time.perf_counter() - start

    def _advance(self, cost_s: float) -> None:
        self.done_s += cost_s
        self.watch.portion(min(self.done_s / self.total_s, 1.0))

    def _is_stopping(self) -> bool:
        return self.stopping or self.watch.cancelled()

    def _stop_if_cancelled(self) -> None:
        if self._is_stopping():
            raise Cancelled("the run was cancelled", remedy="Nothing half-made was kept.")


def _cost_s(step: PlannedStep) -> float:
    return max(step.node.cost_s, _LEAST_COST_S)


def _check_no_clone(tree: Sequence[PlannedStep]) -> None:
    for step in tree:
        if isinstance(step.node, Clone):
            raise RequestError(
                "a voice is taken from a short recording, and this one is long",
                remedy="Cut 5 to 30 seconds of clear speech out of it.",
                node=step.id,
            )


def _batches(jobs: Iterator[_Job], size: int) -> Iterator[list[_Job]]:
    """Jobs by the batch."""
    batch: list[_Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _alike(jobs: Sequence[_Job], step_id: str) -> list[list[_Job]]:
    """Jobs for which a step is the same, together; silent ones, which may be refused, apart."""
    groups: list[list[_Job]] = []
    for job in jobs:
        for group in groups:
            same = group[0].steps[step_id].node == job.steps[step_id].node
            if same and not (job.segment.is_silent or group[0].segment.is_silent):
                group.append(job)
                break
        else:
            groups.append([job])
    return groups
