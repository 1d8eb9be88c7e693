"""What is written is what was there: every bit, the place in time, and nothing by halves."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.errors import WriteError
from stepedit_fx.files import check_writable, probe, read_audio, riff, write_audio

RNG = np.random.default_rng(7)
PCM = [
    ("wav", "PCM_U8", 8),
    ("wav", "PCM_16", 16),
    ("wav", "PCM_24", 24),
    ("flac", "PCM_S8", 8),
    ("flac", "PCM_16", 16),
    ("flac", "PCM_24", 24),
]


def noise(frames: int = 3001, channels: int = 1, start_s: float = 0.0) -> Audio:
    samples = RNG.uniform(-0.9, 0.9, (channels, frames)).astype(np.float32)
    return Audio(samples, 48_000, start_s=start_s)


@pytest.mark.parametrize(("ending", "subtype", "bits"), PCM)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_integers_survive_reading_and_writing_bit_for_bit(
    tmp_path: Path, ending: str, subtype: str, bits: int, channels: int
) -> None:
    """An unedited take would differ from its source by rounding noise."""
    codes = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (70_001, channels), dtype=np.int64)
    codes[:2] = [[-(2 ** (bits - 1))], [2 ** (bits - 1) - 1]]
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    soundfile.write(first, (codes << (32 - bits)).astype(np.int32), 44_100, subtype=subtype)
    write_audio(second, read_audio(first), subtype=subtype)
    before, _ = soundfile.read(first, dtype="int32", always_2d=True)
    after, rate = soundfile.read(second, dtype="int32", always_2d=True)
    np.testing.assert_array_equal(after, before)
    assert (rate, probe(second).subtype) == (44_100, subtype)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_files_keep_every_bit_and_what_is_over_full_scale(
    tmp_path: Path, subtype: str
) -> None:
    """An intermediate file would be clipped."""
    audio = noise(channels=2).with_samples(RNG.normal(0, 2, (2, 1000)))
    write_audio(tmp_path / "a.wav", audio, subtype=subtype)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav").samples, audio.samples)


@settings(max_examples=30)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50), st.sampled_from(PCM))
def test_samples_go_to_the_nearest_integer(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], coding: tuple[str, str, int]
) -> None:
    """Truncation, libsndfile's way, adds distortion and a direct current."""
    ending, subtype, bits = coding
    path = tmp_path_factory.mktemp("round") / f"a.{ending}"
    write_audio(path, Audio(np.array([values], np.float32), 48_000), subtype=subtype)
    codes = soundfile.read(path, dtype="int32", always_2d=True)[0][:, 0] >> (32 - bits)
    exact = np.array(values) * 2.0 ** (bits - 1)
    wanted = np.minimum(exact, 2 ** (bits - 1) - 1)  # +1.0 itself lies one step past the end
    assert np.abs(codes - wanted).max() <= 0.5


def test_what_is_over_full_scale_is_clipped_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loud samples would wrap around to the other end, a crack; or clip without a word."""
    audio = Audio(np.array([[0.5, 2.0, -2.0, -0.5]], np.float32), 48_000)
    for name in ("a.wav", "a.flac"):
        with caplog.at_level(logging.WARNING):
            write_audio(tmp_path / name, audio, subtype="PCM_16")
        assert f"{name}: clipped, its peak is 6.0 dB over full scale" in caplog.text
        codes, _ = soundfile.read(tmp_path / name, dtype="int16")
        assert codes.tolist() == [16384, 32767, -32768, -16384]


def test_full_scale_itself_is_no_clipping(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every normalized take would warn."""
    with caplog.at_level(logging.WARNING):
        write_audio(tmp_path / "a.wav", Audio(np.array([[1.0, -1.0]], np.float32), 48_000))
    assert not caplog.records


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_lossy_files_keep_length_and_place(tmp_path: Path, ending: str) -> None:
    """Against picture, a padded mp3 would be late."""
    samples = np.zeros((2, 150_000), np.float32)
    burst = np.hanning(2000).astype(np.float32) * np.sin(np.arange(2000) * 0.2).astype(np.float32)
    samples[:, 100_000:102_000] = burst
    write_audio(tmp_path / f"a.{ending}", Audio(samples, 48_000))
    back = read_audio(tmp_path / f"a.{ending}").samples
    assert back.shape == samples.shape
    np.testing.assert_allclose(back, samples, atol=0.02)


@settings(max_examples=30)
@given(
    st.integers(1, 3600 * 24 * 48_000 - 1),
    st.sampled_from([8_000, 22_050, 44_100, 48_000, 192_000]),
    st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "FLOAT"]),
    st.integers(1, 4),
)
def test_the_start_reads_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    time_reference: int,
    rate: int,
    subtype: str,
    channels: int,
) -> None:
    """An edited take would slip on the timeline by a frame each time it is written."""
    path = tmp_path_factory.mktemp("bext") / "a.wav"
    start_s = time_reference / rate
    audio = Audio(np.full((channels, 3), 0.5, np.float32), rate, start_s=min(start_s, 86_400.0))
    write_audio(path, audio, subtype=subtype)
    back = read_audio(path)
    assert back.start_s == audio.start_s
    np.testing.assert_array_equal(back.samples, audio.samples)


def test_the_time_stands_before_the_sound(tmp_path: Path) -> None:
    """Programs that read only up to the samples, as EBU Tech 3285 lets them, would miss it."""
    write_audio(tmp_path / "a.wav", noise(start_s=1.0))
    data = (tmp_path / "a.wav").read_bytes()
    assert data[12:16] == b"bext"
    assert int.from_bytes(data[16:20], "little") == 602
    assert data.index(b"bext") < data.index(b"fmt ") < data.index(b"data")
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


@pytest.mark.parametrize("start_s", [0.0, 12.5])
@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT"])
def test_past_four_gigabytes_the_file_becomes_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_s: float, subtype: str
) -> None:
    """A long multichannel render would have a header that lies about its length."""
    monkeypatch.setattr(riff, "_RIFF_MAX_BYTES", 1000)  # as if a gigabyte were small
    audio = noise(3001, 3, start_s)
    write_audio(tmp_path / "a.wav", audio, subtype=subtype)
    back = read_audio(tmp_path / "a.wav")
    assert (probe(tmp_path / "a.wav").format, back.start_s) == ("RF64", start_s)
    np.testing.assert_allclose(back.samples, audio.samples, atol=1e-7)
    data = (tmp_path / "a.wav").read_bytes()
    assert int.from_bytes(data[20:28], "little") == len(data) - 8


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3"])
def test_the_same_sound_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    """`verify` could not tell a changed render from the date in its header."""
    audio = noise(5000, start_s=2.0)
    (tmp_path / "again").mkdir()
    for folder in (tmp_path, tmp_path / "again"):
        write_audio(folder / name, audio)
    assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_what_a_format_cannot_hold_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """The encoder's own words are 'Error opening', or none at all."""
    mono, nine = noise(), noise(channels=9)
    fast = Audio(mono.samples, 96_000)
    cases = [
        ("a.mp3", fast, None, "no rate of 96000 Hz.*wav or .flac"),
        ("a.mp3", nine, None, "at most 2 channels, not 9.*Write .wav"),
        ("a.flac", nine, None, "at most 8 channels"),
        ("a.flac", mono, "PCM_32", "no subtype 'PCM_32'. It has PCM_24, PCM_16"),
        ("a.xyz", mono, None, "cannot write files ending in '.xyz'"),
        ("a.wva", mono, None, "Did you mean '.wav'"),
        ("a", mono, None, "no ending"),
        ("a.wav", Audio(np.zeros((1, 0), np.float32), 48_000), None, "no samples"),
    ]
    for name, audio, subtype, words in cases:
        with pytest.raises(WriteError, match=words):
            write_audio(tmp_path / name, audio, subtype=subtype)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_can_be_checked_before_it_runs() -> None:
    """A misspelt subtype would be found after the render instead of before."""
    assert check_writable("x/out.WAV") == "PCM_24"
    assert check_writable("out.flac", "PCM_16") == "PCM_16"
    with pytest.raises(WriteError, match="MP3 has no subtype"):
        check_writable("out.mp3", "PCM_16")


@pytest.mark.skipif(os.name != "posix", reason="a signal cannot be sent to oneself")
@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_ctrl_c_while_encoding_ends_it_and_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    """libsndfile would swallow it, and a file with a hole in it go over the old one."""
    path = tmp_path / name
    path.write_bytes(b"what was there")
    drawn = RNG.standard_normal((2, 3_000_000), np.float32)
    audio = Audio(drawn * np.float32(0.1), 48_000)  # a minute: takes a second or more
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        write_audio(path, audio)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
