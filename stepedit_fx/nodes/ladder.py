"""One edit at several depths, and a fader that goes up and down between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from stepedit_fx.audio import Audio, Sound
from stepedit_fx.errors import did_you_mean
from stepedit_fx.nodes.base import Context, Node, TagNode, param
from stepedit_fx.nodes.emotion import Emotion
from stepedit_fx.nodes.speed import Speed
from stepedit_fx.nodes.style import Style

EDITS: Mapping[str, type[TagNode]] = {cls.kind: cls for cls in (Emotion, Style, Speed)}
MAX_LEVELS = 5  # as many times as an edit may be applied
# What a ladder says of its edit itself.
_OWN = ("iterations", "seed", "bypass")


def _validated(data: object) -> TagNode:
    """The edit, or a ValidationError with every problem at its place inside the data."""
    if isinstance(data, TagNode):
        return data
    if not isinstance(data, Mapping) or len(data) != 1:
        raise ValueError("edit must be one edit, as {emotion: happy}")
    kind, body = next(iter(data.items()))
    if kind not in EDITS:
        raise _at((kind,), f"a ladder has no '{kind}'. {did_you_mean(str(kind), EDITS)}", data)
    fields = body if isinstance(body, Mapping) and "keyframes" not in body else {"value": body}
    for name in _OWN:
        if name in fields:
            raise _at((kind, name), f"the ladder sets '{name}' itself. Take it out.", data)
    try:
        return EDITS[kind].model_validate(fields, strict=True)
    except ValidationError as error:
        skipped = 0 if fields is body else 1  # a "value" that is not written
        found = [
            _again(one, (kind, *one["loc"][skipped:])) for one in error.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data(kind, found) from error


def _again(error: Any, path: tuple[Any, ...]) -> InitErrorDetails:
    """A problem of the edit as one of the ladder's."""
    if error["type"] == "value_error":
        return _detail(path, str(error["ctx"]["error"]), error["input"])
    return InitErrorDetails(
        type=error["type"], loc=path, input=error["input"], ctx=error.get("ctx", {})
    )


def _at(path: tuple[Any, ...], message: str, data: object) -> ValidationError:
    return ValidationError.from_exception_data("edit", [_detail(path, message, data)])


def _detail(path: tuple[Any, ...], message: str, data: object) -> InitErrorDetails:
    kind = PydanticCustomError("value_error", "{error}", {"error": message})
    return InitErrorDetails(type=kind, loc=path, input=data)


def _data(edit: TagNode) -> dict[str, Any]:
    return {edit.kind: edit.model_dump(mode="json", exclude=set(_OWN))}


_Edit = Annotated[
    TagNode,
    PlainValidator(_validated),
    PlainSerializer(_data),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {kind: {} for kind in EDITS},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }
    ),
]


class Ladder(Node):
    """Render an edit at levels 0 (the source) to N once, and choose between them by a fader."""

    kind = "ladder"
    code_version = 2
    takes = Audio
    gives = Audio
    cost_s = 0.05

    edit: _Edit = param(help="The edit that deepens: {emotion: happy}.", live=False)
    levels: int = param(
        4, ge=1, le=MAX_LEVELS, help="How many there are; level n is the edit n times.", live=False
    )
    position: float = param(
        1.0, ge=0, le=MAX_LEVELS, help="Which is heard, also between two: 0 the source."
    )
    bypass: bool = param(False, help="Pass the source through unchanged.")
    seed: int = param(0, ge=0, le=2**31 - 1, help="Seed of every random choice.", live=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            edit: TagNode | Mapping[str, Any],
            levels: int = 4,
            position: float = 1.0,
            bypass: bool = False,
            seed: int = 0,
        ) -> None: ...

    @model_validator(mode="after")
    def _is_on_the_ladder(self) -> Ladder:
        if self.position > self.levels:
            raise ValueError(f"position {self.position:g} is above the top level, {self.levels}")
        return self

    def branches(self) -> tuple[Node, ...]:
        """The edit of every level but 0, which is the source."""
        return tuple(
            self.edit.model_copy(update={"iterations": level, "seed": self.seed})
            for level in range(1, self.levels + 1)
        )

    def limits(self, field: str) -> dict[str, float]:
        return {"le": float(self.levels)} if field == "position" else {}

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """The sound at the position. inputs: every level's, from 0."""
        level, share = divmod(self.position, 1.0)
        lower: Audio = inputs[int(level)]
        if share == 0:
            return lower
        from stepedit_fx.nodes.morph import between

        return between(lower, inputs[int(level) + 1], share)

    def run_long(self, inputs: Sequence[Sound], context: Context) -> Sound:
        """As `run`; a level itself is not held, what lies between two is."""
        return (
            inputs[int(self.position)]
            if self.position % 1 == 0
            else super().run_long(inputs, context)
        )
