"""What goes over a worker's socket: a JSON object, and values in the store's own format.

A frame is eight bytes (length of the JSON, number of values), the JSON, and every value after its
own length of eight bytes. Nothing in it is code. A speech refers to its voice by digest.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

from stepedit_fx.audio import Audio
from stepedit_fx.errors import EngineError, StepEditError
from stepedit_fx.speech import Edit, Speech, Voice
from stepedit_fx.store import blob
from stepedit_fx.store.blob import Damaged, Entry

# Raised whenever an older client or worker would misunderstand.
PROTOCOL = 2
MOST_JSON = 16 << 20
MOST_VALUES = 4096
MOST_BYTES = 8 << 30  # of one value; an hour in eight channels at 48 kHz is 5.5 GB
GREETING = b"stepedit_fx\n"  # a worker's first bytes
KEY = "0" * 64  # values on the wire have no key of their own

_HEAD = struct.Struct(">II")
_LENGTH = struct.Struct(">Q")

Message = dict[str, Any]
Value = Audio | Speech | Voice


class Closed(Exception):
    """The other end is gone."""


def frame(message: Message, values: Sequence[Value] = ()) -> list[bytes | memoryview]:
    """The pieces of one frame, to be sent one after another."""
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    pieces: list[bytes | memoryview] = [_HEAD.pack(len(text), len(values)), text]
    for value in values:
        packed = blob.pack(KEY, value)
        pieces += [_LENGTH.pack(sum(memoryview(piece).nbytes for piece in packed)), *packed]
    return pieces


def send(link: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    """Send one frame. Raises Closed."""
    try:
        for piece in pieces:
            link.sendall(piece)
    except OSError as error:
        raise Closed(str(error)) from error


def receive(link: socket.socket) -> tuple[Message, list[Entry]]:
    """The next frame. Raises Closed, and EngineError for what is no frame of ours."""
    length, count = _HEAD.unpack(_exactly(link, _HEAD.size))
    if length > MOST_JSON or count > MOST_VALUES:
        raise _foreign()
    try:
        message = json.loads(_exactly(link, length))
        entries = [blob.unpack(KEY, _value(link)) for _ in range(count)]
    except (ValueError, RecursionError) as error:  # Damaged is a ValueError
        raise _foreign() from error
    if not isinstance(message, dict):
        raise _foreign()
    return message, entries


def audio_of(entry: Entry) -> Audio:
    """Raises EngineError for an entry that is none."""
    try:
        return blob.audio(entry)
    except Damaged as error:
        raise _foreign() from error


def voice_of(entry: Entry) -> Voice:
    """A voice, its digest computed from what came. Raises EngineError for an entry that is none."""
    if entry.kind != "voice":
        raise _foreign()
    return Voice(str(entry.facts["engine"]), entry.arrays)


def speech_of(entry: Entry, spoken_with: Voice) -> Speech:
    """Raises EngineError for an entry that is none."""
    try:
        return blob.speech(entry, spoken_with)
    except Damaged as error:
        raise _foreign() from error


def edit_of(data: Message) -> Edit:
    """An edit as it comes over the wire."""
    fields = dict(data)
    for name in ("strengths", "values"):
        fields[name] = tuple((float(at), what) for at, what in fields.get(name, ()))
    return Edit(**fields)


def error_data(error: StepEditError) -> Message:
    """An error as it goes over the wire."""
    return {
        "error": {
            "kind": type(error).__name__,
            "cause": error.cause,
            "remedy": error.remedy,
            "node": error.node,
        }
    }


def _value(link: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size))
    if length > MOST_BYTES:
        raise _foreign()
    return _exactly(link, length)


def _exactly(link: socket.socket, count: int) -> bytes:
    # Filled as it comes, so that a length that lies takes no memory before its bytes are there.
    parts = bytearray()
    while len(parts) < count:
        try:
            part = link.recv(min(count - len(parts), 1 << 20))
        except OSError as error:
            raise Closed(str(error)) from error
        if not part:
            raise Closed("the other end has closed the connection")
        parts += part
    return bytes(parts)


def _foreign() -> EngineError:
    return EngineError(
        "what came over the worker's socket is no message of this version",
        remedy="Stop the worker (`stepedit-fx worker stop`); the next run starts one.",
    )
