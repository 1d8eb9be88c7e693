"""From control curves to sound: each piece of the source once, and no piece that nothing changed.

Order: denoise, formants, time and pitch, spectrum, irregularity, level; then the sounds. What comes
after time reads the curves through a clock: for each sample, its second of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, at_samples, limited
from stepedit_fx.engines.parametric.formants import move_formants
from stepedit_fx.engines.parametric.irregularity import NEEDS_IRREGULARITY, make_irregular
from stepedit_fx.engines.parametric.layout import Piece, is_still, stretch_of, total_length
from stepedit_fx.engines.parametric.timbre import (
    NEEDS_SPECTRA,
    Floats,
    bridged,
    change_timbre,
    denoise,
    noise_spectrum,
)
from stepedit_fx.measures import FRAME_S
from stepedit_fx.stretch import change_pitch_and_time, window
from stepedit_fx.timeline import SEAM_S, seam_in

CONTEXT_WINDOWS = 0.75  # of R3, on both sides of a piece: filters and the stretcher settle in it
JOIN_S = 0.02  # cross-fade inside a pause that was cut or filled


@dataclass(frozen=True)
class Renderer:
    """Renders pieces of one source with one set of curves."""

    analysis: Analysis
    curves: Mapping[str, Curve]
    seed: int
    noise: Floats | None

    @classmethod
    def of(cls, analysis: Analysis, curves: Mapping[str, Curve], seed: int) -> Renderer:
        held = {n: limited(curves, n, analysis.frames) for n in curves if np.any(curves[n])}
        noise = None
        if "denoise" in held:
            spans = tuple(
                (analysis.sample_of(a), analysis.sample_of(b)) for a, b in analysis.pauses
            )
            noise = noise_spectrum(analysis.samples, analysis.rate, spans)
        return cls(analysis, held, seed, noise)

    def render(self, pieces: Sequence[Piece]) -> Samples:
        """The output, (channels, frames), at the source's rate."""
        channels = self.analysis.samples.shape[0]
        total = total_length(pieces)
        out = np.zeros((channels, total), np.float32)
        half = round(SEAM_S * self.analysis.rate)
        for piece in pieces:
            body = self._pause(piece, half) if piece.pause else self._speech(piece, half)
            if piece.insert is not None:
                body = _lay_over(body, piece, half, self.analysis.samples)
            seam_in(out, body, piece.at, half)
        return out

    @property
    def _context(self) -> int:
        return round(CONTEXT_WINDOWS * window(self.analysis.rate))

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

    def _clean(self, first: int, end: int) -> Samples:
        """Source samples first..end, denoised if asked."""
        if self.noise is None or not self._used(("denoise",), first, end):
            return self._source(first, end)
        context, rate = self._context, self.analysis.rate
        clock_s = np.arange(first - context, end + context) / rate
        wide = self._source(first - context, end + context)
        clean = denoise(wide, rate, clock_s, self.curves["denoise"], self.noise)
        return clean[:, context : context + end - first]

    def _formed(self, first: int, end: int, pitch_st: Curve | None) -> Samples:
        """Clean samples first..end, formants where they will be as asked once pitch is moved."""
        asked = self._used(("formant_ln",), first, end).get("formant_ln")
        if asked is None and pitch_st is None:
            return self._clean(first, end)
        none = np.zeros(self.analysis.frames, np.float32)
        context, rate = self._context, self.analysis.rate
        moved = move_formants(
            self._clean(first - context, end + context),
            rate,
            np.arange(first - context, end + context) / rate,
            none if asked is None else asked,
            none if pitch_st is None else pitch_st,
            self.analysis.f0,
        )
        return moved[:, context : context + end - first]

    def _coloured(self, samples: Samples, clock_s: Floats, pitch_st: Curve | None) -> Samples:
        """Samples after what follows time and pitch; pitch_st is what was done to the pitch."""
        rate, span = self.analysis.rate, (clock_s[0], clock_s[-1])
        first, end = (int(s * rate) for s in span)
        rng = np.random.default_rng([self.seed, max(first, 0)])
        spectral = self._used(NEEDS_SPECTRA, first, end)
        heard = self.analysis.f0
        if pitch_st is not None:
            heard = heard * 2 ** (pitch_st / 12)
        if spectral:
            samples = change_timbre(samples, rate, clock_s, spectral, heard, rng)
        if irregular := self._used(NEEDS_IRREGULARITY, first, end):
            samples = make_irregular(samples, rate, clock_s, irregular, bridged(heard), rng)
        if gain := self._used(("gain_db",), first, end):
            db = np.interp(clock_s / FRAME_S, np.arange(self.analysis.frames), gain["gain_db"])
            samples = samples * np.power(10, db / 20).astype(np.float32)
        return samples

    def _still(self, first: int, end: int) -> Samples:
        """Source samples first..end with time and pitch as they were."""
        asked = (*NEEDS_SPECTRA, *NEEDS_IRREGULARITY, "gain_db")
        if not self._used(asked, first, end):
            return self._formed(first, end, None)
        context = self._context
        clock_s = np.arange(first - context, end + context) / self.analysis.rate
        body = self._coloured(self._formed(first - context, end + context, None), clock_s, None)
        return body[:, context : context + end - first]

    def _speech(self, piece: Piece, half: int) -> Samples:
        """A piece with `half` samples more on both sides, (channels, half + length + half)."""
        if piece.length == 0:  # a sliver between two cuts that was sped up to nothing
            return self._still(piece.first - half, piece.first + half)
        pitch = self._used(("pitch_st",), piece.first, piece.end).get("pitch_st")
        if pitch is None and is_still(piece, self.curves, self.analysis.rate):
            return self._still(piece.first - half, piece.end + half)
        rate = self.analysis.rate
        context = self._context
        first, end = piece.first - 2 * context, piece.end + 2 * context
        pitch_at, stretch = np.zeros(end - first), np.ones(end - first)
        if pitch is not None:
            pitch_at = at_samples(pitch, first, end, rate)
        # The context is there for filters to settle in: it keeps its length.
        stretch[2 * context : len(stretch) - 2 * context] = stretch_of(piece, self.curves, rate)
        # One context more on each side than is wanted: the spectra settle in it.
        length = piece.length + 2 * context
        body = change_pitch_and_time(
            self._formed(first, end, pitch), rate, pitch_at, stretch, context, length
        )
        place = np.concatenate([[0.0], np.cumsum(stretch)[:-1]]) - context
        clock_s = (first + np.interp(np.arange(length), place, np.arange(len(place)))) / rate
        body = self._coloured(body, clock_s, pitch)
        return body[:, context - half : context + piece.length + half]

    def _pause(self, piece: Piece, half: int) -> Samples:
        """A pause, cut or filled in its middle, so that what speech leaves at its edges stays."""
        body = self._still(piece.first - half, piece.end + half)
        wanted = piece.length + 2 * half
        if wanted == body.shape[1]:
            return body
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
                return self._still(first + margin, end - margin)
        return np.zeros((self.analysis.samples.shape[0], least), np.float32)


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


def _lay_over(body: Samples, piece: Piece, half: int, source: Samples) -> Samples:
    """A piece with its sound, each channel at its share of the source's level."""
    assert piece.insert is not None
    start = half + piece.insert_at
    energy = np.sqrt(np.mean(np.square(source), axis=1))
    share = energy / max(float(np.sqrt(np.mean(np.square(energy)))), 1e-9)
    sound = piece.insert.samples[: body.shape[1] - start]
    body = np.array(body)
    body[:, start : start + len(sound)] += (share[:, None] * sound).astype(np.float32)
    return body
