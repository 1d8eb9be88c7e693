"""The source of HiFT: a sine for each harmonic of f0, and noise where there is no voice.

Phases follow the reference to the bit: cycles a frame added up, turned into radians in float32,
drawn out linearly to samples. A float32 phase loses precision as it grows: 3 s of 150 Hz are off
by 1.5e-3 of the peak from float64, and that is in the reference's numbers. It must not go on for
ever, so whole cycles are taken off every 256 frames: shorter clips are the reference's own, and
an hour long stream is as exact as five seconds.

The reference also draws a random phase for each harmonic, adds it to the first sample, and then
drops that sample on its way to frames. So there is none here either.

Source: CosyVoice 2 (SineGen2), the published Step-Audio-EditX checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PHASE_BLOCK_FRAMES = 256
UNVOICED_NOISE = 1 / 3  # of the sines' amplitude


@dataclass(frozen=True)
class SourceSettings:
    """sine_amplitude, noise_std: of full scale. voiced_above_hz: f0 up to it means no voice."""

    sample_rate: int
    samples_per_frame: int
    sine_amplitude: float
    noise_std: float
    voiced_above_hz: float


def noise(seed: int, first_frame: int, frames: int, samples_per_frame: int) -> Tensor:
    """Standard normal numbers for some frames of a take, (frames * samples_per_frame,).

    Philox counts, so a frame's numbers depend on the seed and on the frame alone: not on how a
    take is cut into chunks, nor on the batch it is in.
    """
    out = np.empty((frames, samples_per_frame), np.float32)
    for row, frame in zip(out, range(first_frame, first_frame + frames), strict=True):
        bits = np.random.Philox(key=seed % 2**64, counter=[0, frame, 0, 0])
        np.random.Generator(bits).standard_normal(out=row, dtype=np.float32)
    return torch.from_numpy(out.reshape(-1))


class SineSource:
    """The source of one take, made frame after frame, on the CPU whatever the network's device.

    It costs milliseconds for a second of sound, needs float64, which not every device has, and is
    then the same on all of them.

    weight: (1, harmonics) and bias: (1,), how the harmonics are summed. seed: of the noise; None
    leaves the noise out.
    """

    def __init__(
        self, settings: SourceSettings, weight: Tensor, bias: Tensor, seed: int | None
    ) -> None:
        self.settings = settings
        self.frame = 0  # the next one
        self._weight = weight.cpu()
        self._bias = bias.cpu()
        self._seed = seed
        # Cycles up to the frame before the next one, over samples_per_frame, (harmonics,).
        self._cycles = torch.zeros(weight.shape[1], dtype=torch.float64)

    def push(self, f0_hz: Tensor, following_hz: Tensor) -> Tensor:
        """Source of the next frames, (frames * samples_per_frame,).

        f0_hz: (frames,). following_hz: of the frame after these, (1,); empty, (0,), at the take's
        end. Both on the CPU.
        """
        f0 = torch.cat([f0_hz, following_hz])
        frames, at = len(f0_hz), 0
        parts = [torch.zeros(0)]
        while at < frames:
            stop = min(at + PHASE_BLOCK_FRAMES - self.frame % PHASE_BLOCK_FRAMES, frames)
            parts.append(self._within_block(f0[at:stop], f0[stop : stop + 1]))
            at = stop
        return torch.cat(parts)

    def _within_block(self, f0: Tensor, following: Tensor) -> Tensor:
        cycles = self._cycles_after(torch.cat([f0, following]))
        sines = torch.sin(self._phases(cycles, len(f0)))
        voiced = (f0 > self.settings.voiced_above_hz).repeat_interleave(
            self.settings.samples_per_frame
        )
        mixed = (self._weight * self.settings.sine_amplitude) @ sines * voiced  # (1, samples)
        mixed = mixed[0] + self._bias + self._noise(voiced, len(f0))
        self._advance(cycles[:, len(f0) - 1], len(f0))
        return torch.tanh(mixed)

    def _cycles_after(self, f0: Tensor) -> Tensor:
        """Cycles up to each frame, over samples_per_frame, (harmonics, frames)."""
        harmonics = torch.arange(1, self._weight.shape[1] + 1, dtype=f0.dtype)[:, None]
        steps = (f0 * harmonics / self.settings.sample_rate) % 1
        return self._cycles[:, None] + torch.cumsum(steps.double(), 1)

    def _phases(self, cycles: Tensor, frames: int) -> Tensor:
        """Radians of every sample, linear from a frame's middle to the next's.

        (harmonics, frames and perhaps the following one) to (harmonics, samples). At either end
        of the take the phase stands still. Frames lie where they lie in the block, since the
        interpolation's rounding depends on the place.
        """
        size = self.settings.samples_per_frame
        before = self._cycles[:, None] if self.frame else cycles[:, :0]
        lead = self.frame % PHASE_BLOCK_FRAMES + (self.frame >= PHASE_BLOCK_FRAMES)
        points = torch.cat([before, cycles], 1)
        points = functional.pad(points, (lead - before.shape[1], 0))
        radians = points.float() * (2 * math.pi) * size
        drawn_out = functional.interpolate(radians[None], scale_factor=size, mode="linear")[0]
        return drawn_out[:, lead * size : (lead + frames) * size]

    def _noise(self, voiced: Tensor, frames: int) -> Tensor | float:
        """The harmonics' noises, summed: as loud as one noise times the length of the weights."""
        if self._seed is None:
            return 0.0
        settings = self.settings
        drawn = noise(self._seed, self.frame, frames, settings.samples_per_frame)
        unvoiced = settings.sine_amplitude * UNVOICED_NOISE
        std: Tensor = torch.where(voiced, settings.noise_std, unvoiced) * self._weight.norm()
        return std * drawn

    def _advance(self, cycles: Tensor, frames: int) -> None:
        self.frame += frames
        if self.frame % PHASE_BLOCK_FRAMES == 0:
            size = self.settings.samples_per_frame
            cycles = (cycles * size) % 1 / size
        self._cycles = cycles
