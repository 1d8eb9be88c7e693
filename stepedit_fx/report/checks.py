"""What somebody should know about a stage before they believe their ears."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError
from stepedit_fx.inspection import findings
from stepedit_fx.measures import FRAME_S, Track, track_level
from stepedit_fx.speech import Transcript

logger = logging.getLogger(__name__)

DRIFT_S = 0.05
FURTHEST_S = 0.4
# Less alike than this, and a best place means nothing.
LEAST_LIKENESS = 0.7
DRIFT_WINDOW_S = 3.0


def told_of(audio: Audio) -> list[str]:
    """What is unusual about a recording."""
    return [_placed(found.words, found.spans) for found in findings(audio)]


def _placed(words: str, spans: tuple[tuple[float, float], ...]) -> str:
    if not spans:
        return words
    shown = ", ".join(f"{start:.1f}" for start, _ in spans[:5])
    return f"{words} (at {shown} s{', ...' if len(spans) > 5 else ''})"


def faults_of(source: Audio, before: Audio, after: Audio) -> list[str]:
    """What came into a stage that was not in what it was made from: clipping, silence, drift."""
    known = {found.code for found in findings(before)}
    wanted = {"clipped", "silent", "dc-offset", "out-of-phase"} - known
    faults = [_placed(f.words, f.spans) for f in findings(after) if f.code in wanted]
    if after.peak > 1.0 >= before.peak:
        faults.append(f"its peak is {20 * np.log10(after.peak):.1f} dB over full scale")
    return [*faults, *_drifts(source, after)]


def _drifts(source: Audio, after: Audio) -> Iterator[str]:
    """Where a stage is not at the moment at which its map of time says that it is."""
    level = track_level(source.mono(), source.sample_rate)
    there = track_level(after.mono(), after.sample_rate)
    worst = (0.0, 0.0)
    window = round(DRIFT_WINDOW_S / FRAME_S)
    for first in range(0, max(1, len(level) - window // 2), window):
        lag_s = _lag_s(level[first : first + window], first, there, after)
        worst = max(worst, (lag_s, first * FRAME_S), key=lambda found: abs(found[0]))
    if abs(worst[0]) >= DRIFT_S:
        late = "late" if worst[0] > 0 else "early"
        yield f"it drifts: around {worst[1]:.1f} s it is {1000 * abs(worst[0]):.0f} ms {late}"


def _lag_s(level: Track, first: int, there: Track, after: Audio) -> float:
    """How much later a stretch of levels is found than the map of time says; 0 where unclear."""
    seconds = (first + np.arange(len(level), dtype=np.float64)) * FRAME_S
    reach = round(FURTHEST_S / FRAME_S)
    lags = np.arange(-reach, reach + 1)
    likeness = np.array(
        [_likeness(level, _levels(there, after, seconds, int(lag))) for lag in lags]
    )
    best = int(likeness.argmax())
    # Only a place that is clearly better than the one it should be at.
    if likeness[best] < LEAST_LIKENESS or likeness[best] < likeness[reach] + 0.1:
        return 0.0
    return float(lags[best] * FRAME_S)


def _levels(there: Track, after: Audio, seconds: Track, lag: int) -> Track:
    heard = seconds
    if after.time_map:
        knots = np.array(after.time_map)
        heard = np.interp(seconds, knots[:, 0], knots[:, 1])
    frames = np.rint(heard / FRAME_S).astype(int) + lag
    levels: Track = there[np.clip(frames, 0, len(there) - 1)]
    return levels


def _likeness(a: Track, b: Track) -> float:
    a, b = np.maximum(a, a.max() - 40), np.maximum(b, b.max() - 40)
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-6 else 0.0


class Listener:
    """A rough ear for English that says which words an edit took; tires after a while.

    seconds: how much sound it may still listen to.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_there = True

    def takes(self, transcript: Transcript, audio: Audio) -> bool:
        """Whether it understands this language, and has the time."""
        is_english = transcript.language in ("", "en") and transcript.text.isascii()
        enough = 2 * audio.duration_s <= self.seconds
        return self.is_there and bool(transcript) and is_english and enough

    def vanished(self, transcript: Transcript, before: Audio, after: Audio) -> list[str]:
        """Words of the transcript that were understood before and are not any more."""
        from stepedit_fx.transcripts.recognition import words_lost

        self.seconds -= before.duration_s + after.duration_s
        try:
            lost = [words_lost(transcript.text, audio)[1] for audio in (before, after)]
        except RequestError as error:  # pocketsphinx is an extra
            logger.info("words were not checked: %s", error)
            self.is_there = False
            return []
        return list((lost[1] - lost[0]).elements())
