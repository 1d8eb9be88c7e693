"""Every error this package raises on purpose.

StepEditError
├── RequestError          what was asked cannot be done as asked: change the request
│   ├── GraphError        a graph file is wrong; carries every problem with file, line and column
│   ├── TagError          an edit kind or tag that does not exist, or that the engine does not offer
│   ├── EffectError       an effect, a parameter or a value that does not exist
│   ├── NotFound          a control, a scene, a graph or a job that does not exist
│   └── Busy              too much is waiting already: ask again later
├── FileError             a file that cannot be read or written
│   ├── ReadError
│   └── WriteError
├── EngineError           an engine could not do what it offers
│   └── NothingToEdit     a recording with too little sound in it for the engine
├── RenderError           a node failed for a reason that is none of the above
├── StoreError            the store's folder cannot be used
└── Cancelled             stopped on request; nothing half-made was kept

The core raises these and knows nothing of exit codes, OSC or HTTP: each face translates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path


class StepEditError(Exception):
    """Base of the tree: a cause, a remedy, and the graph node where it happened (if any)."""

    def __init__(self, cause: str, *, remedy: str = "", node: str = "") -> None:
        super().__init__(cause, remedy, node)
        self.cause = cause
        self.remedy = remedy
        self.node = node

    def __str__(self) -> str:
        where = f"node '{self.node}': " if self.node else ""
        what = self.cause if not self.remedy else f"{self.cause.rstrip('.')}. {self.remedy}"
        return where + what

    # Exceptions with keyword-only arguments do not pickle by themselves, and batch
    # workers hand theirs to the parent process.
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.cause, self.remedy, self.node))


def _rebuild(kind: type[StepEditError], cause: str, remedy: str, node: str) -> StepEditError:
    error = kind.__new__(kind)
    StepEditError.__init__(error, cause, remedy=remedy, node=node)
    return error


class RequestError(StepEditError):
    """What was asked cannot be done as asked."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a graph file; line and column count from 1, 0 where there is none."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = ":".join([self.file or "<graph>", *(str(n) for n in (self.line, self.column) if n)])
        return f"{place}: {self.message}"


class GraphError(RequestError):
    """A graph that cannot run; ``problems`` holds all that was found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return (GraphError, (self.problems,))


class TagError(RequestError):
    """An edit kind or a tag that does not exist, or that the engine does not offer."""


class EffectError(RequestError):
    """An effect, a parameter or a value that does not exist."""


class NotFound(RequestError):
    """A control, a scene, a graph or a job that does not exist."""


class Busy(RequestError):
    """Too much is waiting already."""


class FileError(StepEditError):
    """A file that cannot be read or written; the cause starts with its path."""

    @classmethod
    def of(cls, path: Path | str, cause: str, remedy: str = "") -> FileError:
        return cls(f"{path}: {cause}", remedy=remedy)


class ReadError(FileError):
    """A file that cannot be read as what it should be."""


class WriteError(FileError):
    """A file that could not be written; what was there before is untouched."""


class EngineError(StepEditError):
    """An engine could not do what it offers."""


class NothingToEdit(EngineError):
    """A recording with too little sound in it for the engine."""


class RenderError(StepEditError):
    """A node failed for a reason outside this tree; ``__cause__`` holds it."""


class StoreError(StepEditError):
    """The store's folder cannot be used."""


class Cancelled(StepEditError):
    """Stopped on request."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: the nearest known one, else the whole (short) list."""
    names = sorted(known)
    near = get_close_matches(word.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    if near:
        name = next(n for n in names if n.lower() == near[0])
        return f"Did you mean '{name}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {shown}." if names else ""
