"""Fields of speech edits that change over the source's time: keyframes in seconds or at words.

``strength: [[0, 0], [4.2, 1]]`` moves straight from point to point and is held before the first
and after the last; ``value: [[0, happy], [4.2, sad]]`` holds from its point on. In place of the
seconds may stand what is said there: ``[["wonderful", 1]]`` is "from 'wonderful' on", and nothing
before it; ``"wonderful#2"`` is the second time that it is said. ``{keyframes: [...], shape: hold}``
is the long form, as effects have it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from stepedit_fx.errors import RequestError, did_you_mean
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words

SHAPES = ("linear", "hold", "smooth")
MAX_POINTS = 10_000
# What begins at a word is there within this, from the word's start: no frame before is touched.
STEP_S = 0.05
SMOOTH_PARTS = 8  # straight pieces of a smooth rise; off its cosine by at most 0.5 %
_DIGITS = 6  # of seconds: microseconds, so that equal stretches have equal times

At = float | str
Line = tuple[tuple[float, float], ...]
Holds = tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Keyframes:
    """Numbers or tags over time: (second or words, what holds there), in order of time.

    shape: how a number comes to its point: linear, hold (the one before is held until there) or
    smooth (raised cosine). At words, and for tags, it is always hold.
    """

    points: tuple[tuple[At, float | str], ...]
    shape: str = "linear"

    @property
    def has_words(self) -> bool:
        return any(isinstance(at, str) for at, _ in self.points)

    @property
    def is_tags(self) -> bool:
        return isinstance(self.points[0][1], str)

    @property
    def start(self) -> float | str:
        """What holds at the start: nothing, where a number begins at a word."""
        at, first = self.points[0]
        return 0.0 if isinstance(at, str) and not isinstance(first, str) else first

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, each once, in order."""
        return tuple(dict.fromkeys(str(value) for _, value in self.points))

    def data(self) -> list[list[Any]] | dict[str, Any]:
        """As it is written in a graph file."""
        points = [list(point) for point in self.points]
        return points if self.shape == "linear" else {"keyframes": points, "shape": self.shape}

    def __str__(self) -> str:
        """In a few characters, for pictures and lists."""
        values = [v if isinstance(v, str) else f"{v:g}" for _, v in self.points]
        return "›".join(values if len(values) <= 3 else [values[0], "…", values[-1]])

    def resolved(self, transcript: Transcript) -> Keyframes:
        """The same in seconds: numbers as straight lines, tags as they hold.

        Raises RequestError for words that the transcript has not, has no times for, or has in
        another order.
        """
        times = [_second(at, transcript) for at, _ in self.points]
        for (earlier, later), (one, other) in zip(
            pairwise(times), pairwise(self.points), strict=True
        ):
            if later <= earlier:
                raise RequestError(
                    f"keyframes must be in order of time: {_named(other[0])} ({later:g} s) does "
                    f"not come after {_named(one[0])} ({earlier:g} s)",
                    remedy="Swap them, or say which time a word is meant ('word#2').",
                )
        if self.is_tags:
            return Keyframes(tuple(zip(times, (v for _, v in self.points), strict=True)))
        return Keyframes(_line(self, times))

    def within(self, start_s: float, end_s: float) -> Keyframes | float | str:
        """What holds from start_s to end_s, counted from there; one value where nothing changes.

        Of resolved ones only.
        """
        times = [float(at) for at, _ in self.points]
        inner = [
            (round(t - start_s, _DIGITS), value)
            for t, (_, value) in zip(times, self.points, strict=True)
            if start_s < t < end_s
        ]
        if self.is_tags:
            holding = self.points[max(bisect_right(times, start_s) - 1, 0)][1]
            found = [(0.0, holding), *inner]
        else:
            ends = (self._number_at(start_s), self._number_at(end_s))
            last = (round(end_s - start_s, _DIGITS), ends[1])
            found = [(0.0, ends[0]), *inner, last]
            found = [p for p, q in pairwise(found) if p[0] < q[0]] + [last]
        if len({value for _, value in found}) == 1:
            return found[0][1]
        return Keyframes(tuple(found))

    def from_on(self, start_s: float) -> Keyframes:
        """The numbers with nothing before start_s."""
        end_s = start_s + STEP_S
        later = [(at, v) for at, v in self.points if float(at) > end_s]
        return Keyframes(((start_s, 0.0), (end_s, self._number_at(end_s)), *later))

    def _number_at(self, second: float) -> float:
        times = [float(at) for at, _ in self.points]
        numbers = [float(value) for _, value in self.points]
        after = bisect_right(times, second)
        if after in (0, len(times)):
            return numbers[min(after, len(times) - 1)]
        share = (second - times[after - 1]) / (times[after] - times[after - 1])
        return numbers[after - 1] + share * (numbers[after] - numbers[after - 1])


def _line(keyframes: Keyframes, times: Sequence[float]) -> Line:
    """Numbers as points between which everything is straight."""
    out: list[tuple[float, float]] = []
    for n, (at, value) in enumerate(keyframes.points):
        time_s, number = times[n], float(value)
        steps = isinstance(at, str) or (keyframes.shape == "hold" and n > 0)
        before = out[-1][1] if out else 0.0
        if steps:
            next_s = times[n + 1] if n + 1 < len(times) else math.inf
            if not out or out[-1][0] < time_s:
                out.append((time_s, before))
            out.append((min(time_s + STEP_S, next_s), number))
            continue
        if keyframes.shape == "smooth" and out:
            before_s = out[-1][0]
            for part in range(1, SMOOTH_PARTS):
                eased = 0.5 - 0.5 * math.cos(math.pi * part / SMOOTH_PARTS)
                at_s = before_s + (time_s - before_s) * part / SMOOTH_PARTS
                out.append((at_s, before + (number - before) * eased))
        if out and out[-1][0] >= time_s:  # a step that ends just here
            out.pop()
        out.append((time_s, number))
    return tuple((round(t, _DIGITS), number) for t, number in out)


def _second(at: At, transcript: Transcript) -> float:
    """When it is: seconds as they are, words where they start."""
    if not isinstance(at, str):
        return at
    said, number = _parsed(at)
    if not transcript:
        raise RequestError(
            f"a keyframe is at {_named(at)}, and what is said is not known",
            remedy="Put a transcript beside the recording, or give the keyframe in seconds.",
        )
    spoken = [(word, one) for one in transcript.words for word in split_words(one.text.lower())]
    if not spoken:
        raise RequestError(
            f"a keyframe is at {_named(at)}, and the transcript has no times",
            remedy="Run `stepedit-fx align` on it, or give the keyframe in seconds.",
        )
    found = _occurrences(said, spoken)
    if len(found) < number:
        what = "is not said" if not found else f"is said {len(found)} times, not {number}"
        remedy = did_you_mean(" ".join(said), {word for word, _ in spoken}) if not found else ""
        raise RequestError(f"a keyframe is at {_named(at)}, which {what}", remedy=remedy)
    return found[number - 1].start_s


def _occurrences(said: Sequence[str], spoken: Sequence[tuple[str, Word]]) -> list[Word]:
    words = [word for word, _ in spoken]
    length = len(said)
    return [spoken[n][1] for n in range(len(words)) if words[n : n + length] == list(said)]


def _parsed(at: str) -> tuple[list[str], int]:
    """The words of "what a wonderful#2", and which time they are meant."""
    text, mark, number = at.rpartition("#")
    if mark and number.isdecimal():
        return split_words(text.lower()), int(number)
    return split_words(at.lower()), 1


def _named(at: At) -> str:
    return f"'{at}'" if isinstance(at, str) else f"{at:g} s"


# Reading them, with every problem at its place.

_Problems = list[tuple[tuple[int | str, ...], str]]


def read_keyframes(
    data: object, check: Callable[[object], str], *, shapes: bool
) -> tuple[Keyframes | None, _Problems]:
    """Keyframes from their data form, and what is wrong with it, each with its path inside.

    check: says what is wrong with one value, "" if nothing. shapes: whether they have one.
    """
    problems: _Problems = []
    path: tuple[int | str, ...] = ()
    shape = "linear"
    if isinstance(data, Mapping):
        known = ("keyframes", "shape") if shapes else ("keyframes",)
        problems += [
            ((str(key),), f"keyframes have no '{key}'. {did_you_mean(str(key), known)}")
            for key in data
            if key not in known
        ]
        shape = data.get("shape", "linear")
        if shapes and shape not in SHAPES:
            problems.append((("shape",), f"shape must be one of {', '.join(SHAPES)}, got {shape}"))
        data, path = data.get("keyframes"), ("keyframes",)
    if not isinstance(data, list | tuple) or not 0 < len(data) <= MAX_POINTS:
        message = f"keyframes are 1 to {MAX_POINTS} points: [[seconds or words, value], ...]"
        return None, [*problems, (path, message)]
    points = []
    before = -math.inf
    for n, point in enumerate(data):
        wrong = _wrong_with(point, before, check)
        if wrong:
            problems.append(((*path, n, *wrong[0]), wrong[1]))
            continue
        at, value = point
        points.append((at if isinstance(at, str) else float(at), _as_read(value)))
        before = before if isinstance(at, str) else float(at)
    return (None if problems else Keyframes(tuple(points), shape)), problems


def _as_read(value: Any) -> float | str:
    return value if isinstance(value, str) else float(value)


def _wrong_with(
    point: object, before: float, check: Callable[[object], str]
) -> tuple[tuple[int | str, ...], str] | None:
    if not isinstance(point, list | tuple) or len(point) != 2:
        return (), "a keyframe is [seconds or words, value]"
    at, value = point
    if isinstance(at, str):
        said, number = _parsed(at)
        if not said or number < 1:
            return (0,), f"a keyframe's place is seconds or words, got '{at}'"
    elif isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < math.inf:
        return (0,), f"a keyframe's place is seconds from 0 on, or words, got {at!r}"
    elif at <= before:
        return (0,), f"the seconds of keyframes must rise: {at:g} comes after {before:g}"
    wrong = check(value)
    return ((1,), wrong) if wrong else None


def _validated(data: object, check: Callable[[object], str], shapes: bool) -> Keyframes:
    read, problems = read_keyframes(data, check, shapes=shapes)
    if read is not None:
        return read
    # "value_error" is what pydantic calls a validator's own words; faces show them as they are.
    raise ValidationError.from_exception_data(
        "keyframes",
        [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{error}", {"error": message}),
                loc=path,
                input=data,
            )
            for path, message in problems
        ],
    )


_PLACE = {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}


def _schema(value: dict[str, Any], shapes: bool) -> dict[str, Any]:
    """The JSON Schema of one value, or keyframes of such."""
    point = {"type": "array", "prefixItems": [_PLACE, value], "minItems": 2, "maxItems": 2}
    points = {"type": "array", "items": point, "minItems": 1, "maxItems": MAX_POINTS}
    properties: dict[str, Any] = {"keyframes": points}
    if shapes:
        properties["shape"] = {"enum": list(SHAPES)}
    long_form = {
        "type": "object",
        "properties": properties,
        "required": ["keyframes"],
        "additionalProperties": False,
    }
    return {"anyOf": [value, points, long_form]}


@dataclass(frozen=True)
class NumberOverTime:
    """Marks a field that is a number from ge to le, or keyframes of such."""

    ge: float
    le: float

    def check(self, value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"a keyframe's value must be a number, got {value!r}"
        if not self.ge <= value <= self.le:
            return f"a keyframe's value must be from {self.ge:g} to {self.le:g}, got {value:g}"
        return ""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return _core_schema(
            core_schema.float_schema(ge=self.ge, le=self.le, allow_inf_nan=False), self.check, True
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return _schema({"type": "number", "minimum": self.ge, "maximum": self.le}, True)


@dataclass(frozen=True)
class TagOverTime:
    """Marks a field that is a tag, or keyframes of tags."""

    def check(self, value: object) -> str:
        return "" if isinstance(value, str) else f"a keyframe's value must be a tag, got {value!r}"

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return _core_schema(core_schema.str_schema(), self.check, False)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return _schema({"type": "string"}, False)


def _core_schema(alone: CoreSchema, check: Callable[[object], str], shapes: bool) -> CoreSchema:
    def read(data: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(data, Keyframes):
            return data
        if isinstance(data, list | tuple | Mapping):
            return _validated(data, check, shapes)
        return handler(data)

    def write(value: Any) -> Any:
        return value.data() if isinstance(value, Keyframes) else value

    return core_schema.no_info_wrap_validator_function(
        read, alone, serialization=core_schema.plain_serializer_function_ser_schema(write)
    )


Strength = Annotated[float | Keyframes, NumberOverTime(0, 1)]
Tag = Annotated[str | Keyframes, TagOverTime()]
# What may be written for one in Python.
AnyStrength = float | Keyframes | Sequence[tuple[At, float]]
AnyTag = str | Keyframes | Sequence[tuple[At, str]]
