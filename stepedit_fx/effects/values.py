"""A parameter's value from data: a number, a switch, a choice, a path, or a curve over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepedit_fx.effects.chain import Path, Value
from stepedit_fx.effects.curves import (
    CURVE_KEYS,
    KEYFRAME_SHAPES,
    LFO_MAX_HZ,
    LFO_SHAPES,
    Curve,
    Keyframes,
    Lfo,
    Ramp,
)
from stepedit_fx.effects.table import EffectSpec, Param
from stepedit_fx.errors import did_you_mean

# A day: no audio is longer, and a keyframe beyond it is a slip of the keyboard.
_LAST_S = 86_400.0


@dataclass(frozen=True)
class ChainProblem:
    """One thing wrong in a chain's data, and where: (1, "Reverb", "room_size")."""

    path: Path
    message: str

    def __str__(self) -> str:
        parts = (f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path)
        place = "".join(parts).removeprefix(".")
        return f"{place}: {self.message}" if place else self.message


@dataclass
class Problems:
    """Gathers what is wrong, so that all of it can be said at once."""

    found: list[ChainProblem] = field(default_factory=list)

    def add(self, path: Path, message: str, remedy: str = "") -> None:
        self.found.append(ChainProblem(path, f"{message}. {remedy}" if remedy else message))


def read_value(
    spec: EffectSpec, param: Param, data: object, path: Path, problems: Problems
) -> Value | None:
    """The value for one parameter; None, and a problem more, where it is not one."""
    if param.kind == "switch":
        return _switch(param.name, data, path, problems)
    if param.kind in ("choice", "file"):
        return _word(param, data, path, problems)
    if not isinstance(data, Mapping):
        value = read_number(param.name, data, path, problems)
        if value is not None and not in_range(param, value, value, path, problems):
            return None
        return value
    curve = _curve(param, data, path, problems)
    if curve is None or not in_range(param, *curve.extent, path, problems):
        return None
    low, high = curve.extent
    if low == high:  # a curve that stands still is a number, and costs as little
        return low
    fixed = spec.whole or param.fixed
    if fixed:
        remedy = f"Give it one number{'' if spec.whole else ', or automate another parameter'}."
        problems.add(path, f"{spec.name}.{param.name} cannot change over time: {fixed}", remedy)
        return None
    return curve


def read_number(name: str, data: object, path: Path, problems: Problems) -> float | None:
    """A finite float from an int or a float; None, and a problem more, from anything else."""
    try:
        number = float(data) if isinstance(data, int | float) else math.nan
    except OverflowError:
        number = math.inf
    if isinstance(data, bool) or not math.isfinite(number):
        problems.add(path, f"{name} must be a number, got {shown(data)}")
        return None
    return number


def in_range(param: Param, low: float, high: float, path: Path, problems: Problems) -> bool:
    """Whether low to high lies in the parameter's range; a problem more where it does not."""
    unit = f" {param.unit}" if param.unit else ""
    reached = "got" if low == high else "the curve reaches"
    if low < param.low:
        message = f"{param.name} must be at least {param.low:g}{unit}, {reached} {low:g}"
    elif high > param.high:
        message = f"{param.name} must be at most {param.high:g}{unit}, {reached} {high:g}"
    else:
        return True
    problems.add(path, message)
    return False


def shown(data: object) -> str:
    """A value as a message shows it, cut where it is long."""
    text = f"'{data}'" if isinstance(data, str) else type(data).__name__
    if isinstance(data, bool | int | float):
        text = str(data).lower() if isinstance(data, bool) else f"{data}"[:40]
    return text if len(text) <= 60 else f"{text[:57]}...'"


def _switch(name: str, data: object, path: Path, problems: Problems) -> bool | None:
    if isinstance(data, bool):
        return data
    problems.add(path, f"{name} must be true or false, got {shown(data)}")
    return None


def _word(param: Param, data: object, path: Path, problems: Problems) -> str | None:
    if not isinstance(data, str) or not data or "\0" in data:
        wanted = "a path" if param.kind == "file" else f"one of {', '.join(param.choices)}"
        problems.add(path, f"{param.name} must be {wanted}, got {shown(data)}")
        return None
    if param.choices and data not in param.choices:
        message = f"{param.name} cannot be {shown(data)}"
        problems.add(path, message, did_you_mean(data, param.choices))
        return None
    return data


def _curve(param: Param, data: Mapping[Any, Any], path: Path, problems: Problems) -> Curve | None:
    before = len(problems.found)
    kinds = [kind for kind in CURVE_KEYS if kind in data]
    if len(kinds) != 1:
        forms = "{keyframes: [[0, ...], ...]}, {ramp: {...}} or {lfo: {...}}"
        problems.add(path, f"{param.name} must be a number or one of {forms}")
        return None
    kind = kinds[0]
    # Keyframes stand beside their shape; a ramp and an lfo hold their keys inside.
    if kind == "keyframes":
        fields, at = data, path
    else:
        _known_keys(data, [kind], path, problems)
        fields, at = data[kind], (*path, kind)
    if not isinstance(fields, Mapping):
        keys = ", ".join(CURVE_KEYS[kind])
        problems.add(at, f"{kind} must be a mapping with {keys}, got {shown(fields)}")
        return None
    _known_keys(fields, list(CURVE_KEYS[kind]), at, problems)
    for key, (_, required) in CURVE_KEYS[kind].items():
        if required and key not in fields:
            problems.add(at, f"{kind} needs '{key}'")
    if len(problems.found) > before:
        return None
    read = {"keyframes": _keyframes, "ramp": _ramp, "lfo": _lfo}[kind]
    curve: Curve | None = read(fields, at, problems)
    return curve if len(problems.found) == before else None


def _known_keys(
    data: Mapping[Any, Any], known: Sequence[str], path: Path, problems: Problems
) -> None:
    for key in data:
        if key not in known:
            problems.add((*path, str(key)), f"unknown key '{key}'", did_you_mean(str(key), known))


def _shape(data: object, shapes: Sequence[str], path: Path, problems: Problems) -> str:
    if isinstance(data, str) and data in shapes:
        return data
    message = f"shape cannot be {shown(data)}"
    problems.add(path, message, did_you_mean(str(data), shapes))
    return shapes[0]


def _keyframes(data: Mapping[str, Any], path: Path, problems: Problems) -> Keyframes | None:
    listed, at = data["keyframes"], (*path, "keyframes")
    shape = _shape(data.get("shape", "linear"), KEYFRAME_SHAPES, (*path, "shape"), problems)
    if not isinstance(listed, list | tuple) or not listed:
        problems.add(at, "keyframes must be a list of [seconds, value]")
        return None
    points: list[tuple[float, float]] = []
    for index, point in enumerate(listed):
        here = (*at, index)
        if not isinstance(point, list | tuple) or len(point) != 2:
            problems.add(here, f"a keyframe must be [seconds, value], got {shown(point)}")
            continue
        time_s = _limited("time", point[0], 0.0, _LAST_S, "s", (*here, 0), problems)
        value = read_number("value", point[1], (*here, 1), problems)
        if time_s is None or value is None:
            continue
        if points and time_s <= points[-1][0]:
            problems.add((*here, 0), f"keyframes must rise in time, {time_s:g} s is too early")
        points.append((time_s, value))
    return Keyframes(tuple(points), shape) if points else None


def _ramp(data: Mapping[str, Any], path: Path, problems: Problems) -> Ramp | None:
    first = read_number("from", data["from"], (*path, "from"), problems)
    last = read_number("to", data["to"], (*path, "to"), problems)
    start_s = _limited("start", data.get("start", 0), 0.0, _LAST_S, "s", (*path, "start"), problems)
    end_s = _limited("end", data["end"], 0.0, _LAST_S, "s", (*path, "end"), problems)
    if first is None or last is None or start_s is None or end_s is None:
        return None
    if end_s <= start_s:
        message = f"a ramp must end after it starts, got {start_s:g} to {end_s:g} s"
        problems.add((*path, "end"), message)
    return Ramp(first, last, start_s, end_s)


def _lfo(data: Mapping[str, Any], path: Path, problems: Problems) -> Lfo | None:
    shape = _shape(data.get("shape", "sine"), LFO_SHAPES, (*path, "shape"), problems)
    rate = _limited(
        "rate_hz", data["rate_hz"], 1e-4, LFO_MAX_HZ, "Hz", (*path, "rate_hz"), problems
    )
    center = read_number("center", data["center"], (*path, "center"), problems)
    depth = _limited("depth", data["depth"], 0.0, math.inf, "", (*path, "depth"), problems)
    phase = _limited("phase", data.get("phase", 0), 0.0, 1.0, "", (*path, "phase"), problems)
    seed = data.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        problems.add((*path, "seed"), f"seed must be a whole number from 0, got {shown(seed)}")
        return None
    if rate is None or center is None or depth is None or phase is None:
        return None
    return Lfo(shape, rate, center, depth, phase, seed)


def _limited(
    name: str, data: object, low: float, high: float, unit: str, path: Path, problems: Problems
) -> float | None:
    number = read_number(name, data, path, problems)
    limits = Param(name, "", low=low, high=high, unit=unit)
    if number is None or not in_range(limits, number, number, path, problems):
        return None
    return number
