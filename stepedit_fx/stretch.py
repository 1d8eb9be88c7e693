"""Pitch and time: Rubber Band R3 stretches, a resampler of ours moves the pitch.

R3 can move pitch as well, but with a pitch that varies it takes new values late, and now and
then puts a click into its output (docs/parametric.md). So R3 only stretches, by time ratio times
pitch ratio, and reading its output faster or slower gives the pitch, exact to the sample.
Formants move with it; whoever wants them kept moves them the other way first.

R3 hops by whole samples: asked for 1.12 it gives 255/228, and after six seconds it is 9 ms off.
It also takes a new ratio at most once in 1024 samples, for what went in half a window before
(rubberband 3, R3Stretcher.cpp; pedalboard 0.9.26). So it is asked only for ratios of two whole
hops that it keeps exactly, each 1024 samples long and chosen so that the sum stays on time, and
its output is read where its hops say that the sound is. Clicks go around it (`transients`).
tests/test_stretch.py holds it to that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pedalboard
import soxr
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.transients import lay_over, without_clicks

Floats = NDArray[np.floating[Any]]

OVERSAMPLING = 4  # a cubic between samples is clean to the ear only well below Nyquist
MARGIN = 64  # samples on both sides of what is read, for the resampler to settle in
HELD = 1024  # samples for which pedalboard holds a ratio
SMOOTH_S = 0.1  # over which the reading makes good what single hops are off
SLOWEST, FASTEST = 8.0, 0.125  # the ratios asked for
# What is in the middle of a window keeps its place, or what is this many samples after it: R3's
# windows are not symmetric. By rate, measured with clicks in speech at ratios of 0.8 to 1.6.
LATE = ((16_000, 22_050, 32_000, 44_100, 48_000, 88_200), (64, 0, 0, 140, 130, 0))
LEAST_RATE = 16_000  # below it a ratio would be held for too long to follow a voice


def window(rate: int) -> int:
    """R3's longest window at a rate, in samples: a sixteenth of a second or more."""
    return max(2048, _power_of_two(rate / 16))


def _power_of_two(least: float) -> int:
    return 1 << int(np.ceil(np.log2(np.ceil(least))))


def change_pitch_and_time(
    samples: Samples,
    rate: int,
    pitch_st: Floats,
    stretch: Floats,
    start: int,
    length: int,
) -> Samples:
    """`length` output samples from `start` on, (channels, length).

    samples: (channels, frames). pitch_st (semitones), stretch (duration ratio): per input
    sample. R3 settles in the first and last half window, so what is wanted should keep away.
    """
    if length == 0 or (not pitch_st.any() and np.all(stretch == 1)):
        return _padded(samples[:, start : start + length], length)
    if rate < LEAST_RATE:
        times = -(-LEAST_RATE // rate)
        finer = soxr.resample(samples.T, rate, times * rate).T
        pitch_st, stretch = (
            np.repeat(curve, times)[: finer.shape[1]] for curve in (pitch_st, stretch)
        )
        out = change_pitch_and_time(
            finer, times * rate, pitch_st, stretch, times * start, times * length
        )
        return _padded(soxr.resample(out.T, times * rate, rate).T[:, :length], length)
    ratio = stretch * np.power(2.0, pitch_st / 12)
    # R3 begins on time only where it begins at rest; nobody hears what lies before the start.
    ratio[: min(start // 2, len(ratio) // 4)] = 1.0
    rest, clicks = without_clicks(samples, rate)
    longer, places, found = _stretched(rest, rate, ratio)
    heard = np.concatenate([[0.0], np.cumsum(stretch)[:-1]])
    # Read at twice the rate, so that what a raised pitch lifts over Nyquist can be filtered off.
    first = max(0, start - MARGIN)
    half_steps = np.arange(2 * first, 2 * (start + length + MARGIN)) / 2
    source = np.interp(half_steps, heard, np.arange(len(heard), dtype=np.float64))
    stored = np.interp(source, places, found)
    low = max(0, int(stored[0]) - MARGIN)
    fine = soxr.resample(longer[:, low : int(stored[-1]) + 2 * MARGIN].T, rate, OVERSAMPLING * rate)
    doubled = read_between(fine.T, OVERSAMPLING * (stored - low))
    out = soxr.resample(doubled.T, 2 * rate, rate).T
    out = _padded(out[:, start - first : start - first + length], length)
    lay_over(out, clicks, [round(heard[click.place]) - start for click in clicks])
    return out


def _stretched(samples: Samples, rate: int, ratio: Floats) -> tuple[Samples, Floats, Floats]:
    """Samples with their time stretched, pitch kept, and where they went.

    The second and third say for some input samples where in the output they are found.
    """
    asked, places, found = _plan(rate, ratio)
    # R3 decides by level, channel by channel, and a voice panned to one side would wander: bring
    # the channels to one level first, and back after.
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=1, keepdims=True))
    gain = np.where(level > 0, level / max(float(level.max()), 1e-12), 1).astype(np.float32)
    out: Samples = gain * pedalboard.time_stretch(
        np.ascontiguousarray(samples / gain),
        float(rate),
        stretch_factor=(1.0 / asked).astype(np.float64),
    )
    return out, places, found


@lru_cache(maxsize=8)
def _hops(rate: int) -> tuple[Floats, Floats, Floats]:
    """Ratios that R3 keeps exactly, rising, with the input and output hops that it then takes."""
    low, high = _power_of_two(rate / 512), _power_of_two(rate / 128)
    out = np.arange(1.0, _power_of_two(rate / 64) + 1)[:, None]
    into = np.arange(1.0, _power_of_two(rate / 32) + 1)[None]
    ratio = _exact(out, into)
    # R3Stretcher::calculateHop
    wanted = np.full_like(ratio, 256.0)
    slow, fast = ratio > 1.5, ratio < 1.0
    wanted[slow] = 2.0 ** (8 + 2 * np.log10(ratio[slow] - 0.5))
    wanted[fast] = 2.0 ** (8 + 2 * np.log10(ratio[fast]))
    is_taken = np.floor(np.clip(wanted, low, high) / ratio) == into
    is_taken &= (ratio >= FASTEST) & (ratio <= SLOWEST)
    outs, intos = (hops + 1.0 for hops in np.nonzero(is_taken))
    order = np.argsort(outs / intos, kind="stable")
    return _exact(outs, intos)[order], intos[order], outs[order]


def _exact(out: Floats, into: Floats) -> Floats:
    """A hair less than out / into, so that rounding does not make R3 take a shorter hop."""
    ratio: Floats = np.where(out == into, 1.0, out / into * (1 - 1e-12))
    return ratio


def _plan(rate: int, ratio: Floats) -> tuple[Floats, Floats, Floats]:
    """The ratios to ask R3 for, per sample, and the places that it then finds for some samples."""
    ratios, intos, outs = _hops(rate)
    count, size = len(ratio), window(rate)
    centre = size / 2 + float(np.interp(rate, *LATE))
    wanted = np.concatenate([[0.0], np.cumsum(ratio)])
    wanted = np.concatenate([wanted, wanted[-1] + np.arange(1.0, size)])
    asked = np.ones(count)
    here = there = 0.0  # where R3 reads and writes its next window
    knots = [(0.0, 0.0)]
    for first in range(0, count, HELD):
        end = min(first + HELD, count)
        ready = end - size  # a window is taken once all of it has gone in
        if here > ready:
            continue
        after = ready + 128  # on average half a hop more
        due = _read(wanted, after + centre) - centre - there
        best = int(np.argmin(np.abs(ratios - due / (after - here))))
        asked[first:end] = ratios[best]
        taken = int((ready - here) // intos[best]) + 1
        here, there = here + taken * intos[best], there + taken * outs[best]
        knots.append((here, there))
    places, found = (np.array(column) + centre for column in zip(*knots, strict=True))
    grid = np.arange(0.0, count + HELD, max(1, rate // 200))
    ends = (np.concatenate([[0.0], places, [places[-1] + size]]),
            np.concatenate([[0.0], found, [found[-1] + size * asked[-1]]]))  # fmt: skip
    on_time = np.interp(grid, np.arange(len(wanted)), wanted)
    late = np.interp(grid, *ends) - on_time
    # Smoothed, so that reading does not pass single hops on as changes of pitch.
    return asked, grid, np.maximum(on_time + _averaged(late, round(200 * SMOOTH_S)), 0.0)


def _read(curve: Floats, place: float) -> float:
    """A curve between its points; np.interp would look at all of a long one for each place."""
    low = int(place)
    if low >= len(curve) - 1:
        return float(curve[-1])
    return float((curve[low + 1] - curve[low]) * (place - low) + curve[low])


def _averaged(values: Floats, width: int) -> Floats:
    """The values averaged by a Hann window this wide, ends held."""
    shape = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width, mode="edge")
    out: Floats = np.convolve(padded, shape / shape.sum(), "same")[width:-width]
    return out


def _padded(samples: Samples, length: int) -> Samples:
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))


def read_between(samples: Samples, place: Floats) -> Samples:
    """Samples at places between samples, by a cubic through the four around (Catmull-Rom)."""
    padded = np.pad(samples, ((0, 0), (1, 2)), mode="edge")
    place = np.clip(place, 0, samples.shape[1] - 1)
    low = place.astype(np.int64)
    x = (place - low).astype(np.float32)
    a, b, c, d = (padded[:, low + k] for k in range(4))
    out: Samples = b + 0.5 * x * (
        c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a))
    )
    return out
