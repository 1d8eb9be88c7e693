"""A chain on a sound that comes in blocks: the samples it gives in one go, and memory of a few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import BLOCK_FRAMES, Audio
from stepedit_fx.effects import render as module
from stepedit_fx.effects.flow import joined_windows, of_equal_length
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render, render_blocks
from stepedit_fx.effects.table import EFFECTS

RATE = 24_000
NAMES = [name for name in EFFECTS if name != "Convolution"]
IN_WINDOWS = {"GSMFullRateCompressor", "PitchShift"}
SWEEP = {"keyframes": [[0, 200], [4, 5000], [9, 300]]}


def noise(seconds: float, channels: int = 1, rate: int = RATE) -> Audio:
    drawn = np.random.default_rng(0).uniform(-0.3, 0.3, (channels, round(seconds * rate)))
    return Audio(drawn.astype(np.float32), rate)


def both(chain: Any, audio: Audio, tail_s: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """In one go, and in blocks."""
    read = parse_chain(chain)
    whole = render(read, audio, tail_s=tail_s).samples
    return whole, np.concatenate(list(render_blocks(read, audio, tail_s=tail_s)), axis=1)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_blocks_give_what_one_go_gives(name: str, channels: int) -> None:
    """A chapter would click, or sound otherwise, every three seconds."""
    value: dict[str, Any] = {"semitones": 3} if name == "PitchShift" else {}
    whole, streamed = both([{name: value}], noise(6.5, channels))
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize(
    "chain",
    [
        [{"LowpassFilter": {"cutoff_frequency_hz": SWEEP}}],
        [{"Delay": {"delay_seconds": 3.1, "feedback": 0.4}}, "BrickwallLimiter", "Reverb"],
        [{"Mix": [["BrickwallLimiter"], [{"Delay": {"delay_seconds": 0.5}}], []]}],
        [{"Mix": [[{"Gain": {"gain_db": {"keyframes": [[0, -20], [9, 0]]}}}], ["Resample"]]}],
        [{"Chain": ["MP3Compressor", "Chorus"]}, {"Resample": {"target_sample_rate": 4000}}],
    ],
    ids=["moving", "late then ringing", "branches", "moving branch", "late twice"],
)
def test_chains_in_blocks_give_what_one_go_gives(chain: Any) -> None:
    """State, latency and curves go on from block to block."""
    whole, streamed = both(chain, noise(9.3, 2), tail_s=1.5)
    np.testing.assert_array_equal(streamed, whole)


@pytest.mark.parametrize("name", sorted(IN_WINDOWS))
def test_effects_that_hear_all_at_once_work_in_windows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long sound keeps its length and level, and no window's edge clicks."""
    monkeypatch.setattr(module, "WINDOW_S", 4.0)
    wave = 0.3 * np.sin(2 * np.pi * 220 / RATE * np.arange(RATE * 21))
    value: dict[str, Any] = {"semitones": 3} if name == "PitchShift" else {}
    whole, streamed = both([{name: value}], Audio(wave[None].astype(np.float32), RATE))
    assert streamed.shape == whole.shape
    steps = [np.abs(np.diff(samples[0, RATE:-RATE])).max() for samples in (whole, streamed)]
    assert steps[1] <= steps[0] * 1.1
    levels = [np.sqrt(np.mean(samples[0, RATE:-RATE] ** 2)) for samples in (whole, streamed)]
    assert abs(20 * np.log10(levels[1] / levels[0])) < 0.5


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.integers(1, 40),
    st.integers(1, 60),
)
def test_windows_of_what_needs_none_are_the_sound(
    lengths: list[int], window: int, length: int
) -> None:
    """Not a frame may be lost or doubled where windows or blocks meet."""
    frames = sum(lengths)
    sound = np.arange(2 * frames, dtype=np.float32).reshape(2, frames)
    cuts = np.cumsum(lengths)[:-1]
    parts = np.split(sound, cuts, axis=1)
    # At 1 Hz a window hears 10 frames around its own.
    joined = list(joined_windows(lambda samples: samples, parts, window, 1))
    np.testing.assert_array_equal(np.concatenate(joined, axis=1), sound)
    blocks = list(of_equal_length(parts, length, frames))
    assert [b.shape[1] for b in blocks[:-1]] == [length] * (len(blocks) - 1)
    if blocks:
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), sound)


def test_blocks_come_as_the_next_step_wants_them() -> None:
    """Effects that follow a late one depend on the length of their blocks."""
    out = list(render_blocks(parse_chain(["BrickwallLimiter"]), noise(6.0)))
    assert [b.shape[1] for b in out[:-1]] == [BLOCK_FRAMES] * (len(out) - 1)
