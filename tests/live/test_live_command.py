from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.live.conftest import RATE, graph_text
from tests.peers import program, until

LIVE = [sys.executable, "-m", "stepedit_fx", "live"]
QUIET = ["--device", "null", "--no-http", "--port", "0"]


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "graph.yaml"
    path.write_text(graph_text([{"Gain": {"gain_db": 0}}]))
    return path


def test_live_plays_once_records_and_ends(graph: Path, hum: Path, tmp_path: Path) -> None:
    """`live --once --record` would never end, or record something else."""
    heard = tmp_path / "heard.wav"
    command = [*LIVE, str(graph), str(hum), *QUIET, "--once", "--record", str(heard)]
    command += ["--spool", str(tmp_path / "spool")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Live: rack" in done.stdout
    assert "Rendered behind: take" in done.stdout
    there = soundfile.read(heard, dtype="float32")[0][:, 0]
    sent = soundfile.read(hum, dtype="float32")[0]
    # It begins with silence, until the first render is there.
    begin = int(np.flatnonzero(there)[0]) - int(np.flatnonzero(sent)[0])
    assert np.array_equal(there[begin : begin + RATE], sent)


def test_live_is_turned_by_osc_and_ended_by_ctrl_c(graph: Path, hum: Path, tmp_path: Path) -> None:
    """A fader of an OSC app would not be heard, or Ctrl-C would leave half a recording."""
    oscsend = program("oscsend")
    heard = tmp_path / "heard.wav"
    command = [*LIVE, str(graph), str(hum), *QUIET, "--record", str(heard)]
    command += ["--spool", str(tmp_path / "spool")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            facts = iter(process.stdout.readline, "")
            place = next(fact for fact in facts if fact.startswith("OSC on ")).split()[2]
            to = f"osc.udp://{place.rstrip(',')}"
            until(lambda: _level(heard) > 0.25, "it is heard")
            address = "/stepedit/node/rack.0/param/gain_db"
            subprocess.run([oscsend, to, address, "f", "-40"], check=True, timeout=10)
            until(lambda: 0 < _level(heard) < 0.01, "the fader is heard")
            stop = [oscsend, to, "/stepedit/transport/stop", "i", "1"]
            subprocess.run(stop, check=True, timeout=10)
            until(lambda: _level(heard) == 0, "it stops")
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, out
    assert "Stopped." in out
    assert soundfile.info(heard).frames > RATE


def _level(path: Path) -> float:
    """The peak of the last second that a recording holds by now; negative before it has one."""
    try:
        frames = soundfile.info(path).frames
    except soundfile.LibsndfileError:
        return -1.0
    if frames < RATE:
        return -1.0
    samples, _ = soundfile.read(path, start=frames - RATE, frames=RATE)
    return float(np.abs(samples).max())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "nul"], "there is no device 'nul'"),
        (["--output", "blah"], "has no output 'blah'"),
        (["--rate", "5"], "sample rate must be"),
        (["--record", "{folder}"], "directory"),
    ],
)
def test_live_says_what_is_wrong_with_a_request(
    graph: Path, hum: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    """Bad options would end in a traceback, or play silence."""
    given = [argument.format(folder=tmp_path) for argument in arguments]
    command = [*LIVE, str(graph), str(hum), *QUIET, *given, "--seconds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_that_cannot_be_read_ends_it(graph: Path, tmp_path: Path) -> None:
    """The player would play silence and leave one line far above."""
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nothing")
    command = [*LIVE, str(graph), str(broken), *QUIET, "--seconds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "broken.wav" in done.stderr
    assert "Traceback" not in done.stderr
