"""Non-verbal sounds, made of the speaker's own voice, and where in the clip they belong.

A breath or a sigh is noise under the speaker's own long-term spectrum; an "uhm", an "oh" and a
laugh are periods of one of the speaker's own vowels, laid out anew (`speaker.Speaker`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.speaker import Speaker
from stepedit_fx.measures import FRAME_S
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import Sound, word_spans
from stepedit_fx.transcripts.timing import timed_by_tracks

Floats = NDArray[np.floating[Any]]

ROOM_S = 0.09  # pause kept before and after a sound
SNAP_S = 0.4  # a pause this near to the wanted place is the place
PUNCTUATED_SNAP_S = 1.5  # where the text says that there is one
# From seed to seed, of every turn of a contour; under a fourth of the smallest rise.
VARIED_ST = 1.2


def place_sound(sound: Sound, text: str, analysis: Analysis, word_starts: list[float]) -> int:
    """The frame at which a sound goes in.

    word_starts: seconds at which each word of `text` begins, where known. Otherwise
    `transcripts.timing` guesses, and a pause near by is preferred: any within reach where the
    text has a comma or a full stop, only a close one inside a phrase.
    """
    spans = word_spans(text)
    speech = analysis.phrases
    start, end = (speech[0][0], speech[-1][1]) if speech else (0, analysis.frames - 1)
    if sound.before_word <= 0:
        return start
    if sound.before_word >= len(spans):
        return min(end, analysis.frames - 1)
    if len(word_starts) == len(spans):
        return _quietest(analysis, round(word_starts[sound.before_word] / FRAME_S), 8)
    words = timed_by_tracks(
        Transcript(text), analysis.pauses, analysis.nuclei, analysis.frames
    ).words
    between_s = (words[sound.before_word - 1].end_s + words[sound.before_word].start_s) / 2
    guess = round(between_s / FRAME_S)
    between = text[spans[sound.before_word - 1][1] : spans[sound.before_word][0]]
    reach_s = PUNCTUATED_SNAP_S if between.strip() else SNAP_S
    pauses = [(abs((a + b) / 2 - guess), a, b) for a, b in analysis.inner_pauses]
    if pauses and min(pauses)[0] * FRAME_S <= reach_s:
        _, first, last = min(pauses)
        return (first + last) // 2
    return _quietest(analysis, guess, 15)


def _quietest(analysis: Analysis, frame: int, reach: int) -> int:
    """The frame with the lowest level within `reach` of this one."""
    first = max(0, min(frame - reach, analysis.frames - 2))
    return first + int(np.argmin(analysis.level_db[first : frame + reach + 1]))


def make_sound(tag: str, analysis: Analysis, strength: float, pitch_st: float, seed: int) -> Floats:
    """One sound, (frames,) at the source's rate, level-matched to the speaker.

    strength: 0..1 sets its level. pitch_st: how far the voice has been moved by other edits.
    """
    rng = np.random.default_rng([seed, sorted(MAKERS).index(tag)])
    maker = Speaker(analysis, analysis.median_f0_hz * 2 ** (pitch_st / 12), rng)
    sound, level_db = MAKERS[tag](maker)
    rms = float(np.sqrt(np.mean(np.square(sound)))) or 1.0
    wanted = maker.speech_rms * 10 ** ((level_db + 20 * np.log10(max(strength, 1e-3))) / 20)
    out: Floats = sound * (wanted / rms)
    return out


def _swell(time: Floats, attack_s: float, release_s: float) -> Floats:
    """Up in attack_s, down in release_s, both smooth."""
    up = np.clip(time / attack_s, 0, 1)
    down = np.clip((time[-1] - time) / release_s, 0, 1)
    out: Floats = np.sin(up * np.pi / 2) ** 2 * np.sin(down * np.pi / 2) ** 2
    return out


def _breathing(make: Speaker) -> tuple[Floats, float]:
    """A quick breath in: air through the mouth, opening towards its end."""
    time = make.seconds(0.42)
    share = time / time[-1]
    # How far the mouth is open, and when the breath is at its fullest, is never twice the same.
    opening = make.varied(1.0, 0.25)
    dark = make.air(len(time), 350 * opening, 1800 * opening)
    bright = make.air(len(time), 1500 * opening, 6500)
    fullest_s = time[-1] * make.varied(0.55, 0.35)
    air = dark * (1 - 0.5 * share) + bright * make.varied(1.0, 0.4) * (0.5 + share)
    return air * _swell(time, fullest_s, 0.09), -16.0


def _sigh(make: Speaker) -> tuple[Floats, float]:
    """A breath let out: air that is there at once, darkens and dies away."""
    time = make.seconds(0.95)
    share = time / time[-1]
    opening = make.varied(1.0, 0.25)
    dark = make.air(len(time), 250 * opening, 1500 * opening)
    bright = make.air(len(time), 1200 * opening, 5000) * make.varied(1.0, 0.4)
    air = dark + bright * (1 - share)
    return air * (1 - share) ** make.varied(1.2, 0.35) * _swell(
        time, make.varied(0.1, 0.4), 0.35
    ), -13.0


def _laughter(make: Speaker) -> tuple[Floats, float]:
    """Four to six breathy bursts, five a second, ever shorter, lower (Bachorowski et al. 2001)."""
    bursts = []
    count = int(make.rng.integers(4, 7))
    # Bursts grow shorter and lower at a pace of their own in every laugh.
    first_s, top_st, fall_st = make.varied(0.21, 0.08), make.varied(4.5, 0.4), make.varied(1.3, 0.4)
    airy = make.varied(0.45, 0.4)
    for burst in range(count):
        time = np.arange(int((first_s - 0.008 * burst) * make.rate)) / make.rate
        h = make.air(len(time), 500, 5000) * np.exp(-time / 0.05)
        contour = make.f0_hz * 2 ** ((top_st - fall_st * burst - 12 * time) / 12)
        voiced = (
            make.voice(contour) * _swell(time, 0.05, 0.10) * np.clip((time - 0.02) / 0.03, 0, 1)
        )
        voiced /= max(_rms(voiced), 1e-9)
        h /= max(_rms(h), 1e-9)
        level = 0.82**burst if burst else 0.85
        bursts.append((voiced + airy * h) * level * _swell(time, 0.008, 0.03))
    return np.concatenate(bursts), -4.0


def _uhm(make: Speaker) -> tuple[Floats, float]:
    """A level vowel that closes into a nasal, a little below the speaker's usual pitch."""
    time = make.seconds(0.55)
    contour = _contour(make, time, (0, -1.5), (0.5, -2), (1, -3))
    vowel, nasal = make.voice(contour), make.nasal(contour)
    closing = np.clip((time - time[-1] * make.varied(0.47, 0.3)) / 0.09, 0, 1)
    closing = closing * closing * (3 - 2 * closing)
    return (vowel * (1 - closing) + nasal * closing) * _swell(time, 0.05, 0.14), -5.0


def _surprise_oh(make: Speaker) -> tuple[Floats, float]:
    """A short "oh" that jumps up and falls: surprise is high and wide (Scherer 2003)."""
    time = make.seconds(0.42)
    contour = _contour(make, time, (0, 2), (0.3, 8), (1, -1))
    path = [(0.0, "ah"), (make.varied(0.25, 0.4), "oh"), (1.0, "oo")]
    return make.vowel(contour, path) * _swell(time, 0.03, 0.14), -3.0


def _surprise_ah(make: Speaker) -> tuple[Floats, float]:
    """An "ah" with a breathy start, steep up and held high."""
    time = make.seconds(0.46)
    contour = _contour(make, time, (0, 0), (0.45, 8), (1, 4))
    voiced = make.vowel(contour, [(0, "ah"), (1, "ah")])
    air = make.air(len(time), 500, 5000) * np.exp(-time / make.varied(0.05, 0.4))
    return (voiced + 0.5 * air * _rms(voiced) / max(_rms(air), 1e-9)) * _swell(
        time, 0.04, 0.16
    ), -3.0


def _surprise_wa(make: Speaker) -> tuple[Floats, float]:
    """A "wa": rounded lips that open, up and down again."""
    time = make.seconds(0.52)
    contour = _contour(make, time, (0, 0), (0.4, 9), (1, 1))
    opens = make.varied(0.12, 0.4)
    path = [(0.0, "oo"), (opens, "oo"), (opens + make.varied(0.26, 0.3), "ah"), (1.0, "ah")]
    return make.vowel(contour, path) * _swell(time, 0.05, 0.18), -3.0


def _confirmation_en(make: Speaker) -> tuple[Floats, float]:
    """A "mm" of assent: nasal, with a fall (a low-falling 'en' of Mandarin is one, too)."""
    time = make.seconds(0.40)
    contour = _contour(make, time, (0, 2), (0.25, 2.5), (1, -4))
    return make.nasal(contour) * _swell(time, 0.05, 0.16), -6.0


def _question_ei(make: Speaker) -> tuple[Floats, float]:
    """An "eh?": up to the end, as questions go (Ohala 1984)."""
    time = make.seconds(0.42)
    contour = _contour(make, time, (0, -1), (0.3, 0), (1, 9))
    path = [(0.0, "eh"), (make.varied(0.45, 0.3), "eh"), (1.0, "ee")]
    return make.vowel(contour, path) * _swell(time, 0.04, 0.10), -4.0


def _dissatisfaction_hnn(make: Speaker) -> tuple[Floats, float]:
    """A "hmph": air through the nose, then a low nasal that is pressed and falls."""
    time = make.seconds(0.62)
    contour = _contour(make, time, (0, -1), (0.3, -1.5), (1, -5))
    hum = make.nasal(contour) * _swell(np.maximum(time - 0.09, 0), 0.05, 0.22)
    # Pressed: no two pulses alike. (Every other one weaker would be heard an octave lower.)
    pulse = np.cumsum(contour) / make.rate
    levels = 0.15 * make.rng.standard_normal(int(pulse[-1]) + 2)
    pressed = 1 + np.interp(pulse, np.arange(len(levels)), levels)
    air = make.air(len(time), 250, 2500) * np.exp(-time / make.varied(0.07, 0.4))
    air *= make.varied(0.5, 0.4) * _rms(hum) / max(_rms(air), 1e-9)
    return (hum * pressed + air) * _swell(time, 0.02, 0.2), -6.0


def _contour(make: Speaker, time: Floats, *points: tuple[float, float]) -> Floats:
    """An f0 contour through (share of the time, semitones over the usual), no two alike."""
    shares = [share for share, _ in points]
    shares[1:-1] = [make.varied(share, 0.25) for share in shares[1:-1]]
    heights = [st + make.rng.uniform(-VARIED_ST, VARIED_ST) for _, st in points]
    place = np.interp(time / time[-1], shares, np.arange(len(points)))
    before = np.minimum(place.astype(int), len(points) - 2)
    eased = 0.5 - 0.5 * np.cos(np.pi * (place - before))
    steps = np.diff(heights)
    return np.asarray(make.f0_hz * 2 ** ((np.array(heights)[before] + steps[before] * eased) / 12))


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))


MAKERS: Mapping[str, Callable[[Speaker], tuple[Floats, float]]] = {
    "Breathing": _breathing,
    "Confirmation-en": _confirmation_en,
    "Dissatisfaction-hnn": _dissatisfaction_hnn,
    "Laughter": _laughter,
    "Question-ei": _question_ei,
    "Sigh": _sigh,
    "Surprise-ah": _surprise_ah,
    "Surprise-oh": _surprise_oh,
    "Surprise-wa": _surprise_wa,
    "Uhm": _uhm,
}
