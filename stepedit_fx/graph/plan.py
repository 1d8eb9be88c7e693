"""What a run will do: every step with its key, and whether it is stored already."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import Engine, check_offered
from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.graph.outputs import output_paths, recording_of
from stepedit_fx.graph.spec import Graph
from stepedit_fx.graph.steps import Step, build_steps, uses_engine
from stepedit_fx.nodes.base import EditNode, Node
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output
from stepedit_fx.speech import Transcript
from stepedit_fx.store.keys import digest, file_digest

if TYPE_CHECKING:
    from stepedit_fx.files import Recording
    from stepedit_fx.store import Store

State = Literal["run", "cached", "skipped"]
# The engine that the nodes' costs were measured with.
MEASURED_ENGINE = "parametric"
# Kinds that do nothing but move sound in time.
UNDONE_BY_LOCK = ("speed", "vad")

logger = logging.getLogger(__name__)
# Recordings longer than this are not held in memory but worked on in segments.
LONG_S = 120.0


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    key: what makes its result the same; without a source it says so only within this graph.
    state: run, cached (the store has it) or skipped (nothing that runs needs it).
    estimate_s: seconds of work, 0 where nothing runs, None where nobody knows. serves: ids of
    equal steps it stands for, its own first. path, subtype: of an output, where known.
    """

    id: str
    node: Node
    sources: tuple[str, ...]
    key: str
    put_in: bool = False
    state: State = "run"
    estimate_s: float | None = None
    serves: tuple[str, ...] = ()
    path: Path | None = None
    subtype: str | None = None

    @property
    def kind(self) -> str:
        return self.node.kind

    @property
    def uses_engine(self) -> bool:
        return uses_engine(self.node)


@dataclass(frozen=True)
class Plan:
    """The steps of one run in order. recordings: what the inputs read, by step id."""

    graph: Graph
    engine: Engine = field(repr=False)
    steps: tuple[PlannedStep, ...]
    source: Path | None = None
    recordings: Mapping[str, Audio | Recording] = field(default_factory=dict, repr=False)

    @property
    def is_long(self) -> bool:
        """Whether it is run in segments: those are stored, and not the steps' whole results."""
        return _is_long(self.recordings)

    @property
    def estimate_s(self) -> float | None:
        """Seconds of work in all, None where nobody knows."""
        known = [step.estimate_s for step in self.steps]
        return None if None in known else sum(s for s in known if s)

    def of(self, state: State) -> tuple[PlannedStep, ...]:
        return tuple(step for step in self.steps if step.state == state)

    def with_stored(self, is_stored: Callable[[str], bool]) -> Plan:
        """The same plan with every state as it is when these keys are stored."""
        states = _states(self.steps, (lambda key: False) if self.is_long else is_stored)
        duration_s = max((audio.duration_s for audio in self.recordings.values()), default=None)
        steps = (
            replace(
                step,
                state=states[step.id],
                estimate_s=_estimate_s(step, states[step.id], duration_s, self.engine.kind),
            )
            for step in self.steps
        )
        return replace(self, steps=tuple(steps))


def make_plan(
    graph: Graph,
    source: Path | str | Audio | None,
    *,
    store: Store | None,
    out_dir: Path | str | None,
    engine: Engine,
    index: int = 1,
) -> Plan:
    """See `Graph.plan`. Raises ReadError, and RequestError for what cannot be run as asked."""
    steps = build_steps(graph)
    if engine.kind != graph.engine.kind:
        _check_offers(steps, engine)
    path = Path(source) if isinstance(source, str | Path) else None
    _check_source(graph, source)
    recordings = dict(_recordings(graph, steps, source))
    steps = _with_words_placed(steps, recordings) if recordings else steps
    _tell_what_a_lock_undoes(steps)
    planned = share_equal(steps, graph, engine, recordings)
    if recordings or not _inputs(steps):
        planned = _placed(planned, graph, path, out_dir, index)
    plan = Plan(graph, engine, tuple(planned), path, recordings)
    known = bool(recordings) and store is not None
    return plan.with_stored(store.has if known and store is not None else lambda key: False)


def _inputs(steps: Sequence[Step]) -> list[tuple[str, Input]]:
    return [(step.id, step.node) for step in steps if isinstance(step.node, Input)]


def _check_offers(steps: Sequence[Step], engine: Engine) -> None:
    """The graph was checked against its own engine; this is another."""
    for step in steps:
        if isinstance(step.node, EditNode | Clone):
            try:
                check_offered(engine, step.node.edit())
            except StepEditError as error:
                error.node = step.id
                raise


def _check_source(graph: Graph, source: Path | str | Audio | None) -> None:
    inputs = [spec.node for spec in graph.nodes.values() if isinstance(spec.node, Input)]
    if source is not None and all(node.path for node in inputs):
        raise RequestError(
            f"graph '{graph.name}' reads its own recordings and takes none",
            remedy="Run it without an input, or take a path out of one of its inputs.",
        )


def _recordings(
    graph: Graph, steps: Sequence[Step], source: Path | str | Audio | None
) -> Iterator[tuple[str, Audio | Recording]]:
    """What the inputs read; nothing at all where one of them has nothing to read."""
    inputs = _inputs(steps)
    if source is None and any(not node.path for _, node in inputs):
        return
    for step_id, node in inputs:
        try:
            file = node.file(graph.folder)
            if file is None and isinstance(source, Audio):
                yield step_id, node.worded(source)
            elif (path := file or source) is not None and not isinstance(path, Audio):
                yield step_id, node.open(Path(path), LONG_S)
        except StepEditError as error:
            error.node = error.node or step_id
            raise


def _with_words_placed(
    steps: Sequence[Step], recordings: Mapping[str, Audio | Recording]
) -> list[Step]:
    """The steps with what they say in words of the recording said in its seconds."""
    heard: dict[str, str] = {}  # step -> the input whose words it hears
    timed: dict[str, Transcript] = {}  # by input, once somebody asks
    placed = []
    for step in steps:
        first = step.sources[0] if step.sources else ""
        heard[step.id] = source = step.id if step.id in recordings else heard.get(first, "")
        try:
            if step.node.names_words and source and source not in timed:
                timed[source] = _timed(recordings[source])
            node = step.node.resolved(timed.get(source, Transcript()))
            placed.append(replace(step, node=node))
        except StepEditError as error:
            error.node = error.node or step.id
            raise
    return placed


def _timed(recording: Audio | Recording) -> Transcript:
    """What is said in a recording, each word with its time: aligned where that can be done."""
    if not recording.transcript or recording.transcript.words:
        return recording.transcript
    from stepedit_fx.transcripts import sphinx
    from stepedit_fx.transcripts.alignment import align, is_english
    from stepedit_fx.transcripts.timing import timed

    if isinstance(recording, Audio):
        mono = recording.mono()
    else:  # held for as long as this takes
        mono = np.concatenate([block.mean(axis=0) for block in recording.blocks()])
    if sphinx.is_installed() and is_english(recording.transcript):
        try:
            return align(recording.transcript, mono, recording.sample_rate)
        except RequestError as error:
            logger.warning("%s Words are placed by pauses and syllables instead", error)
    return timed(recording.transcript, mono, recording.sample_rate)


def _tell_what_a_lock_undoes(steps: Sequence[Step]) -> None:
    """Edits of time on the way to a decode that puts every moment back."""
    above: dict[str, tuple[Node, ...]] = {}  # the edits since the sound was last sound
    for step in steps:
        edits = above.get(step.sources[0], ()) if step.sources else ()
        if isinstance(step.node, Decode) and step.node.length == "lock":
            for node in edits:
                if isinstance(node, Clone):
                    logger.warning(
                        "%s: a clone has no source to lock to; it stays as long", step.id
                    )
                elif node.kind in UNDONE_BY_LOCK:
                    logger.warning("%s: length: lock undoes '%s'", step.id, node.kind)
        above[step.id] = (*edits, step.node) if isinstance(step.node, EditNode | Clone) else ()


def share_equal(
    steps: Sequence[Step],
    graph: Graph,
    engine: Engine,
    recordings: Mapping[str, Audio | Recording],
) -> list[PlannedStep]:
    """Steps with keys; those with one key are one step. Outputs are never shared."""
    engine_key = _engine_key(engine, recordings)
    keys: dict[str, str] = {}  # step id -> key
    firsts: dict[str, str] = {}  # key -> id of the first step that has it
    planned: dict[str, PlannedStep] = {}
    for step in steps:
        sources = [keys[source] for source in step.sources]
        keys[step.id] = key = _key(step, sources, graph, engine_key, recordings)
        first = step.id if isinstance(step.node, Output) else firsts.setdefault(key, step.id)
        if first != step.id:
            same = planned[first]
            planned[first] = replace(same, serves=(*same.serves, step.id))
            continue
        ids = tuple(firsts[source] for source in sources)
        planned[step.id] = PlannedStep(
            step.id, step.node, ids, key, put_in=step.put_in, serves=(step.id,)
        )
    return list(planned.values())


def _is_long(recordings: Mapping[str, Audio | Recording]) -> bool:
    return any(recording.duration_s > LONG_S for recording in recordings.values())


def _engine_key(engine: Engine, recordings: Mapping[str, Audio | Recording]) -> tuple[object, ...]:
    """What of the engine makes a result the same, and of how it is asked."""
    if not _is_long(recordings):
        return (engine.kind, engine.fingerprint)
    from stepedit_fx import segments

    return (engine.kind, engine.fingerprint, segments.CODE_VERSION, engine.segment_s)


def _key(
    step: Step,
    sources: Sequence[str],
    graph: Graph,
    engine_key: tuple[object, ...],
    recordings: Mapping[str, Audio | Recording],
) -> str:
    """What makes a result the same: everything it was made from, and no name, path or date."""
    node = step.node
    if isinstance(node, Input):
        known = recordings.get(step.id)
        return known.digest if known else digest("input", node.model_dump(mode="json"))
    left_out = {"bypass"} | ({"path"} if isinstance(node, Output) else set())
    fields = node.model_dump(mode="json", exclude=left_out)
    if isinstance(node, Output):
        fields["ending"] = node.ending
    files = [file_digest(file) for file in node.reads(graph.folder)]
    used = engine_key if uses_engine(node) else None
    return digest(node.kind, node.code_version, fields, list(sources), used, files)


def _states(steps: Sequence[PlannedStep], is_stored: Callable[[str], bool]) -> Mapping[str, State]:
    """Backwards from the outputs: what is needed runs, unless it is stored."""
    needed: set[str] = set()
    states: dict[str, State] = {}
    for step in reversed(steps):
        if isinstance(step.node, Output):
            state: State = "run"
        elif step.id not in needed:
            state = "skipped"
        elif not isinstance(step.node, Input) and is_stored(step.key):
            state = "cached"
        else:
            state = "run"
        states[step.id] = state
        if state == "run":
            needed.update(step.sources)
    return states


def _estimate_s(
    step: PlannedStep, state: State, duration_s: float | None, engine: str
) -> float | None:
    if state != "run":
        return 0.0
    if duration_s is None or (uses_engine(step.node) and engine != MEASURED_ENGINE):
        return None
    return step.node.cost_s * duration_s


def _placed(
    steps: Sequence[PlannedStep],
    graph: Graph,
    source: Path | None,
    out_dir: Path | str | None,
    index: int,
) -> list[PlannedStep]:
    """Outputs with their paths and subtypes; other steps as they are."""
    paths = output_paths(graph, source, Path(out_dir), index=index) if out_dir is not None else {}
    read = [file for step in steps for file in step.node.reads(graph.folder)]
    _check_paths(paths, [*read, source] if source else read)
    placed = []
    for step in steps:
        if isinstance(step.node, Output):
            recording = recording_of(graph, step.id, source)
            subtype = step.node.subtype_for(_subtype_of(recording))
            step = replace(step, path=paths.get(step.id), subtype=subtype)
        placed.append(step)
    return placed


def _check_paths(paths: Mapping[str, Path], read: Sequence[Path]) -> None:
    """That no output goes over a file the run reads, or over another output."""
    written: dict[str, str] = {}
    for node_id, path in paths.items():
        for file in read:
            if is_same_file(path, file):
                raise RequestError(
                    f"the output '{path}' is the input '{file}'",
                    remedy="Write to another folder or under another name.",
                    node=node_id,
                )
        name = os.path.realpath(path).casefold()
        if name in written:
            raise RequestError(
                f"'{path}' is written by '{written[name]}' too",
                remedy="Put {node} into the path, or name each.",
                node=node_id,
            )
        written[name] = node_id


def _subtype_of(recording: Path | None) -> str:
    if recording is None:
        return ""
    from stepedit_fx.files import probe

    return probe(recording).subtype


def is_same_file(output: Path, file: Path) -> bool:
    """Whether both name one file, also through links; an output that is not there yet is new."""
    try:
        return output.samefile(file)
    except OSError:
        return os.path.realpath(output) == os.path.realpath(file)
