"""What is asked of a session's render processes, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stepedit_fx.audio import Audio
from stepedit_fx.errors import StepEditError
from stepedit_fx.graph.controls import Value

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Request:
    """A render to files in the spool folder.

    source: the recording; None for the session's own. span_s: start and end in the recording,
    in seconds; None for all of it. owner: what the one who asks knows it by. note: any text; it
    comes back in the job and in its document, for who has to find where it belongs.
    """

    source: Path | None = None
    span_s: tuple[float, float] | None = None
    owner: Any = None
    note: str = ""


@dataclass(frozen=True)
class Rendered:
    """One file that a render wrote. start_s: on the timeline of the recording."""

    node: str
    path: Path
    start_s: float
    length_s: float
    sample_rate: int


@dataclass(frozen=True)
class Job:
    """A render as it stands; each change gives a new one.

    id: unique in the spool folder; files and the document ``<id>.json`` carry it. graph: its
    name. generation, values: what it is made with. error: why it failed.
    """

    id: str
    request: Request
    graph: str
    generation: int
    values: Mapping[str, Value] = field(repr=False)
    state: JobState = "waiting"
    files: tuple[Rendered, ...] = ()
    error: StepEditError | None = None


@dataclass(frozen=True)
class Heard:
    """The newest render of what somebody listens to. generation: of the values it is made with."""

    audio: Audio = field(repr=False)
    generation: int
