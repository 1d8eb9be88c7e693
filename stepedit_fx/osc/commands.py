"""What can be said by OSC besides a control's value, and what comes back, as data.

`stepedit_fx.osc.desk` does the commands; OSCQuery and the documentation read them from here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from stepedit_fx.errors import NotFound, RequestError, did_you_mean
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.osc.wire import Arg, Message

NODES = f"{ROOT}/node/"
NORM = "/norm"

REPLY = f"{ROOT}/reply"
DONE = f"{ROOT}/done"
ERROR = f"{ROOT}/error"
LIST_ITEM = f"{ROOT}/list/item"
SCENE_ITEM = f"{ROOT}/scene/list/item"
PROGRESS = f"{ROOT}/render/progress"
OUTPUT = f"{ROOT}/render/output"
RENDERED = f"{ROOT}/render/done"
FAILED = f"{ROOT}/render/failed"
OPENED = f"{ROOT}/session/opened"
STORED = f"{ROOT}/scene/stored"
DELETED = f"{ROOT}/scene/deleted"
TRANSPORT = f"{ROOT}/transport/state"
TROUBLE = f"{ROOT}/trouble"

_CLASSES = {"i": "(n)", "f": "(n)", "s": "(s)", "T": "([nb])", "[": "(?:", "]": ")?"}
_INT32 = range(-(1 << 31), 1 << 31)


@dataclass(frozen=True)
class Command:
    """One command. tags: i f s, and T for on or off; what stands in brackets may be left out.

    args: the name of each argument. answer: what comes back, besides errors.
    """

    address: str
    tags: str
    args: tuple[str, ...]
    help: str
    answer: str

    @property
    def all_tags(self) -> str:
        """The tags with nothing left out."""
        return self.tags.replace("[", "").replace("]", "")

    @cached_property
    def _form(self) -> re.Pattern[str]:
        return re.compile("".join(_CLASSES[char] for char in self.tags))

    def read(self, message: Message) -> tuple[Any, ...]:
        """The value of each argument, None where it is left out. Raises RequestError."""
        found = self._form.fullmatch("".join(map(_class_of, message.args)))
        if found is None:
            raise RequestError(
                f"{self.address} takes ,{self.tags} ({', '.join(self.args)}), "
                f"got ,{message.tags[:60]}"
            )
        return tuple(
            None if found.start(place) < 0 else self._value(tag, message.args[found.start(place)])
            for place, tag in enumerate(self.all_tags, start=1)
        )

    def _value(self, tag: str, value: Arg) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestError(f"{self.address} takes no {value!r}")
        if tag == "T":
            return bool(value) if isinstance(value, bool) else value >= 0.5  # type: ignore[operator]
        if tag == "f":
            return float(value)  # type: ignore[arg-type]
        if tag == "i":  # which some surfaces send as a float
            whole = int(value)  # type: ignore[arg-type]
            if whole != value or whole not in _INT32:
                raise RequestError(f"{self.address} takes whole numbers of 32 bits, got {value!r}")
            return whole
        return value


def _class_of(value: Arg) -> str:
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int | float):
        return "n"
    return "s" if isinstance(value, str) else "x"


def _reply(text: str) -> str:
    return f"{REPLY} ,sis address id {text}"


_ALL = (
    Command(f"{ROOT}/ping", "[i]", ("id",), "Are you there? Renews subscriptions.",
            _reply("version")),
    Command(f"{ROOT}/auth", "is", ("id", "token"),
            "Say the token, where one is asked for: first on a connection, or from a UDP port.",
            _reply('"welcome"')),
    Command(f"{ROOT}/session/open", "is", ("id", "graph"),
            "Open another graph: a shipped one or a preset by name, or a file in the roots.",
            f"{_reply('graph')}, then {DONE} ,sis address id name"),
    Command(f"{ROOT}/list", "i[s]", ("id", "pattern"), "What can be turned, and where it stands.",
            f"{LIST_ITEM} ,isssff? id address kind unit low high value for each, "
            f"then {_reply('count')}"),
    Command(f"{ROOT}/render", "i[s][ff][s]", ("id", "input", "start", "end", "note"),
            "Render to the spool folder: a recording in the roots or the session's own, all of it "
            "or from start to end (seconds). The note comes back in the render's document.",
            f"{PROGRESS} ,ifs id fraction step, {OUTPUT} ,isffi for each further output, then "
            f"{RENDERED} ,isffi id path start length rate, or {FAILED} ,iis id code message"),
    Command(f"{ROOT}/render/cancel", "i", ("id",), "Stop the render of this id.",
            f"{_reply('job')}, and {FAILED} of the render"),
    Command(f"{ROOT}/scene/store", "is", ("id", "name"), "Keep every value under a name.",
            _reply("name")),
    Command(f"{ROOT}/scene/recall", "is", ("id", "name"), "Set every value that a scene holds.",
            _reply("name")),
    Command(f"{ROOT}/scene/delete", "is", ("id", "name"), "Forget a scene.", _reply("name")),
    Command(f"{ROOT}/scene/morph", "issf", ("id", "first", "second", "position"),
            "Set every value between two scenes: 0 the first, 1 the second.", _reply("position")),
    Command(f"{ROOT}/scene/list", "i", ("id",), "The names of the scenes.",
            f"{SCENE_ITEM} ,is id name for each, then {_reply('count')}"),
    Command(f"{ROOT}/subscribe", "is[i]", ("id", "pattern", "port"),
            "Be sent values now and at every change, for 30 s; a ping renews it. port: where all "
            "answers go from now on, for a UDP client that listens on another one than it sends "
            "from.",
            f"{_reply('count')}, then each address with its value"),
    Command(f"{ROOT}/unsubscribe", "i[s]", ("id", "pattern"),
            "End a subscription, or all of them.", _reply("count")),
    Command(f"{ROOT}/midi/learn", "is", ("id", "address"),
            "Give the hardware control that is moved next to an address.", _reply("mapping")),
    Command(f"{ROOT}/transport/play", "[i]", ("id",), "Play.", _reply('"playing"')),
    Command(f"{ROOT}/transport/stop", "[i]", ("id",), "Stop.", _reply('"stopped"')),
    Command(f"{ROOT}/transport/locate", "[i]f", ("id", "position"),
            "Go to a place in the recording (seconds).", _reply("position")),
    Command(f"{ROOT}/transport/loop", "[i]T", ("id", "on"), "Play in a loop, or to the end.",
            _reply('"on" or "off"')),
)  # fmt: skip
COMMANDS: Mapping[str, Command] = MappingProxyType({command.address: command for command in _ALL})


@dataclass(frozen=True)
class Answer:
    """Something that is only ever sent. is_event: to those who subscribe to its address."""

    address: str
    tags: str
    help: str
    is_event: bool = False


_SENT = (
    Answer(REPLY, "sis", "A command was done: its address, its id, and what it gave."),
    Answer(DONE, "sis", "A command that took longer is done: its address, its id, what it gave."),
    Answer(ERROR, "siis", "It cannot be done: its address, its id (0 without), code, message."),
    Answer(LIST_ITEM, "isssff?", "One control: id, address, kind, unit, low, high, value."),
    Answer(SCENE_ITEM, "is", "One scene: id, name."),
    Answer(PROGRESS, "ifs", "A render got further: id, fraction of its work, step."),
    Answer(OUTPUT, "isffi", "A further file of a render: id, path, start, length, sample rate."),
    Answer(RENDERED, "isffi", "A render is done: id, path, start, length (s), sample rate."),
    Answer(FAILED, "iis", "A render is not: id, code, message."),
    Answer(OPENED, "s", "Another graph was opened: its name.", True),
    Answer(STORED, "s", "A scene was stored.", True),
    Answer(DELETED, "s", "A scene was deleted.", True),
    Answer(TRANSPORT, "iffii", "Playing, position and length (s), loop, dropouts.", True),
    Answer(TROUBLE, "s", "Something went wrong behind; the sound stays as it was.", True),
)
ANSWERS: Mapping[str, Answer] = MappingProxyType({answer.address: answer for answer in _SENT})
EVENTS = tuple(answer.address for answer in _SENT if answer.is_event)

CODES: Mapping[int, str] = MappingProxyType({
    400: "what was asked cannot be done as asked",
    401: "a token is asked for, and was not given",
    404: "there is no such address, control, scene, graph, recording or render",
    406: "a recording that cannot be taken: its kind, its size, or what it holds",
    408: "nothing was moved in time (MIDI learn)",
    409: "the id is that of a render that still runs",
    429: "too much at once: ask again later",
    499: "the render was cancelled",
    500: "a fault of ours or of the machine",
})  # fmt: skip


def command(address: str) -> Command:
    """The command of an address. Raises NotFound."""
    if address not in COMMANDS:
        remedy = did_you_mean(address[:200], COMMANDS)
        raise NotFound(f"there is no command '{address[:200]}'", remedy=remedy)
    return COMMANDS[address]
