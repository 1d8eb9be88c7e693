"""Variables: ``vars:`` in the file, ``--var`` on the command line, ``${name}`` in the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from stepedit_fx.errors import GraphError, Problem, did_you_mean
from stepedit_fx.graph.document import MAX_BYTES, MAX_NODES, core_scalar, read_yaml
from stepedit_fx.graph.tree import Map, Mark, Scalar, ScalarValue, Seq, Tree, planted

_USE = re.compile(r"\$\$(?=\{)|\$\{([^{}]*)\}")
MAX_VARIABLES = 1000
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass
class Variables:
    """The values that ``${name}`` stands for, and which were asked for.

    budget: characters and values that may still be put in; a small file must not grow large.
    """

    values: Mapping[str, Tree]
    problems: list[Problem]
    used: set[str] = field(default_factory=set)
    budget: int = MAX_BYTES
    values_budget: int = MAX_NODES

    def fill(self, tree: Tree) -> Tree:
        """The tree with every ``${name}`` replaced; ``$${`` is a plain ``${``."""
        if isinstance(tree, Seq):
            return Seq(tuple(self.fill(item) for item in tree.items), tree.mark)
        if isinstance(tree, Map):
            return Map(tuple((k, m, self.fill(v)) for k, m, v in tree.items), tree.mark)
        if not isinstance(tree.value, str) or "${" not in tree.value:
            return tree
        whole = _USE.fullmatch(tree.value)
        if whole and whole.group(1) is not None:
            return self._whole(whole.group(1), tree)
        if "${" in _USE.sub("", tree.value):
            message = "'${' without its '}'. Write ${name}, or $${ for a plain ${."
            self.problems.append(tree.mark.problem(message))
            return tree
        return Scalar(_USE.sub(lambda use: self._part(use, tree.mark), tree.value), tree.mark)

    def texts(self) -> dict[str, str]:
        """Every variable with a scalar value, as text."""
        return {
            name: _text(tree.value)
            for name, tree in self.values.items()
            if isinstance(tree, Scalar)
        }

    def _whole(self, name: str, at: Scalar) -> Tree:
        """The variable's own value: it keeps its type, and stands where it is used."""
        value = self._find(name, at.mark)
        if value is None:
            return at
        self.values_budget -= value.size
        self._stop_when_spent(at.mark)
        return _moved(value, at.mark)

    def _part(self, use: re.Match[str], mark: Mark) -> str:
        if use.group(1) is None:
            return "$"
        value = self._find(use.group(1), mark)
        if value is None:
            return use.group()
        if not isinstance(value, Scalar):
            self.problems.append(
                mark.problem(f"'${{{use.group(1)}}}' is a list or mapping; let it stand alone")
            )
            return ""
        text = _text(value.value)
        self.budget -= len(text)
        self._stop_when_spent(mark)
        return text

    def _find(self, name: str, mark: Mark) -> Tree | None:
        self.used.add(name)
        value = self.values.get(name)
        if value is None:
            remedy = did_you_mean(name, self.values) or "Add it under vars:, or give --var."
            self.problems.append(mark.problem(f"unknown variable '{name}'. {remedy}"))
        return value

    def _stop_when_spent(self, mark: Mark) -> None:
        if self.budget < 0 or self.values_budget < 0:
            raise GraphError([mark.problem("the variables make the graph too large")])


def _text(value: ScalarValue) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _moved(tree: Tree, mark: Mark) -> Tree:
    """The same value at another place, so that its problems name where it is used."""
    if isinstance(tree, Scalar):
        return Scalar(tree.value, mark)
    if isinstance(tree, Seq):
        return Seq(tuple(_moved(item, mark) for item in tree.items), mark)
    return Map(tuple((k, mark, _moved(v, mark)) for k, _, v in tree.items), mark)


def read_variables(
    written: Tree | None, given: Mapping[str, object], problems: list[Problem]
) -> Variables:
    """The file's ``vars:`` with the given ones over them.

    given: texts are read as YAML values, as on the command line; other values as they are.
    """
    values: dict[str, Tree] = {}
    if isinstance(written, Map) and len(written.items) > MAX_VARIABLES:
        problems.append(written.mark.problem(f"a graph has at most {MAX_VARIABLES} variables"))
    elif isinstance(written, Map):
        for name, mark, value in written.items:
            if not _NAME.fullmatch(name):
                problems.append(
                    mark.problem(f"a variable's name is letters, digits and _, got '{name}'")
                )
            elif _uses_variables(value):
                problems.append(value.mark.problem("a variable's value cannot use variables"))
            else:
                values[name] = value
    elif written is not None and _is_something(written):
        problems.append(written.mark.problem("vars must be a mapping of names to values"))
    for name, typed in given.items():
        mark = Mark(f"--var {name}={typed}")
        is_text = isinstance(typed, str)
        values[name] = read_scalar(str(typed), mark, problems) if is_text else planted(typed, mark)
    return Variables(values, problems)


def _is_something(tree: Tree) -> bool:
    """Whether anything was written; ``vars:`` with nothing after it is None."""
    return not (isinstance(tree, Scalar) and tree.value is None)


def _uses_variables(tree: Tree) -> bool:
    if isinstance(tree, Scalar):
        return isinstance(tree.value, str) and bool(_USE.search(tree.value))
    if isinstance(tree, Seq):
        return any(_uses_variables(item) for item in tree.items)
    return any(_uses_variables(value) for _, _, value in tree.items)


def read_scalar(text: str, mark: Mark, problems: list[Problem]) -> Scalar:
    """One scalar as typed after ``=``; quotes make it a string, as in YAML."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        tree = read_value(text, mark, problems)
        return tree if isinstance(tree, Scalar) else Scalar(text, mark)
    value, problem = core_scalar(text)
    if problem:
        problems.append(mark.problem(problem))
    return Scalar(value, mark)


def read_value(text: str, mark: Mark, problems: list[Problem]) -> Tree:
    """One YAML value as typed after ``=``; text that is no YAML is the text itself."""
    text = text.strip()
    if text[:1] not in ("'", '"', "[", "{"):
        return read_scalar(text, mark, problems)
    found: list[Problem] = []
    try:
        tree = read_yaml(text, mark, found)
    except GraphError:
        return Scalar(text, mark)
    problems.extend(mark.problem(problem.message) for problem in found)
    return Scalar(text, mark) if tree is None else _moved(tree, mark)
