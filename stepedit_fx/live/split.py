"""Which part of a graph runs while it plays, and which is rendered behind.

From the output upwards: effects nodes run live as long as all that is in their chains gives the
same in blocks. The first node that is another, or has an effect that must hear the whole sound,
is rendered behind, with all that feeds it. Values do not count, bypass neither: what runs where
stays as it is while knobs are turned.
"""

from __future__ import annotations

from dataclasses import dataclass

from stepedit_fx.effects.chain import Effect, External, Item, Parallel, Series
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import NotFound, RequestError, did_you_mean
from stepedit_fx.graph import Graph
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.output import Output


@dataclass(frozen=True)
class Split:
    """A graph in two. above: the node that is rendered behind. live: the ids of the effects
    nodes that run while it plays, in order. why: what keeps the node above from running live.
    """

    above: str
    live: tuple[str, ...]
    why: str


def split(graph: Graph, output: str | None = None) -> Split:
    """The two parts of a graph for one output, the first if None.

    Raises NotFound for an output that is none, RequestError for a graph without any.
    """
    outputs = [key for key, spec in graph.nodes.items() if isinstance(spec.node, Output)]
    if not outputs:
        raise RequestError(f"graph '{graph.name}' has no output", remedy="Add an output node.")
    if output is not None and output not in outputs:
        raise NotFound(
            f"graph '{graph.name}' has no output '{output}'", remedy=did_you_mean(output, outputs)
        )
    (node_id,) = graph.nodes[output or outputs[0]].sources
    live: list[str] = []
    while not (why := _why_not(graph, node_id)):
        live.insert(0, node_id)
        (node_id,) = graph.nodes[node_id].sources
    return Split(node_id, tuple(live), why)


def _why_not(graph: Graph, node_id: str) -> str:
    """Why a node cannot run live; empty where it can."""
    node = graph.nodes[node_id].node
    if not isinstance(node, Effects):
        return f"'{node_id}' is no effects node"
    whole = _whole(node.chain)
    return f"'{node_id}' has {whole}" if whole else ""


def _whole(item: Item) -> str:
    """The first thing in an item that must hear the whole sound, and why; empty for none."""
    if isinstance(item, Series):
        return next(filter(None, map(_whole, item.items)), "")
    if isinstance(item, Parallel):
        return next(filter(None, map(_whole, item.branches)), "")
    if isinstance(item, External):
        return f"{item.form}: plugins of others run once over the whole sound"
    assert isinstance(item, Effect)
    whole = EFFECTS[item.name].whole
    return f"{item.name}: {whole}" if whole else ""
