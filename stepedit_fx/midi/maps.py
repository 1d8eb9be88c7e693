"""A MIDI map: which control turns what. Frozen; `reading` makes one from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from stepedit_fx.errors import Problem, did_you_mean
from stepedit_fx.graph.controls import ROOT, Control, Controls
from stepedit_fx.graph.tree import Mark
from stepedit_fx.midi.curves import Travel
from stepedit_fx.midi.sources import Source

SMOOTH_MS = 20.0
# One step of an endless encoder, as a share of the whole travel: as coarse as a 7-bit knob.
STEP = 1 / 127

MODES: Mapping[str, str] = MappingProxyType(
    {
        "absolute": "the value is where the control stands; of a switch, 64 and up is on",
        "toggle": "each press goes to the other end of the range",
        "momentary": "the range's second value while it is held, else its first",
        "trigger": "each press acts, or sets the range's second value",
    }
)


@dataclass(frozen=True)
class Action:
    """A target that is no parameter. scenes: how many it names, least and most."""

    help: str
    mode: str = "trigger"
    scenes: tuple[int, int] = (0, 0)
    needs_range: bool = False


ACTIONS: Mapping[str, Action] = MappingProxyType(
    {
        f"{ROOT}/scene/recall": Action(
            "recall a scene; of several, the one the control's value picks", scenes=(1, 128)
        ),
        f"{ROOT}/scene/store": Action("store the values as a scene", scenes=(1, 128)),
        f"{ROOT}/scene/morph": Action(
            "go between two scenes", mode="absolute", scenes=(2, 2)
        ),
        f"{ROOT}/transport/play": Action("play"),
        f"{ROOT}/transport/stop": Action("stop"),
        f"{ROOT}/transport/locate": Action(
            "go to a time; range is in seconds", mode="absolute", needs_range=True
        ),
        f"{ROOT}/transport/loop": Action("loop or not", mode="toggle"),
        f"{ROOT}/render": Action("render to a file in the spool folder"),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One mapping of a map.

    range: in the target's own unit, the value at the control's lowest place first; None: the
    target's own range. curve: None: the target's own. mode: None: what suits the target. steps:
    how many values the curve steps has. step: how far one step of an endless encoder goes, as a
    share of the travel. scenes: names, for the scene targets. mark: where it stands in its file.
    """

    source: Source
    target: str
    range: tuple[float, float] | None = None
    curve: str | None = None
    steps: int | None = None
    takeover: str = "pickup"
    mode: str | None = None
    smooth_ms: float = SMOOTH_MS
    step: float = STEP
    feedback: bool = True
    scenes: tuple[str, ...] = ()
    mark: Mark = field(default=Mark(""), compare=False, repr=False)

    @property
    def action(self) -> Action | None:
        """What it does, where its target is no parameter."""
        return ACTIONS.get(self.target)

    def travel(self, control: Control | None) -> Travel:
        """How the control's way maps to values of its target."""
        low, high = (control.low, control.high) if control else (0.0, 1.0)
        count, curve = 2, "linear"
        if self.picks_scenes:
            count, high, curve = len(self.scenes), len(self.scenes) - 1.0, "steps"
        if control is not None and control.kind in ("choice", "switch"):
            count = len(control.choices) or 2
            low, high, curve = 0.0, count - 1.0, "steps"
        elif control is not None and self._fits_log(control):
            curve = control.curve
        first, last = self.range or (low, high)
        if self.steps is None and control is not None and control.kind in ("choice", "whole"):
            count = round(abs(last - first)) + 1
        return Travel(first, last, self.curve or curve, self.steps or count)

    @property
    def picks_scenes(self) -> bool:
        """Whether its value says which of its scenes is meant."""
        return self.action is not None and self.action.mode == "trigger" and len(self.scenes) > 1

    def mode_for(self, control: Control | None) -> str:
        """Its mode, or what suits its target."""
        if self.mode or self.action is None or self.picks_scenes:
            return self.mode or "absolute"
        return self.action.mode

    def _fits_log(self, control: Control) -> bool:
        return control.curve == "log" and min(self.range or (control.low, control.high)) > 0


@dataclass(frozen=True)
class Port:
    """The port a map asks for. name: None: the first there is. backend: None: what works."""

    name: str | None = None
    virtual: bool = False
    backend: str | None = None


@dataclass(frozen=True)
class MidiMap:
    """A whole map. file: where learned mappings go, None: nowhere."""

    entries: tuple[Entry, ...] = ()
    port: Port = Port()
    defaults: Entry | None = None
    file: Path | None = None

    def with_entry(self, entry: Entry) -> MidiMap:
        """The map with one mapping in place of those of its target; for one that has no file."""
        kept = tuple(e for e in self.entries if e.target != entry.target)
        return replace(self, entries=(*kept, entry))

    def problems(self, controls: Controls) -> list[Problem]:
        """What of it does not fit a graph, in file order."""
        return [problem for entry in self.entries for problem in entry_problems(entry, controls)]

    def conflicts(self) -> list[Problem]:
        """Mappings that one movement turns both; that may be meant, so they are no problems."""
        found = []
        for index, entry in enumerate(self.entries):
            for other in self.entries[:index]:
                if entry.source.overlaps(other.source):
                    message = f"{entry.source} turns {other.target} too (line {other.mark.line})"
                    found.append(entry.mark.problem(message))
        return found


def entry_problems(entry: Entry, controls: Controls) -> list[Problem]:
    """What of one mapping does not fit a graph."""
    if entry.action is not None:
        return []
    if entry.target not in controls:
        known = [*controls, *ACTIONS]
        message = f"there is no '{entry.target}' in the graph. {did_you_mean(entry.target, known)}"
        return [entry.mark.problem(message)]
    control = controls[entry.target]
    if control.kind == "text":
        return [entry.mark.problem(f"{entry.target} is a text, which no control can turn")]
    if entry.curve == "steps" and entry.steps is None and control.kind == "number":
        return [entry.mark.problem(f"{entry.target}: the curve steps needs steps, as steps: 5")]
    if entry.curve == "log" and entry.range is None and control.low <= 0:
        return [entry.mark.problem(f"{entry.target}: the curve log needs a range over 0")]
    if entry.range is None:
        return []
    low, high = control.low, control.high
    if control.kind == "choice":
        low, high = 0.0, len(control.choices) - 1.0
    elif control.kind == "switch":
        low, high = 0.0, 1.0
    if min(entry.range) < low or max(entry.range) > high:
        first, last = entry.range
        unit = f" {control.unit}" if control.unit else ""
        message = f"{entry.target} goes from {low:g} to {high:g}{unit}, not {first:g} to {last:g}"
        return [entry.mark.problem(message)]
    return []
