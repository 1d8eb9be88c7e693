"""Ctrl-C at any moment: exit 130, nothing half-written, nobody left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from stepedit_fx.provenance import file_digest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
TAKES = 60


@pytest.fixture
def takes(tmp_path: Path, short_clip: Path) -> Path:
    samples, rate = soundfile.read(short_clip, dtype="float32")
    (tmp_path / "takes").mkdir()
    for index in range(TAKES):
        soundfile.write(tmp_path / "takes" / f"{index:02}.wav", samples * (1 - index / 100), rate)
    return tmp_path / "takes"


def wait_for(condition: object, process: subprocess.Popen[str], seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def group_is_gone(group: int, seconds: float = 10) -> bool:
    """Whether no process of it is left; what has ended may still wait to be taken note of."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


IN_THE_OPEN = "os.kill(os.getpid(), signal.SIGINT)"
IN_A_CALLBACK = """
class Dying: pass
dying = Dying()
watched = weakref.ref(dying, lambda _: os.kill(os.getpid(), signal.SIGINT))
del dying
time.sleep(20)
"""


@pytest.mark.parametrize("interrupt", [IN_THE_OPEN, IN_A_CALLBACK], ids=["open", "callback"])
def test_ctrl_c_while_the_command_loads_is_quiet(interrupt: str, tmp_path: Path) -> None:
    """Someone who sees the typing mistake at once gets the prompt back, not a traceback.

    Python loses an interrupt that comes while a weak reference dies; so nobody must have to ask
    twice.
    """
    (tmp_path / "typer.py").write_text(f"import os, signal, time, weakref\n{interrupt}\n")
    command = [sys.executable, "-m", "stepedit_fx", "run", "quickstart"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


AT_THE_END = """
import os, signal, time, weakref
from stepedit_fx.interrupts import kept_interrupts
class Dying: pass
dying = Dying()
watched = weakref.ref(dying, lambda _: os.kill(os.getpid(), signal.SIGINT))
class Slow:
    def __del__(self):
        time.sleep(0.2)
        print("cleaned up")
slow = Slow()
with kept_interrupts():
    del dying
"""


def test_an_interrupt_at_the_very_end_does_not_kill_what_is_being_tidied_up() -> None:
    """The timer that would raise it again must not go off in an interpreter that shuts down."""
    command = [sys.executable, "-c", AT_THE_END]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) in [(0, "cleaned up\n"), (1, "cleaned up\n")]


# Outputs that are there when the interrupt comes; 0 is while the workers start.
@pytest.mark.parametrize(("jobs", "outputs"), [(1, 3), (2, 0), (2, 5)])
def test_ctrl_c(jobs: int, outputs: int, takes: Path, tmp_path: Path) -> None:
    """A batch stopped half-way leaves whole files only, and the same command goes on from there."""
    out, store = tmp_path / "out", tmp_path / "store"
    command = [
        *(sys.executable, "-m", "stepedit_fx", "run", "quickstart", str(takes)),
        *("-o", str(out), "--store", str(store), "--jobs", str(jobs)),
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, start_new_session=True, **pipes)  # type: ignore[call-overload]
    if outputs:
        wait_for(lambda: len(list(out.glob("*.wav"))) >= outputs, process)
    else:
        wait_for(lambda: store.is_dir(), process)  # opened just before the workers start
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 130, told
    assert "Interrupted" in told
    assert "Traceback" not in told
    assert group_is_gone(process.pid)
    done = list(out.glob("*.wav"))
    assert outputs <= len(done) < TAKES
    assert not list(out.glob(".*"))
    assert not list(store.rglob("*.tmp"))
    whole = 0
    for path in out.glob("*.json"):
        data = json.loads(path.read_text())
        whole += file_digest(out / data["output"]) == data["sha256"]
    assert whole >= outputs - 1  # the last one may have been stopped before its provenance
    for path in done:
        assert soundfile.info(path).frames > 10_000
