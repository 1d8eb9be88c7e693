"""Where outputs go: known from names alone, before anything is read."""

from __future__ import annotations

from pathlib import Path

from stepedit_fx.errors import RequestError
from stepedit_fx.graph.spec import Graph
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import Output, fill

# `{stem}` for sound that came from no file.
UNNAMED = "audio"


def output_paths(
    graph: Graph, source: Path | None, out_dir: Path, *, index: int = 1
) -> dict[str, Path]:
    """The file of every output node. Raises RequestError where a name would leave out_dir."""
    outputs = {spec.id: spec.node for spec in graph.nodes.values() if isinstance(spec.node, Output)}
    paths = {}
    for node_id, node in outputs.items():
        recording = recording_of(graph, node_id, source)
        values = {
            **graph.variables,
            "stem": recording.stem if recording else UNNAMED,
            "graph": graph.name,
            "node": node_id,
            "index": str(index),
        }
        try:
            paths[node_id] = out_dir / fill(node.path, values)
        except ValueError as error:
            raise RequestError(str(error), node=node_id) from error
    return paths


def recording_of(graph: Graph, node_id: str, source: Path | None) -> Path | None:
    """The file a node's result comes from: the one given to run, else the first it leads to."""
    found: list[Path | None] = []
    waiting, seen = [node_id], set[str]()
    while waiting:
        spec = graph.nodes[waiting.pop()]
        if spec.id in seen:
            continue
        seen.add(spec.id)
        if isinstance(spec.node, Input):
            found.append(spec.node.file(graph.folder) or source)
        waiting.extend(reversed(spec.sources))
    return source if source in found else next((path for path in found if path), None)
