"""YAML text as a tree that knows where each value stands, read within limits.

Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema). What
YAML 1.1 readers take otherwise (``no``, ``on``, ``010``) is refused rather than guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from stepedit_fx.errors import GraphError, Problem
from stepedit_fx.graph.tree import Map, Mark, Scalar, ScalarValue, Seq, Tree

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 50_000  # counted after aliases are expanded; a graph of 100 nodes has about 1000
MAX_ALIASES = 100

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {"null": type(None), "bool": bool, "int": int, "float": float, "str": str}

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BOOL_1_1 = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_OCTAL_1_1 = re.compile(r"[-+]?0\d+", re.ASCII)


def read_yaml(text: str, mark: Mark, problems: list[Problem]) -> Tree | None:
    """The one document in a text, None where it is empty; marks count from 1.

    mark: its file. Problems that leave a tree to go on with are added to the list. Raises
    GraphError at once for text that is no YAML or is over a limit.
    """
    if len(text) > MAX_BYTES:
        raise GraphError([mark.problem(f"the graph is over {MAX_BYTES >> 20} MiB. Is it a graph?")])
    return _Reader(text, mark.file, problems).read()


@dataclass
class _Open:
    """A collection whose end was not reached yet."""

    is_map: bool
    mark: Mark
    anchor: str | None
    values: list[Tree] = field(default_factory=list)


class _Reader:
    """Builds the tree from parser events, so that limits are met before anything is built."""

    def __init__(self, text: str, file: str, problems: list[Problem]) -> None:
        self.text = text
        self.file = file
        self.problems = problems
        self.anchors: dict[str, Tree] = {}
        self.open: list[_Open] = []
        self.root: Tree | None = None
        self.size = 0
        self.aliases = 0
        self.documents = 0

    def read(self) -> Tree | None:
        try:
            for event in self._events():
                self._take(event)
        except yaml.YAMLError as error:
            raise GraphError([*self.problems, self._syntax_problem(error)]) from error
        except UnicodeEncodeError as error:
            message = "the text holds half a character (a lone surrogate). Save it as UTF-8."
            raise GraphError([Problem(message, self.file)]) from error
        return self.root

    def _events(self) -> Iterator[yaml.Event]:
        parser = _Parser(self.text)
        try:
            while parser.check_event():
                yield parser.get_event()
        finally:
            parser.dispose()

    def _take(self, event: yaml.Event) -> None:
        start: Any = event.start_mark  # every event of a parser has one
        mark = Mark(self.file, start.line + 1, start.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(mark, "the file holds several documents. Keep one graph in a file.")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor), mark)
        elif isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, mark), event.anchor)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            is_map = isinstance(event, yaml.MappingStartEvent)
            if event.tag not in (None, "!", f"{_CORE}{'map' if is_map else 'seq'}"):
                self._foreign_tag(event.tag, mark)
            self.open.append(_Open(is_map, mark, event.anchor))
            if len(self.open) > MAX_DEPTH:
                self._stop(mark, f"values nest more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self.open.pop()
            make = self._map if done.is_map else self._seq
            self._add(make(done), done.anchor)

    def _stop(self, mark: Mark, message: str) -> None:
        raise GraphError([*self.problems, mark.problem(message)])

    def _add(self, value: Tree, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = value
        self._count(1, value.mark)
        self._place(value)

    def _place(self, value: Tree) -> None:
        if self.open:
            self.open[-1].values.append(value)
        else:
            self.root = value

    def _count(self, values: int, mark: Mark) -> None:
        self.size += values
        if self.size > MAX_NODES:
            self._stop(mark, f"the graph holds more than {MAX_NODES} values, aliases expanded")

    def _alias(self, anchor: str, mark: Mark) -> None:
        value = self.anchors.get(anchor)
        if value is None:
            self._stop(mark, f"'*{anchor}' stands for nothing: no '&{anchor}' ends before it")
            return
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._stop(mark, f"more than {MAX_ALIASES} aliases. Use vars: instead.")
        if len(self.open) + value.depth > MAX_DEPTH:
            self._stop(mark, f"values nest more than {MAX_DEPTH} deep")
        self._count(value.size, mark)
        self._place(value)

    def _foreign_tag(self, tag: str, mark: Mark) -> None:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        self.problems.append(
            mark.problem(f"the tag '{shown}' is not allowed: a graph is plain data. Take it out.")
        )

    def _seq(self, done: _Open) -> Seq:
        return Seq(tuple(done.values), done.mark)

    def _map(self, done: _Open) -> Map:
        seen: dict[str, Mark] = {}
        items: list[tuple[str, Mark, Tree]] = []
        for key, value in zip(done.values[::2], done.values[1::2], strict=True):
            name = self._key(key)
            if name is None:
                continue
            if name in seen:
                self.problems.append(
                    key.mark.problem(
                        f"duplicate key '{name}', first on line {seen[name].line}. Keep one."
                    )
                )
                continue
            seen[name] = key.mark
            items.append((name, key.mark, value))
        return Map(tuple(items), done.mark)

    def _key(self, key: Tree) -> str | None:
        if not isinstance(key, Scalar):
            self.problems.append(key.mark.problem("a key must be a word, got a list or mapping"))
        elif key.value == "<<":
            self.problems.append(
                key.mark.problem("merge keys ('<<') are not supported. Write the fields out.")
            )
        elif not isinstance(key.value, str):
            shown = "nothing" if key.value is None else f"'{key.value}'"
            self.problems.append(
                key.mark.problem(f"a key must be a word, got {shown}. Put it in quotes.")
            )
        else:
            return key.value
        return None

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Scalar:
        text: str = event.value
        quoted = not event.implicit[0] if event.tag is None else bool(event.style)
        if event.tag in (None, "!"):
            if quoted or event.tag == "!":
                return Scalar(text, mark)
            return Scalar(self._plain_scalar(text, mark), mark)
        wanted = _SCALAR_TAGS.get(event.tag.removeprefix(_CORE))
        if wanted is None or not event.tag.startswith(_CORE):
            self._foreign_tag(event.tag, mark)
            return Scalar(text, mark)
        value = text if wanted is str else self._plain_scalar(text, mark)
        if not isinstance(value, wanted):
            name = event.tag.removeprefix(_CORE)
            self.problems.append(mark.problem(f"'{text}' is not a YAML {name}"))
        return Scalar(value, mark)

    def _plain_scalar(self, text: str, mark: Mark) -> ScalarValue:
        value, problem = core_scalar(text)
        if problem:
            self.problems.append(mark.problem(problem))
        return value

    def _syntax_problem(self, error: yaml.YAMLError) -> Problem:
        at = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if at is None:
            reason = getattr(error, "reason", None) or str(error).splitlines()[0]
            return Problem(f"not a YAML text: {reason}", self.file)
        lines = self.text.splitlines()
        if at.line >= len(lines):  # what was opened was never closed: say where it was opened
            at = getattr(error, "context_mark", None) or at
        mark = Mark(self.file, at.line + 1, at.column + 1)
        line = next(iter(lines[at.line : at.line + 1]), "")
        if (
            "\t" in line[: len(line) - len(line.lstrip())]
            or line[at.column : at.column + 1] == "\t"
        ):
            return mark.problem("a tab where YAML wants spaces. Indent with spaces.")
        told = [getattr(error, name, None) for name in ("context", "problem")]
        return mark.problem(f"not YAML: {', '.join(part for part in told if part)}")


def core_scalar(text: str) -> tuple[ScalarValue, str]:
    """A plain scalar's value under the core schema, and what is wrong with it ("" if nothing)."""
    if _NULL.fullmatch(text):
        return None, ""
    if _BOOL.fullmatch(text):
        return text.lower() == "true", ""
    if _BOOL_1_1.fullmatch(text):
        return text, (
            f"'{text}' is a boolean to some YAML readers and a word to others. "
            f"Write true or false, or '{text}' in quotes."
        )
    if _NOT_FINITE.fullmatch(text):
        return text, f"a number must be finite, got {text}"
    if _OCTAL_1_1.fullmatch(text):
        return text, f"'{text}' is octal to some YAML readers. Drop the leading zero, or quote it."
    if len(text.lstrip("+-")) > 18 and _INT.fullmatch(text):
        return text, "a whole number has at most 18 digits"
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text), ""
    if _FLOAT.fullmatch(text):
        value = float(text)
        return (value, "") if math.isfinite(value) else (text, f"'{text}' is too large a number")
    return text, ""
