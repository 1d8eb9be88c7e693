"""espeak-ng: a text spoken with the times of its words, and how a word is pronounced.

The library and its voices come in the wheel `espeakng-loader` (extra `[espeak]`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.errors import EngineError, RequestError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import word_spans

MAX_TEXT = 10_000  # characters: about ten minutes
USUAL_RATE = 175  # words a minute, espeak-ng's own default
RATES = (80, 450)  # that espeak-ng takes
USUAL_PITCH = USUAL_RANGE = 50  # of 0 to 100
_TIMEOUT_S = 120.0
_SILENT_DB = -45.0  # re the loudest sample: where a word's sound has ended
# Script (as Unicode names it) -> the voices that read it; the first where nothing says which.
_VOICES: dict[str, tuple[str, ...]] = {
    "LATIN": (
        *("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "sk", "hu"),
        *("ro", "hr", "sl", "tr", "vi", "id", "ms", "ca", "et", "lv", "lt", "is", "ga", "cy", "sw"),
        *("eu", "sq", "af", "eo", "la", "az", "uz"),
    ),
    "CYRILLIC": ("ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tt"),
    "ARABIC": ("ar", "fa", "ur", "sd", "ug"),
    "DEVANAGARI": ("hi", "mr", "ne", "kok"),
    "BENGALI": ("bn", "as"),
    "GREEK": ("el",),
    "HEBREW": ("he",),
    "ARMENIAN": ("hy",),
    "GEORGIAN": ("ka",),
    "ETHIOPIC": ("am", "ti"),
    "TAMIL": ("ta",),
    "TELUGU": ("te",),
    "KANNADA": ("kn",),
    "MALAYALAM": ("ml",),
    "GUJARATI": ("gu",),
    "GURMUKHI": ("pa",),
    "SINHALA": ("si",),
    "THAI": ("th",),
    "MYANMAR": ("my",),
    "CJK": ("cmn", "yue"),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "HANGUL": ("ko",),
}
_ESPEAK_NAMES = {"en": "en-us", "zh": "cmn", "no": "nb"}


@dataclass(frozen=True)
class Spoken:
    """A text as espeak-ng says it: samples (frames,) at `rate`, and the words with their times."""

    samples: Samples
    rate: int
    transcript: Transcript


def is_installed() -> bool:
    """Whether the wheel with espeak-ng is there."""
    from importlib.util import find_spec

    return find_spec("espeakng_loader") is not None


def voice_for(text: str, language: str = "") -> str:
    """The espeak-ng voice that reads this text, by its script; `language` decides among several.

    language: ISO 639-1 or espeak-ng's own name, "" for unknown. Raises RequestError for a script
    that no voice reads, and for Japanese with kanji, of which espeak-ng knows no readings.
    """
    language = "cmn" if language == "zh" else language
    letters = (char for char in text if char.isalpha())
    scripts = Counter(
        unicodedata.name(char, "UNNAMED").split()[0].split("-")[0] for char in letters
    )
    if not scripts:
        return _ESPEAK_NAMES.get(language or "en", language)
    has_kana = bool(scripts["HIRAGANA"] + scripts["KATAKANA"])
    if (has_kana or language == "ja") and scripts["CJK"]:
        raise RequestError("espeak-ng cannot read kanji", remedy="Write the Japanese text in kana.")
    script = scripts.most_common(1)[0][0]
    if script not in _VOICES:
        raise RequestError(
            f"espeak-ng has no voice for the script of {text[:40]!r} ({script.lower()})",
            remedy="Write the text in another script.",
        )
    found = language if language in _VOICES[script] else _VOICES[script][0]
    return _ESPEAK_NAMES.get(found, found)


def speak(
    text: str,
    voice: str,
    *,
    rate: int = USUAL_RATE,
    pitch: int = USUAL_PITCH,
    pitch_range: int = USUAL_RANGE,
) -> Spoken:
    """A text spoken. The same arguments give the same samples.

    rate: words a minute (80..450). pitch, pitch_range: espeak-ng's, 0..100. Raises RequestError for
    a text that is empty or over 10000 characters, for a voice that is none, and without the wheel;
    EngineError where espeak-ng fails.
    """
    check_text(text)
    order = {"text": text, "rate": rate, "pitch": pitch, "range": pitch_range}
    answer, data = _asked(voice, order)
    samples = np.divide(np.frombuffer(data, "<i2"), 32768, dtype=np.float32)
    if not samples.any():
        raise EngineError(f"espeak-ng says nothing for {text[:40]!r}", remedy="Use other words.")
    starts = [(character, at / answer["rate"]) for character, at in answer["words"]]
    words = _words(text, starts, samples, answer["rate"])
    language = voice.partition("-")[0].partition("+")[0]
    return Spoken(
        samples,
        answer["rate"],
        Transcript(text, {"cmn": "zh", "yue": "zh"}.get(language, language), words),
    )


def check_text(text: str) -> None:
    """Raise RequestError for a text that cannot be spoken: without words, or too long."""
    if not word_spans(text):
        raise RequestError("the text to say holds no words", remedy="Write what is to be said.")
    if len(text) > MAX_TEXT:
        raise RequestError(
            f"the text to say has {len(text)} characters, over {MAX_TEXT}",
            remedy="Say it in parts.",
        )


def phonemes(words: list[str], voice: str = "en-us") -> list[list[str]]:
    """How each word is pronounced: IPA symbols. Raises as `speak` does."""
    answer, _ = _asked(voice, {"words": words})
    return [[p for p in said.strip().split("_") if p] for said in answer["phonemes"]]


def _asked(voice: str, order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """espeak-ng's answer from a process of its own: its line of JSON, and samples."""
    library, data = _installed()
    whole = {"library": library, "data": data, "voice": voice, **order}
    command = [sys.executable, "-m", "stepedit_fx.transcripts.espeak_process"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the text is data on stdin
            command, input=json.dumps(whole).encode(), capture_output=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"espeak-ng did not answer: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError(f"espeak-ng failed: {said[-1] if said else done.returncode}")
    head, _, samples = done.stdout.partition(b"\n")
    answer: dict[str, Any] = json.loads(head)
    if not answer["known"]:
        raise RequestError(f"espeak-ng has no voice '{voice}'", remedy="Name another language.")
    return answer, samples


def _installed() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise RequestError(
            "speaking new words on this engine needs espeak-ng",
            remedy="pip install 'stepedit-fx[espeak]'",
        ) from error
    library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    if not Path(library).is_file():
        raise EngineError(f"{library}: espeak-ng's library is missing", remedy="Install it again.")
    return str(library), str(data)


def _words(
    text: str, starts: list[tuple[int, float]], samples: Samples, rate: int
) -> tuple[Word, ...]:
    """Words as `split_words` counts them; one that espeak-ng did not mark begins in proportion."""
    spans = word_spans(text)
    marked: dict[int, float] = {}
    for character, second in starts:
        at = next((n for n, (first, end) in enumerate(spans) if first <= character < end), None)
        if at is not None:
            marked.setdefault(at, second)
    marked.setdefault(0, 0.0)
    total_s = len(samples) / rate
    order = sorted(marked)
    seconds = np.maximum.accumulate([marked[n] for n in order])
    begun = np.interp(np.arange(len(spans) + 1), [*order, len(spans)], [*seconds, total_s])
    magnitude = np.abs(samples)
    loud = magnitude > magnitude.max() * 10 ** (_SILENT_DB / 20)
    return tuple(
        Word(text[a:b], float(first_s), _end_s(loud, rate, float(first_s), float(next_s)))
        for (a, b), (first_s, next_s) in zip(spans, pairwise(begun), strict=True)
    )


def _end_s(loud: NDArray[np.bool_], rate: int, start_s: float, next_s: float) -> float:
    """Where the sound of a word ends, the pause before the next left out."""
    first, end = round(start_s * rate), round(next_s * rate)
    heard = np.flatnonzero(loud[first:end])
    return (first + int(heard[-1]) + 1) / rate if len(heard) else next_s
