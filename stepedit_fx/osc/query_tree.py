"""What OSCQuery says of the address space: a JSON object a node, as the Vidvox proposal has it.

https://github.com/Vidvox/OSCQueryProposal
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from stepedit_fx.errors import NotFound, RequestError
from stepedit_fx.graph.controls import ROOT, Control, Value, as_float32
from stepedit_fx.osc.commands import COMMANDS, NORM, Command

NONE, READ, WRITE, BOTH = 0, 1, 2, 3  # ACCESS

# The proposal's attributes; those that no node here has are answered "no content".
ATTRIBUTES = frozenset(
    {
        "FULL_PATH",
        "CONTENTS",
        "TYPE",
        "ACCESS",
        "VALUE",
        "RANGE",
        "DESCRIPTION",
        "TAGS",
        "EXTENDED_TYPE",
        "UNIT",
        "CRITICAL",
        "CLIPMODE",
        "OVERLOADS",
        "HTML",
    }
)
EXTENSIONS = {
    "ACCESS": True,
    "VALUE": True,
    "RANGE": True,
    "DESCRIPTION": True,
    "UNIT": True,
    "CLIPMODE": True,
    "OVERLOADS": True,
    "LISTEN": True,
    "IGNORE": True,
    "PATH_CHANGED": True,
    "PATH_ADDED": False,
    "PATH_REMOVED": False,
    "PATH_RENAMED": False,
    "TAGS": False,
    "EXTENDED_TYPE": False,
    "CRITICAL": False,
    "HTML": False,
}
# Of units.md; a unit that it does not name (semitones, percent) stands in the description alone.
_UNITS = {"Hz": "time.hz", "dB": "gain.db", "s": "time.second", "ms": "time.ms"}
_TAGS = {"number": "f", "whole": "i", "choice": "s", "text": "s"}

Node = dict[str, Any]


def type_of(control: Control, value: Value) -> str:
    """The OSC type tag of a control's value; a switch is T or F, as it stands."""
    if control.kind == "switch":
        return "T" if value else "F"
    return _TAGS[control.kind]


def has_norm(control: Control) -> bool:
    """Whether a control can be turned by its place on a knob too, at an address below its own."""
    return control.kind != "text" and "/param/" in control.address


def norm_of(control: Control, value: Value) -> float:
    """A value's place on a knob, as it goes by OSC: a number that a float32 holds."""
    return as_float32(control.norm(value))


def control_of(address: str, controls: Mapping[str, Control]) -> tuple[Control, bool]:
    """The control at an address, and whether the address is that of its place on a knob.

    Raises NotFound.
    """
    plain = address.removesuffix(NORM)
    if plain != address and plain in controls and has_norm(controls[plain]):
        return controls[plain], True
    try:
        return controls[address], False
    except KeyError:
        raise NotFound(f"there is no control '{address[:200]}'") from None


def described(control: Control, value: Value) -> Node:
    """The node of a control, with its /norm inside it where it has one."""
    node: Node = {
        "FULL_PATH": control.address,
        "TYPE": type_of(control, value),
        "ACCESS": BOTH,
        "VALUE": [value],
        "DESCRIPTION": _help(control),
    }
    if control.kind == "number":
        node["RANGE"] = [{"MIN": control.low, "MAX": control.high}]
    elif control.kind == "whole":
        node["RANGE"] = [{"MIN": round(control.low), "MAX": round(control.high)}]
    elif control.kind == "choice":
        node["RANGE"] = [{"VALS": list(control.choices)}]
    if control.kind in ("number", "whole"):
        node["CLIPMODE"] = ["both"]
    if control.unit in _UNITS:
        node["UNIT"] = [_UNITS[control.unit]]
    if has_norm(control):
        node["CONTENTS"] = {NORM[1:]: _norm_described(control, value)}
    return node


def _help(control: Control) -> str:
    unit = f" ({control.unit})" if control.unit else ""
    return (control.help or control.name) + unit


def _norm_described(control: Control, value: Value) -> Node:
    travel = f", {control.curve}" if control.curve != "linear" else ""
    return {
        "FULL_PATH": control.address + NORM,
        "TYPE": "f",
        "ACCESS": BOTH,
        "VALUE": [norm_of(control, value)],
        "RANGE": [{"MIN": 0.0, "MAX": 1.0}],
        "CLIPMODE": ["both"],
        "DESCRIPTION": f"{control.name} by its place on a knob, 0 to 1{travel}.",
    }


def forms(tags: str) -> tuple[str, ...]:
    """Every row of tags that a command takes, the shortest with any first: "i[s][ff]"."""
    found = [""]
    for part in re.split(r"(\[[^]]*])", tags):
        optional = part.startswith("[")
        rows = [row + part.strip("[]") for row in found]
        found = [*found, *rows] if optional else rows
    return tuple(sorted(dict.fromkeys(filter(None, found)), key=len)) or ("",)


def _command(command: Command) -> Node:
    tags, *others = forms(command.tags)
    names = ", ".join(command.args)
    node: Node = {
        "FULL_PATH": command.address,
        "ACCESS": WRITE,
        "DESCRIPTION": f"{command.help} ({names})" if names else command.help,
    }
    if tags:
        node["TYPE"] = tags
    if others:
        node["OVERLOADS"] = [{"TYPE": other} for other in others]
    return node


def tree(graph: str, controls: Mapping[str, Control], values: Mapping[str, Value]) -> Node:
    """The whole address space, from "/"."""
    root: Node = {"FULL_PATH": "/", "ACCESS": NONE, "CONTENTS": {}}
    for address, control in controls.items():
        _put(root, described(control, values[address]))
    for command in COMMANDS.values():
        _put(root, _command(command))
    at(root, ROOT)["DESCRIPTION"] = "stepedit_fx: edits of speech, and effects, turned live."
    nodes = at(root, ROOT)["CONTENTS"].setdefault("node", _container(f"{ROOT}/node"))
    nodes["DESCRIPTION"] = f"The nodes of the graph '{graph}', and the effects inside them."
    return root


def _container(path: str) -> Node:
    return {"FULL_PATH": path, "ACCESS": NONE, "CONTENTS": {}}


def _put(root: Node, node: Node) -> None:
    """A node in its place; one that is there already as a container becomes both."""
    place, path = root, ""
    *above, name = node["FULL_PATH"].strip("/").split("/")
    for part in above:
        path = f"{path}/{part}"
        place = place.setdefault("CONTENTS", {}).setdefault(part, _container(path))
    inside = place.setdefault("CONTENTS", {})
    below = {**inside.get(name, {}).get("CONTENTS", {}), **node.get("CONTENTS", {})}
    inside[name] = {**node, "CONTENTS": below} if below else node


def at(root: Node, path: str) -> Node:
    """The node at a path. Raises NotFound."""
    node = root
    for part in filter(None, path.split("/")):
        inside = node.get("CONTENTS", {})
        if part not in inside:
            raise NotFound(f"there is nothing at '{path[:200]}'")
        node = inside[part]
    return node


def attributes(node: Node, names: Iterable[str]) -> Node:
    """Some attributes of a node, those that it has. Raises RequestError for an unknown name."""
    names = tuple(names)
    for name in names:
        if name not in ATTRIBUTES:
            known = ", ".join(sorted(ATTRIBUTES))
            raise RequestError(
                f"there is no attribute '{name[:60]}'", remedy=f"Known: {known}, HOST_INFO."
            )
    return {name: node[name] for name in names if name in node}
