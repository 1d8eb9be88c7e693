"""What the network of a vocoder is, and how mels of any number and length go through it.

A network sees a few dozen frames to each side of a sample and no further. So a long mel is cut
into windows that overlap by as much: the inner parts are what the whole mel would have given, the
memory does not grow with the mel, and windows of one length make a batch, whichever take they are
of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stepedit_fx.errors import EngineError

WINDOWS_AT_ONCE = {"cpu": 1, "cuda": 16}  # a CPU gains nothing from a batch; memory grows with it


class Excitation(Protocol):
    """What a network is driven by besides the mel, for one take whose mel may still grow."""

    def under(self, mel: Tensor, first_frame: int, last: bool) -> Tensor:
        """The excitation under a stretch of mel, (frames * samples_per_frame,), or (0,) for none.

        mel: (bands, frames), what a stream still holds. first_frame: of the mel, in the take.
        last: the take ends with it.
        """
        ...


class Network(Protocol):
    """Mels and excitation to sound.

    context_frames: how far to each side a sample is influenced from, rounded up.
    open_end_frames: the last frames of an unfinished mel whose sound is not settled at all.
    window_frames: how much mel goes through at once. limit: full scale, outputs are clamped to it.
    """

    bands: int
    sample_rate: int
    samples_per_frame: int
    context_frames: int
    open_end_frames: int
    window_frames: int
    limit: float

    def excitation(self, seed: int) -> Excitation: ...

    def __call__(self, mel: Tensor, excitation: Tensor) -> Tensor:
        """(batch, bands, frames) and (batch, samples or 0) to (batch, samples), not clamped."""
        ...


@dataclass(frozen=True)
class Window:
    """start, stop: the frames that go in. kept_from, kept_to: those whose sound is used."""

    start: int
    stop: int
    kept_from: int
    kept_to: int


def windows(frames: int, length: int, context: int, even: bool = False) -> Iterator[Window]:
    """Windows over a mel, one if it is short. even: the last is moved back to be as long."""
    kept_from = 0
    while kept_from < frames:
        start = max(0, kept_from - context)
        if even:
            start = max(0, min(start, frames - length))
        stop = min(start + length, frames)
        kept_to = frames if stop == frames else stop - context
        yield Window(start, stop, kept_from, kept_to)
        kept_from = kept_to


def render(network: Network, mels: Sequence[Tensor], excitations: Sequence[Tensor]) -> list[Tensor]:
    """The sound of each mel, (frames * samples_per_frame,), on the CPU.

    mels: (bands, frames) each, on the network's device. excitations: as `Excitation.under` gives.
    Raises EngineError if the sound is not finite.
    """
    size = network.samples_per_frame
    sounds = [torch.empty(mel.shape[1] * size) for mel in mels]
    for batch in _batches(network, mels):
        mel = torch.stack([mels[i][:, w.start : w.stop] for i, w in batch])
        driving = torch.stack([excitations[i][w.start * size : w.stop * size] for i, w in batch])
        rendered = _checked(network(mel, driving), network.limit).cpu()
        for (item, w), sound in zip(batch, rendered, strict=True):
            kept = sound[(w.kept_from - w.start) * size : (w.kept_to - w.start) * size]
            sounds[item][w.kept_from * size : w.kept_to * size] = kept
    return sounds


def _batches(network: Network, mels: Sequence[Tensor]) -> Iterator[list[tuple[int, Window]]]:
    """Windows of one length together, each with the mel it is of."""
    at_once = WINDOWS_AT_ONCE.get(mels[0].device.type, 1) if mels else 1
    context = network.context_frames
    length = max(network.window_frames, 3 * context)
    by_length: defaultdict[int, list[tuple[int, Window]]] = defaultdict(list)
    for item, mel in enumerate(mels):
        for window in windows(mel.shape[1], length, context, even=at_once > 1):
            by_length[window.stop - window.start].append((item, window))
    for group in by_length.values():
        for start in range(0, len(group), at_once):
            yield group[start : start + at_once]


def check_mel(mel: Tensor, network: Network) -> None:
    """Raise EngineError unless it is (bands, frames)."""
    if mel.ndim != 2 or mel.shape[0] != network.bands:
        raise EngineError(
            f"the vocoder takes a mel of ({network.bands}, frames), got {tuple(mel.shape)}"
        )


def _checked(sound: Tensor, limit: float) -> Tensor:
    if not torch.isfinite(sound).all():
        raise EngineError(
            "the vocoder gave samples that are NaN or infinite",
            remedy="Check the model with `stepedit-fx models check`; the mel may be damaged too.",
        )
    return sound.clamp(-limit, limit)
