"""Words: how near to the truth their times are, and how near a clone comes to its reference.

The truth is espeak-ng's, which tells where it begins each word; its voices are hard to recognize,
so that people are aligned rather better (joined recordings, whose seams are known, say the rest).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr
from rows import SPEECH, Row

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.parametric.clone import BANDS_HZ, long_term_db
from stepedit_fx.errors import RequestError
from stepedit_fx.files import read_audio
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import measure
from stepedit_fx.speech import Edit, Transcript, Word
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts import espeak
from stepedit_fx.transcripts.alignment import align
from stepedit_fx.transcripts.recognition import heard, word_errors
from stepedit_fx.transcripts.timing import timed

ENGLISH = (
    "You know, I just finished that big project and feel so relieved. What a wonderful feeling!",
    "His political stance was conservative. It was long ago, in a country far from here.",
    "The weather will be fine again tomorrow, and we are going to the lake with the children.",
    "Hello there, Dr. Smith: it's 42 well-known people. Goodbye in 1984! I met Mr. Zyxwvutsky.",
)
OTHERS = (
    ("cmn", "上次你说鞋子有点磨脚，我给你买了一双软软的鞋垫。放松一下身体，这样，会让你更有精力。"),
    ("de", "Guten Morgen, meine Damen und Herren. Wir beginnen heute mit einer kurzen Geschichte."),
    ("ko", "안녕하세요. 오늘 날씨가 아주 좋습니다, 그래서 우리는 공원에 갑니다."),
)
VOICES = ("en-us", "en-us+f1", "en-us+m3")
CLONED = (
    "Please close the window before you leave the office tonight.",
    "She asked whether the letter had been sent to the right address.",
    "The weather will be fine again tomorrow, and we are going to the lake.",
)


def words(small: bool) -> list[Row]:
    rows = [*_timing(small), *_seams(), *_clones(small)]
    return [Row(what, bar, told, met, "words", "sound.py") for what, bar, told, met in rows]


Told = tuple[str, str, str, bool | None]


def _timing(small: bool) -> Iterator[Told]:
    aligned, guessed = [], []
    for text in ENGLISH[: 2 if small else None]:
        for voice in VOICES[: 1 if small else None]:
            said = espeak.speak(text, voice)
            found = align(Transcript(text), said.samples, said.rate, trust=True)
            aligned += _off_ms(found.words, said.transcript.words)
            guessed += _off_ms(
                timed(Transcript(text), said.samples, said.rate).words, said.transcript.words
            )
    for voice, text in OTHERS:
        said = espeak.speak(text, voice)
        guessed += _off_ms(
            timed(Transcript(text), said.samples, said.rate).words, said.transcript.words
        )
    for what, off, bar_ms in (
        ("English words aligned: start, against the truth", aligned, 20),
        ("words timed in proportion (en, zh, de, ko): the same", guessed, 60),
    ):
        median, most = np.percentile(off, [50, 90])
        told = f"median {median:.0f} ms, 90 % within {most:.0f} ms ({len(off)} words)"
        yield what, f"median {bar_ms} ms", told, bool(median <= bar_ms)


def _off_ms(found: tuple[Word, ...], truth: tuple[Word, ...]) -> list[float]:
    return [1000 * abs(a.start_s - b.start_s) for a, b in zip(found, truth, strict=True)]


def _recordings() -> list[tuple[str, Audio, str, str]]:
    """Name, sound, words, language."""
    with (SPEECH / "transcripts.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        (Path(r["file"]).stem, read_audio(SPEECH / r["file"]), r["transcript"], r["language"])
        for r in rows
    ]


def _seams() -> Iterator[Told]:
    """English recordings in a row: every word within its own; and each with another's text."""
    clips = [(a, text) for _, a, text, language in _recordings() if language == "en"]
    row = [clips[n % len(clips)] for n in range(len(clips) + 2)]
    sounds = [soxr.resample(a.mono(), a.sample_rate, 16000) for a, _ in row]
    found = align(Transcript(" ".join(text for _, text in row)), np.concatenate(sounds), 16000)
    outside, at_s, n = 0, 0.0, 0
    for sound, (_, text) in zip(sounds, row, strict=True):
        end_s, count = at_s + len(sound) / 16000, len(split_words(text))
        own = found.words[n : n + count]
        outside += sum(w.start_s < at_s - 0.05 or w.end_s > end_s + 0.05 for w in own)
        at_s, n = end_s, n + count
    told = f"{outside} of {n} words outside ({at_s:.0f} s, {len(row)} recordings in a row)"
    yield "aligned words lie in the recording that says them", "none outside", told, outside == 0
    refused = 0
    for (a, _), (_, text) in zip(clips, clips[1:] + clips[:1], strict=True):
        try:
            align(Transcript(text), a.mono(), a.sample_rate)
        except RequestError:
            refused += 1
    told = f"{refused} of {len(clips)}"
    yield "another recording's text is refused", "all", told, refused == len(clips)


def _clones(small: bool) -> Iterator[Told]:
    engine = open_engine()
    f0, pace, level, spectrum, before, after = [], [], [], [], [], []
    for _, audio, text, language in _recordings()[: 2 if small else None]:
        taken = engine.encode([replace(audio, transcript=Transcript(text, language))])
        want = measure(audio.mono(), audio.sample_rate)
        for line in CLONED:
            edit = Edit("clone", text=line)
            made = engine.decode(engine.clone(taken, [edit]))[0]
            plain = espeak.speak(line, "en-us")
            got = measure(made.mono(), made.sample_rate)
            f0.append(abs(12 * np.log2(got.f0_median_hz / want.f0_median_hz)))
            pace.append(abs(got.syllables_per_s / want.syllables_per_s - 1))
            loud = [loudness_lufs(a.samples, a.sample_rate) for a in (audio, made)]
            level.append(abs(loud[1] - loud[0]))
            at_rate = soxr.resample(plain.samples, plain.rate, audio.sample_rate)
            spectrum.append(_apart_db(made.mono(), audio) / _apart_db(at_rate, audio))
            before.append(word_errors(line, heard(plain.samples, plain.rate)).rate)
            after.append(word_errors(line, heard(made.mono(), made.sample_rate)).rate)
    count = f"{len(f0)} clones"
    yield (
        "clone: median f0 from its reference's",
        "0.5 st",
        f"{max(f0):.2f} st ({count})",
        max(f0) <= 0.5,
    )
    yield "clone: syllables a second", "10 %", f"{max(pace):.1%} at most", max(pace) <= 0.1
    yield "clone: loudness", "1 LU", f"{max(level):.2f} LU at most", max(level) <= 1
    told = f"{max(spectrum):.2f} of espeak-ng's own at most"
    yield "clone: distance of long-term spectra", "halved", told, max(spectrum) <= 0.5
    grown = 100 * (np.mean(after) - np.mean(before))
    told = f"{grown:+.1f} points ({np.mean(before):.0%} before, {np.mean(after):.0%} after)"
    yield "clone: word error, from espeak-ng's own", "+5 points", told, bool(grown <= 5)


def _apart_db(mono: np.ndarray, reference: Audio) -> float:
    rate = reference.sample_rate
    bands = (BANDS_HZ >= 100) & (BANDS_HZ <= 8000)
    apart = (long_term_db(mono, rate) - long_term_db(reference.mono(), rate))[bands]
    return float(np.nanstd(apart))
