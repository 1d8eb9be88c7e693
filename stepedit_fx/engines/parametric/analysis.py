"""What encode finds out about a recording, once; pinned as the voice of every later edit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.measures import (
    FRAME_S,
    Spans,
    Track,
    find_nuclei,
    find_pauses,
    track_f0,
    track_level,
)
from stepedit_fx.speech import Voice


@dataclass(frozen=True)
class Analysis:
    """A source and its tracks, one value per 10 ms frame.

    samples: (channels, frames at rate). f0: hertz, 0 unvoiced. level_db: RMS. pauses: spans of
    frames. nuclei: frames of syllable centres.
    """

    samples: Samples
    rate: int
    f0: Track
    level_db: Track
    pauses: Spans
    nuclei: tuple[int, ...]

    @property
    def frames(self) -> int:
        """How many 10 ms frames the tracks have."""
        return len(self.f0)

    @property
    def median_f0_hz(self) -> float:
        """The speaker's usual f0; 120 Hz where nothing is voiced, so that recipes still scale."""
        voiced = self.f0[self.f0 > 0]
        return float(np.median(voiced)) if len(voiced) else 120.0

    @property
    def phrases(self) -> Spans:
        """The spans between pauses."""
        edges = [0, *(edge for span in self.pauses for edge in span), self.frames]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return tuple((a, b) for a, b in pairs if b > a)

    @property
    def inner_pauses(self) -> Spans:
        """Pauses with speech on both sides: head and tail belong to the place, not the speech."""
        return tuple((a, b) for a, b in self.pauses if a > 0 and b < self.frames - 1)

    def sample_of(self, frame: float) -> int:
        """The sample at a frame's centre, held inside the source."""
        return int(min(max(round(frame * FRAME_S * self.rate), 0), self.samples.shape[1]))


def analyse(audio: Audio) -> Voice:
    """The voice of a recording: its samples and tracks."""
    mono = audio.mono()
    f0, level_db = track_f0(mono, audio.sample_rate), track_level(mono, audio.sample_rate)
    pauses = find_pauses(level_db, f0)
    return Voice(
        engine="parametric",
        arrays={
            "samples": audio.samples,
            "f0": f0,
            "level_db": level_db,
            "pauses": np.asarray(pauses, np.int64).reshape(-1, 2),
            "nuclei": find_nuclei(level_db, f0),
        },
    )


def analysis_of(voice: Voice, rate: int) -> Analysis:
    """The analysis that a voice holds, read back."""
    arrays = voice.arrays
    return Analysis(
        samples=arrays["samples"],
        rate=rate,
        f0=arrays["f0"],
        level_db=arrays["level_db"],
        pauses=tuple((int(a), int(b)) for a, b in arrays["pauses"]),
        nuclei=tuple(int(n) for n in arrays["nuclei"]),
    )
