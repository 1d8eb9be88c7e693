"""Learning which control is to turn something, and putting it into the map's file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from stepedit_fx.atomic import write_text
from stepedit_fx.errors import GraphError, ReadError, RequestError, StepEditError
from stepedit_fx.midi.decode import Moved
from stepedit_fx.midi.maps import MidiMap
from stepedit_fx.midi.reading import VERSION, load_map, parse_map
from stepedit_fx.midi.sources import (
    DATA_DOWN,
    DATA_LSB,
    DATA_MSB,
    DATA_UP,
    LSB_OFFSET,
    NRPN_LSB,
    NRPN_MSB,
    RPN_LSB,
    RPN_MSB,
    Source,
)

PATIENCE_S = 10.0
COLLECT_S = 0.25  # after the first movement, to tell 14 bits and NRPN from plain controllers
MAX_MOVES = 2000
_SELECTORS = {NRPN_MSB, NRPN_LSB, RPN_MSB, RPN_LSB, DATA_MSB, DATA_LSB, DATA_UP, DATA_DOWN}
# A knob never sends one value three times in a row; an encoder that is turned evenly does.
_TICKS = {1: "twos_complement", 127: "twos_complement", 63: "binary_offset", 65: "binary_offset"}
_TICKS_IN_A_ROW = 3

Done = Callable[[str | StepEditError], None]


class Learning:
    """One wait for a control to be moved."""

    def __init__(self, address: str, done: Done, now_s: float) -> None:
        self.address = address
        self.done = done
        self._moves: list[Moved] = []
        self.due_s = now_s + PATIENCE_S

    @property
    def has_moved(self) -> bool:
        return bool(self._moves)

    def heard(self, move: Moved, now_s: float) -> None:
        """Take a movement; letting go of a key is none."""
        if move.released:
            return
        if not self._moves:
            self.due_s = now_s + COLLECT_S
        if len(self._moves) < MAX_MOVES:
            self._moves.append(move)

    def source(self) -> Source:
        """What was moved. Raises RequestError where nothing was."""
        if not self._moves:
            raise RequestError(
                f"no control was moved within {PATIENCE_S:g} s",
                remedy="Check the port (stepedit-fx midi monitor shows what comes), and try again.",
            )
        return source_of(self._moves)


def source_of(moves: list[Moved]) -> Source:
    """The source that these movements are of: the finest reading that fits what moved first."""
    for kind in ("nrpn", "rpn"):
        found = next((m for m in moves if m.type == kind), None)
        if found:
            return Source(kind, found.channel, found.number)
    # What arrived beside the control of interest (a selector of an unset parameter) is left out.
    plain = [
        m for m in moves if m.type != "cc14" and not (m.type == "cc" and m.number in _SELECTORS)
    ]
    first = next(iter(plain), moves[0])
    if first.type != "cc":
        number = None if first.type in ("pitchbend", "channel_pressure") else first.number
        return Source(first.type, first.channel, number)
    seen = [m for m in moves if m.type == "cc" and m.channel == first.channel]
    numbers = {m.number for m in seen}
    coarse = first.number % LSB_OFFSET
    if first.number < 2 * LSB_OFFSET and {coarse, coarse + LSB_OFFSET} <= numbers:
        return Source("cc14", first.channel, coarse)
    values = [m.value for m in seen if m.number == first.number]
    for at in range(len(values) - _TICKS_IN_A_ROW + 1):
        row = set(values[at : at + _TICKS_IN_A_ROW])
        if len(row) == 1 and next(iter(row)) in _TICKS:
            encoding = _TICKS[row.pop()]
            return Source("cc_relative", first.channel, first.number, encoding)
    return Source("cc", first.channel, first.number)


def keep(path: Path, address: str, source: Source) -> MidiMap:
    """Put a learned mapping into a map's file, whole or not at all; gives the new map.

    Whatever else stands in it stays, comments too. Of a target that is in it already the source
    is replaced, and its range, curve and the rest stay. Raises ReadError, GraphError, WriteError.
    """
    text = ""
    if path.exists():
        load_map(path)
        text = path.read_bytes().decode("utf-8-sig")
    new = with_mapping(text, address, source)
    try:
        made = parse_map(new, file=str(path), path=path)
    except GraphError as error:
        message = f"the mapping of {address} cannot be put in by itself: {error}"
        raise ReadError.of(path, message, "Write it in by hand.") from error
    write_text(path, new)
    return made


def with_mapping(text: str, address: str, source: Source) -> str:
    """A map's text with a mapping put in, in the style that its list has."""
    wanted = _flow(source.data())
    item = f"source: {wanted}"
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader) if text.strip() else None
    fields = _fields(root)
    if not fields:
        comments = f"{text.rstrip()}\n" if text.strip() else ""
        return f"{comments}version: {VERSION}\nmappings:\n- {item}\n  target: {address}\n"
    listed: Any = fields.get("mappings")
    is_list = isinstance(listed, yaml.SequenceNode)
    for mapping in listed.value if is_list else ():
        inner = _fields(mapping)
        if "target" in inner and inner["target"].value == address and "source" in inner:
            start, end = inner["source"].start_mark.index, _end(inner["source"])
            return text[:start] + wanted + text[end:]
    if not is_list or not listed.value:
        new = f"\n- {item}\n  target: {address}"
        if listed is None:
            return f"{text.rstrip()}\nmappings:{new}\n"
        return text[: listed.start_mark.index].rstrip() + new + "\n" + _after(text, _end(listed))
    last = _end(listed.value[-1])
    if listed.flow_style:
        return f"{text[:last]}, {{{item}, target: {address}}}{text[last:]}"
    line_end = text.find("\n", last)
    line_end = len(text) if line_end < 0 else line_end
    pad = " " * listed.start_mark.column
    new = f"\n{pad}- {item}\n{pad}  target: {address}"
    return text[:line_end] + new + (text[line_end:] or "\n")


def _after(text: str, at: int) -> str:
    return text[at:].lstrip("\n")


def _fields(node: Any) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value}


def _end(node: Any) -> int:
    """Where a node's own text ends; PyYAML's end mark of a block is where the next thing starts."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        end: int = node.end_mark.index
        return end
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _flow(data: dict[str, str | int]) -> str:
    """A mapping on one line; every word in it is one that YAML takes bare."""
    words = (f"{k}: {v if isinstance(v, int) else _word(v)}" for k, v in data.items())
    return "{" + ", ".join(words) + "}"


def _word(text: str) -> str:
    return text if text.isidentifier() else json.dumps(text)
