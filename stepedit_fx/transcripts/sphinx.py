"""pocketsphinx: the one place that opens it, and the sound it takes.

Its US English model comes in the wheel (extra `[align]`), so nothing is downloaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.errors import RequestError
from stepedit_fx.transcripts.cutting import RATE

FRAME_S = 0.01
# Long enough to find words by their neighbours; short enough that features, which are normalized
# over each, follow a change of room, and that what cannot be aligned is little.
MAX_STRETCH_S = 15.0
_PEAK = 0.7  # the model was trained on close speech; features are means-normalized, so any will do
_SILENT = 1e-3  # 57 dB below the peak of the whole
# The logarithm of digital silence is what no room has. Measured on an espeak-ng sentence: 17 of 27
# words are misheard without noise, 1 with noise 50 dB below the peak, 5 at 40 and at 70 dB.
_NOISE = 10 ** (-50 / 20)


def open_decoder(**settings: Any) -> Any:
    """A new `pocketsphinx.Decoder`: nothing an earlier utterance taught one changes a result.

    Raises RequestError where pocketsphinx is not installed.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise RequestError(
            "recognizing and aligning English words needs pocketsphinx",
            remedy="pip install 'stepedit-fx[align]'",
        ) from error
    return Decoder(samprate=RATE, cmn="batch", loglevel="FATAL", **settings)


def is_installed() -> bool:
    """Whether pocketsphinx is there."""
    from importlib.util import find_spec

    return find_spec("pocketsphinx") is not None


def to_model_rate(mono: Samples, rate: int) -> Samples:
    """Sound, (frames,) at any rate, as the model takes it: 16 kHz at an even level."""
    import soxr

    at_rate = np.asarray(mono if rate == RATE else soxr.resample(mono, rate, RATE), np.float32)
    peak = float(np.abs(at_rate).max()) if at_rate.size else 0.0
    return at_rate * np.float32(_PEAK / peak) if peak > 0 else at_rate


def search(decoder: Any, sound: Samples) -> bool:
    """Search one utterance, (frames,) at RATE; whether anything was found."""
    if not np.any(np.abs(sound) > _SILENT):
        return False  # in silence the model hears words
    noise = np.random.default_rng(0).standard_normal(len(sound), np.float32)
    in_a_room = sound + noise * np.float32(_PEAK * _NOISE)
    pcm = np.clip(in_a_room * 32767, -32768, 32767).astype("<i2").tobytes()
    decoder.reinit_feat()  # the means of what was heard before must not count
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return decoder.hyp() is not None
