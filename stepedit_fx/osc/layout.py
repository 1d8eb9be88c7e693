"""A surface for Open Stage Control, made from a graph: a tab a node, a panel an effect.

The file is that program's session format (https://openstagecontrol.ammd.net), of version 1.x:
widgets in widgets, each with the properties that its reference lists. No text of a graph becomes
a property that is evaluated there: braces, which its syntax for code needs, are replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, pairwise
from typing import Any

from stepedit_fx.effects.chain import Item, Parallel, Series
from stepedit_fx.errors import RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import MAX_TEXT, ROOT, Control, Controls, Value
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.mix import Mix

# The newest format that its converters know of as such; a later program reads it as it is.
VERSION = "1.30.1"
SCENES = ("A", "B", "C", "D")
RENDER_ID, SCENE_ID, SUBSCRIBE_ID = 1, 2, 3  # ids that answers to this surface carry
FADER_WIDTH, ROW_HEIGHT, TITLE_HEIGHT = 90, 44, 30  # pixels
# A fader with a logarithmic curve is drawn as so many straight pieces, in real units.
PIECES = 16
# A whole number of more values than this is typed, not dragged.
WIDEST_FADER = 1000

# Run by Open Stage Control when it opens the file: hear of every change, and go on doing so.
_ON_CREATE = f"""
var id = {{type: 'i', value: {SUBSCRIBE_ID}}}
var subscribe = () => send('{ROOT}/subscribe', id, {{type: 's', value: '{ROOT}/node//*'}})
subscribe()
setInterval('lease', subscribe, 10000)
"""
_ON_SCENE = "send('{address}', {{type: 'i', value: {id}}}, {{type: 's', value: get('scene_name')}})"

Widget = dict[str, Any]


def session_of(graph: Graph, controls: Controls, target: str) -> Widget:
    """The session file's content, as JSON has it. target: host:port of the daemon's OSC."""
    made = _Surface(graph, controls, target)
    root: Widget = {
        "type": "root",
        "id": "root",
        "target": [target],
        "ignoreDefaults": True,
        "onCreate": _ON_CREATE.strip(),
        "tabs": [made.desk_tab(), *made.node_tabs()],
    }
    return {
        "createdWith": "Open Stage Control",
        "version": VERSION,
        "type": "session",
        "content": root,
    }


def checked_target(target: str) -> str:
    """A host and a port with a colon between. Raises RequestError."""
    host, _, port = target.rpartition(":")
    is_host = host and not set(host) & set("{}\"'\\ \t\n")
    if not is_host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise RequestError(
            f"'{target[:80]}' is no HOST:PORT", remedy="As in 127.0.0.1:9100, where serve listens."
        )
    return target


class _Surface:
    """The tabs of one graph."""

    def __init__(self, graph: Graph, controls: Controls, target: str) -> None:
        self._graph = graph
        self._controls = controls
        self._target = target
        self._numbers = count(1)

    def _widget(self, kind: str, name: str, **properties: Any) -> Widget:
        """A widget that sends to the daemon, and to nobody else."""
        number = next(self._numbers)
        return {"type": kind, "id": f"{kind}_{number}_{_identifier(name)}", **properties}

    def _sending(self, kind: str, name: str, address: str, **properties: Any) -> Widget:
        to = {"address": address, "target": [self._target], "ignoreDefaults": True}
        return self._widget(kind, name, **to, **properties)

    # The nodes

    def node_tabs(self) -> Iterator[Widget]:
        """A tab for every node that has something to turn."""
        for node_id in self._graph.nodes:
            parts = _parts(c for c in self._controls.values() if c.node == node_id)
            if not parts:
                continue
            panels = [self._part(node_id, part, mine) for part, mine in parts.items()]
            yield self._widget(
                "tab", node_id, label=node_id, layout="horizontal", contain=False, widgets=panels
            )

    def _part(self, node_id: str, part: str, controls: Sequence[Control]) -> Widget:
        """A panel: what is switched, chosen and written above, what is dragged below."""
        faders = [c for c in controls if _is_dragged(c)]
        rows = [c for c in controls if not _is_dragged(c)]
        title = f"{part} {_kind_of_part(self._graph, node_id, part)}".strip()
        widgets = [self._title(title), *map(self._row, rows)]
        if faders:
            strips = [self._strip(control) for control in faders]
            widgets.append(
                self._widget(
                    "panel", part, layout="horizontal", expand=True, scroll=False, widgets=strips
                )
            )
        width = max(2, len(faders)) * FADER_WIDTH + 20
        return self._widget(
            "panel", part, layout="vertical", width=width, height="100%", widgets=widgets
        )

    def _title(self, text: str) -> Widget:
        return self._widget("text", text, default=_plain(text), height=TITLE_HEIGHT, wrap="soft")

    def _row(self, control: Control) -> Widget:
        """A switch, a menu or a field."""
        value = self._controls.initial[control.address]
        about = {"comments": _plain(control.help), "height": ROW_HEIGHT}
        if control.kind == "switch":
            toggle = {"mode": "toggle", "on": 1, "off": 0, "typeTags": "i", "default": int(value)}
            return self._of(control, "button", label=control.name, **toggle, **about)
        if control.kind == "choice":
            menu = {"values": list(control.choices), "typeTags": "s", "default": value}
            return self._of(control, "dropdown", label=f"{control.name}: %value", **menu, **about)
        if control.kind == "text":
            field = {"typeTags": "s", "maxLength": MAX_TEXT, "default": _plain(str(value))}
            return self._of(control, "input", **field, **about)
        return self._of(control, "input", **self._number(control, value), **about)

    def _strip(self, control: Control) -> Widget:
        """A fader with its name above and its number below."""
        value = self._controls.initial[control.address]
        fader = self._of(
            control,
            "fader",
            range=ranged(control),
            decimals=decimals(control),
            typeTags="i" if control.kind == "whole" else "f",
            default=value,
            doubleTap=True,
            expand=True,
            comments=_plain(control.help),
        )
        number = self._of(control, "input", height=TITLE_HEIGHT, **self._number(control, value))
        return self._widget(
            "panel",
            control.name,
            layout="vertical",
            width=FADER_WIDTH,
            scroll=False,
            widgets=[self._title(control.name), fader, number],
        )

    def _number(self, control: Control, value: Value) -> Widget:
        return {
            "numeric": True,
            "unit": control.unit,
            "decimals": decimals(control),
            "typeTags": "i" if control.kind == "whole" else "f",
            "default": value,
        }

    def _of(self, control: Control, kind: str, **properties: Any) -> Widget:
        return self._sending(kind, control.name, control.address, **properties)

    # Renders and scenes

    def desk_tab(self) -> Widget:
        """Rendering, four scenes by a touch, any by name, and a fader between the first two."""
        renders = self._panel("Render", self._renders())
        scenes = self._panel("Scenes", [*self._slots(), *self._named()])
        return self._widget(
            "tab", "desk", label="Render and scenes", layout="horizontal", widgets=[renders, scenes]
        )

    def _panel(self, title: str, widgets: Iterable[Widget]) -> Widget:
        inside = [self._title(title), *widgets]
        return self._widget("panel", title, layout="vertical", expand=True, widgets=inside)

    def _renders(self) -> Iterator[Widget]:
        yield self._press("Render", f"{ROOT}/render", [RENDER_ID], "i")
        yield self._press("Cancel", f"{ROOT}/render/cancel", [RENDER_ID], "i")
        for name in ("progress", "done", "failed"):
            address = f"{ROOT}/render/{name}"
            shown = {"preArgs": [RENDER_ID], "default": f"({name})", "wrap": True}
            yield self._widget("text", name, address=address, height=ROW_HEIGHT, **shown)

    def _slots(self) -> Iterator[Widget]:
        for name in SCENES:
            pair = [
                self._press(
                    f"{word} {name}", f"{ROOT}/scene/{word.lower()}", [SCENE_ID, name], "is"
                )
                for word in ("Recall", "Store")
            ]
            for press in pair:
                press["expand"] = True
            yield self._widget(
                "panel", name, layout="horizontal", height=ROW_HEIGHT + 16, widgets=pair
            )
        first, second = SCENES[:2]
        yield self._title(f"{first} to {second}")
        yield self._sending(
            "fader",
            "morph",
            f"{ROOT}/scene/morph",
            preArgs=[SCENE_ID, first, second],
            typeTags="issf",
            range={"min": 0, "max": 1},
            decimals=4,
            horizontal=True,
            height=ROW_HEIGHT,
        )

    def _named(self) -> Iterator[Widget]:
        yield self._title("By name")
        yield {**self._widget("input", "", bypass=True, height=ROW_HEIGHT), "id": "scene_name"}
        for word in ("Recall", "Store"):
            # What the script says has the name in it, which a widget's own message cannot have.
            script = _ON_SCENE.format(address=f"{ROOT}/scene/{word.lower()}", id=SCENE_ID)
            yield self._sending(
                "button",
                word,
                f"/surface/{word.lower()}",
                bypass=True,
                mode="tap",
                label=f"{word} by name",
                onValue=f"if (value === 1) {script}",
                height=ROW_HEIGHT,
            )

    def _press(self, label: str, address: str, args: list[int | str], tags: str) -> Widget:
        """A button that says one thing. Momentary: nothing but its preArgs is sent."""
        return self._sending(
            "button",
            label,
            address,
            label=label,
            mode="momentary",
            preArgs=args,
            typeTags=tags,
            height=ROW_HEIGHT,
        )


def _is_dragged(control: Control) -> bool:
    if control.kind == "whole":
        return control.high - control.low <= WIDEST_FADER
    return control.kind == "number"


def _parts(controls: Iterable[Control]) -> dict[str, list[Control]]:
    """Controls by the part of the node that they turn: rack, rack.0, rack.2.0.1."""
    parts: dict[str, list[Control]] = {}
    for control in controls:
        parts.setdefault(control.address.split("/")[3], []).append(control)
    return parts


def _kind_of_part(graph: Graph, node_id: str, part: str) -> str:
    """What a part is: the node's kind, an effect's name, the input of a mix."""
    spec = graph.nodes[node_id]
    places = [int(place) for place in part.split(".")[1:]]
    if not places:
        return spec.node.kind
    if isinstance(spec.node, Mix):
        return spec.sources[places[0]]
    assert isinstance(spec.node, Effects)
    return next(iter(_item(spec.node.chain, places).data()))


def _item(series: Series, places: Sequence[int]) -> Item:
    item = series.items[places[0]]
    if len(places) == 1:
        return item
    if isinstance(item, Parallel):
        return _item(item.branches[places[1]], places[2:])
    assert isinstance(item, Series)
    return _item(item, places[1:])


def ranged(control: Control) -> dict[str, float]:
    """A fader's range: its ends, and between them, for a log curve, the values on the way."""
    if control.curve != "log":
        return {"min": control.low, "max": control.high}
    on_the_way = {
        f"{100 * place / PIECES:g}%": float(f"{float(control.at(place / PIECES)):.4g}")
        for place in range(1, PIECES)
    }
    return {"min": control.low, **on_the_way, "max": control.high}


def decimals(control: Control) -> int:
    """How many a fader sends, for a thousand steps of its finest part."""
    if control.kind == "whole":
        return 0
    ends = list(ranged(control).values())
    finest = min(b - a for a, b in pairwise(ends)) or 1.0
    return min(max(3 - math.floor(math.log10(finest)), 2), 6)


def _identifier(text: str) -> str:
    """A name for a widget: letters, digits and underscores, without the dots of its syntax."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in text)


def _plain(text: str) -> str:
    """A text that Open Stage Control shows and does not evaluate."""
    return text.replace("{", "(").replace("}", ")")
