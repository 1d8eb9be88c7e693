"""What of a graph can be turned while it is open: addresses, ranges, and a graph with new values.

The address of a control is its OSC address, and its name everywhere else:
``/stepedit/node/mood/param/strength``, ``/stepedit/node/mood/bypass``. An effect inside a node
is a node of its own, ``rack.0``, by its place in the chain; inside a Mix or Chain by one place a
level, ``rack.2.0.1``. The inputs of a mix are ``blend.0``, ``blend.1``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

import numpy as np
from pydantic import ValidationError

from stepedit_fx.effects.chain import CURVES, Effect, Item, Parallel, Series
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.engines.base import Engine
from stepedit_fx.errors import NotFound, RequestError, did_you_mean
from stepedit_fx.graph.spec import Graph, NodeSpec
from stepedit_fx.nodes.base import Node
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.keyframes import Keyframes, NumberOverTime, TagOverTime
from stepedit_fx.nodes.mix import Mix
from stepedit_fx.nodes.output import Output

ROOT = "/stepedit"
MAX_TEXT = 10_000
# The output that `up_to` puts in; no node of a file can have this name.
HEARD = "(heard)"

Value = float | int | bool | str
Kind = Literal["number", "whole", "switch", "choice", "text"]


@dataclass(frozen=True)
class Control:
    """One thing that can be turned.

    node: the id of the graph's node it belongs to. kind: number and whole (low to high, in
    unit; curve is how a knob travels the range, linear or log), switch, choice (one of choices)
    or text. is_smooth: a parameter of an effect that may glide without a click. is_keyed: a
    field of a speech edit that takes keyframes; it cannot glide, but change within a render.
    """

    address: str
    node: str
    name: str
    kind: Kind
    help: str = ""
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    curve: str = "linear"
    choices: tuple[str, ...] = ()
    is_smooth: bool = False
    is_keyed: bool = False

    def checked(self, value: object) -> Value:
        """The value as this control holds it: of its kind, and a number within its range.

        Numbers are those that a float32 holds, in their shortest form, so that a value reads the
        same whichever way it came. A switch takes numbers, on from 0.5; a choice its place too.
        Raises RequestError for another kind, NaN and infinity.
        """
        if self.kind == "text":
            if isinstance(value, str) and len(value) <= MAX_TEXT:
                return value
            raise self._refused(value, f"a text of at most {MAX_TEXT} characters")
        if self.kind == "choice" and isinstance(value, str):
            if value in self.choices:
                return value
            remedy = did_you_mean(value, self.choices)
            raise RequestError(f"{self.address} cannot be '{value[:60]}'", remedy=remedy)
        if isinstance(value, bool) and self.kind in ("number", "whole", "choice"):
            raise self._refused(value, "a number")
        if not isinstance(value, bool | int | float) or not math.isfinite(value):
            raise self._refused(value, "true or false" if self.kind == "switch" else "a number")
        if self.kind == "switch":
            return value >= 0.5
        if self.kind == "choice":
            return self.choices[min(max(round(value), 0), len(self.choices) - 1)]
        within = min(max(value, self.low), self.high)
        return round(within) if self.kind == "whole" else as_float32(within)

    def norm(self, value: Value) -> float:
        """Where a value lies on a knob, 0 to 1; a text lies nowhere and is 0."""
        if self.kind == "switch":
            return float(bool(value))
        if self.kind == "text":
            return 0.0
        if self.kind == "choice":
            return self.choices.index(str(value)) / max(len(self.choices) - 1, 1)
        number = min(max(float(value), self.low), self.high)
        if self.curve == "log":
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def at(self, norm: float) -> Value:
        """The value at a place on a knob, 0 to 1. Raises RequestError for NaN, and for texts."""
        if self.kind == "text" or not math.isfinite(norm):
            raise self._refused(norm, "a text" if self.kind == "text" else "a number from 0 to 1")
        norm = min(max(norm, 0.0), 1.0)
        if self.kind == "choice":
            return self.checked(norm * (len(self.choices) - 1))
        if self.kind == "switch":
            return norm >= 0.5
        if self.curve == "log":
            return self.checked(self.low * (self.high / self.low) ** norm)
        return self.checked(self.low + (self.high - self.low) * norm)

    def _refused(self, value: object, wanted: str) -> RequestError:
        shown = f"'{value[:60]}'" if isinstance(value, str) else str(value)
        return RequestError(f"{self.address} takes {wanted}, got {shown}")


def as_float32(value: float) -> float:
    """The nearest number that a float32 holds, in its shortest decimal form: 0.8 stays 0.8."""
    return float(str(np.float32(value)))


@dataclass(frozen=True)
class Controls(Mapping[str, Control]):
    """The controls of a graph by address, in file order, and what they stand at in it."""

    by_address: Mapping[str, Control]
    initial: Mapping[str, Value]

    def __getitem__(self, address: str) -> Control:
        """Raises NotFound, with the nearest address there is."""
        try:
            return self.by_address[address]
        except KeyError:
            remedy = did_you_mean(address[:200], self.by_address)
            raise NotFound(f"there is no control '{address[:200]}'", remedy=remedy) from None

    def get(self, address: str, default: Any = None) -> Any:
        """The control of an address, or the default."""
        return self.by_address.get(address, default)

    def __contains__(self, address: object) -> bool:
        return address in self.by_address

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_address)

    def __len__(self) -> int:
        return len(self.by_address)


def controls_of(graph: Graph, engine: Engine | None = None) -> Controls:
    """Every control of a graph. engine: whose tags are the choices; the graph's own if None."""
    found = list(_all(graph, engine or graph.open_engine()))
    return Controls(
        MappingProxyType({control.address: control for control, _ in found}),
        MappingProxyType({control.address: value for control, value in found}),
    )


def _all(graph: Graph, engine: Engine) -> Iterator[tuple[Control, Value]]:
    for spec in graph.nodes.values():
        node = spec.node
        yield from _fields(spec.id, node, engine)
        if isinstance(node, Effects):
            yield from _effects(spec.id, node.chain.items, spec.id)
        elif isinstance(node, Mix):
            yield from _mixed(spec, node)


def _address(part: str, name: str) -> str:
    return f"{ROOT}/node/{part}/" + (name if name == "bypass" else f"param/{name}")


def _fields(node_id: str, node: Node, engine: Engine) -> Iterator[tuple[Control, Value]]:
    for name, info in type(node).model_fields.items():
        extra = info.json_schema_extra
        value = getattr(node, name)
        # A value that was not given (a mix without wet) has no knob: there is nothing it blends.
        if not isinstance(extra, dict) or not extra.get("live") or value is None:
            continue
        if isinstance(value, Keyframes):  # stands at its start until somebody turns it
            value = value.start
        limits = {
            side: float(getattr(meta, side))
            for meta in info.metadata
            for side in ("ge", "le")
            if hasattr(meta, side)
        }
        limits |= node.limits(name)
        tags = engine.offers.get(node.kind, ()) if name == "value" else ()
        if get_origin(info.annotation) is Literal:
            tags = get_args(info.annotation)
        control = Control(
            _address(node_id, name),
            node_id,
            name,
            _kind_of(value, tags),
            info.description or "",
            str(extra.get("unit", "")),
            limits.get("ge", 0.0),
            limits.get("le", 1.0),
            str(extra.get("curve", "linear")),
            tuple(tag for tag in tags if tag),
            is_keyed=any(isinstance(meta, NumberOverTime | TagOverTime) for meta in info.metadata),
        )
        yield control, control.checked(value)


def _kind_of(value: object, tags: Sequence[str]) -> Kind:
    if isinstance(value, bool):
        return "switch"
    if isinstance(value, int):
        return "whole"
    if isinstance(value, float):
        return "number"
    return "choice" if tags else "text"


def _effects(part: str, items: Sequence[Item], node_id: str) -> Iterator[tuple[Control, Value]]:
    for index, item in enumerate(items):
        here = f"{part}.{index}"
        help = "Pass the sound by this effect."
        yield Control(_address(here, "bypass"), node_id, "bypass", "switch", help), item.bypass
        if isinstance(item, Series):
            yield from _effects(here, item.items, node_id)
        elif isinstance(item, Parallel):
            for number, branch in enumerate(item.branches):
                yield from _effects(f"{here}.{number}", branch.items, node_id)
        elif isinstance(item, Effect):
            yield from _params(here, item, node_id)


def _params(part: str, effect: Effect, node_id: str) -> Iterator[tuple[Control, Value]]:
    spec = EFFECTS[effect.name]
    for name, value in effect.params:
        param = spec.params[name]
        if param.kind == "file":  # no surface names a path
            continue
        control = Control(
            _address(part, name),
            node_id,
            name,
            param.kind,
            f"{spec.name}: {param.help}",
            param.unit,
            param.low,
            param.high,
            param.curve,
            param.choices,
            is_smooth=param.automatable and not spec.whole,
        )
        # One that moves by a curve of its own stands at its start until somebody turns it.
        still = float(value.at(np.zeros(1))[0]) if isinstance(value, CURVES) else value
        yield control, control.checked(still)


def _mixed(spec: NodeSpec, node: Mix) -> Iterator[tuple[Control, Value]]:
    gains_db = node.gain_db or (0.0,) * len(spec.sources)
    for index, (source, gain_db) in enumerate(zip(spec.sources, gains_db, strict=True)):
        address = _address(f"{spec.id}.{index}", "gain_db")
        help = f"Level of '{source}'."
        control = Control(address, spec.id, "gain_db", "number", help, "dB", -100.0, 24.0)
        yield control, control.checked(gain_db)
    for index, pan in enumerate(node.pan):  # without any, channels stay as they are
        address = _address(f"{spec.id}.{index}", "pan")
        help = f"Place of '{spec.sources[index]}', -1 left to 1 right."
        control = Control(address, spec.id, "pan", "number", help, "", -1.0, 1.0)
        yield control, control.checked(pan)


def with_values(graph: Graph, changes: Mapping[str, Value]) -> Graph:
    """The graph with controls at these values. Raises RequestError, naming the node.

    changes: by address, each as its `Control.checked` gives it.
    """
    by_node: dict[str, dict[tuple[str, ...], Value]] = {}
    for address, value in changes.items():
        node_id, path = _split(address)
        by_node.setdefault(node_id, {})[path] = value
    nodes = dict(graph.nodes)
    for node_id, values in by_node.items():
        if node_id not in nodes:
            raise NotFound(f"there is no node '{node_id}'", remedy=did_you_mean(node_id, nodes))
        spec = nodes[node_id]
        nodes[node_id] = replace(spec, node=_changed(spec, values))
    return replace(graph, nodes=MappingProxyType(nodes))


def _split(address: str) -> tuple[str, tuple[str, ...]]:
    """A node's id, and the path inside it: ("strength",), ("0", "gain_db"), ("0", "bypass")."""
    parts = address.removeprefix(f"{ROOT}/node/").split("/")
    node_id, *places = parts[0].split(".")
    return node_id, (*places, parts[-1])


def _changed(spec: NodeSpec, values: Mapping[tuple[str, ...], Value]) -> Node:
    node = spec.node
    fields: dict[str, Any] = {path[0]: value for path, value in values.items() if len(path) == 1}
    inner = {path: value for path, value in values.items() if len(path) > 1}
    if isinstance(node, Effects) and inner:
        fields["chain"] = replace(node.chain, items=_turned(node.chain.items, inner))
    elif isinstance(node, Mix):
        fields.update(_levels(spec, node, inner))
    try:
        return type(node).model_validate({**dict(node), **fields})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RequestError(first["msg"].removeprefix("Value error, "), node=spec.id) from error


def _turned(items: Sequence[Item], values: Mapping[tuple[str, ...], Value]) -> tuple[Item, ...]:
    by_place: dict[int, dict[tuple[str, ...], Value]] = {}
    for path, value in values.items():
        by_place.setdefault(int(path[0]), {})[path[1:]] = value
    return tuple(_turned_item(item, by_place.get(i, {})) for i, item in enumerate(items))


def _turned_item(item: Item, values: Mapping[tuple[str, ...], Value]) -> Item:
    """An item with values by their path inside it; () of one name is its own."""
    if not values:
        return item
    own = {path[0]: value for path, value in values.items() if len(path) == 1}
    inner = {path: value for path, value in values.items() if len(path) > 1}
    item = replace(item, bypass=bool(own.pop("bypass", item.bypass)))
    if isinstance(item, Series):
        return replace(item, items=_turned(item.items, inner))
    if isinstance(item, Parallel):
        branches = []
        for number, branch in enumerate(item.branches):
            mine = {path[1:]: v for path, v in inner.items() if path[0] == str(number)}
            branches.append(replace(branch, items=_turned(branch.items, mine)))
        return replace(item, branches=tuple(branches))
    if isinstance(item, Effect):
        return replace(item, params=tuple((n, own.get(n, v)) for n, v in item.params))
    return item


def _levels(
    spec: NodeSpec, node: Mix, values: Mapping[tuple[str, ...], Value]
) -> dict[str, tuple[float, ...]]:
    gains_db = list(node.gain_db or (0.0,) * len(spec.sources))
    pans = list(node.pan)
    for (place, name), value in values.items():
        (gains_db if name == "gain_db" else pans)[int(place)] = float(value)
    turned = any(name == "gain_db" for _, name in values)
    return {"gain_db": tuple(gains_db) if turned else node.gain_db, "pan": tuple(pans)}


def upstream(graph: Graph, node_id: str) -> frozenset[str]:
    """The ids of a node and of all that feeds it."""
    waiting, seen = [node_id], set[str]()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting.extend(graph.nodes[one].sources)
    return frozenset(seen)


def up_to(graph: Graph, node_id: str) -> Graph:
    """The part of a graph that makes one node's sound, with one output, `HEARD`, for it."""
    kept = upstream(graph, node_id)
    nodes = {key: spec for key, spec in graph.nodes.items() if key in kept}
    if isinstance(graph.nodes[node_id].node, Output):
        (source,) = nodes.pop(node_id).sources
    else:
        source = node_id
    nodes[HEARD] = NodeSpec(HEARD, Output(), (source,))
    return replace(graph, nodes=MappingProxyType(nodes))
