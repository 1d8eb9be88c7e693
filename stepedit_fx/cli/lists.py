"""What there is to use: `nodes`, `tags`, `effects`, `presets`, `schema`."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import JsonOption, print_json, print_table
from stepedit_fx.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from stepedit_fx.nodes.base import Node


def nodes(
    kind: Annotated[str | None, typer.Argument(help="Show the fields of this kind.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the kinds of node, or the fields of one."""
    from stepedit_fx.nodes import INTERNAL, NODES

    kinds = {name: cls for name, cls in NODES.items() if name not in INTERNAL}
    if kind is None:
        rows = [(name, _purpose(cls)) for name, cls in kinds.items()]
        if as_json:
            print_json([{"kind": name, "purpose": purpose} for name, purpose in rows])
        else:
            print_table(("Kind", "What it does"), rows)
        return
    if kind not in kinds:
        raise RequestError(f"unknown node kind '{kind}'", remedy=did_you_mean(kind, kinds))
    fields = _fields(kinds[kind])
    if as_json:
        print_json({"kind": kind, "purpose": _purpose(kinds[kind]), "fields": fields})
        return
    typer.echo(f"{kind}: {_purpose(kinds[kind])}")
    columns = ("Field", "Type", "Default", "Range", "Unit", "Help")
    if fields:
        print_table(columns, [[_shown(value) for value in field.values()] for field in fields])


def _purpose(cls: type[Node]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _fields(cls: type[Node]) -> list[dict[str, Any]]:
    """Every field as the faces show it; all from the model's own schema."""
    schema = cls.model_json_schema()
    required = schema.get("required", ())
    return [
        _field(name, field, name in required)
        for name, field in schema.get("properties", {}).items()
    ]


def _field(name: str, field: dict[str, Any], required: bool) -> dict[str, Any]:
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    kind = kinds[0]
    each = kind.get("items", {}) if kind.get("type") == "array" else kind
    low, high = each.get("minimum"), each.get("maximum")
    return {
        "field": name,
        "type": _type_name(kind),
        "default": "required" if required else field.get("default"),
        "range": "" if low is None and high is None else f"{low} to {high}",
        "unit": field.get("unit", ""),
        "help": field.get("description", ""),
    }


def _type_name(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return ", ".join(str(value) for value in kind["enum"])
    if kind.get("type") == "array":
        each = _type_name(kind.get("items", {}))
        return f"list of {each}s" if each in ("number", "whole number", "text") else "list"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    name = str(kind.get("type", "data"))
    return names.get(name, name)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == [] else str(value)


def tags(
    kind: Annotated[str | None, typer.Argument(help="Only the tags of this kind of edit.")] = None,
    engine: Annotated[str, typer.Option(help="Say which tags this engine does.")] = "parametric",
    as_json: JsonOption = False,
) -> None:
    """List the tags of every kind of edit, and which the engine does."""
    from stepedit_fx.tags import KINDS

    if kind is not None and kind not in KINDS:
        raise RequestError(f"unknown edit kind '{kind}'", remedy=did_you_mean(kind, KINDS))
    rows = _tag_rows(engine, [kind] if kind else list(KINDS))
    if as_json:
        names = ("kind", "tag", "meaning", "offered")
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    shown = [(k, t, meaning, "yes" if offered else "") for k, t, meaning, offered in rows]
    print_table(("Kind", "Tag", "Meaning", engine), shown)


def _tag_rows(engine: str, kinds: list[str]) -> list[tuple[str, str, str, bool]]:
    from stepedit_fx.engines.base import open_engine
    from stepedit_fx.tags import KINDS, SOUNDS

    offers = open_engine(engine).offers
    rows: list[tuple[str, str, str, bool]] = []
    for name in kinds:
        entry, offered = KINDS[name], offers.get(name, ())
        if not entry.tags:
            rows.append((name, "", entry.meaning, name in offers))
        rows += [(name, t.name, t.meaning, t.name in offered) for t in entry.tags.values()]
        if name == "paralinguistic":
            sounds = offers.get("paralinguistic", ())
            rows += [(name, f"[{s.name}]", s.meaning, s.name in sounds) for s in SOUNDS.values()]
    return rows


def effects(
    name: Annotated[str | None, typer.Argument(help="Show the parameters of this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the effects, or the parameters of one with their ranges."""
    from stepedit_fx.effects.help import effect_lines, param_lines

    lines = effect_lines()
    if name is None:
        if as_json:
            print_json([asdict(line) for line in lines])
        else:
            rows = [(line.name, line.group, line.help) for line in lines]
            print_table(("Effect", "Group", "What it does"), rows)
        return
    params = param_lines(name)
    line = next(line for line in lines if line.name == name)
    if as_json:
        print_json(asdict(line) | {"params": [asdict(param) for param in params]})
        return
    typer.echo(f"{name}: {line.help}")
    columns = ("Parameter", "Range", "Unit", "Default", "Over time", "Help")
    if params:
        print_table(columns, [astuple(param) for param in params])


def presets(as_json: JsonOption = False) -> None:
    """List the presets and graphs that ship with the package.

    `run` takes their names in place of a file.
    """
    from stepedit_fx.shipped import description, shipped

    found = [
        {"kind": kind, "name": name, "description": description(path), "path": str(path)}
        for kind in ("presets", "graphs")
        for name, path in shipped(kind).items()
    ]
    if as_json:
        print_json(found)
        return
    for kind in ("presets", "graphs"):
        rows = [(f["name"], f["description"]) for f in found if f["kind"] == kind]
        print_table((kind.capitalize(), "What it is for"), rows)


def schema() -> None:
    """Print the JSON Schema of a graph file.

    Editors complete and check YAML by it.
    """
    from stepedit_fx.graph.schema import schema as graph_schema

    print_json(graph_schema())
