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
TimeMap = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound with its rate, its place on the timeline and, where known, its words.

    samples: float32, (channels, frames), full scale at 1.0, read-only, all finite.
    sample_rate: hertz. start_s: seconds on the project's timeline (broadcast-wave time).
    transcript: what is said in it; empty when nobody said.
    speaker_f0_hz: the speaker's usual f0, where it is known from more than these samples (a
    segment of a long recording); 0: unknown.
    time_map: where each moment of the source is heard in here, as (source s, here s) knots, both
    counted from the start, neither ever falling, straight between them; empty: nothing has moved.

    Raises RequestError for samples that are not two-dimensional or not finite.
    """

    samples: Samples
    sample_rate: int
    start_s: float = 0.0
    transcript: Transcript = field(default_factory=Transcript)
    speaker_f0_hz: float = 0.0
    time_map: TimeMap = ()

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
        """sha256 of samples, shape, rate, start, words and the rest: equal when all of it is."""
        head = f"{self.samples.shape} {self.sample_rate} {self.start_s!r} {self.transcript!r}"
        head += f" {self.speaker_f0_hz!r} {self.time_map!r}"
        hasher = hashlib.sha256(head.encode())
        hasher.update(self.samples.data)
        return hasher.hexdigest()
