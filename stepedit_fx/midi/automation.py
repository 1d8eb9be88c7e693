"""A MIDI file as automation of a graph: ``--set`` texts, so that all else works as without MIDI.

A parameter of an effect that may change over time gets keyframes, and so does the strength or the
tag of a speech edit. Everything else has one value for a whole render, so it may be set at the
file's start and not later.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.effects.curves import Keyframes
from stepedit_fx.errors import GraphError, RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import Control, Controls, Value, controls_of, with_values
from stepedit_fx.midi.binding import Bound, as_number
from stepedit_fx.midi.curves import Travel
from stepedit_fx.midi.decode import Moved
from stepedit_fx.midi.files import read_moves
from stepedit_fx.midi.maps import MidiMap
from stepedit_fx.midi.sources import TOP_7_BIT
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.keyframes import At
from stepedit_fx.nodes.keyframes import Keyframes as EditKeyframes

logger = logging.getLogger(__name__)

Numbers = NDArray[np.float64]

START_S = 0.01  # what is sent this early is meant for the start: a tick or two late is usual
# A control that rests longer than this stands still until it moves again, then jumps.
REST_S = 0.05
JUMP_S = 0.001  # a jump is drawn this steep; every curve is smoothed over 20 ms anyway
TOLERANCE = 0.5 / TOP_7_BIT  # of the travel: half a step of a 7-bit controller
MAX_POINTS = 10_000
_DIGITS = 6


def automation_sets(graph: Graph, midi: Path, map: MidiMap) -> tuple[str, ...]:
    """What to ``--set`` on a graph so that it moves as a MIDI file says, through a map.

    Times count from the start of the recording. Raises ReadError, RequestError (naming the node
    where something that cannot change over time does), GraphError for a map that does not fit.
    """
    controls = controls_of(graph)
    problems = map.problems(controls)
    if problems:
        raise GraphError(problems)
    tracks = _tracks(controls, read_moves(midi), map)
    if not tracks:
        logger.warning("%s: nothing in it is mapped; the graph stays as it is", midi)
    changes: dict[str, Any] = {}
    for address, track in tracks.items():
        control, travel = controls[address], track.travel
        if control.is_smooth:
            changes[address] = _keyframes(control, travel, track, midi)
        elif control.is_keyed:
            changes[address] = _edit_keyframes(control, travel, track, midi)
        else:
            changes[address] = _static(control, track, midi)
    return _as_sets(graph, changes)


class _Track:
    """What one parameter goes through: (t_s, number), times rising, from its own value at 0."""

    def __init__(self, number: float, travel: Travel) -> None:
        self.points: list[tuple[float, float]] = [(0.0, number)]
        self.travel = travel

    def add(self, time_s: float, number: float) -> None:
        if time_s <= self.points[-1][0] or (time_s <= START_S and len(self.points) == 1):
            self.points[-1] = (self.points[-1][0], number)
        else:
            self.points.append((time_s, number))


def _tracks(
    controls: Controls, moves: list[tuple[float, Moved]], map: MidiMap
) -> Mapping[str, _Track]:
    """The parameters that are moved. A file is no hand: takeover does not come into it."""
    bounds = [
        Bound(replace(entry, takeover="jump"), controls.by_address.get(entry.target))
        for entry in map.entries
    ]
    passed_over: set[str] = set()
    tracks: dict[str, _Track] = {}
    standing = {key: as_number(controls[key], value) for key, value in controls.initial.items()
                if controls[key].kind != "text"}  # fmt: skip
    for time_s, move in moves:
        for bound in bounds:
            if not bound.hears(move):
                continue
            address, control = bound.entry.target, bound.control
            if control is None:
                passed_over.add(address)
                continue
            bound.seen(standing[address])
            number = bound.moved(move)
            if number is None:
                continue
            number = as_number(control, control.checked(number))
            track = tracks.setdefault(address, _Track(standing[address], bound.travel))
            track.add(time_s, number)
            bound.number = standing[address] = number
    for address in sorted(passed_over):
        logger.warning("%s means nothing in a MIDI file that is rendered", address)
    return tracks


def _static(control: Control, track: _Track, midi: Path) -> Value:
    """The value at the start. Raises RequestError where it changes later."""
    first = track.points[0][1]
    change = next(((t, n) for t, n in track.points if n != first), None)
    if change is not None:
        raise RequestError(
            f"{midi}: {control.address} is moved at {change[0]:.2f} s, and has one value for a "
            "whole render",
            remedy="Move it at the start only, leave it out of the map, or automate a parameter "
            "of an effect.",
            node=control.node,
        )
    return control.checked(first)


def _keyframes(control: Control, travel: Travel, track: _Track, midi: Path) -> Keyframes | Value:
    points = _thinned(control, travel, track, midi)
    if len({number for _, number in points}) == 1:
        return control.checked(points[0][1])
    return Keyframes(tuple(points))


def _edit_keyframes(
    control: Control, travel: Travel, track: _Track, midi: Path
) -> EditKeyframes | Value:
    """A speech edit's strength as it moves, or its tags from where each is chosen."""
    points: list[tuple[At, float | str]]
    if control.kind == "choice":
        points = [(round(t, _DIGITS), str(control.checked(n))) for t, n in track.points]
        points = [p for n, p in enumerate(points) if n == 0 or p[1] != points[n - 1][1]]
    else:
        points = list(_thinned(control, travel, track, midi))
    if len({value for _, value in points}) == 1:
        return control.checked(points[0][1])
    return EditKeyframes(tuple(points))


def _thinned(
    control: Control, travel: Travel, track: _Track, midi: Path
) -> list[tuple[float, float]]:
    """The points that are needed to draw a track. Raises RequestError for too many."""
    times, numbers = (np.array(side) for side in zip(*_drawn(track.points), strict=True))
    kept = simplified(times, numbers, travel)
    if len(kept) > MAX_POINTS:
        raise RequestError(
            f"{midi}: {control.address} would need {len(kept)} keyframes, more than {MAX_POINTS}",
            remedy="Render it in parts, or thin the automation out.",
            node=control.node,
        )
    points: list[tuple[float, float]] = []
    for time_s, number in zip(times[kept].tolist(), numbers[kept].tolist(), strict=True):
        within = min(max(float(f"{number:.{_DIGITS}g}"), control.low), control.high)
        if not points or round(time_s, _DIGITS) > points[-1][0]:
            points.append((round(time_s, _DIGITS), within))
    return points


def _drawn(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points with those that a line between them needs: before a jump, the value until then."""
    drawn = points[:1]
    for (before_s, before), (time_s, number) in pairwise(points):
        rest_s = time_s - before_s
        if rest_s > REST_S or (before_s == 0.0 and rest_s > JUMP_S):
            drawn.append((time_s - JUMP_S, before))
        drawn.append((time_s, number))
    return drawn


def simplified(times: Numbers, numbers: Numbers, travel: Travel) -> NDArray[np.int64]:
    """Which points to keep, so that lines between them stay within TOLERANCE of the travel.

    Ramer-Douglas-Peucker, with the distance measured along the control's travel at each point.
    """
    places = travel.positions(numbers)
    keep = np.zeros(len(times), dtype=bool)
    keep[[0, -1]] = True
    waiting = [(0, len(times) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        line = np.interp(times[inner], times[[first, last]], numbers[[first, last]])
        off = np.abs(travel.positions(line) - places[inner])
        worst = int(np.argmax(off))
        if off[worst] > TOLERANCE:
            middle = first + 1 + worst
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    return np.flatnonzero(keep)


def _as_sets(graph: Graph, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts that turn a graph into what it is with these values.

    An effect's parameter is set with the whole top-level effect it is in: however that is
    written (a bare word, a Mix), its place in the chain is there to be set.
    """
    # `with_values` puts what it is given where it belongs, and a curve belongs there as well.
    changed = with_values(graph, cast(Mapping[str, Value], changes))
    sets = []
    for node_id, spec in changed.nodes.items():
        old, new = graph.nodes[node_id].node, spec.node
        for name in type(new).model_fields:
            before, after = getattr(old, name), getattr(new, name)
            if before == after:
                continue
            if isinstance(new, Effects) and isinstance(old, Effects) and name == "chain":
                items = zip(old.chain.items, new.chain.items, strict=True)
                sets += [
                    f"{node_id}.chain.{index}={_text(item.data())}"
                    for index, (was, item) in enumerate(items)
                    if was != item
                ]
            else:
                sets.append(f"{node_id}.{name}={_text(after)}")
    return tuple(sets)


def _text(value: object) -> str:
    """A value as YAML on one line, which JSON is."""
    plain = value.data() if isinstance(value, EditKeyframes) else value
    return json.dumps(plain, ensure_ascii=False)
