"""Non-verbal sounds by measure: their pitch, their air, the laugh's pulse, how far seeds differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rows import Row, print_table
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks
from sound_clips import clips

from stepedit_fx.engines.parametric.analysis import Analysis, analyse, analysis_of
from stepedit_fx.engines.parametric.sounds import MAKERS, make_sound
from stepedit_fx.engines.parametric.speaker import Speaker
from stepedit_fx.measures import FRAME_S, track_f0, track_level

Floats = NDArray[np.float64]
SEEDS = range(5)
AIR = ("Breathing", "Sigh")
TIMES, BANDS_HZ = 20, (80, 300, 700, 1200, 2000, 3500, 6000)
BAR_PITCH_ST, BAR_BURSTS, BAR_BURSTS_HZ = 2.0, (4, 6), (4.3, 5.8)
# Just noticeable: 1 dB of a spectrum's profile (Green 1988), a tenth of a length.
BAR_APART_DB = 1.0


@dataclass(frozen=True)
class Heard:
    """One sound: its samples, the f0 contour that was meant (None: air) and the speaker's rate."""

    tag: str
    samples: Floats
    meant_hz: Floats | None
    rate: int

    @property
    def pitch_error_st(self) -> float:
        """Median distance of the f0 heard from the one meant; nan where nothing is voiced."""
        f0 = track_f0(self.samples.astype(np.float32), self.rate)
        voiced = np.flatnonzero(f0 > 0)
        if self.meant_hz is None or len(voiced) < 5:
            return np.nan
        at = np.minimum((voiced * FRAME_S * self.rate).astype(int), len(self.meant_hz) - 1)
        return float(np.median(np.abs(12 * np.log2(f0[voiced] / self.meant_hz[at]))))

    @property
    def voiced_share(self) -> float:
        return float(np.mean(track_f0(self.samples.astype(np.float32), self.rate) > 0))

    @property
    def profile_db(self) -> Floats:
        """Level by twentieths of the length and by band, (TIMES, bands)."""
        size = 4096
        hz = np.fft.rfftfreq(size, 1 / self.rate)
        rows = []
        for part in np.array_split(self.samples, TIMES):
            power = np.abs(np.fft.rfft(part * np.hanning(len(part)), size)) ** 2
            bands = pairwise(BANDS_HZ)
            rows.append([power[(hz >= a) & (hz < b)].mean() for a, b in bands])
        return 10 * np.log10(np.array(rows) + 1e-10)

    @property
    def bursts(self) -> tuple[int, float]:
        """How many peaks of level it has, and how many a second."""
        level = uniform_filter1d(track_level(self.samples.astype(np.float32), self.rate), 5)
        peaks = find_peaks(np.pad(level, 1, constant_values=-120), prominence=6)[0]
        if len(peaks) < 2:
            return len(peaks), 0.0
        return len(peaks), float((len(peaks) - 1) / (np.ptp(peaks) * FRAME_S))


def heard(analysis: Analysis, tag: str, seed: int) -> Heard:
    """One sound, with the first contour that its maker asked a voice for."""
    asked: list[Floats] = []
    voice = Speaker.voice

    def listening(self: Speaker, f0_hz: Floats) -> Floats:
        asked.append(np.array(f0_hz))
        return voice(self, f0_hz)

    with patch.object(Speaker, "voice", listening):
        samples = make_sound(tag, analysis, 1.0, 0.0, seed)
    one = asked[0] if asked and tag != "Laughter" else None
    return Heard(tag, samples, one, analysis.rate)


def _all(small: bool) -> Iterator[list[Heard]]:
    """Every sound of every speaker, its seeds together."""
    for clip in clips(small)[:: 1 if small else 2]:
        analysis = analysis_of(analyse(clip.audio), clip.audio.sample_rate)
        for tag in sorted(MAKERS):
            yield [heard(analysis, tag, seed) for seed in SEEDS]


def sounds(small: bool) -> list[Row]:
    """Five seeds of each sound on every other speaker."""
    groups = list(_all(small))
    rows, errors, apart = [], [], []
    for tag in sorted(MAKERS):
        mine = [g for g in groups if g[0].tag == tag]
        off = [h.pitch_error_st for g in mine for h in g]
        far = [_apart_db(a, b) for g in mine for a, b in combinations(g, 2)]
        lengths = [len(h.samples) / h.rate for h in mine[0]]
        errors += [e for e in off if np.isfinite(e)]
        apart.append(min(far))
        rows.append(
            (
                tag,
                f"{min(lengths):.2f} to {max(lengths):.2f}",
                f"{np.nanmax(off):.2f}" if np.isfinite(off).any() else "-",
                f"{min(far):.1f} ({np.median(far):.1f})",
                f"{100 * max(h.voiced_share for g in mine for h in g):.0f}",
            )
        )
    print_table(
        ("sound", "length (s)", "pitch off by at most (st)", "seeds apart, least (median), dB",
         "voiced at most (%)"),
        rows, f"{len(SEEDS)} seeds on {len(groups) // len(MAKERS)} speakers:",
    )  # fmt: skip
    laughs = [h.bursts for g in groups if g[0].tag == "Laughter" for h in g]
    air = [h.voiced_share for g in groups if g[0].tag in AIR for h in g]
    count, pace = [n for n, _ in laughs], [hz for _, hz in laughs]
    table = [
        ("Uhm, Oh and the like: median distance from the f0 that was meant",
         f"at most {BAR_PITCH_ST:g} st", f"at most {max(errors):.2f} st",
         max(errors) <= BAR_PITCH_ST),
        ("Laughter: bursts, bursts a second", "4 to 6, about 5",
         f"{min(count)} to {max(count)}, {min(pace):.1f} to {max(pace):.1f}",
         BAR_BURSTS[0] <= min(count) and max(count) <= BAR_BURSTS[1]
         and BAR_BURSTS_HZ[0] <= min(pace) and max(pace) <= BAR_BURSTS_HZ[1]),
        ("Breathing, Sigh: voiced", "nothing", f"at most {100 * max(air):.0f} %", max(air) == 0),
        ("two seeds of a sound, spectrum over time", f"at least {BAR_APART_DB:g} dB apart",
         f"at least {min(apart):.1f} dB", min(apart) >= BAR_APART_DB),
    ]  # fmt: skip
    return [Row(what, bar, told, met, "sounds", "sound.py") for what, bar, told, met in table]


def _apart_db(one: Heard, other: Heard) -> float:
    return float(np.sqrt(np.mean(np.square(one.profile_db - other.profile_db))))
