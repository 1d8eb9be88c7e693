"""Values of a graph file, each with the place where it was written."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from stepedit_fx.errors import GraphError, Problem

ScalarValue = bool | int | float | str | None


@dataclass(frozen=True)
class Mark:
    """Where something was written: a file with line and column from 1, or an option's text."""

    file: str
    line: int = 0
    column: int = 0

    def problem(self, message: str) -> Problem:
        return Problem(message, self.file, self.line, self.column)


@dataclass(frozen=True)
class Scalar:
    """None, a bool, an int, a finite float or a string."""

    value: ScalarValue
    mark: Mark
    size: int = 1
    depth: int = 1


@dataclass(frozen=True)
class Seq:
    """A list. size, depth: values in it, itself included, and how deep they nest."""

    items: tuple[Tree, ...]
    mark: Mark
    size: int = field(init=False)
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(item.size for item in self.items))
        object.__setattr__(self, "depth", 1 + max((i.depth for i in self.items), default=0))


@dataclass(frozen=True)
class Map:
    """A mapping with string keys, each with the mark of its key."""

    items: tuple[tuple[str, Mark, Tree], ...]
    mark: Mark
    size: int = field(init=False)
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", 1 + sum(1 + item.size for _, _, item in self.items))
        object.__setattr__(self, "depth", 1 + max((i.depth for _, _, i in self.items), default=0))

    def get(self, key: str) -> Tree | None:
        return next((value for name, _, value in self.items if name == key), None)

    def key_mark(self, key: str) -> Mark:
        """Where a key stands; the mapping itself if it has no such key."""
        return next((mark for name, mark, _ in self.items if name == key), self.mark)

    def with_item(self, key: str, mark: Mark, value: Tree) -> Map:
        """The same mapping with one key added or replaced."""
        if self.get(key) is None:
            return Map((*self.items, (key, mark, value)), self.mark)
        return Map(tuple((k, m, value) if k == key else (k, m, v) for k, m, v in self.items), mark)


Tree = Scalar | Seq | Map


def plain(tree: Tree) -> Any:
    """The tree as dicts, lists and scalars."""
    if isinstance(tree, Scalar):
        return tree.value
    if isinstance(tree, Seq):
        return [plain(item) for item in tree.items]
    return {key: plain(value) for key, _, value in tree.items}


def planted(value: object, mark: Mark) -> Tree:
    """Dicts, lists and scalars as a tree, all standing at one mark.

    Raises GraphError for other types and for numbers that are not finite.
    """
    if isinstance(value, dict):
        return Map(tuple((str(k), mark, planted(v, mark)) for k, v in value.items()), mark)
    if isinstance(value, list | tuple):
        return Seq(tuple(planted(item, mark) for item in value), mark)
    if isinstance(value, float) and not math.isfinite(value):
        raise GraphError([mark.problem(f"a number must be finite, got {value}")])
    if value is None or isinstance(value, bool | int | float | str):
        return Scalar(value, mark)
    raise GraphError([mark.problem(f"cannot use a {type(value).__name__} as a value")])


def locate(tree: Tree, path: tuple[int | str, ...]) -> Tree:
    """The value at a path of keys and indexes, or the innermost one that is there."""
    for step in path:
        if isinstance(tree, Map) and isinstance(step, str):
            found = tree.get(step)
        elif isinstance(tree, Seq) and isinstance(step, int):
            found = tree.items[step] if 0 <= step < len(tree.items) else None
        else:
            found = None
        if found is None:
            return tree
        tree = found
    return tree


def find(tree: Tree, value: ScalarValue) -> Scalar | None:
    """The first scalar in a tree that is this value, None where there is none."""
    if isinstance(tree, Scalar):
        return tree if tree.value == value else None
    inner = tree.items if isinstance(tree, Seq) else [item for _, _, item in tree.items]
    return next((found for item in inner if (found := find(item, value))), None)
