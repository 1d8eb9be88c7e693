"""Sound as it flows between nodes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Transcript

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound with its rate, its place on the timeline and, where known, its words.

    samples: float32, (channels, frames), full scale at 1.0, read-only, all finite.
    sample_rate: hertz. start_s: seconds on the project's timeline (broadcast-wave time).
    transcript: what is said in it; empty when nobody said.

    Raises RequestError for samples that are not two-dimensional or not finite.
    """

    samples: Samples
    sample_rate: int
    start_s: float = 0.0
    transcript: Transcript = field(default_factory=Transcript)

    def __post_init__(self) -> None:
        samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        if samples.ndim != 2 or samples.shape[0] == 0:
            raise RequestError(f"audio must be (channels, frames), got shape {samples.shape}")
        if self.sample_rate <= 0:
            raise RequestError(f"the sample rate must be positive, got {self.sample_rate}")
        if not np.isfinite(samples).all():
            raise RequestError(
                "the audio holds NaN or infinite samples", remedy="Export it again from its source."
            )
        if samples is self.samples and samples.flags.writeable:
            samples = samples.copy()  # the caller keeps a writable array; ours must not change
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate

    @property
    def peak(self) -> float:
        """Largest magnitude, 0.0 for no samples."""
        if self.frames == 0:
            return 0.0
        return float(max(self.samples.max(), -self.samples.min()))

    def mono(self) -> Samples:
        """The mean of all channels, (frames,)."""
        mixed: Samples = (
            self.samples[0] if self.channels == 1 else self.samples.mean(axis=0, dtype=np.float32)
        )
        return mixed

    def with_samples(self, samples: ArrayLike) -> Audio:
        """The same place and words with other samples, (channels, frames)."""
        return replace(self, samples=np.asarray(samples, dtype=np.float32))

    @cached_property
    def digest(self) -> str:
        """sha256 of samples, shape, rate, start and words: equal exactly when the sound is."""
        head = f"{self.samples.shape} {self.sample_rate} {self.start_s!r} {self.transcript!r}"
        hasher = hashlib.sha256(head.encode())
        hasher.update(self.samples.data)
        return hasher.hexdigest()
