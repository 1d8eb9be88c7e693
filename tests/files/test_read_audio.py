"""Recordings as people have them, good and bad."""

from __future__ import annotations

import logging
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.errors import ReadError
from stepedit_fx.files import probe, read_audio

RATE_HZ = 24_000
FORMATS = [
    ("a.wav", "WAV", "PCM_U8"),
    ("a.wav", "WAV", "PCM_16"),
    ("a.wav", "WAV", "PCM_24"),
    ("a.wav", "WAV", "PCM_32"),
    ("a.wav", "WAV", "FLOAT"),
    ("a.wav", "WAV", "DOUBLE"),
    ("a.wav", "WAVEX", "PCM_24"),
    ("a.wav", "RF64", "PCM_16"),
    ("A.WAV", "WAV", "PCM_16"),
    ("a.flac", "FLAC", "PCM_16"),
    ("a.flac", "FLAC", "PCM_24"),
    ("a.aiff", "AIFF", "PCM_24"),
    ("a.aif", "AIFF", "PCM_16"),
    ("a.ogg", "OGG", "VORBIS"),
    ("a.mp3", "MP3", "MPEG_LAYER_III"),
]
LOSSY = {"OGG", "MP3"}


def tone(frames: int = 12_000, channels: int = 1, rate: int = RATE_HZ) -> np.ndarray:
    """A rising tone, another in each channel, (frames, channels)."""
    time_s = np.arange(frames)[:, None] / rate
    f0_hz = 220 * (1 + np.arange(channels))
    return (0.4 * np.sin(2 * np.pi * f0_hz * time_s * (1 + time_s))).astype(np.float32)


def patch(path: Path, at: int, new: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "form", "subtype"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_comes_in_at_its_own_rate_and_length(
    tmp_path: Path, name: str, form: str, subtype: str, channels: int
) -> None:
    """A recording of this kind would be refused, shifted, or come in with channels mixed up."""
    samples = tone(channels=channels)
    soundfile.write(tmp_path / name, samples, RATE_HZ, format=form, subtype=subtype)
    audio = read_audio(tmp_path / name)
    info = probe(tmp_path / name)
    assert (audio.sample_rate, audio.samples.shape) == (RATE_HZ, (channels, len(samples)))
    assert (info.frames, info.channels, info.format, info.subtype) == (
        len(samples), channels, form, subtype,
    )  # fmt: skip
    assert info.duration_s == audio.duration_s == 0.5
    tolerance = 0.05 if form in LOSSY else 0.01 if subtype == "PCM_U8" else 4e-5
    np.testing.assert_allclose(audio.samples, samples.T, atol=tolerance)
    assert not audio.samples.flags.writeable


@pytest.mark.parametrize("rate", [8_000, 11_025, 192_000])
def test_the_whole_range_of_rates_and_many_channels_are_taken(tmp_path: Path, rate: int) -> None:
    """A telephone or a mastering file, or an 8-channel stem, would be refused."""
    soundfile.write(tmp_path / "a.wav", tone(2000, 8, rate), rate)
    audio = read_audio(tmp_path / "a.wav")
    assert (audio.sample_rate, audio.channels) == (rate, 8)


@pytest.mark.parametrize("rate", [7_999, 192_001])
def test_other_rates_are_refused_with_a_remedy(tmp_path: Path, rate: int) -> None:
    """An engine would meet a rate it cannot work at and fail with a riddle."""
    soundfile.write(tmp_path / "a.wav", tone(), rate)
    with pytest.raises(ReadError, match=r"outside 8000 to 192000 Hz\. Convert it"):
        read_audio(tmp_path / "a.wav")


def test_what_is_no_recording_is_named_as_such(tmp_path: Path) -> None:
    """The message would not say what is wrong with the file, or which file."""
    cases = {
        "missing.wav": "no such file",
        "folder.wav": "folder",
        "empty.wav": "empty",
        "text.wav": "not a recording",
        "text.mp3": "not a recording",
        "none.wav": "no samples",
        "notes.docx": "unknown kind of file '.docx'",
        "take.wavv": "Did you mean '.wav'",
        "noending": "no ending",
    }
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    for name in ("text.wav", "text.mp3", "notes.docx", "take.wavv", "noending"):
        (tmp_path / name).write_text("Once upon a time, there was a text. " * 200)
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), RATE_HZ)
    for name, words in cases.items():
        for look in (probe, read_audio):
            with pytest.raises(ReadError, match=words) as caught:
                look(tmp_path / name)
            assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_found_with_their_time(tmp_path: Path, bad: float) -> None:
    """One NaN would spread through filters until the whole output is silent."""
    samples = tone(40_000, 2)
    samples[36_000, 1] = bad
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(ReadError, match=r"NaN or infinite samples, the first at 1\.500 s"):
        read_audio(tmp_path / "a.wav")


def test_a_long_file_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A three-hour file would fill memory before anyone says no."""
    path = tmp_path / "long.wav"
    soundfile.write(path, tone(100), RATE_HZ, subtype="PCM_16")
    data_bytes = 3 * 3600 * RATE_HZ * 2
    patch(path, 40, struct.pack("<I", data_bytes))
    with path.open("r+b") as file:
        file.truncate(44 + data_bytes)  # sparse: the disk holds next to nothing
    with pytest.raises(ReadError, match="is 3 h 00 min 00 s long; at most 10 min 00 s is taken"):
        read_audio(path, max_duration_s=600)
    assert probe(path).duration_s == 3 * 3600


@pytest.mark.parametrize(("name", "form", "subtype"), FORMATS)
def test_a_truncated_file_is_an_error(tmp_path: Path, name: str, form: str, subtype: str) -> None:
    """Half a take would be rendered as if it were the whole."""
    path = tmp_path / name
    soundfile.write(path, tone(40_000), RATE_HZ, format=form, subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(
        ReadError,
        match=r"cut short: .*there.*ffmpeg",
    ):
        read_audio(path)


@settings(max_examples=40)
@given(cut=st.integers(0, 2043))
def test_a_wav_cut_anywhere_is_never_taken_for_whole(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """A copy that lost its last few bytes would pass."""
    path = tmp_path_factory.mktemp("cut") / "a.wav"
    soundfile.write(path, tone(1000), RATE_HZ, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ReadError):
        read_audio(path)


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7, 0.9])
def test_an_ogg_damaged_inside_is_an_error(tmp_path: Path, place: float) -> None:
    """Seconds would be missing from the middle of an interview, without a word."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, tone(60_000), RATE_HZ)
    data = path.read_bytes()
    at = round(len(data) * place)
    patch(path, at, bytes([data[at] ^ 1]))
    with pytest.raises(ReadError, match=r"damaged at byte \d+\. .*ffmpeg|malformed"):
        read_audio(path)


def test_tags_behind_the_end_of_an_ogg_are_let_be(tmp_path: Path) -> None:
    """A recording that every player plays would be called damaged."""
    path = tmp_path / "a.ogg"
    soundfile.write(path, tone(), RATE_HZ)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert read_audio(path).frames == len(tone())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    """A folder with a named pipe in it would hold up a batch for ever."""
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(ReadError, match="device, not a recording"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.skipif(sys.platform != "linux", reason="disks elsewhere take no such names")
def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    """A folder copied from an old disk would end in a traceback."""
    soundfile.write(tmp_path / "a.wav", tone(1000), RATE_HZ)
    odd = (tmp_path / "a.wav").rename(tmp_path / os.fsdecode(b"caf\xe9.wav"))
    assert read_audio(odd).frames == probe(odd).frames == 1000


def test_the_error_counts_what_is_there(tmp_path: Path) -> None:
    """The owner could not tell a lost second from a lost hour."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000, 2), RATE_HZ, subtype="PCM_24")
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ReadError, match="990 of the 1000 frames"):
        probe(path)


def test_a_stream_of_unknown_length_is_read_whole(tmp_path: Path) -> None:
    """What ffmpeg or sox wrote into a pipe would be called truncated."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000), RATE_HZ, subtype="PCM_16")
    for size in (0xFFFFFFFF, 0x7FFFF000):
        patch(path, 40, struct.pack("<I", size))
        assert read_audio(path).frames == 1000


def test_a_recording_that_was_never_closed_says_so(tmp_path: Path) -> None:
    """A crashed recorder's file would be called empty, and thrown away."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000), RATE_HZ, subtype="PCM_16")
    patch(path, 40, struct.pack("<I", 0))
    with pytest.raises(ReadError, match=r"never finished.*ffmpeg"):
        read_audio(path)


def with_bext(wav: bytes, body: bytes) -> bytes:
    chunk = struct.pack("<4sI", b"bext", len(body)) + body + b"\0" * (len(body) % 2)
    whole = wav[:12] + chunk + wav[12:]
    return whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]


def bext_body(time_reference: int, history: bytes = b"A=PCM,F=48000\r\n") -> bytes:
    text = b"take 3".ljust(256, b"\0") + b"recorder".ljust(64, b"\0") + b"2024-01-0112:00:00"
    return text + struct.pack("<QH", time_reference, 1) + b"\0" * 254 + history


def test_the_broadcast_time_of_a_field_recorder_is_kept(tmp_path: Path) -> None:
    """The take would land at the start of the timeline instead of where it was recorded."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000), 48_000, subtype="PCM_24")
    plain = path.read_bytes()
    path.write_bytes(with_bext(plain, bext_body(10 * 3600 * 48_000 + 7)))
    assert read_audio(path).start_s == probe(path).start_s == (10 * 3600 * 48_000 + 7) / 48_000
    path.write_bytes(with_bext(plain, bext_body(99)[:300]))  # too short to hold a time
    assert read_audio(path).start_s == 0.0


def test_a_nonsense_broadcast_time_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A garbled chunk would place the output centuries from now."""
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1000), 48_000, subtype="PCM_16")
    path.write_bytes(with_bext(path.read_bytes(), bext_body(2**63)))
    with caplog.at_level(logging.WARNING):
        assert read_audio(path).start_s == 0.0
    assert str(path) in caplog.text


@settings(max_examples=150)
@given(changes=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), max_size=6))
def test_a_garbled_header_is_an_error_or_a_recording(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    """A broken download would end in a traceback instead of a message."""
    path = tmp_path_factory.mktemp("garbled") / "a.wav"
    soundfile.write(path, tone(200, 2), 48_000, subtype="PCM_16")
    data = bytearray(with_bext(path.read_bytes(), bext_body(5)))
    for at, value in changes:
        data[at if at < 24 else at + 600] = value
    path.write_bytes(data)
    try:
        audio = read_audio(path)
    except ReadError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert audio.frames > 0
