"""One result as the bytes of one safetensors file, with JSON facts and a checksum.

The file is written and read here rather than by the safetensors package, which copies every
array twice on the way out and hands back no metadata for bytes in memory. It is an ordinary
safetensors file all the same (https://github.com/huggingface/safetensors#format): eight bytes of
header length, a JSON header, the arrays. The header's ``__metadata__`` comes first, and in it

- ``checksum``: sha256 of the whole file as it is while these 64 digits are zeros;
- ``facts``: canonical JSON, with the format's version and the key the entry belongs to.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.errors import StepEditError
from stepedit_fx.speech import Array, Place, Speech, Transcript, Voice, Word

VERSION = 2

_PREFIX = b'{"__metadata__":{"checksum":"'
_CHECKSUM_AT = 8 + len(_PREFIX)
_CHECKSUM_END = _CHECKSUM_AT + 64
_ZEROS = b"0" * 64

_NATIVE = {
    np.dtype(numpy).str: name
    for name, numpy in {
        "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4",
        "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
    }.items()
}  # fmt: skip
_DTYPES = {name: np.dtype(code) for code, name in _NATIVE.items()}
# Those that safetensors lacks (complex, text, other byte orders) are kept as bytes, with their
# dtype among the facts.
_KEPT_KINDS = frozenset("?biufcSU")


class Damaged(ValueError):
    """Bytes that are not, or no longer, the entry they should be."""


class Outdated(Damaged):
    """An entry of another version of this format: no fault, but of no use."""


@dataclass(frozen=True)
class Entry:
    """What one file holds; `audio`, `speech` and `voice` make the value of it."""

    kind: str
    facts: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @property
    def voice_digest(self) -> str:
        """Key of the voice a speech is spoken with."""
        return str(self.facts.get("voice", ""))


Pieces = list[bytes | memoryview]


def check(value: object) -> None:
    """Raise TypeError unless ``value`` is Audio or Speech, its arrays of plain numbers or text."""
    if isinstance(value, Speech):
        voice = value.voice.arrays.items() if value.voice.is_here else ()
        for name, array in (*value.codes.items(), *voice):
            _check_kept(name, array)
    elif not isinstance(value, Audio):
        raise TypeError(f"the store keeps Audio and Speech, not {type(value).__name__}")


def pack(key: str, value: Audio | Speech | Voice) -> Pieces:
    """The pieces of a file for ``value``, to be written one after another.

    A speech refers to its voice by digest. Raises TypeError as `check` does.
    """
    facts, arrays = _take_apart(value)
    facts |= {"version": VERSION, "key": key}
    header: dict[str, Any] = {}
    bodies: Pieces = []
    raw: dict[str, Any] = {}
    end = 0
    # Wide types first, so that every array starts at a multiple of its item's size.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        _check_kept(name, array)
        native = _NATIVE.get(array.dtype.str)
        if native is None:
            raw[name] = [array.dtype.str, array.shape]
        shape = array.shape if native else (array.nbytes,)
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": native or "U8", "shape": shape, "data_offsets": offsets}
        bodies.append(array.data if native and array.size else array.tobytes())
        end += array.nbytes
    facts["raw"] = raw
    return _seal(_json(facts), header, bodies)


def _seal(facts: str, header: Mapping[str, Any], bodies: Pieces) -> Pieces:
    # Metadata and its checksum first: then the checksum stands at the same place in every file.
    metadata = {"checksum": _ZEROS.decode(), "facts": facts}
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    hasher = hashlib.sha256(head)
    for body in bodies:
        hasher.update(body)
    checksum = hasher.hexdigest().encode()
    return [head[:_CHECKSUM_AT] + checksum + head[_CHECKSUM_END:], *bodies]


def unpack(key: str, data: bytes) -> Entry:
    """The entry in a file's bytes; its arrays are read-only views of them.

    Raises Damaged unless every bit is as `pack` made it, for this key and this version.
    """
    _check_sum(data)
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        facts = json.loads(header.pop("__metadata__")["facts"])
        arrays = {}
        for name, tensor in header.items():
            dtype, shape = facts["raw"].get(name) or (_DTYPES[tensor["dtype"]], tensor["shape"])
            at = 8 + length + tensor["data_offsets"][0]
            arrays[name] = np.ndarray(tuple(shape), np.dtype(dtype), data, at)
            _check_kept(name, arrays[name])
        if facts["version"] != VERSION:
            raise Outdated(f"it is of version {facts['version']}")
        if facts["key"] != key:
            raise Damaged("it belongs to another key")
        return Entry(facts["kind"], facts, arrays)
    except (KeyError, TypeError, AttributeError, ValueError, struct.error) as error:
        raise Damaged(f"not as it was written: {error}") from error


def _check_sum(data: bytes) -> None:
    if data[8:_CHECKSUM_AT] != _PREFIX:
        raise Damaged("it is not an entry of this store")
    view = memoryview(data)
    hasher = hashlib.sha256(view[:_CHECKSUM_AT])
    hasher.update(_ZEROS)
    hasher.update(view[_CHECKSUM_END:])
    if hasher.hexdigest().encode() != data[_CHECKSUM_AT:_CHECKSUM_END]:
        raise Damaged("its checksum does not match")


def audio(entry: Entry) -> Audio:
    """The Audio of an entry of kind "audio". Raises Damaged."""
    try:
        facts = entry.facts
        words = _transcript(facts["transcript"])
        return Audio(
            entry.arrays["samples"],
            facts["sample_rate"],
            facts["start_s"],
            words,
            facts["speaker_f0_hz"],
            tuple((there, here) for there, here in facts["time_map"]),
        )
    except (KeyError, TypeError, ValueError, StepEditError) as error:
        raise Damaged(f"not an audio: {error}") from error


def voice(entry: Entry) -> Voice:
    """The Voice of an entry of kind "voice". Raises Damaged."""
    try:
        made = Voice(entry.facts["engine"], entry.arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"not a voice: {error}") from error
    # The checksum has vouched for key and arrays, and the key is their digest: the cached
    # property is filled in, because hashing a long source once more costs as much as reading it.
    vars(made)["digest"] = entry.facts["key"]
    return made


def speech(entry: Entry, spoken_with: Voice) -> Speech:
    """The Speech of an entry of kind "speech". Raises Damaged."""
    try:
        facts = entry.facts
        place = Place(**facts["place"])
        return Speech(entry.arrays, spoken_with, place, _transcript(facts["transcript"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"not a speech: {error}") from error


def _take_apart(value: Audio | Speech | Voice) -> tuple[dict[str, Any], Mapping[str, Array]]:
    if isinstance(value, Audio):
        facts = {
            "kind": "audio",
            "sample_rate": int(value.sample_rate),
            "start_s": float(value.start_s),
            "transcript": _transcript_facts(value.transcript),
            "speaker_f0_hz": float(value.speaker_f0_hz),
            "time_map": [[float(there), float(here)] for there, here in value.time_map],
        }
        return facts, {"samples": value.samples}
    if isinstance(value, Voice):
        return {"kind": "voice", "engine": value.engine}, value.arrays
    place = value.place
    facts = {
        "kind": "speech",
        "voice": value.voice.digest,
        "place": {
            "sample_rate": int(place.sample_rate),
            "channels": int(place.channels),
            "frames": int(place.frames),
            "start_s": float(place.start_s),
            "loudness_lufs": None if place.loudness_lufs is None else float(place.loudness_lufs),
            "true_peak": float(place.true_peak),
            "is_locked": bool(place.is_locked),
        },
        "transcript": _transcript_facts(value.transcript),
    }
    return facts, value.codes


def _transcript_facts(transcript: Transcript) -> list[Any]:
    words = [[word.text, float(word.start_s), float(word.end_s)] for word in transcript.words]
    return [transcript.text, transcript.language, words]


def _transcript(facts: Any) -> Transcript:
    text, language, words = facts
    return Transcript(text, language, tuple(Word(*word) for word in words))


def _json(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"))


def _check_kept(name: str, array: Array) -> None:
    if array.dtype.kind not in _KEPT_KINDS:
        raise TypeError(f"array '{name}' of {array.dtype} cannot be kept in the store")
    if name == "__metadata__":
        raise TypeError("no array may be called '__metadata__'")


def size_bytes(value: Audio | Speech | Voice) -> int:
    """Bytes of the value's own arrays; a speech's voice is not counted."""
    if isinstance(value, Audio):
        return value.samples.nbytes
    if isinstance(value, Voice) and not value.is_here:
        return 0
    arrays = value.arrays if isinstance(value, Voice) else value.codes
    return sum(array.nbytes for array in arrays.values())
