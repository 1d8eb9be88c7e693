"""What there is to use: `nodes`, `tags`, `effects`, `presets`, `schema`."""

from __future__ import annotations

from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import JsonOption, print_json, print_table
from stepedit_fx.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

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
    fields = [_field(name, info) for name, info in kinds[kind].model_fields.items()]
    if as_json:
        print_json({"kind": kind, "purpose": _purpose(kinds[kind]), "fields": fields})
        return
    typer.echo(f"{kind}: {_purpose(kinds[kind])}")
    columns = ("Field", "Type", "Default", "Range", "Unit", "Help")
    print_table(columns, [[str(v) for v in field.values()] for field in fields])


def _purpose(cls: type[Node]) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _field(name: str, info: FieldInfo) -> dict[str, Any]:
    """One field as the faces show it; all from the model."""
    import annotated_types
    from pydantic_core import PydanticUndefined

    low = next((m.ge for m in info.metadata if isinstance(m, annotated_types.Ge)), None)
    high = next((m.le for m in info.metadata if isinstance(m, annotated_types.Le)), None)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    default = info.get_default(call_default_factory=True)
    annotation = info.annotation
    return {
        "field": info.alias or name,
        "type": annotation.__name__ if isinstance(annotation, type) else str(annotation),
        "default": "required" if default is PydanticUndefined else default,
        "range": "" if low is None and high is None else f"{low} to {high}",
        "unit": extra.get("unit", ""),
        "help": info.description or "",
    }


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
