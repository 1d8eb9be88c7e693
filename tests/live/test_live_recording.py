from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stepedit_fx.errors import StepEditError, WriteError
from stepedit_fx.live.recording import Recorder
from tests.live.conftest import BLOCK, RATE, noise
from tests.peers import until


def test_a_recording_holds_what_was_written(tmp_path: Path) -> None:
    """Frames would be lost where the ring begins again."""
    samples = noise(20.0, channels=2)
    recorder = Recorder(tmp_path / "new" / "heard.wav", RATE, 2, pytest.fail)
    for at in range(0, samples.shape[1], BLOCK):
        recorder.write(samples[:, at : at + BLOCK])
        if at % (BLOCK * 512) == 0:
            until(lambda at=at: recorder.frames > at - 4 * RATE, "it is written")  # type: ignore[misc]
    recorder.stop()
    recorder.stop()
    there, rate = soundfile.read(recorder.path, dtype="float32")
    assert (rate, recorder.lost_frames) == (RATE, 0)
    assert np.array_equal(there.T, samples)


def test_the_file_is_whole_while_it_grows(tmp_path: Path) -> None:
    """A machine that loses power would leave a file that nothing opens."""
    recorder = Recorder(tmp_path / "heard.wav", RATE, 2, pytest.fail)
    recorder.write(noise(0.5, channels=2))
    until(lambda: recorder.frames == RATE // 2, "it is written")
    until(lambda: soundfile.info(recorder.path).frames == RATE // 2, "the header is right")
    recorder.stop()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_ends_the_recording_with_a_message() -> None:
    """The sound would stop, or the recording would end and nobody be told."""
    with pytest.raises(WriteError, match="No space left"):
        Recorder(Path("/dev/full"), RATE, 2, pytest.fail)


def test_a_disk_that_fills_up_tells_and_lets_the_sound_go_on(tmp_path: Path) -> None:
    """The callback would fail when the recording has ended."""
    told: list[StepEditError] = []
    got = threading.Event()

    def tell(error: StepEditError) -> None:
        told.append(error)
        got.set()

    recorder = Recorder(tmp_path / "heard.wav", RATE, 2, tell)
    with Path("/dev/full").open("wb", buffering=0) as full:
        recorder._file, whole = full, recorder._file
        recorder.write(noise(0.1, channels=2))
        assert got.wait(10)
        whole.close()
    for _ in range(200):
        recorder.write(noise(0.1, channels=2))
    recorder.stop()
    assert "No space left" in str(told[0])
    assert len(told) == 1
