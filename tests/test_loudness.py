"""Loudness as meters in a DAW show it."""

from __future__ import annotations

import numpy as np
import pytest

from stepedit_fx.loudness import loudness_lufs, true_peak


def sine(hz: float, seconds: float, rate: int = 48000, level: float = 1.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)[None].astype(
        np.float32
    )


def test_a_full_scale_997_hz_sine_is_minus_3_01_lufs() -> None:
    """The standard's own example; anything else is no BS.1770 meter."""
    assert loudness_lufs(sine(997, 3), 48000) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.39, 0.41])
def test_a_short_clip_is_as_loud_as_a_long_one(seconds: float) -> None:
    """A single word must not be taken for a quiet one."""
    assert loudness_lufs(sine(997, seconds), 48000) == pytest.approx(-3.01, abs=0.7)


def test_channels_add_up_whatever_their_number() -> None:
    """Four equal channels are 6 dB over one."""
    four = np.tile(sine(997, 3), (4, 1))
    assert loudness_lufs(four, 48000) == pytest.approx(-3.01 + 6.02, abs=0.1)


def test_silence_has_no_loudness() -> None:
    """A gain made of it would be infinite; who asks must see that."""
    assert loudness_lufs(np.zeros((1, 48000), np.float32), 48000) == -np.inf
    assert loudness_lufs(np.zeros((1, 0), np.float32), 48000) == -np.inf


def test_the_peak_between_two_samples_is_found() -> None:
    """A quarter-rate sine sampled at 45 degrees peaks 3 dB over its samples."""
    samples = np.sin(np.pi / 2 * np.arange(48000) + np.pi / 4)[None].astype(np.float32)
    assert np.abs(samples).max() == pytest.approx(0.707, abs=0.01)
    assert true_peak(samples, 48000) == pytest.approx(1.0, abs=0.1)
