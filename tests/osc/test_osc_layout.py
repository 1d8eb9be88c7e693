"""The surface for Open Stage Control: its structure as that program documents it, and its sense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from stepedit_fx.errors import RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import ROOT, controls_of
from stepedit_fx.osc.commands import COMMANDS, command
from stepedit_fx.osc.layout import (
    PIECES,
    VERSION,
    checked_target,
    decimals,
    ranged,
    session_of,
)
from stepedit_fx.osc.pattern import matching
from stepedit_fx.osc.wire import Message
from stepedit_fx.shipped import shipped

FILES = {**shipped("graphs"), **shipped("presets")}
TARGET = "127.0.0.1:9100"

# The properties that the widget reference of Open Stage Control lists, of the widgets used here.
TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
EVERY = {
    "type": TEXT,
    "id": {"type": "string", "pattern": "^[A-Za-z0-9_]+$"},
    "comments": TEXT,
    "width": {"type": ["number", "string"]},
    "height": {"type": ["number", "string"]},
    "expand": FLAG,
    "default": {"type": ["number", "string"]},
    "address": {"type": "string", "pattern": "^/"},
    "preArgs": {"type": "array", "items": {"type": ["number", "string"]}},
    "typeTags": {"type": "string", "pattern": "^[ifs]+$"},
    "decimals": {"type": "integer", "minimum": 0, "maximum": 20},
    "target": {"type": "array", "items": {"type": "string", "pattern": r"^[^:]+:\d+$"}},
    "ignoreDefaults": FLAG,
    "bypass": FLAG,
    "onCreate": TEXT,
    "onValue": TEXT,
}
WIDGETS = {"widgets": {"type": "array", "items": {"$ref": "#/$defs/widget"}, "minItems": 1}}
BOX = {
    "layout": {"enum": ["default", "vertical", "horizontal", "grid"]},
    "contain": FLAG,
    "scroll": FLAG,
    **WIDGETS,
}
OWN: dict[str, dict[str, Any]] = {
    "root": {"tabs": {"type": "array", "items": {"$ref": "#/$defs/widget"}, "minItems": 1}},
    "tab": {"label": TEXT, **BOX},
    "panel": BOX,
    "text": {"wrap": {"enum": [True, False, "soft"]}},
    "button": {
        "label": TEXT,
        "mode": {"enum": ["toggle", "push", "momentary", "tap"]},
        "on": {"const": 1},
        "off": {"const": 0},
    },
    "dropdown": {"label": TEXT, "values": {"type": "array", "minItems": 1}},
    "input": {"numeric": FLAG, "unit": TEXT, "maxLength": {"type": "integer"}},
    "fader": {
        "range": {
            "type": "object",
            "required": ["min", "max"],
            "propertyNames": {"pattern": r"^(min|max|\d+(\.\d+)?%)$"},
            "additionalProperties": {"type": "number"},
        },
        "horizontal": FLAG,
        "doubleTap": FLAG,
    },
}
WIDGET = {
    "type": "object",
    "required": ["type", "id"],
    "oneOf": [
        {
            "properties": {**EVERY, **own, "type": {"const": kind}},
            "additionalProperties": False,
        }
        for kind, own in OWN.items()
    ],
}
SCHEMA = Draft202012Validator(
    {
        "$defs": {"widget": WIDGET},
        "type": "object",
        "required": ["createdWith", "version", "type", "content"],
        "additionalProperties": False,
        "properties": {
            "createdWith": {"const": "Open Stage Control"},
            "version": {"type": "string", "pattern": r"^1\.\d+\.\d+$"},
            "type": {"const": "session"},
            "content": {
                "allOf": [{"$ref": "#/$defs/widget"}, {"properties": {"type": {"const": "root"}}}]
            },
        },
    }
)
NESTED = """
version: 1
name: nested
nodes:
  take: {type: input}
  sound: {type: paralinguistic, from: take, text: "[Sigh] so #{send('/x')} @{y}"}
  dry: {type: decode, from: sound}
  wet: {type: effects, from: dry, chain: [{Mix: [[], [{Chain: [{Gain: {gain_db: -2}}]}]]}]}
  blend: {type: mix, from: [dry, wet], gain_db: [0, -6], pan: [-0.5, 0.5]}
  out: {type: output, from: blend}
"""


def widgets(widget: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield widget
    for inside in (*widget.get("widgets", ()), *widget.get("tabs", ())):
        yield from widgets(inside)


def made(graph: Graph) -> dict[str, Any]:
    return session_of(graph, controls_of(graph), TARGET)


def every(graph: Graph) -> list[dict[str, Any]]:
    return list(widgets(made(graph)["content"]))


GRAPHS = {**{name: Graph.load(path) for name, path in FILES.items()}, "nested": Graph.parse(NESTED)}


@pytest.mark.parametrize("name", GRAPHS)
def test_it_is_a_session_as_documented(name: str) -> None:
    """Open Stage Control opens the file: only widgets and properties that its reference has."""
    session = json.loads(json.dumps(made(GRAPHS[name])))
    SCHEMA.validate(session)
    ids = [widget["id"] for widget in widgets(session["content"])]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_control_has_its_widget(name: str) -> None:
    """Whatever can be turned is there, with its kind, range and where it stands."""
    graph = GRAPHS[name]
    controls = controls_of(graph)
    found: dict[str, list[dict[str, Any]]] = {}
    for widget in every(graph):
        if widget.get("address", "").startswith(f"{ROOT}/node/"):
            found.setdefault(widget["address"], []).append(widget)
            assert widget["target"] == [TARGET]
    assert set(found) == set(controls)
    for address, mine in found.items():
        control, first = controls[address], mine[0]
        initial = controls.initial[address]
        assert {widget["typeTags"] for widget in mine} == {
            {"number": "f", "choice": "s", "text": "s"}.get(control.kind, "i")
        }
        if control.kind == "switch":
            assert (first["type"], first["default"]) == ("button", int(bool(initial)))
        elif control.kind == "choice":
            assert (first["type"], tuple(first["values"])) == ("dropdown", control.choices)
        elif control.kind == "text":
            assert first["type"] == "input"
        else:
            assert first["default"] == initial
            if first["type"] == "fader":
                ends = (first["range"]["min"], first["range"]["max"])
                assert ends == (control.low, control.high)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_command_is_one(name: str) -> None:
    """Each button says something that the daemon understands."""
    for widget in every(GRAPHS[name]):
        if widget["type"] in ("button", "fader") and widget.get("address") in COMMANDS:
            value = () if widget["type"] == "button" else (0.5,)
            assert widget["type"] == "fader" or widget["mode"] == "momentary"
            message = Message(widget["address"], (*widget["preArgs"], *value))
            command(widget["address"]).read(message)
            assert len(widget["typeTags"]) == len(message.args)
    commands = {w["address"] for w in every(GRAPHS[name]) if "preArgs" in w}
    assert {f"{ROOT}/render", f"{ROOT}/render/cancel", f"{ROOT}/scene/store"} <= commands
    assert {f"{ROOT}/scene/recall", f"{ROOT}/scene/morph", f"{ROOT}/render/done"} <= commands


def test_it_subscribes_to_every_control() -> None:
    """Faders on the glass follow what others turn."""
    graph = GRAPHS["nested"]
    script = made(graph)["content"]["onCreate"]
    pattern = f"{ROOT}/node//*"
    assert pattern in script
    assert f"{ROOT}/subscribe" in script
    assert matching(pattern, controls_of(graph)) == tuple(controls_of(graph))


def test_no_text_of_a_graph_is_evaluated() -> None:
    """A graph from a stranger runs no code in the program that shows it."""
    for widget in every(GRAPHS["nested"]):
        for name, value in widget.items():
            if name not in ("onCreate", "onValue", "widgets", "tabs"):
                assert "{" not in json.dumps(value) or name == "range"
    scripts = [w.get("onCreate", "") + w.get("onValue", "") for w in every(GRAPHS["nested"])]
    assert {s for s in scripts if s} == {
        w.get("onCreate", "") + w.get("onValue", "") for w in every(GRAPHS["dry-wet"])
    } - {""}


@pytest.mark.parametrize("name", FILES)
def test_a_log_fader_travels_as_the_knob_does(name: str) -> None:
    """A filter's fader has its octaves evenly, in hertz, not all of them at the bottom."""
    for control in controls_of(GRAPHS[name]).values():
        if control.kind != "number":
            continue
        values = list(ranged(control).values())
        assert values == sorted(values)
        assert 2 <= decimals(control) <= 6
        if control.curve == "log":
            assert len(values) == PIECES + 1
            assert control.norm(values[PIECES // 2]) == pytest.approx(0.5, abs=1e-3)


def test_parts_say_what_they_are() -> None:
    """A panel deep inside a chain names its effect, one of a mix its input."""
    titles = {w["default"] for w in every(GRAPHS["nested"]) if w["type"] == "text"}
    assert {
        "sound paralinguistic",
        "wet.0 Mix",
        "wet.0.1.0 Chain",
        "wet.0.1.0.0 Gain",
        "blend.1 wet",
    } <= titles


@pytest.mark.parametrize("target", ["", "host", ":9100", "h:0", "h:70000", "h:x", "a b:1", "{a}:1"])
def test_targets(target: str) -> None:
    """A typing error in the target is said, before a file is written."""
    with pytest.raises(RequestError, match="HOST:PORT"):
        checked_target(target)
    assert checked_target("studio.local:9100") == "studio.local:9100"


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    """One line makes a surface; the screen where no file is named."""
    import typer

    from stepedit_fx.cli.layout import layout

    app = typer.Typer()
    app.command()(layout)
    path = tmp_path / "quickstart.json"
    done = CliRunner().invoke(app, ["quickstart", "-o", str(path), "--target", "10.0.0.2:9000"])
    assert done.exit_code == 0, done.output
    assert "23 controls" in done.output
    session = json.loads(path.read_text(encoding="utf-8"))
    SCHEMA.validate(session)
    assert session["version"] == VERSION
    assert session["content"]["target"] == ["10.0.0.2:9000"]
    assert "controls" not in CliRunner().invoke(app, ["quickstart"]).output[-100:]
