"""What the sound of the edits is measured on: the recordings, and sentences said by espeak-ng.

Recordings are few; a formant synthesizer gives many more speakers, in many languages, with texts
that are known. Both are cut to `LONGEST_S` at a pause, so that every speaker costs about the same.
"""

from __future__ import annotations

import csv
import ctypes
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rows import EXAMPLES, SPEECH

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio
from stepedit_fx.measures import FRAME_S, find_pauses, track_f0, track_level

LONGEST_S = 7.5
ROOM_DB = -62.0  # a synthesizer has no room: pauses of digital zero would measure as nothing
ROOM_SEED = 7

# voice and variant of espeak-ng, its pitch setting (0..99), what it says. en-us ones say what
# pocketsphinx knows. Variants are other tracts and sources, so other speakers; not f2, f3 and f5,
# which espeak-ng makes of memory that it never sets.
SAID: tuple[tuple[str, int, str], ...] = (
    ("en-us+m3", 35, "The weather was fine, so we walked along the river and came home late."),
    ("en-us+f1", 50, "She opened the window, looked at the garden, and called her brother."),
    ("en-us+m7", 50, "I have never seen so many people in this town, and nobody knew why."),
    ("en-gb-x-rp+f4", 40, "Please bring the letters to my office before noon, and close the door."),
    ("en-us+klatt2", 45, "We have to leave early tomorrow, because the train will not wait."),
    ("en-us+klatt4", 60, "The old man told his story again, but this time nobody was listening."),
    ("de+m1", 40, "Der Zug kommt heute später, deshalb warten wir noch im Café am Bahnhof."),
    ("de+f4", 55, "Gestern haben wir lange geredet, und am Ende waren alle zufrieden."),
    ("fr+f1", 45, "Nous avons marché le long de la rivière, puis nous sommes rentrés."),
    ("es+m5", 50, "Mañana vamos a la playa con los niños, si no llueve por la tarde."),
    ("it+f1", 50, "Abbiamo trovato una piccola casa vicino al mare, molto tranquilla."),
    ("sv+m4", 45, "Vi gick hem genom skogen, och det började snöa när vi kom fram."),
    ("pl+m8", 50, "Wczoraj wieczorem padał deszcz, więc zostaliśmy w domu i graliśmy."),
    ("cmn+f4", 50, "今天天气很好，我们一起去公园走走，然后回家吃饭。"),
    ("ru+m2", 45, "Мы долго гуляли по городу, а потом пили чай у друзей."),
    ("hi+f4", 45, "आज मौसम बहुत अच्छा है, चलो हम सब बाहर घूमने चलते हैं।"),
)


@dataclass(frozen=True)
class Clip:
    """One speaker: a name, their sound, and the words where they are English ('' elsewhere)."""

    name: str
    audio: Audio
    english: str
    is_synthetic: bool


def recorded() -> list[Clip]:
    """The recordings of ../shared/speech, and the sample clip."""
    texts = {}
    if SPEECH.is_dir():
        with (SPEECH / "transcripts.tsv").open(encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                texts[row["file"]] = row["transcript"] if row["language"] == "en" else ""
    sample = EXAMPLES / "good-morning.wav"
    texts[sample.name] = sample.with_suffix(".txt").read_text(encoding="utf-8").strip()
    paths = [*(sorted(SPEECH.glob("*.wav")) if SPEECH.is_dir() else []), sample]
    return [Clip(p.stem, read_audio(p), texts[p.name], is_synthetic=False) for p in paths]


def synthesized() -> list[Clip]:
    """Sentences said by espeak-ng, one speaker each; the same samples every time."""
    speaks = _Espeak()
    rng = np.random.default_rng(ROOM_SEED)
    clips = []
    for voice, pitch, text in SAID:
        samples = speaks.say(text, voice, pitch)
        room = rng.standard_normal(len(samples)) * 10 ** (ROOM_DB / 20)
        audio = Audio((0.5 * samples + room).astype(np.float32)[None], speaks.rate)
        clips.append(Clip(voice, audio, text if voice[:2] == "en" else "", is_synthetic=True))
    return clips


def clips(small: bool) -> list[Clip]:
    """Every speaker, cut to a few seconds; a few of each where `small`."""
    real, made = recorded(), synthesized()
    chosen = [*real[:3], *made[:3]] if small else [*real, *made]
    return [replace(c, audio=shortened(c.audio)) for c in chosen]


def shortened(audio: Audio) -> Audio:
    """A recording up to the last pause before `LONGEST_S`, or cut there if it has none."""
    if audio.duration_s <= LONGEST_S:
        return audio
    mono = audio.mono()
    pauses = find_pauses(track_level(mono, audio.sample_rate), track_f0(mono, audio.sample_rate))
    ends = [(a + b) / 2 * FRAME_S for a, b in pauses]
    end_s = max((e for e in ends if LONGEST_S / 2 < e <= LONGEST_S), default=LONGEST_S)
    return Audio(audio.samples[:, : round(end_s * audio.sample_rate)], audio.sample_rate)


class _Espeak:
    """espeak-ng by ctypes: one thread, one process, as the library itself."""

    _SYNCHRONOUS, _UTF8, _RATE, _PITCH = 2, 1, 1, 3
    _WORDS_A_MINUTE = 150

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(Path(espeakng_loader.get_data_path()).parent)
        self.rate = int(self._lib.espeak_Initialize(self._SYNCHRONOUS, 0, data.encode(), 0))
        self._heard: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )
        self._callback = kind(self._keep)  # held, or it is collected while the library calls it
        self._lib.espeak_SetSynthCallback(self._callback)

    def _keep(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        if samples and count > 0:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, pitch: int) -> np.ndarray:
        self._heard.clear()
        if self._lib.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._lib.espeak_SetParameter(self._RATE, self._WORDS_A_MINUTE, 0)
        self._lib.espeak_SetParameter(self._PITCH, pitch, 0)
        said = text.encode()
        self._lib.espeak_Synth(said, len(said) + 1, 0, 1, 0, self._UTF8, None, None)
        return np.concatenate(self._heard) / 32768
