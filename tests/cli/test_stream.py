"""`run --stream`: sound on standard output for a player, everything else on standard error."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

RUN = [sys.executable, "-m", "stepedit_fx", "run"]


def test_what_is_piped_is_what_is_written(short_clip: Path, tmp_path: Path) -> None:
    """Twice: the second time from the file, which is up to date."""
    command = [*RUN, "quickstart", str(short_clip), "-o", str(tmp_path), "--stream", "--no-store"]
    for state in ("1 done", "1 up to date"):
        done = subprocess.run(command, capture_output=True, check=True)
        piped, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
        written, written_rate = soundfile.read(next(tmp_path.glob("*.wav")), dtype="float32")
        assert rate == written_rate
        np.testing.assert_allclose(piped, written, atol=2**-22)
        assert state in done.stderr.decode()


def test_a_player_that_is_closed_costs_nothing(short_clip: Path, tmp_path: Path) -> None:
    """The output is written whole, whoever stopped listening."""
    command = [*RUN, "quickstart", str(short_clip), "-o", str(tmp_path), "--stream", "--no-store"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()
    _, told = running.communicate(timeout=60)
    assert running.returncode == 0, told
    assert b"1 done" in told
    assert soundfile.info(next(tmp_path.glob("*.wav"))).frames


def test_no_sound_goes_to_a_terminal(short_clip: Path, tmp_path: Path) -> None:
    """A screen full of bytes helps nobody."""
    ours, theirs = pty.openpty()
    command = [*RUN, "quickstart", str(short_clip), "-o", str(tmp_path), "--stream"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "aplay" in done.stderr.decode()
    assert not list(tmp_path.glob("*.wav"))
