"""If these fail, every code, voice and prompt that the networks get is off from the first frame."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from stepedit_fx.engines.step_audio import features
from stepedit_fx.engines.step_audio.features import (
    FBANK_BLOCK,
    fbank_frames,
    kaldi_fbank,
    prompt_mel,
    read_cmvn,
    stack_frames,
    whisper_log_mel,
)
from stepedit_fx.engines.step_audio.speaker import speaker_features
from stepedit_fx.errors import ReadError

GOLDEN = Path(__file__).parent / "golden" / "tokenizer"
CLIPS = ["en", "zh"]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "io.safetensors")


def off(found: Tensor, reference: Tensor) -> float:
    """Largest difference against the reference's largest value."""
    assert found.shape == reference.shape
    return float((found - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("clip", CLIPS)
def test_stacked_filterbanks_are_the_published_frontends(
    golden: dict[str, Tensor], clip: str
) -> None:
    reference = golden[f"{clip}.lfr_feats"]
    fbank = kaldi_fbank(golden[f"{clip}.trimmed"] * 32768, "hamming")
    fbank = torch.cat([fbank[:1].repeat(3, 1), fbank])
    shift, factor = read_cmvn(GOLDEN / "am.mvn")
    assert off((stack_frames(fbank, len(reference)) + shift) * factor, reference) < 1e-4


@pytest.mark.parametrize("clip", CLIPS)
def test_mels_and_speaker_features_are_the_published_ones(
    golden: dict[str, Tensor], clip: str
) -> None:
    assert off(whisper_log_mel(golden[f"{clip}.trimmed"]), golden[f"{clip}.log_mel128"]) < 1e-4
    assert off(speaker_features(golden[f"{clip}.wav16k"]), golden[f"{clip}.speaker_fbank"]) < 1e-4
    assert off(prompt_mel(golden[f"{clip}.wav24k"]), golden[f"{clip}.prompt_mel"]) < 1e-4


def test_a_tone_is_loudest_in_the_band_that_holds_it() -> None:
    """1 kHz stands where Kaldi's mel scale puts it, in every kind of frame."""
    seconds = torch.arange(16000) / 16000
    tone = torch.sin(2 * math.pi * 1000 * seconds)
    mel = 1127 * math.log1p(1000 / 700)
    low, high = (1127 * math.log1p(hz / 700) for hz in (20, 8000))
    band = (mel - low) / ((high - low) / 81) - 1
    for window in ("hamming", "povey"):
        loudest = kaldi_fbank(tone, window).argmax(dim=1)  # type: ignore[arg-type]
        assert (loudest - band).abs().max() < 1


def test_long_clips_are_framed_in_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.randn(160 * 60 + 333, generator=torch.Generator().manual_seed(1))
    whole = kaldi_fbank(samples, "povey")
    monkeypatch.setattr(features, "FBANK_BLOCK", 7)
    assert len(whole) < FBANK_BLOCK
    torch.testing.assert_close(kaldi_fbank(samples, "povey"), whole)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_only_whole_windows_make_frames(samples: int, frames: int) -> None:
    assert fbank_frames(samples) == frames
    assert kaldi_fbank(torch.ones(samples), "hamming").shape == (frames, 80)


@settings(max_examples=50)
@given(frames=st.integers(1, 60), count=st.integers(1, 12))
def test_stacks_hold_seven_frames_six_apart(frames: int, count: int) -> None:
    fbank = torch.arange(frames * 2, dtype=torch.float32).reshape(frames, 2)
    stacks = stack_frames(fbank, count)
    wanted = [
        [float(v) for n in range(7) for v in fbank[min(i * 6 + n, frames - 1)]]
        for i in range(min(count, -(-frames // 6)))
    ]
    assert stacks[: len(wanted)].tolist() == wanted


def mvn(shift: str, factor: str, size: int = 3) -> str:
    return (
        f"<Nnet>\n<Splice> {size} {size}\n[ 0 ]\n"
        f"<AddShift> {size} {size}\n<LearnRateCoef> 0 [ {shift} ]\n"
        f"<Rescale> {size} {size}\n<LearnRateCoef> 0 [ {factor} ]\n</Nnet>\n"
    )


def test_the_normalisation_file_is_read_however_its_lines_break(tmp_path: Path) -> None:
    path = tmp_path / "am.mvn"
    path.write_text(mvn("-1 -2e1\n 3.5", "1 2 3").replace(" <", "\n<"))
    assert read_cmvn(path).tolist() == [[-1.0, -20.0, 3.5], [1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "<AddShift> is missing"),
        (mvn("1 2 3", "1 2 3").partition("<Rescale>")[0], "<Rescale> is missing"),
        (mvn("1 2", "1 2 3"), "has 2 numbers"),
        (mvn("1 2 x", "1 2 3"), "x"),
        (mvn("1 2 nan", "1 2 3"), "NaN"),
        (mvn("1 2 3", "1 2 3")[:62], "no list of numbers"),
        (mvn("", "", 0), "has 0 numbers"),
    ],
)
def test_a_damaged_normalisation_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "am.mvn"
    path.write_text(text)
    with pytest.raises(ReadError, match=told) as caught:
        read_cmvn(path)
    assert str(path) in str(caught.value)


def test_a_missing_or_binary_normalisation_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "am.mvn"
    with pytest.raises(ReadError, match="cannot be read"):
        read_cmvn(path)
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(ReadError, match="cannot be read"):
        read_cmvn(path)


@settings(max_examples=100)
@given(
    cut=st.integers(0, 200),
    junk=st.text(alphabet="<>[]0 1.eE-naif\nAddShiftRescale", max_size=30),
)
def test_no_damage_to_a_normalisation_file_gets_past(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: str
) -> None:
    """Cut anywhere, with anything put in: either right sizes and finite numbers, or ReadError."""
    path = tmp_path_factory.getbasetemp() / "damaged.mvn"
    text = mvn("-1 -2 3.5", "1 2 3")
    path.write_text(text[:cut] + junk + text[cut:])
    try:
        found = read_cmvn(path)
    except ReadError:
        return
    assert found.shape[0] == 2
    assert np.isfinite(found.numpy()).all()
