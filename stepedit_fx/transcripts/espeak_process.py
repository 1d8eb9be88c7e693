"""The process that espeak-ng runs in: `python -m stepedit_fx.transcripts.espeak_process`.

espeak-ng keeps its state in globals that a second text would inherit (its flutter goes on where it
was), so every text gets a process of its own. One JSON object comes in; out go one line of JSON and
16-bit samples. Only ctypes is needed. Constants and structures: espeak-ng's speak_lib.h.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

_SYNCHRONOUS = 2  # samples go to the callback, not to a sound card
_DONT_EXIT = 0x8000
_CHARACTERS = 1  # POS_CHARACTER
_UTF8, _END_PAUSE = 1, 0x1000
_IPA_SEPARATED = 0x02 | ord("_") << 8
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_LAST_EVENT, _WORD = 0, 1  # espeak_EVENT_TYPE


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def speak(library: Any, order: dict[str, Any]) -> tuple[list[tuple[int, int]], bytes]:
    """Samples of a text, and (character, sample) for each word begun."""
    sound: list[bytes] = []
    words: list[tuple[int, int]] = []

    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count:
            sound.append(ctypes.string_at(samples, 2 * count))
        at = 0
        while events[at].type != _LAST_EVENT:
            if events[at].type == _WORD:
                words.append((events[at].text_position - 1, events[at].sample))
            at += 1
        return 0

    callback = _Callback(take)
    library.espeak_SetSynthCallback(callback)
    for number, name in ((_RATE, "rate"), (_PITCH, "pitch"), (_RANGE, "range")):
        library.espeak_SetParameter(number, order[name], 0)
    text = order["text"].encode()
    flags = _UTF8 | _END_PAUSE
    library.espeak_Synth(text, len(text) + 1, 0, _CHARACTERS, 0, flags, None, None)
    library.espeak_Synchronize()
    return words, b"".join(sound)


def pronounce(library: Any, words: list[str]) -> list[str]:
    """Each word's phonemes in IPA, parted by underscores."""
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    found = []
    for word in words:
        text = ctypes.c_char_p(word.encode())
        said = library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, _IPA_SEPARATED)
        found.append((said or b"").decode())
    return found


def main() -> None:
    """Read one order, and answer it."""
    order = json.load(sys.stdin)
    library = ctypes.CDLL(order["library"])
    data = order["data"].encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data, _DONT_EXIT)
    known = rate > 0 and library.espeak_SetVoiceByName(order["voice"].encode()) == 0
    answer: dict[str, Any] = {"rate": rate, "known": known}
    samples = b""
    if known and "words" in order:
        answer["phonemes"] = pronounce(library, order["words"])
    elif known:
        answer["words"], samples = speak(library, order)
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + samples)


if __name__ == "__main__":
    main()
