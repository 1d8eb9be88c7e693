"""The JSON Schema of a graph file, made of the nodes' fields, for editors to complete and check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepedit_fx.engines.base import ENGINES
from stepedit_fx.graph.parts import WRITTEN
from stepedit_fx.graph.reading import MAX_SEED, MAX_TAKES, VERSION
from stepedit_fx.nodes import Node
from stepedit_fx.tags import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE = {"$ref": "#/$defs/Variable"}

Schema = dict[str, Any]


def schema() -> Schema:
    """The schema (draft 2020-12) of a graph file in both its forms.

    It says less than `Graph.parse` checks: ids, circles, files and engines are beyond it.
    """
    definitions: Schema = {
        "Variable": {
            "type": "string",
            "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}",
            "description": "A variable: ${name}.",
        }
    }
    nodes, links = {}, {}
    for kind, cls in WRITTEN.items():
        fields = _fields(cls, definitions)
        nodes[kind] = _node(cls, fields)
        links[kind] = _link(cls, fields)
    definitions |= {f"node-{kind}": node for kind, node in nodes.items()}
    definitions |= {f"link-{kind}": link for kind, link in links.items()}
    definitions |= {"Node": _any_node(), "Link": _any_link()}
    return {"$schema": DIALECT, "title": "stepedit_fx graph", **_top(), "$defs": definitions}


def _top() -> Schema:
    engine: Schema = {
        "anyOf": [{"enum": list(ENGINES)}, _VARIABLE],
        "description": "What edits the speech.",
    }
    return {
        "type": "object",
        "properties": {
            "version": {"const": VERSION},
            "name": {"type": "string", "maxLength": 80, "description": "Part of output names."},
            "description": {"type": "string"},
            "engine": {
                "anyOf": [
                    engine,
                    {"type": "object", "properties": {"kind": engine}, "required": ["kind"]},
                ]
            },
            "seed": {
                "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_SEED}, _VARIABLE],
                "description": "The seed of nodes that state none.",
            },
            "takes": {
                "anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_TAKES}, _VARIABLE],
                "description": "How many takes to make, each with other seeds; the best is kept.",
            },
            "vars": {
                "type": ["object", "null"],
                "description": "Values for ${name}; run's --var gives others.",
            },
            "nodes": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"$ref": "#/$defs/Node"},
                "description": "Nodes by id, each with what it takes its input from.",
            },
            "chain": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/Link"},
                "description": "A straight line of nodes.",
            },
        },
        "oneOf": [{"required": ["nodes"]}, {"required": ["chain"]}],
        "additionalProperties": False,
    }


def _fields(cls: type[Node], definitions: Schema) -> Schema:
    """A node's fields as an object's schema; what they refer to goes into the definitions."""
    made = cls.model_json_schema()
    for name, definition in made.pop("$defs", {}).items():
        definitions[name] = _open_to_variables(definition)
    properties = {
        name: _open_to_variables({k: v for k, v in field.items() if k != "title"})
        for name, field in made.get("properties", {}).items()
    }
    if cls.kind in KINDS and KINDS[cls.kind].tags and "value" in properties:
        known = {"enum": list(KINDS[cls.kind].tags)}  # an engine may offer more
        properties["value"]["anyOf"].insert(0, known)
    return {
        "type": "object",
        "description": made.get("description", ""),
        "properties": properties,
        "required": made.get("required", []),
        "additionalProperties": False,
    }


def _open_to_variables(field: Schema) -> Schema:
    """The same schema with ``${name}`` in place of anything that is no text of its own."""
    opened = {key: _opened_part(key, value) for key, value in field.items()}
    if not _is_closed(field):
        return opened
    notes: Schema = {
        key: opened.pop(key) for key in ("description", "default", "unit") if key in opened
    }
    return {"anyOf": [opened, _VARIABLE], **notes}


def _opened_part(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _open_to_variables(inner) for name, inner in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        return [_open_to_variables(inner) for inner in value]
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return _open_to_variables(value)
    return value


def _is_closed(field: Mapping[str, Any]) -> bool:
    """Whether a text with a variable in it would not pass."""
    kinds = field.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    return "enum" in field or (bool(kinds) and "string" not in kinds)


def _node(cls: type[Node], fields: Schema) -> Schema:
    """One entry under ``nodes:``."""
    properties: Schema = {"type": {"const": cls.kind}}
    required = ["type", *fields["required"]]
    least, most = cls.inputs
    if most:
        source = {"type": "string", "description": "Id of the node whose result this one takes."}
        several = {"type": "array", "items": source, "minItems": least, "maxItems": most}
        properties["from"] = {"anyOf": [source, several]} if least == 1 else several
        required.append("from")
    properties |= fields["properties"]
    return {**fields, "properties": properties, "required": required}


def _link(cls: type[Node], fields: Schema) -> Schema:
    """What stands after a kind in a ``chain:``: its fields, its main value, or nothing."""
    forms = [{key: value for key, value in fields.items() if key != "description"}]
    if cls.main:
        main = fields["properties"][cls.main]
        forms.append({key: value for key, value in main.items() if key != "default"})
    if not fields["required"]:
        forms.append({"type": "null"})
    return {"description": fields["description"], "anyOf": forms}


def _any_node() -> Schema:
    choices = [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": {"$ref": f"#/$defs/node-{kind}"},
        }
        for kind in WRITTEN
    ]
    kinds = {"type": {"anyOf": [{"enum": list(WRITTEN)}, _VARIABLE]}}
    return {"type": "object", "properties": kinds, "required": ["type"], "allOf": choices}


def _any_link() -> Schema:
    alone = [
        kind
        for kind, cls in WRITTEN.items()
        if not any(field.is_required() for field in cls.model_fields.values())
    ]
    by_kind = {kind: {"$ref": f"#/$defs/link-{kind}"} for kind in WRITTEN}
    one = {
        "type": "object",
        "properties": by_kind,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": alone}, one, _VARIABLE]}
