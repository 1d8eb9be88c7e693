"""The two written forms of a graph, ``nodes:`` and ``chain:``, as one list of parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from stepedit_fx.errors import Problem, did_you_mean
from stepedit_fx.graph.tree import Map, Mark, Scalar, Seq, Tree
from stepedit_fx.graph.variables import read_value
from stepedit_fx.nodes import INTERNAL, NODES, Node

WRITTEN = {kind: cls for kind, cls in NODES.items() if kind not in INTERNAL}
# Far more than anybody can read; it bounds the search for the nearest right word.
MAX_PARTS = 1000
ENGINE = "engine"  # what --set changes by this name, unless a node has it
TAKES = "takes"
_ID = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


@dataclass(frozen=True)
class Part:
    """One node as written: its fields not yet checked, each source with its mark.

    cls: None for a node that could not be read, so that what refers to it is no problem too.
    """

    id: str
    cls: type[Node] | None
    fields: Map
    sources: tuple[tuple[str, Mark], ...]
    mark: Mark


def kind_class(kind: str, mark: Mark, problems: list[Problem]) -> type[Node] | None:
    """The class of a node kind; a problem and None where there is none."""
    if kind in INTERNAL:
        problems.append(mark.problem(f"'{kind}' is put in by itself. Leave it out."))
    elif kind not in WRITTEN:
        problems.append(mark.problem(f"unknown node type '{kind}'. {did_you_mean(kind, WRITTEN)}"))
    return WRITTEN.get(kind)


def read_nodes(tree: Tree, problems: list[Problem]) -> list[Part]:
    """The parts under ``nodes:``."""
    if not isinstance(tree, Map) or not tree.items:
        problems.append(tree.mark.problem("nodes must be a mapping of ids to nodes"))
        return []
    if len(tree.items) > MAX_PARTS:
        problems.append(tree.mark.problem(f"a graph has at most {MAX_PARTS} nodes"))
        return []
    return [_node(node_id, mark, body, problems) for node_id, mark, body in tree.items]


def _node(node_id: str, mark: Mark, body: Tree, problems: list[Problem]) -> Part:
    if not _ID.fullmatch(node_id):
        problems.append(
            mark.problem(f"an id is letters, digits, - and _, got '{node_id}'. Rename the node.")
        )
    if not isinstance(body, Map):
        problems.append(body.mark.problem(f"'{node_id}' must be a mapping, as {{type: input}}"))
        return Part(node_id, None, Map((), mark), (), mark)
    kind = body.get("type")
    cls = None
    if isinstance(kind, Scalar) and isinstance(kind.value, str):
        cls = kind_class(kind.value, kind.mark, problems)
    else:
        at = kind.mark if kind else mark
        problems.append(at.problem(f"'{node_id}' needs a type. {did_you_mean('', WRITTEN)}"))
    sources = _sources(body.get("from"), problems)
    fields = Map(tuple(item for item in body.items if item[0] not in ("type", "from")), body.mark)
    return Part(node_id, cls, fields, sources, mark)


def _sources(written: Tree | None, problems: list[Problem]) -> tuple[tuple[str, Mark], ...]:
    if written is None:
        return ()
    items = written.items if isinstance(written, Seq) else (written,)
    sources = []
    for item in items:
        if isinstance(item, Scalar) and isinstance(item.value, str):
            sources.append((item.value, item.mark))
        else:
            problems.append(item.mark.problem("from must be a node's id or a list of ids"))
    return tuple(sources)


def read_chain(tree: Tree, problems: list[Problem]) -> list[Part]:
    """The parts of a ``chain:``, each fed by the one before, with input and output put in."""
    if not isinstance(tree, Seq) or not tree.items:
        problems.append(tree.mark.problem("chain must be a list, as [{emotion: happy}, decode]"))
        return []
    if len(tree.items) > MAX_PARTS:
        problems.append(tree.mark.problem(f"a chain has at most {MAX_PARTS} steps"))
        return []
    found = [_link(item, problems) for item in tree.items]
    links = [link for link in found if link]
    empty = Map((), tree.mark)
    if not links or links[0][0].kind != "input":
        links.insert(0, (WRITTEN["input"], empty))
    if links[-1][0].kind != "output":
        links.append((WRITTEN["output"], empty))
    parts: list[Part] = []
    counts: dict[str, int] = {}
    for cls, fields in links:
        nth = counts[cls.kind] = counts.get(cls.kind, 0) + 1
        node_id = cls.kind if nth == 1 else f"{cls.kind}{nth}"
        sources = ((parts[-1].id, fields.mark),) if parts else ()
        parts.append(Part(node_id, cls, fields, sources, fields.mark))
    return parts


def _link(item: Tree, problems: list[Problem]) -> tuple[type[Node], Map] | None:
    """One item of a chain: ``decode``, ``{emotion: happy}`` or ``{emotion: {value: happy}}``."""
    if isinstance(item, Scalar) and isinstance(item.value, str):
        cls = kind_class(item.value, item.mark, problems)
        return (cls, Map((), item.mark)) if cls else None
    if not isinstance(item, Map) or len(item.items) != 1:
        message = "one step of a chain is one kind, as {emotion: happy} or decode"
        problems.append(item.mark.problem(message))
        return None
    kind, mark, body = item.items[0]
    cls = kind_class(kind, mark, problems)
    if cls is None:
        return None
    if isinstance(body, Map):
        return cls, Map(body.items, mark)
    if isinstance(body, Scalar) and body.value is None:
        return cls, Map((), mark)
    if not cls.main:
        problems.append(body.mark.problem(f"'{kind}' takes no value. Write {kind} alone."))
        return None
    return cls, Map(((cls.main, body.mark, body),), mark)


def apply_sets(parts: list[Part], sets: Iterable[str], problems: list[Problem]) -> list[Part]:
    """The parts with every ``node.param=value`` put in, later ones over earlier ones."""
    by_id = {part.id: part for part in parts}
    for text in sets:
        mark = Mark(f"--set {text}")
        target, equals, typed = text.partition("=")
        node_id, *path = target.strip().split(".")
        if not equals or not path or not all(path):
            problems.append(mark.problem("write it as node.param=value"))
        elif node_id not in by_id:
            problems.append(mark.problem(f"no node '{node_id}'. {did_you_mean(node_id, by_id)}"))
        else:
            part = by_id[node_id]
            if part.cls is None:
                continue
            value = _typed(part.cls, path, typed, mark, problems)
            fields = _put(part.fields, path, value, mark, problems)
            by_id[node_id] = replace(
                part, fields=fields if isinstance(fields, Map) else part.fields
            )
    return list(by_id.values())


def split_sets(parts: Sequence[Part], sets: Iterable[str]) -> tuple[list[str], ...]:
    """The sets on the graph's engine (``engine=kind``, ``engine.field=value``), those on its takes
    (``takes=4``), and the others.
    """
    found: dict[str, list[str]] = {ENGINE: [], TAKES: [], "": []}
    ids = {part.id for part in parts}
    for text in sets:
        target = text.partition("=")[0].strip().partition(".")[0]
        found[target if target in found and target not in ids else ""].append(text)
    return tuple(found.values())


def set_takes(written: Tree | None, sets: Iterable[str], problems: list[Problem]) -> Tree | None:
    """What a graph says under ``takes:``, with the sets put in."""
    for text in sets:
        mark = Mark(f"--set {text}")
        target, equals, typed = text.partition("=")
        if not equals or target.strip() != TAKES:
            problems.append(mark.problem("write it as takes=number"))
        else:
            written = read_value(typed, mark, problems)
    return written


def set_engine(written: Tree | None, sets: Iterable[str], problems: list[Problem]) -> Tree | None:
    """What a graph says under ``engine:``, with the sets put in.

    Another kind starts from that engine's own settings: those written are for the old one.
    """
    for text in sets:
        mark = Mark(f"--set {text}")
        target, equals, typed = text.partition("=")
        _, *path = target.strip().split(".")
        if not equals or not all(path):
            problems.append(mark.problem("write it as engine=kind or engine.field=value"))
        elif not path:
            written = Map((("kind", mark, Scalar(typed.strip(), mark)),), mark)
        else:
            if written is None or isinstance(written, Scalar):
                kind = written or Scalar("parametric", mark)
                written = Map((("kind", kind.mark, kind),), kind.mark)
            written = _put(written, path, read_value(typed, mark, problems), mark, problems)
    return written


def _typed(
    cls: type[Node], path: list[str], typed: str, mark: Mark, problems: list[Problem]
) -> Tree:
    field = cls.model_fields.get(path[0])
    if field is not None and len(path) == 1 and _is_words(field.annotation, typed):
        # Words stay words: a text of "[Sigh]" is no list, a value of "no" no boolean.
        return Scalar(typed, mark) if typed[:1] not in ("'", '"') else read_value(typed, mark, [])
    return read_value(typed, mark, problems)


def _is_words(annotation: object, typed: str) -> bool:
    """Whether what was typed is words: for a text always, for a tag unless it is keyframes."""
    return annotation is str or (
        str in get_args(annotation) and typed.lstrip()[:1] not in ("[", "{")
    )


def _put(tree: Tree, path: list[str], value: Tree, mark: Mark, problems: list[Problem]) -> Tree:
    """The tree with the value at a path of keys and list indexes (from 0)."""
    if not path:
        return value
    step, *rest = path
    if isinstance(tree, Map) and (tree.get(step) is not None or not rest):
        inner = tree.get(step) or value
        return tree.with_item(step, mark, _put(inner, rest, value, mark, problems))
    if isinstance(tree, Seq) and step.isdecimal() and int(step) < len(tree.items):
        items = list(tree.items)
        items[int(step)] = _put(items[int(step)], rest, value, mark, problems)
        return Seq(tuple(items), tree.mark)
    if isinstance(tree, Seq):
        remedy = f"The list has {len(tree.items)} items, counted from 0."
    else:
        names = [key for key, _, _ in tree.items] if isinstance(tree, Map) else []
        remedy = did_you_mean(step, names) or "Write the whole field."
    problems.append(mark.problem(f"there is no '{step}' to set in. {remedy}"))
    return tree
