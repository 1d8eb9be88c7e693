"""A take of this engine: segments of tokens, and the source they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.engines.step_audio.vocabulary import GROUP, Codes
from stepedit_fx.speech import Place, Speech, Transcript, Voice

KIND = "step-audio"


class Around(IntEnum):
    """What stands before, between and after the segments."""

    SOURCE = 0  # what the tokenizer trimmed, as it was
    SILENCE = 1  # as long, but silent: the background was taken away
    NOTHING = 2  # left out


@dataclass(frozen=True, eq=False)
class Reference:
    """What a segment of the source gives to sound like it. All from the same samples.

    span: frames (start, end) of the source that the tokens stand for. padding: frames of silence
    that were put before and after. tokens: (groups * 5,) mixed. mel: (groups * 6, 80).
    gain: the source was scaled by it.
    """

    span: tuple[int, int]
    padding: tuple[int, int]
    tokens: Codes
    mel: NDArray[np.float32]
    gain: float


@dataclass(frozen=True, eq=False)
class Source:
    """The pinned part of a take: its sound, its references, and who speaks, (192,)."""

    samples: Samples
    references: tuple[Reference, ...]
    speaker: NDArray[np.float32]

    def voice(self) -> Voice:
        """As stored: ragged arrays end to end, with their lengths."""
        references = self.references
        return Voice(
            KIND,
            {
                "samples": self.samples,
                "speaker": self.speaker,
                "spans": np.array([r.span for r in references], np.int64).reshape(-1, 2),
                "padding": np.array([r.padding for r in references], np.int64).reshape(-1, 2),
                "gains": np.array([r.gain for r in references], np.float64),
                "groups": np.array([len(r.tokens) // GROUP for r in references], np.int64),
                "tokens": _joined([r.tokens for r in references], np.int32),
                "mel_frames": np.array([len(r.mel) for r in references], np.int64),
                "mel": np.concatenate([r.mel for r in references]).astype(np.float32),
            },
        )

    @classmethod
    def of(cls, voice: Voice) -> Source:
        """Back from what `voice` gave."""
        stored = voice.arrays
        tokens = _split(stored["tokens"].astype(np.int64), stored["groups"] * GROUP)
        mels = _split(stored["mel"], stored["mel_frames"])
        rows = zip(stored["spans"].tolist(), stored["padding"].tolist(), tokens, mels, strict=True)
        references = tuple(
            Reference((span[0], span[1]), (padding[0], padding[1]), token, mel, float(gain))
            for (span, padding, token, mel), gain in zip(rows, stored["gains"], strict=True)
        )
        return cls(stored["samples"], references, stored["speaker"])


@dataclass(frozen=True, eq=False)
class Segment:
    """Mixed tokens, (groups * 5,), to be spoken like one of the source's references.

    words: how many of the transcript's it says, where that is known: a clone was told them.
    """

    tokens: Codes
    reference: int
    words: int | None = None


def pack(
    segments: Sequence[Segment],
    around: Around,
    voice: Voice,
    place: Place,
    transcript: Transcript,
) -> Speech:
    """Segments as a Speech."""
    codes = {
        "tokens": _joined([s.tokens for s in segments], np.int32),
        "groups": np.array([len(s.tokens) // GROUP for s in segments], np.int64),
        "references": np.array([s.reference for s in segments], np.int64),
        "words": np.array([-1 if s.words is None else s.words for s in segments], np.int64),
        "around": np.array([around], np.int64),
    }
    return Speech(codes, voice, place, transcript)


def unpack(take: Speech) -> tuple[list[Segment], Around]:
    """A Speech's segments, and what stands around them."""
    codes = take.codes
    tokens = _split(codes["tokens"].astype(np.int64), codes["groups"] * GROUP)
    rows = zip(tokens, codes["references"], codes["words"].tolist(), strict=True)
    segments = [Segment(t, int(r), None if words < 0 else words) for t, r, words in rows]
    return segments, Around(int(codes["around"][0]))


def with_segments(take: Speech, segments: Sequence[Segment], around: Around) -> Speech:
    """The take with other tokens; voice, place and words as they were."""
    packed = pack(segments, around, take.voice, take.place, take.transcript)
    return replace(take, codes=packed.codes)


def _joined(parts: Sequence[NDArray[np.int64]], dtype: type[np.integer]) -> NDArray[np.integer]:
    return np.concatenate([*parts, np.zeros(0, np.int64)]).astype(dtype)


def _split(joined: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    return np.split(joined, np.cumsum(lengths)[:-1])
