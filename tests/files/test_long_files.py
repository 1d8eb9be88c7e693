"""Recordings too long to hold: the samples, keys and files that they have when they are held."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx import audio as module
from stepedit_fx.audio import Audio, Digest, blocks, held
from stepedit_fx.errors import ReadError, WriteError
from stepedit_fx.files import read_audio, scan_recording, spooled, write_audio
from stepedit_fx.speech import Transcript

RATE = 24_000
KINDS = [
    ("WAV", "PCM_24", ".wav"),
    ("RF64", "FLOAT", ".wav"),
    ("FLAC", "PCM_16", ".flac"),
    ("OGG", "VORBIS", ".ogg"),
    ("OGG", "OPUS", ".opus"),
    ("MP3", "MPEG_LAYER_III", ".mp3"),
    ("AIFF", "PCM_16", ".aiff"),
]


def noise(frames: int, channels: int = 1) -> Audio:
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, (channels, frames))
    return Audio(drawn.astype(np.float32), RATE, 2.5, Transcript("Hello there."))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("form", "subtype", "ending"), KINDS)
def test_a_recording_in_blocks_is_what_one_go_decodes(
    form: str, subtype: str, ending: str, channels: int, tmp_path: Path
) -> None:
    """An hour of mp3 must not lose samples at every block."""
    path = tmp_path / f"take{ending}"
    soundfile.write(path, noise(200_000, channels).samples.T, RATE, subtype, format=form)
    recording, audio = scan_recording(path), read_audio(path)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    streamed = np.concatenate(list(recording.blocks()), axis=1)
    np.testing.assert_array_equal(streamed, audio.samples)
    # mpg123 rounds otherwise after soundfile's seeks, also where they lead nowhere.
    np.testing.assert_allclose(streamed, whole, atol=2e-7 if form == "MP3" else 0, rtol=0)
    assert recording.digest == audio.digest
    assert (recording.frames, recording.channels) == audio.samples.shape[::-1]


@pytest.mark.parametrize("ending", [".wav", ".flac", ".mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_on_disk_is_written_as_one_in_memory(
    ending: str, channels: int, tmp_path: Path
) -> None:
    audio = noise(150_001, channels)
    spool = spooled(blocks(audio), RATE, audio.start_s, audio.transcript)
    paths = [tmp_path / f"{name}{ending}" for name in ("held", "spooled")]
    write_audio(paths[0], audio)
    write_audio(paths[1], spool)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert held(spool).digest == audio.digest


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 3), st.data())
def test_any_part_of_a_sound_on_disk_can_be_read(
    lengths: list[int], channels: int, data: st.DataObject
) -> None:
    samples = noise(sum(lengths) + 1, channels).samples
    cuts = np.cumsum(lengths)
    spool = spooled(np.split(samples, cuts, axis=1), RATE)
    end = data.draw(st.integers(0, spool.frames))
    first = data.draw(st.integers(0, end))
    np.testing.assert_array_equal(spool.read(first, end), samples[:, first:end])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 3))
def test_a_digest_does_not_depend_on_the_blocks(lengths: list[int], channels: int) -> None:
    """The same file read otherwise would be rendered again."""
    audio = noise(sum(lengths) + 1, channels)
    digest = Digest()
    for part in np.split(audio.samples, np.cumsum(lengths), axis=1):
        digest.update(part)
    assert digest.value(audio) == audio.digest


def test_a_digest_knows_channels_from_frames() -> None:
    one = Audio(np.arange(6, dtype=np.float32).reshape(1, 6), RATE)
    two = Audio(np.arange(6, dtype=np.float32).reshape(3, 2).T, RATE)
    assert one.digest != two.digest


def test_a_recording_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Half of the old and half of the new take would be rendered under the old one's key."""
    path = tmp_path / "take.wav"
    write_audio(path, noise(100_000))
    recording = scan_recording(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ReadError, match="changed while"):
        list(recording.blocks())


def test_a_recording_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    write_audio(path, noise(RATE * 2))
    with pytest.raises(ReadError, match="at most 1"):
        scan_recording(path, max_duration_s=1)


def test_no_room_for_temporary_files_says_where_and_how_to_move_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepedit_fx.files import spool

    monkeypatch.setattr(spool, "spool_folder", lambda: tmp_path / "gone")
    with pytest.raises(WriteError, match="TMPDIR"):
        spooled(blocks(noise(10)), RATE)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stepedit_fx.files import spool

    monkeypatch.setattr(spool.tempfile, "TemporaryFile", lambda dir: open("/dev/full", "wb"))  # noqa: SIM115, PTH123
    with pytest.raises(WriteError, match=r"No space left.*TMPDIR"):
        spooled(blocks(noise(100_000)), RATE)


def test_temporary_files_have_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a process that was killed would fill the disk for good."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    sound = spooled(blocks(noise(100_000)), RATE)
    assert sound.frames == 100_000
    assert not list(tmp_path.iterdir())
    assert module.BLOCK_FRAMES % 8192 == 0
