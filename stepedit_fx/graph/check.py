"""What must hold between the nodes of a graph before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from stepedit_fx.engines.base import Engine, check_offered
from stepedit_fx.errors import Problem, RequestError, TagError, did_you_mean
from stepedit_fx.graph.parts import Part
from stepedit_fx.graph.tree import Mark, Scalar, find, locate
from stepedit_fx.nodes import Node
from stepedit_fx.nodes.base import EditNode
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.emotion import Emotion
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.ladder import Ladder
from stepedit_fx.nodes.output import PLACEHOLDERS, Output, fill, placeholders
from stepedit_fx.nodes.speed import Speed
from stepedit_fx.nodes.style import Style
from stepedit_fx.speech import Edit
from stepedit_fx.tags import check_tag

MAX_CYCLES_SHOWN = 10


@dataclass(frozen=True)
class Built:
    """A part with its node, None where its type or its fields were wrong."""

    part: Part
    node: Node | None


def check_links(built: Mapping[str, Built], top: Mark) -> Iterator[Problem]:
    """Sources that exist and fit, no cycles, nothing unused, an output.

    top: where the whole graph stands, for what is missing from it.
    """
    for item in built.values():
        yield from _check_sources(item, built)
    yield from _cycles(built)
    # What could not be read may be what uses a node, or the output that is missing.
    is_whole = all(item.part.cls for item in built.values())
    if is_whole:
        yield from _unused(built)
    if is_whole and not any(item.part.cls is Output for item in built.values()):
        yield top.problem("the graph has no output. Add one: out: {type: output, from: ...}")
    pathless = [b.part for b in built.values() if isinstance(b.node, Input) and not b.node.path]
    for extra in pathless[1:]:
        yield extra.mark.problem(
            f"'{extra.id}' and '{pathless[0].id}' both read the file given to run. "
            "Give one of them a path, or use one for both."
        )


def _check_sources(item: Built, built: Mapping[str, Built]) -> Iterator[Problem]:
    part = item.part
    for source, mark in part.sources:
        if source not in built:
            others = [name for name in built if name != part.id]
            yield mark.problem(f"no node '{source}'. {did_you_mean(source, others)}")
        elif built[source].part.cls is Output:
            yield mark.problem(f"'{source}' is an output and gives nothing")
    if part.cls is None:
        return
    least, most = part.cls.inputs
    count = len(part.sources)
    if least <= count <= most:
        try:
            if item.node is not None:
                item.node.check_inputs(count)
        except RequestError as error:
            yield part.mark.problem(f"'{part.id}': {error}")
        return
    if most == 0:
        message = f"'{part.id}' is an {part.cls.kind} and takes nothing in. Take 'from' out."
        yield part.sources[0][1].problem(message)
    elif count == 0:
        yield part.mark.problem(f"'{part.id}' needs 'from': the node whose result it takes")
    else:
        wanted = f"{least}" if least == most else f"{least} to {most}"
        noun = "input" if most == 1 else "inputs"
        yield part.sources[0][1].problem(f"'{part.id}' takes {wanted} {noun}, got {count}")


def _cycles(built: Mapping[str, Built]) -> Iterator[Problem]:
    links = {
        name: [source for source, _ in item.part.sources if source in built]
        for name, item in built.items()
    }
    order = list(built)
    for _ in range(MAX_CYCLES_SHOWN):
        try:
            TopologicalSorter(links).prepare()
            return
        except CycleError as error:
            cycle: list[str] = error.args[1][:-1]
        start = min(range(len(cycle)), key=lambda i: order.index(cycle[i]))
        cycle = cycle[start:] + cycle[:start]
        mark = next(m for source, m in built[cycle[0]].part.sources if source == cycle[-1])
        yield mark.problem(
            f"the graph runs in a circle: {' -> '.join([*cycle, cycle[0]])}. Cut it somewhere."
        )
        links[cycle[0]] = [source for source in links[cycle[0]] if source != cycle[-1]]


def _unused(built: Mapping[str, Built]) -> Iterator[Problem]:
    used = {source for item in built.values() for source, _ in item.part.sources}
    for name, item in built.items():
        if name not in used and item.part.cls is not Output:
            yield item.part.mark.problem(
                f"nothing uses '{name}'. Lead it to an output, or take it out."
            )


def check_offers(item: Built, engine: Engine | None) -> Iterator[Problem]:
    """That the edit's tag exists and that the engine, where it could be opened, does it."""
    edit = _edit_of(item)
    if edit is None:
        return
    for value in dict.fromkeys(value for _, value in edit.values) or (edit.value,):
        try:
            if engine is None:
                check_tag(edit.kind, value)
            else:
                check_offered(engine, replace(edit, value=value, values=()))
        except TagError as error:
            main = item.part.fields.get(item.part.cls.main) if item.part.cls else None
            written = find(item.part.fields, value) or main
            yield (written.mark if written else item.part.mark).problem(str(error))


def _edit_of(item: Built) -> Edit | None:
    """The edit a node asks for; of a node with other fields wrong, its kind and tag."""
    node = item.node.edit if isinstance(item.node, Ladder) else item.node
    if isinstance(node, EditNode | Clone):
        return node.edit()
    written = item.part.fields.get("value")
    if item.part.cls in (Emotion, Style, Speed) and isinstance(written, Scalar):
        return Edit(item.part.cls.kind, written.value) if isinstance(written.value, str) else None
    return None


def check_files(item: Built, folder: Path) -> Iterator[Problem]:
    """That the files a node reads by itself are there."""
    if item.node is None:
        return
    for file in item.node.reads(folder):
        if not file.is_file():
            written = item.part.fields.get(item.node.main)
            what = "is a folder" if file.is_dir() else "no such file"
            yield (written.mark if written else item.part.mark).problem(f"{what}: {file}")


def check_outputs(
    outputs: Sequence[tuple[Part, Output]], graph: str, variables: Mapping[str, str]
) -> Iterator[Problem]:
    """Known placeholders, and no two outputs with one path."""
    seen: dict[str, str] = {}
    for part, output in outputs:
        mark = locate(part.fields, ("path",)).mark
        names = placeholders(output.path)
        unknown = [name for name in names if name not in PLACEHOLDERS and name not in variables]
        for name in unknown:
            remedy = did_you_mean(name, [*PLACEHOLDERS, *variables])
            yield mark.problem(f"unknown placeholder '{{{name}}}'. {remedy}")
        if unknown:
            continue
        values = {**variables, "stem": "\1", "graph": graph, "node": part.id, "index": "\1"}
        try:
            path = fill(output.path, values).casefold()
        except ValueError as error:
            yield mark.problem(str(error))
            continue
        if path in seen:
            yield mark.problem(
                f"'{part.id}' would write over what '{seen[path]}' writes. "
                "Put {node} into the path, or name each."
            )
        seen.setdefault(path, part.id)
