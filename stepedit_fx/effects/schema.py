"""JSON Schema (draft 2020-12) of a chain, so that editors complete and check it."""

from __future__ import annotations

import re
from typing import Any

from stepedit_fx.effects.curves import KEYFRAME_SHAPES, LFO_MAX_HZ, LFO_SHAPES
from stepedit_fx.effects.reading import EXTERNAL_FORMS
from stepedit_fx.effects.table import EFFECTS, EffectSpec, Param

Schema = dict[str, Any]

CHAIN = "EffectChain"
_BYPASS: Schema = {"type": "boolean", "description": "Leave this out.", "default": False}


def chain_schema() -> Schema:
    """The schema of a chain as a reference into `definitions`."""
    return {"$ref": f"#/$defs/{CHAIN}"}


def definitions() -> dict[str, Schema]:
    """What the chain's schema refers to, for the document's $defs."""
    items = [_item(name, _effect(spec), spec.help) for name, spec in EFFECTS.items()]
    branches = {"type": "array", "items": chain_schema(), "minItems": 1}
    items.append(_item("Mix", branches, "Branches that hear the same sound, summed."))
    items.append(_item("Chain", chain_schema(), "Effects one after another, as one."))
    items += [_item(form, _external(form), f"{form} plugin.") for form in EXTERNAL_FORMS]
    bare = [name for name in EFFECTS if not _required(EFFECTS[name])]
    return {
        CHAIN: {
            "type": "array",
            "description": "Effects in order.",
            "items": {"anyOf": [{"enum": bare}, *items]},
        },
        "Curve": {
            "description": "A value that changes over time; 0 s is the start of the audio.",
            "anyOf": [_keyframes(), _ramp(), _lfo()],
        },
    }


def _item(name: str, inner: Schema, help: str) -> Schema:
    named = {"description": help, **inner} if "$ref" not in inner else inner
    return _object({name: named, "bypass": _BYPASS}, [name])


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _required(spec: EffectSpec) -> list[str]:
    return [name for name, param in spec.params.items() if param.default is None]


def _effect(spec: EffectSpec) -> Schema:
    params = {name: _param(spec, param) for name, param in spec.params.items()}
    schema = _object({**params, "bypass": _BYPASS}, _required(spec))
    return schema if _required(spec) else {**schema, "type": ["object", "null"]}


def _param(spec: EffectSpec, param: Param) -> Schema:
    unit = f" ({param.unit})" if param.unit else ""
    notes: Schema = {"description": f"{param.help}{unit}"}
    if param.default is not None:
        notes["default"] = param.default
    if param.kind == "switch":
        return {"type": "boolean", **notes}
    if param.kind == "choice":
        return {"enum": list(param.choices), **notes}
    if param.kind == "file":
        return {"type": "string", "minLength": 1, **notes}
    number: Schema = {"type": "number", "minimum": param.low, "maximum": param.high}
    if spec.whole or param.fixed:
        return {**number, **notes}
    return {"anyOf": [number, {"$ref": "#/$defs/Curve"}], **notes}


def _external(form: str) -> Schema:
    return {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "description": f"The {form}'s file or bundle.",
                "pattern": f"{re.escape(EXTERNAL_FORMS[form])}$",
            },
            "plugin": {"type": "string", "description": "Which plugin, if the file has several."},
            "bypass": _BYPASS,
        },
        "required": ["path"],
        "additionalProperties": {"type": ["number", "string", "boolean"]},
    }


def _keyframes() -> Schema:
    seconds = {"type": "number", "minimum": 0, "description": "Seconds."}
    point = {
        "type": "array",
        "prefixItems": [seconds, {"type": "number", "description": "Value."}],
        "minItems": 2,
        "maxItems": 2,
    }
    points = {
        "type": "array",
        "items": point,
        "minItems": 1,
        "description": "[seconds, value], seconds rising.",
    }
    shape = {
        "enum": list(KEYFRAME_SHAPES),
        "default": "linear",
        "description": "How it moves between keyframes.",
    }
    return _object({"keyframes": points, "shape": shape}, ["keyframes"])


def _ramp() -> Schema:
    number: Schema = {"type": "number"}
    seconds: Schema = {"type": "number", "minimum": 0}
    properties: dict[str, Schema] = {
        "from": {**number, "description": "Value at the start."},
        "to": {**number, "description": "Value at the end."},
        "start": {**seconds, "default": 0, "description": "Seconds."},
        "end": {**seconds, "description": "Seconds."},
    }
    return _object({"ramp": _object(properties, ["from", "to", "end"])}, ["ramp"])


def _lfo() -> Schema:
    rate = {"type": "number", "exclusiveMinimum": 0, "maximum": LFO_MAX_HZ}
    properties: dict[str, Schema] = {
        "shape": {"enum": list(LFO_SHAPES), "default": "sine", "description": "Its wave."},
        "rate_hz": {**rate, "description": "Cycles a second."},
        "center": {"type": "number", "description": "Value it swings about."},
        "depth": {"type": "number", "minimum": 0, "description": "Swing to each side."},
        "phase": {"type": "number", "minimum": 0, "maximum": 1, "description": "Start in cycle."},
        "seed": {"type": "integer", "minimum": 0, "description": "Of the random shape."},
    }
    return _object({"lfo": _object(properties, ["rate_hz", "center", "depth"])}, ["lfo"])
