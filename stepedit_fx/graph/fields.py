"""A node's fields checked, with what is wrong said in plain words at its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stepedit_fx.errors import Problem, did_you_mean
from stepedit_fx.graph.tree import Map, locate, plain

Model = TypeVar("Model", bound=BaseModel)

# pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/) in plain
# words; {name} is the field, {got} what was written, the rest pydantic's own context.
_WORDS: Mapping[str, str] = {
    "greater_than_equal": "{name} must be at least {ge}, got {got}",
    "greater_than": "{name} must be over {gt}, got {got}",
    "less_than_equal": "{name} must be at most {le}, got {got}",
    "less_than": "{name} must be under {lt}, got {got}",
    "float_type": "{name} must be a number, got {got}",
    "float_parsing": "{name} must be a number, got {got}",
    "finite_number": "{name} must be a finite number, got {got}",
    "int_type": "{name} must be a whole number, got {got}",
    "int_parsing": "{name} must be a whole number, got {got}",
    "int_from_float": "{name} must be a whole number, got {got}",
    "bool_type": "{name} must be true or false, got {got}",
    "bool_parsing": "{name} must be true or false, got {got}",
    "string_type": "{name} must be a text, got {got}. Put it in quotes.",
    "list_type": "{name} must be a list, got {got}",
    "tuple_type": "{name} must be a list, got {got}",
    "dict_type": "{name} must be a mapping, got {got}",
    "model_type": "{name} must be a mapping, got {got}",
    "literal_error": "{name} must be {expected}, got {got}",
    "enum": "{name} must be {expected}, got {got}",
    "too_short": "{name} needs at least {min_length} items, got {actual_length}",
    "too_long": "{name} takes at most {max_length} items, got {actual_length}",
}


def build(
    model: type[Model], what: str, fields: Map, extra: Mapping[str, Any], problems: list[Problem]
) -> Model | None:
    """The model made of a mapping's values, or None with its problems added.

    what: the model's name in messages. extra: values that were not written.
    """
    data = {**extra, **plain(fields)}
    try:
        # As JSON and strictly: lists may be tuples, but "0.5" is no number and 1 no boolean.
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            problems.append(_problem(model, what, fields, problem))
        return None


def _problem(model: type[BaseModel], what: str, fields: Map, error: Any) -> Problem:
    loc: tuple[int | str, ...] = tuple(error["loc"])
    place = locate(fields, loc)
    name = ".".join(str(step) for step in loc) or what
    if error["type"] == "extra_forbidden":
        mark = fields.key_mark(str(loc[-1])) if len(loc) == 1 else place.mark
        known = list(model.model_fields) if len(loc) == 1 else []
        remedy = did_you_mean(str(loc[-1]), known) or "Take it out."
        return mark.problem(f"{what} has no '{name}'. {remedy}")
    if error["type"] == "missing":
        return place.mark.problem(f"{what} needs '{name}'")
    if error["type"] == "value_error":
        return place.mark.problem(str(error["ctx"]["error"]))
    words = _WORDS.get(error["type"])
    if words is None:
        return place.mark.problem(f"{name}: {error['msg']}, got {_shown(error['input'])}")
    context = {key: _number(value) for key, value in error.get("ctx", {}).items()}
    return place.mark.problem(words.format(name=name, got=_shown(error["input"]), **context))


def _number(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value


def _shown(value: object) -> str:
    """A value as its writer would know it again."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value if len(value) <= 60 else value[:57] + '...'}'"
    return str(_number(value))
