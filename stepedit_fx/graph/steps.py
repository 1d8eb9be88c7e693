"""A graph as ordered steps, with encode and decode put in where sound meets speech."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter

from stepedit_fx.audio import Audio
from stepedit_fx.graph.spec import Graph, NodeSpec
from stepedit_fx.nodes.base import Node, Value
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.speech import Speech


@dataclass(frozen=True)
class Step:
    """One thing to do. sources: ids of steps. put_in: by the planner, so not in the file.

    bypassed: passes its first source on; such steps are kept for drawing only.
    """

    id: str
    node: Node
    sources: tuple[str, ...]
    put_in: bool = False
    bypassed: bool = False


def uses_engine(node: Node) -> bool:
    """Whether the engine has a part in the node's result."""
    return Speech in (node.takes, node.gives)


def build_steps(graph: Graph, *, keep_bypassed: bool = False) -> list[Step]:
    """The steps in an order that can be run, near the file's own.

    A bypassed node is left out: what follows takes its first source. So is a decode of what is
    sound already.
    """
    return _Builder(keep_bypassed).build(graph)


class _Builder:
    def __init__(self, keep_bypassed: bool) -> None:
        self.keep_bypassed = keep_bypassed
        self.steps: dict[str, Step] = {}
        self.gives: dict[str, type[Value] | None] = {}  # by step
        self.results: dict[str, str] = {}  # node id -> the step that gives its result

    def build(self, graph: Graph) -> list[Step]:
        for spec in in_order(graph):
            self.results[spec.id] = self._result(spec)
        return list(self.steps.values())

    def _result(self, spec: NodeSpec) -> str:
        sources = [self.results[source] for source in spec.sources]
        bypassed = bool(getattr(spec.node, "bypass", False)) or (
            isinstance(spec.node, Decode) and self.gives[sources[0]] is Audio
        )
        if not bypassed:
            wanted = tuple(self._as(spec.node.takes, source) for source in sources)
            wanted += tuple(self._branches(spec, sources))
            return self._add(Step(spec.id, spec.node, wanted), spec.node.gives)
        if self.keep_bypassed:
            step = Step(spec.id, spec.node, tuple(sources), bypassed=True)
            return self._add(step, self.gives[sources[0]])
        return sources[0]

    def _branches(self, spec: NodeSpec, sources: list[str]) -> Iterator[str]:
        """The steps that give a node what it wants made of its source, by number from 1."""
        for number, node in enumerate(spec.node.branches(), start=1):
            source = self._as(node.takes, sources[0])
            step = Step(f"{spec.id}.{number}", node, (source,), put_in=True)
            yield self._as(spec.node.takes, self._add(step, node.gives))

    def _as(self, wanted: type[Value] | None, source: str) -> str:
        """The step that gives a source's result as what is wanted of it."""
        if self.gives[source] is wanted:
            return source
        node: Node = Encode() if wanted is Speech else Decode()
        step = Step(f"{source}.{node.kind}", node, (source,), put_in=True)
        return self._add(step, node.gives)

    def _add(self, step: Step, gives: type[Value] | None) -> str:
        self.steps.setdefault(step.id, step)
        self.gives[step.id] = gives
        return step.id


def in_order(graph: Graph) -> Iterator[NodeSpec]:
    """Nodes after their sources; among those that are ready, the first in the file."""
    rank = {node_id: index for index, node_id in enumerate(graph.nodes)}
    sorter = TopologicalSorter({spec.id: spec.sources for spec in graph.nodes.values()})
    sorter.prepare()
    ready: list[tuple[int, str]] = []
    while sorter.is_active():
        for node_id in sorter.get_ready():
            heapq.heappush(ready, (rank[node_id], node_id))
        node_id = heapq.heappop(ready)[1]
        yield graph.nodes[node_id]
        sorter.done(node_id)
