"""Whether a transcript can be that of a recording, from its length alone: no model, no cost."""

from __future__ import annotations

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import split_words

# Nobody says more syllables a second (the fastest languages average 8: Pellegrino et al. 2011), and
# who says fewer while there is sound is not the one who makes it.
MOST_PER_S, LEAST_PER_S = 12.0, 0.6
BEYOND_S = 0.5  # past the end: sidecars round
SHORTEST_S = 3.0  # in less there may be a sound before the only word
_HOP_S = 0.02
_SPEECH_DB = -35.0  # re the loud parts


def misfit(transcript: Transcript, duration_s: float, sounding_s: float | None = None) -> str:
    """Why a transcript cannot be this recording's, as the end of a sentence; "" if it can be.

    sounding_s: how long the recording is not silent, see `sounding`; None: unknown.
    """
    if not transcript:
        return ""
    ends_s = max((word.end_s for word in transcript.words), default=0.0)
    if ends_s > duration_s + BEYOND_S:
        return f"its words end at {ends_s:.1f} s, the recording at {duration_s:.1f} s"
    said = _syllables(transcript.text)
    room_s = duration_s if sounding_s is None else sounding_s
    if said > MOST_PER_S * room_s + 2:
        return f"it has about {said} syllables, too many for {room_s:.1f} s of sound"
    if sounding_s is not None and sounding_s > SHORTEST_S and said < LEAST_PER_S * sounding_s:
        return f"it has about {said} syllables, too few for {sounding_s:.1f} s of sound"
    return ""


def sounding(mono: Samples, rate: int) -> float:
    """For how many seconds a recording is not silent."""
    hop = max(1, round(_HOP_S * rate))
    power = np.square(mono[: len(mono) // hop * hop].reshape(-1, hop)).mean(axis=1)
    if not power.size or power.max() <= 0:
        return 0.0
    loud = float(np.percentile(power, 95))
    return float((power > loud * 10 ** (_SPEECH_DB / 10)).sum()) * _HOP_S


def _syllables(text: str) -> int:
    """Few rather than many: a CJK character has one, three letters of another script about one."""
    words = split_words(text)
    return sum(max(1, len(w) // 3) if ord(w[0]) < 0x2E80 else len(w) for w in words)
