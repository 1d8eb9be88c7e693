"""From control curves to sound: each piece of the source once, and no piece that nothing changed.

Order: spectrum (timbre.py) and level on the source's clock, pitch and time by Rubber Band R3,
then irregularity, which R3 would smooth away; the sounds, and a limiter that keeps the headroom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from stepedit_fx.audio import Samples
from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, at_samples, limited
from stepedit_fx.engines.parametric.irregularity import NEEDS_IRREGULARITY, make_irregular
from stepedit_fx.engines.parametric.layout import Piece, total_length
from stepedit_fx.engines.parametric.stretch import change_pitch_and_time
from stepedit_fx.engines.parametric.timbre import (
    NEEDS_SPECTRA,
    bridged,
    change_timbre,
    noise_spectrum,
)

CONTEXT_S = 0.1  # source on both sides of a piece: filters and the stretcher settle in it
SEAM_S = 0.005  # half of the cross-fade between pieces
JOIN_S = 0.02  # cross-fade inside a pause that was cut or filled
LOOKAHEAD_S = 0.004  # of the limiter: shorter than a period, so that nothing pumps


@dataclass(frozen=True)
class Renderer:
    """Renders pieces of one source with one set of curves."""

    analysis: Analysis
    curves: Mapping[str, Curve]
    seed: int
    noise: NDArray[np.float32] | None
    f0: NDArray[np.float64]

    @classmethod
    def of(cls, analysis: Analysis, curves: Mapping[str, Curve], seed: int) -> Renderer:
        held = {n: limited(curves, n, analysis.frames) for n in curves if np.any(curves[n])}
        noise = None
        if "denoise" in held:
            spans = tuple(
                (analysis.sample_of(a), analysis.sample_of(b)) for a, b in analysis.pauses
            )
            noise = noise_spectrum(analysis.samples, analysis.rate, spans)
        return cls(analysis, held, seed, noise, bridged(analysis.f0))

    def render(self, pieces: Sequence[Piece]) -> Samples:
        """The output, (channels, frames), at the source's rate."""
        channels = self.analysis.samples.shape[0]
        total = total_length(pieces)
        out = np.zeros((channels, total), np.float32)
        half = round(SEAM_S * self.analysis.rate)
        for piece in pieces:
            body = self._pause(piece, half) if piece.pause else self._speech(piece, half)
            if piece.insert is not None:
                _lay_over(body, piece, half, self.analysis.samples)
            _seam_in(out, body, piece.at, piece.length, half)
        return limit_peaks(
            out, float(np.abs(self.analysis.samples).max(initial=0)), self._lookahead
        )

    @property
    def _lookahead(self) -> int:
        return round(LOOKAHEAD_S * self.analysis.rate)

    def _source(self, first: int, end: int) -> Samples:
        """Source samples first..end, silence beyond its ends."""
        samples = self.analysis.samples
        inside = samples[:, max(first, 0) : max(end, 0)]
        before, after = max(-first, 0), max(end - samples.shape[1], 0)
        return np.pad(inside, ((0, 0), (before, after))) if before or after else inside

    def _used(self, names: Sequence[str], first: int, end: int) -> dict[str, Curve]:
        """Those of the curves that ask for something between two source samples."""
        hop = self.analysis.rate / 100
        a, b = max(0, int(first / hop)), int(end / hop) + 2
        return {n: self.curves[n] for n in names if n in self.curves and self.curves[n][a:b].any()}

    def _coloured(self, first: int, end: int) -> Samples:
        """Source samples first..end after everything but pitch and time."""
        samples, rate = self._source(first, end), self.analysis.rate
        rng = np.random.default_rng([self.seed, max(first, 0)])
        if spectral := self._used(NEEDS_SPECTRA, first, end):
            context = round(CONTEXT_S * rate)
            wide = self._source(first - context, end + context)
            samples = change_timbre(
                wide, rate, first - context, spectral, self.analysis.f0, self.noise, rng
            )[:, context : context + end - first]
        if gain := self._used(("gain_db",), first, end):
            db = at_samples(gain["gain_db"], first, end, rate)
            samples = samples * np.power(10, db / 20).astype(np.float32)
        return samples

    def _speech(self, piece: Piece, half: int) -> Samples:
        """A piece with `half` samples more on both sides, (channels, half + length + half)."""
        rate = self.analysis.rate
        pitch = self._used(("pitch_st",), piece.first, piece.end)
        if not pitch and piece.length == piece.end - piece.first:
            clock = np.arange(piece.first - half, piece.end + half)
            body = self._coloured(piece.first - half, piece.end + half)
        else:
            body, clock = self._moved(piece, half)
        if irregular := self._used(NEEDS_IRREGULARITY, piece.first, piece.end):
            heard = self.f0 * 2 ** (pitch["pitch_st"] / 12) if pitch else self.f0
            rng = np.random.default_rng([self.seed, piece.first, 1])
            body = make_irregular(body, rate, clock / rate, irregular, heard, rng)
        return body

    def _moved(self, piece: Piece, half: int) -> tuple[Samples, NDArray[np.float64]]:
        """A piece with its pitch and time changed, and the source sample each sample is from."""
        rate = self.analysis.rate
        context = round(CONTEXT_S * rate)
        first, end = piece.first - context, piece.end + context
        pitch, stretch = np.zeros(end - first), np.ones(end - first)
        if "pitch_st" in self.curves:
            pitch = at_samples(self.curves["pitch_st"], piece.first, piece.end, rate)
            pitch = np.pad(pitch, context, mode="edge")
        if "stretch_ln" in self.curves:
            stretch = np.exp(at_samples(self.curves["stretch_ln"], first, end, rate))
        # The context is there for filters to settle in: it keeps its length.
        stretch[:context] = stretch[len(stretch) - context :] = 1.0
        inner = slice(context, len(stretch) - context)
        stretch[inner] *= piece.length / stretch[inner].sum()
        place = np.concatenate([[0.0], np.cumsum(stretch)[:-1]]) - context
        clock = first + np.interp(
            np.arange(-half, piece.length + half), place, np.arange(len(place))
        )
        coloured = self._coloured(first, end)
        body = change_pitch_and_time(coloured, rate, pitch, stretch, context - half, len(clock))
        return body, clock

    def _pause(self, piece: Piece, half: int) -> Samples:
        """A pause, cut or filled in its middle, so that what speech leaves at its edges stays."""
        body = self._coloured(piece.first - half, piece.end + half)
        wanted = piece.length + 2 * half
        if wanted == body.shape[1]:
            return np.array(body)
        join = round(JOIN_S * self.analysis.rate)
        if wanted < body.shape[1]:
            return _cut_middle(body, wanted, join)
        return _fill_middle(body, wanted, join, self._room_tone(piece))

    def _room_tone(self, piece: Piece) -> Samples:
        """What fills a gap: the middle of this pause, else of the quietest one, else silence."""
        least = round(0.1 * self.analysis.rate)
        spans = [(piece.first, piece.end)]
        by_level = sorted(
            self.analysis.pauses, key=lambda s: float(self.analysis.level_db[s[0] : s[1]].mean())
        )
        spans += [(self.analysis.sample_of(a), self.analysis.sample_of(b)) for a, b in by_level]
        for first, end in spans:
            margin = (end - first) // 5
            if end - first - 2 * margin >= least:
                return self._coloured(first + margin, end - margin)
        return np.zeros((self.analysis.samples.shape[0], least), np.float32)


def _seam_in(out: Samples, body: Samples, at: int, length: int, half: int) -> None:
    """Add a piece to the output, cross-fading with its neighbours over 2 * half samples."""
    fade = (np.arange(2 * half) + 0.5).astype(np.float32) / (2 * half)
    body = np.array(body)
    if at > 0:
        body[:, : 2 * half] *= fade
    if at + length < out.shape[1]:
        body[:, body.shape[1] - 2 * half :] *= fade[::-1]
    first, end = max(at - half, 0), min(at + length + half, out.shape[1])
    out[:, first:end] += body[:, first - (at - half) : end - (at - half)]


def _cross_fade(left: Samples, right: Samples, width: int) -> Samples:
    """left then right, overlapping by `width`, at equal power (the two are unlike noises)."""
    width = min(width, left.shape[1], right.shape[1])
    if width == 0:
        return np.concatenate([left, right], axis=1)
    angle = (np.arange(width) + 0.5).astype(np.float32) / width * np.float32(np.pi / 2)
    middle = left[:, left.shape[1] - width :] * np.cos(angle) + right[:, :width] * np.sin(angle)
    return np.concatenate([left[:, : left.shape[1] - width], middle, right[:, width:]], axis=1)


def _cut_middle(body: Samples, wanted: int, join: int) -> Samples:
    """The first and last parts of a pause, `wanted` samples in all."""
    width = min(join, wanted // 2)
    left = (wanted + width) // 2
    right = wanted + width - left
    return _cross_fade(body[:, :left], body[:, body.shape[1] - right :], width)


def _fill_middle(body: Samples, wanted: int, join: int, tone: Samples) -> Samples:
    """A pause opened in its middle and filled with room tone, mirrored to any length."""
    left, right = body[:, : body.shape[1] // 2], body[:, body.shape[1] // 2 :]
    left_width, right_width = min(join, left.shape[1]), min(join, right.shape[1])
    need = wanted - body.shape[1] + left_width + right_width
    fill = np.pad(tone, ((0, 0), (0, max(0, need - tone.shape[1]))), mode="reflect")[:, :need]
    return _cross_fade(_cross_fade(left, fill, left_width), right, right_width)


def _lay_over(body: Samples, piece: Piece, half: int, source: Samples) -> None:
    """Add a piece's sound, with each channel's share of the source's level."""
    assert piece.insert is not None
    start = half + piece.insert_at
    energy = np.sqrt(np.mean(np.square(source), axis=1))
    share = energy / max(float(np.sqrt(np.mean(np.square(energy)))), 1e-9)
    sound = piece.insert.samples[: body.shape[1] - start]
    body[:, start : start + len(sound)] += (share[:, None] * sound).astype(np.float32)


def limit_peaks(samples: Samples, ceiling: float, lookahead: int) -> Samples:
    """Hold peaks at or under the ceiling with a gain that moves smoothly; untouched where under."""
    peak = np.abs(samples).max(axis=0, initial=0)
    if not (peak > ceiling).any():
        return samples
    gain = np.minimum(1.0, ceiling / np.maximum(peak, 1e-12))
    width = 2 * lookahead + 1
    # The lowest gain around, then two means over it: never above what each sample needs.
    gain = minimum_filter1d(gain, 2 * width - 1)
    gain = uniform_filter1d(uniform_filter1d(gain, width), width)
    limited_samples = samples * gain.astype(np.float32)
    return np.clip(limited_samples, -ceiling, ceiling)
