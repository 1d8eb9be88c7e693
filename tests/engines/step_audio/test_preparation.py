"""If these fail, what was trimmed comes back at the wrong time, or the level is another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stepedit_fx.engines.step_audio.preparation import (
    Kept,
    code_level,
    cut,
    kept_span,
    prepare,
)
from stepedit_fx.errors import EngineError

GOLDEN = Path(__file__).parent / "golden" / "tokenizer"
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def golden() -> dict[str, Array]:
    return load_file(GOLDEN / "io.safetensors")


def burst(rate: int, start_s: float, length_s: float, total_s: float, peak: float = 0.4) -> Array:
    """Silence with a buzz in it."""
    samples = np.zeros(round(total_s * rate), np.float32)
    seconds = np.arange(round(length_s * rate)) / rate
    buzz = np.sin(2 * np.pi * 220 * seconds) * np.sin(2 * np.pi * 60 * seconds)
    at = round(start_s * rate)
    samples[at : at + len(buzz)] = (peak * buzz / np.abs(buzz).max())[: len(samples) - at]
    return samples


@pytest.mark.parametrize("clip", ["en", "zh"])
def test_trimming_is_the_references_to_the_last_bit(golden: dict[str, Array], clip: str) -> None:
    levelled = code_level(golden[f"{clip}.wav16k"])
    np.testing.assert_array_equal(cut(levelled, kept_span(levelled)), golden[f"{clip}.trimmed"])


@pytest.mark.parametrize("clip", ["en", "zh"])
def test_a_clip_at_its_own_rate_is_trimmed_alike(golden: dict[str, Array], clip: str) -> None:
    """soxr keeps more of the top octave than torchaudio; the span must not depend on it."""
    rate = int(golden[f"{clip}.sample_rate"])
    found = prepare(golden[f"{clip}.wav"], rate)
    assert found.samples_16k.shape == golden[f"{clip}.trimmed"].shape
    likeness = np.corrcoef(found.samples_16k, golden[f"{clip}.trimmed"])[0, 1]
    assert likeness > 0.99


@settings(max_examples=40)
@given(
    samples=st.integers(1, 6000),
    seed=st.integers(0, 2**16),
    quiet=st.floats(0, 0.3),
)
def test_the_kept_span_is_librosas(samples: int, seed: int, quiet: float) -> None:
    """Against a plain reading of librosa.effects.trim: centred frames, RMS, 20 dB below the top."""
    random = np.random.default_rng(seed)
    clip = random.standard_normal(samples).astype(np.float32)
    clip[: samples // 3] *= quiet
    clip[samples - samples // 4 :] *= quiet
    padded = np.pad(clip.astype(np.float64), 256)
    rms = [np.sqrt(np.mean(padded[at : at + 512] ** 2)) for at in range(0, len(padded) - 511, 128)]
    loud = [n for n, value in enumerate(rms) if 20 * np.log10(max(value, 1e-5) / max(rms)) > -20]
    first, last = loud[0] * 128, min((loud[-1] + 1) * 128, samples)
    found = kept_span(clip)
    assert found.start == first - 800
    assert found.end - found.start == int(np.ceil((last - first) / 240)) * 240 + 4320


@settings(max_examples=30)
@given(
    rate=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000, 192000]),
    start_s=st.floats(0, 1),
    length_s=st.floats(0.4, 1),
    after_s=st.floats(0, 1),
    peak=st.floats(0.01, 1),
)
def test_what_is_kept_stands_where_the_source_has_it(
    rate: int, start_s: float, length_s: float, after_s: float, peak: float
) -> None:
    total_s = start_s + length_s + after_s
    source = burst(rate, start_s, length_s, total_s, peak)
    found = prepare(source, rate)
    kept_s = len(found.samples_16k) / 16000
    assert 0 <= found.start_frame < found.end_frame <= len(source)
    assert len(found.prompt_16k) == len(found.samples_16k)
    assert len(found.samples_24k) * 2 == len(found.samples_16k) * 3
    # The span in frames is the span in samples: nothing gets lost between what was kept and put.
    frames = found.end_frame - found.start_frame
    frames += found.padding_before_frames + found.padding_after_frames
    assert abs(frames - kept_s * rate) <= 1
    # It holds the buzz with 50 ms before it; padding is there only at the source's ends.
    assert found.start_frame <= max(0, round((start_s - 0.03) * rate))
    assert found.end_frame >= round((start_s + length_s) * rate) - 0.01 * rate
    assert found.padding_before_frames == 0 or found.start_frame == 0
    assert found.padding_after_frames == 0 or found.end_frame == len(source)
    # The 24 kHz form shows the source's own samples at that place, at the prompt's level.
    assert found.gain == pytest.approx(min(1, 0.6 / np.abs(source).max()))
    assert np.abs(found.prompt_16k).max() <= 0.6 * 1.1
    if rate == 24000:
        at = found.padding_before_frames
        inside = found.samples_24k[at : at + found.end_frame - found.start_frame]
        wanted = source[found.start_frame : found.end_frame] * np.float32(found.gain)
        np.testing.assert_allclose(inside, wanted, atol=1e-6)


def test_levels_are_the_published_ones() -> None:
    assert np.abs(code_level(np.array([0.2, -0.5], np.float32))).max() == np.float32(0.999)
    # A quiet clip is raised by a limited amount, so that hiss does not become speech.
    assert np.abs(code_level(np.array([0.001], np.float32))).max() == pytest.approx(0.0999)


def test_cut_pads_with_zeros_beyond_the_ends() -> None:
    samples = np.arange(1, 5, dtype=np.float32)
    assert cut(samples, Kept(-2, 3)).tolist() == [0, 0, 1, 2, 3]
    assert cut(samples, Kept(2, 6)).tolist() == [3, 4, 0, 0]


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(32000), np.full(32000, 5e-5)])
def test_silence_is_refused_with_a_remedy(samples: NDArray[np.float64]) -> None:
    with pytest.raises(EngineError, match="silent") as caught:
        prepare(samples.astype(np.float32), 16000)
    assert caught.value.remedy


def test_too_little_sound_is_refused_with_a_remedy() -> None:
    with pytest.raises(EngineError, match=r"only 0\.20 s") as caught:
        prepare(burst(44100, 0, 0.2, 0.2), 44100)
    assert "0.3 s" in caught.value.remedy
