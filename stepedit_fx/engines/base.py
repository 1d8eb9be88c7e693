"""What every engine does, and the closed list of engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from importlib import import_module
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError, TagError, did_you_mean
from stepedit_fx.speech import Edit, Speech
from stepedit_fx.tags import KINDS, check_tag, parse_sounds


class EngineSettings(BaseModel):
    """What a graph's ``engine:`` may say; each engine adds its own fields. Paths are absolute."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: str

    def settled(self) -> Self:
        """With all that this process knows from elsewhere (its environment) written out.

        What another process is told.
        """
        return self

    @property
    def identity(self) -> str:
        """What makes an engine of these settings another one, beside them: its weights."""
        return ""


class Engine(Protocol):
    """Speech in codes, edits on codes, codes back to sound; each call takes a batch.

    Items of a batch do not influence one another, and equal input gives equal output.
    """

    kind: ClassVar[str]
    Settings: ClassVar[type[EngineSettings]]
    # Whether every process that opens one holds gigabytes of weights, so that a batch uses one.
    is_heavy: ClassVar[bool]
    # What a long recording is cut into: seconds at most, and how many suit one call. An engine
    # that is not heavy is called from several threads at once.
    segment_s: ClassVar[float]
    batch: ClassVar[int]

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input could give another output: code, weights, dtype."""
        ...

    @property
    def offers(self) -> Mapping[str, Sequence[str]]:
        """Edit kinds this engine does, each with its tags ("" for a kind without a value).

        "paralinguistic" lists "" and the sounds that the engine makes.
        """
        ...

    def encode(self, takes: Sequence[Audio]) -> list[Speech]: ...

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Apply edits[i] to takes[i]. Raises EngineError where an edit cannot be placed."""
        ...

    def clone(self, references: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Say the text of edits[i], of kind "clone", in the voice of references[i]."""
        ...

    def decode(self, takes: Sequence[Speech]) -> list[Audio]: ...


# kind -> module and class. Closed on purpose: a graph never names an import path.
ENGINES: Mapping[str, tuple[str, str]] = {
    "parametric": ("stepedit_fx.engines.parametric.engine", "ParametricEngine"),
    "step-audio": ("stepedit_fx.engines.step_audio.engine", "StepAudioEngine"),
}


_asked: ContextVar[Callable[[], bool]] = ContextVar("asked", default=lambda: False)
_asker: ContextVar[object] = ContextVar("asker", default=None)
_urgent: ContextVar[bool] = ContextVar("urgent", default=False)
_told: ContextVar[Callable[[int], None]] = ContextVar("told", default=lambda tokens: None)
Hear = Callable[[Audio], None]
_heard: ContextVar[Hear | None] = ContextVar("heard", default=None)


@contextmanager
def cancelled_by(asked: Callable[[], bool]) -> Iterator[None]:
    """Inside, an engine that takes long asks this whether to stop, and then raises Cancelled.

    Holds for the thread (or task) that enters it.
    """
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def is_cancelled() -> bool:
    """Whether whoever asked for the engine's work wants it no more."""
    return _asked.get()()


def cancel_check() -> Callable[[], bool]:
    """`is_cancelled` of this thread, for another thread to ask."""
    return _asked.get()


@contextmanager
def asked_for(
    cancelled: Callable[[], bool],
    *,
    is_urgent: bool,
    progress: Callable[[int], None],
    asker: object = None,
) -> Iterator[None]:
    """Inside, an engine knows all that whoever asked wants it to know.

    is_urgent: somebody waits to hear it. progress: told how many tokens there are so far. asker:
    who it is; those who ask for much are served in turn with those who ask for little.
    """
    urgency, telling, asking = _urgent.set(is_urgent), _told.set(progress), _asker.set(asker)
    try:
        with cancelled_by(cancelled):
            yield
    finally:
        _asker.reset(asking)
        _told.reset(telling)
        _urgent.reset(urgency)


def asker() -> object:
    """Who asks, by what tells askers apart; of calls by nobody known each is one of its own."""
    known = _asker.get()
    return object() if known is None else known


@contextmanager
def urgently() -> Iterator[None]:
    """Inside, an engine that others use too does this first."""
    token = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(token)


def is_urgent() -> bool:
    """Whether somebody waits to hear the result."""
    return _urgent.get()


@contextmanager
def told_of(progress: Callable[[int], None]) -> Iterator[None]:
    """Inside, an engine that writes tokens tells this how many there are so far, in any thread."""
    token = _told.set(progress)
    try:
        yield
    finally:
        _told.reset(token)


def tell_progress(tokens: int) -> None:
    """Tell whoever asked how many tokens there are so far."""
    _told.get()(tokens)


def progress_teller() -> Callable[[int], None]:
    """`tell_progress` of this thread, for another thread to call."""
    return _told.get()


@contextmanager
def heard_by(hear: Hear | None) -> Iterator[None]:
    """Inside, an engine that can lets an edit or a clone of one take be heard while it is made.

    hear: given block after block, at the source's rate and channels, `start_s` counted from the
    start of the take. All blocks together are about what `decode` gives of the take, which is made
    anew from all of it. An engine that cannot calls it never. Called in the thread that edits.
    """
    token = _heard.set(hear)
    try:
        yield
    finally:
        _heard.reset(token)


def hearer() -> Hear | None:
    """Who wants to hear an edit while it is made, if anybody."""
    return _heard.get()


def engine_class(kind: str) -> type[Engine]:
    """The class of an engine kind, imported on first use. Raises RequestError if unknown."""
    if kind not in ENGINES:
        raise RequestError(f"unknown engine '{kind}'", remedy=did_you_mean(kind, ENGINES))
    module, name = ENGINES[kind]
    found: type[Engine] = getattr(import_module(module), name)
    return found


def open_engine(kind: str = "parametric", **settings: object) -> Engine:
    """An engine ready for work. Raises RequestError for an unknown kind or setting."""
    cls = engine_class(kind)
    made: Engine = cls(cls.Settings.model_validate({"kind": kind, **settings}))  # type: ignore[call-arg]
    return made


def check_offered(engine: Engine, edit: Edit) -> None:
    """Raise TagError unless the edit's kind, tags and sounds exist and the engine does them."""
    for _, value in edit.values:
        check_offered(engine, replace(edit, value=value, values=()))
    offers = engine.offers
    if edit.kind in offers and edit.value in offers[edit.kind]:
        sounds = parse_sounds(edit.text)[1] if edit.kind == "paralinguistic" else ()
        missing = next((s.tag for s in sounds if s.tag not in offers[edit.kind]), "")
        if missing:
            raise TagError(
                f"engine '{engine.kind}' does not make the sound [{missing}]",
                remedy=f"It makes: {', '.join(sorted(filter(None, offers[edit.kind])))}.",
            )
        return
    if edit.kind in offers and KINDS[edit.kind].tags and edit.value not in KINDS[edit.kind].tags:
        # The nearest word must be one that this engine then does.
        remedy = did_you_mean(edit.value, offers[edit.kind])
        raise TagError(f"unknown {edit.kind} '{edit.value}'", remedy=remedy)
    check_tag(edit.kind, edit.value)
    if edit.kind not in offers:
        raise TagError(
            f"engine '{engine.kind}' does not do '{edit.kind}'",
            remedy=f"It does: {', '.join(sorted(offers))}.",
        )
    raise TagError(
        f"engine '{engine.kind}' does not do {edit.kind} '{edit.value}'",
        remedy=f"It does: {', '.join(sorted(offers[edit.kind]))}.",
    )
