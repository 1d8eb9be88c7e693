"""A graph file's text to a checked graph: every problem found before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from stepedit_fx.engines.base import Engine, EngineSettings, engine_class
from stepedit_fx.errors import GraphError, StepEditError, did_you_mean
from stepedit_fx.graph.check import Built, check_files, check_links, check_offers, check_outputs
from stepedit_fx.graph.document import read_yaml
from stepedit_fx.graph.fields import build
from stepedit_fx.graph.parts import (
    Part,
    apply_sets,
    read_chain,
    read_nodes,
    set_engine,
    set_takes,
    split_sets,
)
from stepedit_fx.graph.problems import Problems, in_file_order
from stepedit_fx.graph.spec import Graph, NodeSpec
from stepedit_fx.graph.tree import Map, Mark, Scalar, Tree
from stepedit_fx.graph.variables import Variables, read_variables
from stepedit_fx.nodes.output import PLACEHOLDERS, Output, placeholders
from stepedit_fx.worker.opening import open_with

VERSION = 1
TOP_KEYS = ("version", "name", "description", "engine", "seed", "takes", "vars", "nodes", "chain")
MAX_SEED = 2**31 - 1
MAX_TAKES = 64
# A graph's name becomes part of file names, so it holds nothing that a path gives a meaning.
NAME = re.compile(r"[^\W_][\w .+-]{0,79}")


class Reading:
    """Reads one graph, collecting problems; raises them together."""

    def __init__(self, file: str, folder: Path) -> None:
        self.top_mark = Mark(file)
        self.folder = folder
        self.problems = Problems()

    def graph(self, text: str, sets: tuple[str, ...], given: Mapping[str, object]) -> Graph:
        top = self._top(text)
        variables = read_variables(top.get("vars"), given, self.problems)
        top = self._filled(top, variables)
        name = self._name(top)
        parts = self._parts(top)
        on_engine, on_takes, on_nodes = split_sets(parts, sets)
        written = set_engine(top.get("engine"), on_engine, self.problems)
        settings, engine = self._engine(written)
        parts = apply_sets(parts, on_nodes, self.problems)
        built = self._built(parts, self._seed(top))
        takes = self._takes(set_takes(top.get("takes"), on_takes, self.problems))
        texts = variables.texts()
        self._check(built, name, texts, engine)
        self._check_given(given, top, variables, built)
        if self.problems or settings is None:
            raise GraphError(in_file_order(self.problems))
        nodes = {
            b.part.id: NodeSpec(b.part.id, b.node, tuple(s for s, _ in b.part.sources))
            for b in built.values()
            if b.node is not None
        }
        described = top.get("description")
        words = str(described.value) if isinstance(described, Scalar) else ""
        return Graph(name, settings, MappingProxyType(nodes), self.folder, words, texts, takes)

    def _stop(self, mark: Mark, message: str) -> GraphError:
        return GraphError([*self.problems, mark.problem(message)])

    def _top(self, text: str) -> Map:
        top = read_yaml(text, self.top_mark, self.problems)
        if top is None or (isinstance(top, Scalar) and top.value is None):
            raise self._stop(self.top_mark, "the graph is empty. Write nodes: or chain:.")
        if not isinstance(top, Map):
            raise self._stop(top.mark, "a graph is a mapping with nodes: or chain:")
        for key, mark, value in top.items:
            if key not in TOP_KEYS:
                remedy = did_you_mean(key, TOP_KEYS)
                self.problems.append(mark.problem(f"a graph has no '{key}'. {remedy}"))
            elif key == "version" and not _is(value, int, VERSION):
                self.problems.append(
                    value.mark.problem(f"this stepedit_fx reads graphs of version: {VERSION}")
                )
            elif key == "description" and not _is(value, str):
                self.problems.append(value.mark.problem("description must be a text"))
        return top

    def _filled(self, top: Map, variables: Variables) -> Map:
        kept = ("version", "vars", "description")
        items = [
            (key, mark, value if key in kept else variables.fill(value))
            for key, mark, value in top.items
        ]
        return Map(tuple(items), top.mark)

    def _name(self, top: Map) -> str:
        written = top.get("name")
        if written is None:
            stem = Path(self.top_mark.file).stem
            return stem if NAME.fullmatch(stem) else "graph"
        if isinstance(written, Scalar) and isinstance(written.value, str):
            if NAME.fullmatch(written.value):
                return written.value
            message = "name becomes part of file names: letters, digits, spaces and . _ + - only"
        else:
            message = "name must be a text"
        self.problems.append(written.mark.problem(message))
        return "graph"

    def _seed(self, top: Map) -> int | None:
        return self._whole("seed", top.get("seed"), 0, MAX_SEED)

    def _takes(self, written: Tree | None) -> int:
        return self._whole("takes", written, 1, MAX_TAKES) or 1

    def _whole(self, name: str, written: Tree | None, least: int, most: int) -> int | None:
        """A whole number within limits; None, with a problem, for anything else that is written."""
        if written is None:
            return None
        value = written.value if isinstance(written, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            message = f"{name} must be a whole number from {least} to {most}"
            self.problems.append(written.mark.problem(message))
            return None
        return value

    def _engine(self, written: Tree | None) -> tuple[EngineSettings | None, Engine | None]:
        fields = written if isinstance(written, Map) else Map((), self.top_mark)
        kind = written if isinstance(written, Scalar) else fields.get("kind")
        mark = kind.mark if kind else (written or fields).mark
        if kind is None and written is None:
            name: object = "parametric"
        else:
            name = kind.value if isinstance(kind, Scalar) else None
        if not isinstance(name, str):
            self.problems.append(
                mark.problem("engine must be a kind, as parametric, or {kind: ...}")
            )
            return None, None
        try:
            model = engine_class(name).Settings
            settings = build(model, f"engine '{name}'", fields, {"kind": name}, self.problems)
            if settings is None:
                return None, None
            settings = _with_absolute_paths(settings, self.folder)
            return settings, open_with(settings)
        except StepEditError as error:
            self.problems.append(mark.problem(str(error)))
            return None, None

    def _parts(self, top: Map) -> list[Part]:
        nodes, chain = top.get("nodes"), top.get("chain")
        if nodes is not None and chain is not None:
            self.problems.append(
                top.key_mark("chain").problem("a graph has nodes: or chain:, not both")
            )
            return []
        if nodes is not None:
            return read_nodes(nodes, self.problems)
        if chain is not None:
            return read_chain(chain, self.problems)
        self.problems.append(top.mark.problem("the graph has neither nodes: nor chain:"))
        return []

    def _built(self, parts: list[Part], seed: int | None) -> dict[str, Built]:
        built = {}
        for part in parts:
            if part.cls is None:
                built[part.id] = Built(part, None)
                continue
            extra = {"seed": seed} if seed is not None and "seed" in part.cls.model_fields else {}
            node = build(part.cls, part.cls.kind, part.fields, extra, self.problems)
            built[part.id] = Built(part, node)
        return built

    def _check(
        self, built: dict[str, Built], name: str, texts: Mapping[str, str], engine: Engine | None
    ) -> None:
        if not built:
            return
        self.problems.extend(check_links(built, self.top_mark))
        for item in built.values():
            self.problems.extend(check_offers(item, engine))
            self.problems.extend(check_files(item, self.folder))
        outputs = [(b.part, b.node) for b in built.values() if isinstance(b.node, Output)]
        self.problems.extend(check_outputs(outputs, name, texts))

    def _check_given(
        self,
        given: Mapping[str, object],
        top: Map,
        variables: Variables,
        built: Mapping[str, Built],
    ) -> None:
        """That every given variable is one the graph knows."""
        written = top.get("vars")
        known = {key for key, _, _ in written.items} if isinstance(written, Map) else set()
        for item in built.values():
            if isinstance(item.node, Output):
                known.update(set(placeholders(item.node.path)) - set(PLACEHOLDERS))
        known |= variables.used
        for name in given:
            if name not in known:
                mark = Mark(f"--var {name}={given[name]}")
                remedy = did_you_mean(name, known) or "It has no variables."
                self.problems.append(mark.problem(f"the graph has no variable '{name}'. {remedy}"))


def _is(tree: Tree, kind: type, value: object = None) -> bool:
    """Whether a tree is a scalar of this very type and, where one is given, this value."""
    if not isinstance(tree, Scalar) or type(tree.value) is not kind:
        return False
    return value is None or tree.value == value


def _with_absolute_paths(settings: EngineSettings, folder: Path) -> EngineSettings:
    paths = {
        name: (folder / value.expanduser()).absolute()
        for name, value in settings
        if isinstance(value, Path)
    }
    return settings.model_copy(update=paths)
