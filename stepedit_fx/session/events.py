"""What a session tells those who listen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stepedit_fx.errors import StepEditError
from stepedit_fx.graph.controls import Value
from stepedit_fx.session.jobs import Job


@dataclass(frozen=True)
class Opened:
    """Another graph stands open: every address and value may be another."""

    graph: str
    generation: int


@dataclass(frozen=True)
class Changed:
    """Controls were set, together. values: by address, as they now stand (clamped).

    origin: what the one who set them called itself, so that it need not act on its own echo.
    """

    generation: int
    values: Mapping[str, Value]
    origin: str = ""


@dataclass(frozen=True)
class Scene:
    """A scene was stored or deleted."""

    name: str
    stored: bool


@dataclass(frozen=True)
class Progressed:
    """A render got further. fraction: of its work, 0 to 1. step: the id of what it does now."""

    job: Job
    fraction: float
    step: str


@dataclass(frozen=True)
class Finished:
    """A render ended: done, failed or cancelled, as its job's state says. Its last event."""

    job: Job


@dataclass(frozen=True)
class TransportState:
    """What is played: whether, where (seconds on the source's timeline), how long it is."""

    playing: bool
    position_s: float
    length_s: float
    loop: bool
    xruns: int


@dataclass(frozen=True)
class Trouble:
    """Something went wrong that nobody waits for: what is heard stays as it was."""

    error: StepEditError


Event = Opened | Changed | Scene | Progressed | Finished | TransportState | Trouble
