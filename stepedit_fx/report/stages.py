"""A take's sound at every stage of its graph, from the store where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from stepedit_fx.audio import Audio, Sound
from stepedit_fx.engines.base import Engine
from stepedit_fx.graph import Graph
from stepedit_fx.graph.spec import NodeSpec
from stepedit_fx.graph.steps import in_order
from stepedit_fx.nodes.base import Node
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output
from stepedit_fx.report.excerpt import start_of
from stepedit_fx.speech import Speech
from stepedit_fx.store import Store

# No node of a file can have such a name.
HEARD, DECODED = "report.heard.", "report.decoded."
LABEL_CHARS = 60


@dataclass(frozen=True)
class Stage:
    """What a recording sounds like after one node.

    id: the node's. before: the stage it was made from, "" for a recording itself. writes: ids of
    the outputs that write this very sound. audio: of a long recording the start alone. whole_s:
    how long all of it is.
    """

    id: str
    kind: str
    label: str
    before: str
    writes: tuple[str, ...]
    audio: Audio
    whole_s: float


def render_stages(
    graph: Graph,
    source: Path | None,
    *,
    store: Store,
    engine: Engine,
    index: int = 1,
    plugin_folders: Sequence[Path] = (),
) -> tuple[Stage, ...]:
    """Every stage of one take, recordings first; of a long recording only its start.

    What the store holds is not rendered again. Raises what `Graph.run` raises.
    """
    sounding = [spec for spec in in_order(graph) if _sounds(spec)]
    result = _staged(graph, sounding).run(
        source,
        out_dir=None,
        store=store,
        engine=engine,
        plugin_folders=plugin_folders,
        index=index,
    )
    sounds = {spec.id: result.values[HEARD + spec.id] for spec in sounding}
    return tuple(_stages(graph, sounding, sounds))


def _sounds(spec: NodeSpec) -> bool:
    return not isinstance(spec.node, Output) and not getattr(spec.node, "bypass", False)


def _staged(graph: Graph, sounding: Sequence[NodeSpec]) -> Graph:
    """The graph with an output at every stage instead of its own."""
    nodes = {i: s for i, s in graph.nodes.items() if not isinstance(s.node, Output)}
    for spec in sounding:
        heard = spec.id
        if spec.node.gives is Speech:
            heard = DECODED + spec.id
            nodes[heard] = NodeSpec(heard, _decode_after(graph, spec.id), (spec.id,))
        nodes[HEARD + spec.id] = NodeSpec(HEARD + spec.id, Output(), (heard,))
    return replace(graph, nodes=MappingProxyType(nodes))


def _decode_after(graph: Graph, node_id: str) -> Decode:
    """The nearest decode that follows, so that an edit is heard as the graph will place it."""
    waiting, seen = [node_id], {node_id}
    while waiting:
        here = waiting.pop(0)
        for spec in graph.nodes.values():
            if here not in spec.sources or spec.id in seen:
                continue
            if isinstance(spec.node, Decode):
                return spec.node
            seen.add(spec.id)
            if spec.node.takes is Speech:
                waiting.append(spec.id)
    return Decode()


def _stages(
    graph: Graph, sounding: Sequence[NodeSpec], sounds: Mapping[str, Sound]
) -> Iterator[Stage]:
    """Stages in an order in which each follows what it was made from; a decode adds none."""
    starts = {node_id: start_of(sound) for node_id, sound in sounds.items()}
    stands_for: dict[str, str] = {}  # node id -> the stage that has its sound
    for spec in in_order(graph):
        before = stands_for.get(spec.sources[0], "") if spec.sources else ""
        is_passed_on = spec.id not in starts or (
            isinstance(spec.node, Decode) and starts[before].digest == starts[spec.id].digest
        )
        stands_for[spec.id] = before if is_passed_on else spec.id
    writes: dict[str, list[str]] = {}
    for spec in graph.nodes.values():
        if isinstance(spec.node, Output):
            writes.setdefault(stands_for[spec.sources[0]], []).append(spec.id)
    for spec in sounding:
        if stands_for[spec.id] == spec.id:
            yield Stage(
                spec.id,
                spec.node.kind,
                label_of(spec.node),
                stands_for[spec.sources[0]] if spec.sources else "",
                tuple(writes.get(spec.id, ())),
                starts[spec.id],
                sounds[spec.id].duration_s,
            )


def label_of(node: Node) -> str:
    """A node in a few words: what it does, and what of it was set."""
    if isinstance(node, Effects):
        names = [next(iter(item), "") for item in node.chain.items_data() if isinstance(item, dict)]
        return _short(", ".join(names) or node.kind)
    fields = node.model_dump(mode="json", exclude_defaults=True)
    main = fields.pop(node.main, "") if node.main else ""
    if isinstance(node, Input):
        return "the recording" if not main else _short(str(main))
    told = [f"{name.removesuffix('_s')} {value}" for name, value in fields.items() if value != ""]
    return _short(", ".join([f"{node.kind} {main}".strip(), *told]))


def _short(text: str) -> str:
    return text if len(text) <= LABEL_CHARS else text[: LABEL_CHARS - 1] + "…"
