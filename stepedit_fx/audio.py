"""Sound as it flows between nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Transcript

Samples = NDArray[np.float32]
TimeMap = tuple[tuple[float, float], ...]

# Sound that is worked on piece by piece comes in pieces of this length, whatever it is read from.
# A multiple of what pedalboard works in inside (8192): some of its effects depend on that. Not
# longer: libsndfile's Vorbis encoder keeps a block on the stack and crashes on a long one.
BLOCK_FRAMES = 65_536


class Facts(Protocol):
    """What is known of a sound besides its samples; the fields are those of `Audio`."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def start_s(self) -> float: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def transcript(self) -> Transcript: ...
    @property
    def time_map(self) -> TimeMap: ...


class Sound(Facts, Protocol):
    """Sound that can be read in pieces, wherever it lies: an `Audio`, or a file on disk.

    Two threads may read at once.
    """

    def read(self, first: int, end: int) -> Samples:
        """The samples of frames first to end, (channels, frames)."""
        ...


def blocks(sound: Sound) -> Iterator[Samples]:
    """All of a sound in order, `BLOCK_FRAMES` at a time, the last one shorter."""
    for first in range(0, sound.frames, BLOCK_FRAMES):
        yield sound.read(first, min(first + BLOCK_FRAMES, sound.frames))


class Digest:
    """The digest of a sound that comes in blocks, of any lengths."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()

    def update(self, samples: Samples) -> None:
        """The next samples, (channels, frames)."""
        # Frame by frame: the order in which a file has them, so that none need be held.
        self._hasher.update(np.ascontiguousarray(samples.T).data)

    def value(self, sound: Facts, speaker_f0_hz: float = 0.0) -> str:
        """Of everything that came, with the facts of the sound whose samples they were."""
        facts = f"{sound.channels} {sound.frames} {sound.sample_rate} {sound.start_s!r} "
        facts += f"{sound.transcript!r} {speaker_f0_hz!r} {sound.time_map!r}"
        hasher = self._hasher.copy()
        hasher.update(facts.encode("utf-8", "surrogatepass"))
        return hasher.hexdigest()


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

    def read(self, first: int, end: int) -> Samples:
        """The samples of frames first to end, (channels, frames)."""
        return self.samples[:, first:end]

    @cached_property
    def digest(self) -> str:
        """sha256 of samples, shape, rate, start, words and the rest: equal when all of it is."""
        digest = Digest()
        for block in blocks(self):
            digest.update(block)
        return digest.value(self, self.speaker_f0_hz)


def held(sound: Sound) -> Audio:
    """A sound with all its samples in memory."""
    if isinstance(sound, Audio):
        return sound
    samples = sound.read(0, sound.frames)
    samples.setflags(write=False)
    return Audio(
        samples, sound.sample_rate, sound.start_s, sound.transcript, time_map=sound.time_map
    )
