"""Several sounds into one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.base import Context, Node, param
from stepedit_fx.speech import Transcript

# Sounds further apart on the timeline than this are takes of different hours, not a mix.
_WIDEST_GAP_S = 3600.0


@dataclass(frozen=True)
class _Voice:
    """One input: its sound and how loud it is heard, as a factor."""

    audio: Audio
    weight: float
    pan: float | None


class Mix(Node):
    """Sum sounds, each with its level and place, or blend a dry one with a wet one."""

    kind = "mix"
    takes = Audio
    gives = Audio
    inputs = (2, 16)

    gain_db: tuple[Annotated[float, Field(ge=-100, le=24)], ...] = param(
        (), unit="dB", help="Level of each input, in order; none: all as they are.", live=False
    )
    pan: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = param(
        (),
        help="Place of each input, -1 left to 1 right; none: channels as they are. Mono is panned "
        "at constant power (-3 dB in the middle), stereo is balanced. The result is stereo.",
        live=False,
    )
    wet: float | None = param(
        None,
        ge=0,
        le=1,
        help="Of two inputs, dry then wet: (1 - wet) of the first and wet of the second.",
    )
    bypass: bool = param(False, help="Pass the first input through unchanged.")

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """The sum, with the transcript of the first input.

        Inputs stand where their start times say, to the nearest frame; what is not heard (wet 0
        or 1) does not count, so that wet 0 gives back the dry input. Mono goes to all channels.
        Raises RequestError where counts, rates, channels or times do not agree.
        """
        if self.bypass:
            first: Audio = inputs[0]
            return first
        voices = self._voices(inputs)
        heard = [voice for voice in voices if voice.weight > 0]
        if len(heard) == 1 and heard[0].weight == 1 and heard[0].pan is None:
            return replace(heard[0].audio, transcript=_words(inputs[0], heard[0].audio.start_s))
        return _summed(heard, inputs[0])

    def check_inputs(self, count: int) -> None:
        for name, values in (("gain_db", self.gain_db), ("pan", self.pan)):
            if values and len(values) != count:
                message = f"{name} holds {len(values)} values for {count} inputs"
                raise RequestError(message, remedy="Give one for each input, in order.")
        if self.wet is not None and count != 2:
            message = f"wet blends 2 inputs, dry and wet, got {count}"
            raise RequestError(message, remedy="Leave wet out and use gain_db.")

    def _voices(self, inputs: Sequence[Audio]) -> list[_Voice]:
        count = len(inputs)
        self.check_inputs(count)
        _check_alike(inputs)
        blend = [1.0] * count if self.wet is None else [1 - self.wet, self.wet]
        gains_db = self.gain_db or (0.0,) * count
        pans = self.pan or (None,) * count
        weights = [b * 10 ** (g / 20) for b, g in zip(blend, gains_db, strict=True)]
        return [_Voice(*parts) for parts in zip(inputs, weights, pans, strict=True)]


def _check_alike(inputs: Sequence[Audio]) -> None:
    rates = sorted({audio.sample_rate for audio in inputs})
    if len(rates) > 1:
        named = " and ".join(f"{rate} Hz" for rate in rates)
        raise RequestError(
            f"the inputs are at {named}", remedy="Bring the recordings to one sample rate first."
        )
    channels = sorted({audio.channels for audio in inputs} - {1})
    if len(channels) > 1:
        named = " and ".join(str(c) for c in channels)
        raise RequestError(
            f"the inputs have {named} channels", remedy="Mix mono with any, else equal counts."
        )
    spans = sorted((audio.start_s, audio.start_s + audio.duration_s) for audio in inputs)
    end_s = spans[0][1]
    for start_s, stop_s in spans[1:]:
        if start_s - end_s > _WIDEST_GAP_S:
            raise RequestError(
                f"an input starts {start_s - end_s:.0f} s after the one before it has ended",
                remedy="Their time stamps are of different takes: set them alike.",
            )
        end_s = max(end_s, stop_s)


def _summed(heard: Sequence[_Voice], first: Audio) -> Audio:
    start_s = min(voice.audio.start_s for voice in heard)
    rate = first.sample_rate
    offsets = [round((voice.audio.start_s - start_s) * rate) for voice in heard]
    ends = [at + voice.audio.frames for at, voice in zip(offsets, heard, strict=True)]
    panned = any(voice.pan is not None for voice in heard)
    channels = 2 if panned else max(voice.audio.channels for voice in heard)
    total = np.zeros((channels, max(ends)), np.float32)
    for voice, at, end in zip(heard, offsets, ends, strict=True):
        total[:, at:end] += _placed(voice)
    return Audio(total, rate, start_s, _words(first, start_s))


def _placed(voice: _Voice) -> Samples:
    """One input's share of the sum, (1, 2 or more channels, frames)."""
    samples, weight, pan = voice.audio.samples, voice.weight, voice.pan
    if pan is None:
        return samples * np.float32(weight)
    if samples.shape[0] > 2:
        message = f"pan places mono and stereo, got {samples.shape[0]} channels"
        raise RequestError(message, remedy="Leave pan out.")
    if samples.shape[0] == 1:  # constant power: left and right squared add up to 1
        angle = (pan + 1) * math.pi / 4
        sides = (math.cos(angle), math.sin(angle))
    else:
        sides = (min(1.0, 1 - pan), min(1.0, 1 + pan))
    return samples * np.array([[weight * side] for side in sides], np.float32)


def _words(first: Audio, start_s: float) -> Transcript:
    """The first input's transcript, its times counted from start_s."""
    later_s = first.start_s - start_s
    if later_s == 0:
        return first.transcript
    words = (
        replace(w, start_s=w.start_s + later_s, end_s=w.end_s + later_s)
        for w in first.transcript.words
    )
    return replace(first.transcript, words=tuple(words))
