"""Several sounds into one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from stepedit_fx.audio import BLOCK_FRAMES, Audio, Samples, Sound
from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.base import Context, Node, param
from stepedit_fx.speech import Transcript

# Sounds further apart on the timeline than this are takes of different hours, not a mix.
_WIDEST_GAP_S = 3600.0


@dataclass(frozen=True)
class _Voice:
    """One input: its sound and how loud it is heard, as a factor."""

    audio: Sound
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
        heard = self._heard(inputs)
        only = _passed_on(heard)
        if isinstance(only, Audio):
            return replace(only, transcript=_words(inputs[0], only.start_s))
        frames = _frames(heard)
        samples = _summed(heard, 0, frames)
        start_s = _start_s(heard)
        return Audio(samples, inputs[0].sample_rate, start_s, _words(inputs[0], start_s))

    def run_long(self, inputs: Sequence[Sound], context: Context) -> Sound:
        """As `run`, a block at a time."""
        from stepedit_fx.files import spooled

        if self.bypass:
            return inputs[0]
        heard = self._heard(inputs)
        frames = _frames(heard)

        def sums() -> Iterator[Samples]:
            for first in range(0, frames, BLOCK_FRAMES):
                yield _summed(heard, first, min(first + BLOCK_FRAMES, frames))

        start_s = _start_s(heard)
        return spooled(sums(), inputs[0].sample_rate, start_s, _words(inputs[0], start_s))

    def check_inputs(self, count: int) -> None:
        for name, values in (("gain_db", self.gain_db), ("pan", self.pan)):
            if values and len(values) != count:
                message = f"{name} holds {len(values)} values for {count} inputs"
                raise RequestError(message, remedy="Give one for each input, in order.")
        if self.wet is not None and count != 2:
            message = f"wet blends 2 inputs, dry and wet, got {count}"
            raise RequestError(message, remedy="Leave wet out and use gain_db.")

    def _heard(self, inputs: Sequence[Sound]) -> list[_Voice]:
        count = len(inputs)
        self.check_inputs(count)
        _check_alike(inputs)
        blend = [1.0] * count if self.wet is None else [1 - self.wet, self.wet]
        gains_db = self.gain_db or (0.0,) * count
        pans = self.pan or (None,) * count
        weights = [b * 10 ** (g / 20) for b, g in zip(blend, gains_db, strict=True)]
        voices = [_Voice(*parts) for parts in zip(inputs, weights, pans, strict=True)]
        return [voice for voice in voices if voice.weight > 0]


def _check_alike(inputs: Sequence[Sound]) -> None:
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


def _passed_on(heard: Sequence[_Voice]) -> Sound | None:
    """The one input that is heard, if it is heard as it is."""
    is_one = len(heard) == 1 and heard[0].weight == 1 and heard[0].pan is None
    return heard[0].audio if is_one else None


def _start_s(heard: Sequence[_Voice]) -> float:
    return min(voice.audio.start_s for voice in heard)


def _offset(voice: _Voice, start_s: float) -> int:
    return round((voice.audio.start_s - start_s) * voice.audio.sample_rate)


def _frames(heard: Sequence[_Voice]) -> int:
    """How long the sum is."""
    start_s = _start_s(heard)
    return max(_offset(voice, start_s) + voice.audio.frames for voice in heard)


def _summed(heard: Sequence[_Voice], first: int, end: int) -> Samples:
    """Frames first to end of the sum."""
    panned = any(voice.pan is not None for voice in heard)
    channels = 2 if panned else max(voice.audio.channels for voice in heard)
    total = np.zeros((channels, end - first), np.float32)
    start_s = _start_s(heard)
    for voice in heard:
        at = _offset(voice, start_s)
        a, b = max(first, at), min(end, at + voice.audio.frames)
        if a < b:
            total[:, a - first : b - first] += _placed(voice, voice.audio.read(a - at, b - at))
    return total


def _placed(voice: _Voice, samples: Samples) -> Samples:
    """One input's share of the sum, (1, 2 or more channels, frames)."""
    weight, pan = voice.weight, voice.pan
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


def _words(first: Sound, start_s: float) -> Transcript:
    """The first input's transcript, its times counted from start_s."""
    later_s = first.start_s - start_s
    if later_s == 0:
        return first.transcript
    words = (
        replace(w, start_s=w.start_s + later_s, end_s=w.end_s + later_s)
        for w in first.transcript.words
    )
    return replace(first.transcript, words=tuple(words))
