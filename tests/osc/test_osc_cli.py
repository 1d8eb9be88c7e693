"""`stepedit-fx serve` and `stepedit-fx osc`, as processes."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stepedit_fx.cli.control import control_options
from stepedit_fx.errors import RequestError, StepEditError
from tests.osc.conftest import Served
from tests.peers import free_port, running, until

STRENGTH = "/stepedit/node/emotion/param/strength"
COMMAND = [sys.executable, "-m", "stepedit_fx"]


def stepedit(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=60)


def test_serve_says_where_it_is_and_ends_cleanly(tmp_path: Path, short_clip: Path) -> None:
    """Whoever starts the daemon reads what it does; Ctrl-C ends it with exit code 0."""
    log = tmp_path / "serve.log"
    args = ["serve", "quickstart", "--input", str(short_clip), "--port", "0", "--no-http"]
    args += ["--spool", str(tmp_path / "spool"), "--set", "emotion.strength=0.5"]
    with running([*COMMAND, *args], log=log) as process:
        until(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, "it starts")
        found = re.search(r"OSC on 127\.0\.0\.1:(\d+)", log.read_text())
        assert found, log.read_text()
        peer = f"127.0.0.1:{found[1]}"
        assert (
            f"{STRENGTH} ,f 0.5" in stepedit("osc", "send", peer, STRENGTH, "--wait", "0.5").stdout
        )
        rows = json.loads(stepedit("osc", "browse", peer, "//strength", "--json").stdout)
        assert [row["value"] for row in rows] == [0.5]
        done = stepedit("osc", "send", peer, "/stepedit/render", "1", "--tcp", "--wait", "3")
        assert "/stepedit/render/done ,isffi 1" in done.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    assert "Stopped." in log.read_text()
    assert "Traceback" not in log.read_text()


def test_values_are_sent_as_what_they_look_like(served: Served) -> None:
    """-3.5 is a number, not an option; types can be forced."""
    peer = f"127.0.0.1:{served.service.port}"
    threshold = "/stepedit/node/effects.1/param/threshold_db"
    assert stepedit("osc", "send", peer, threshold, "-3.5").returncode == 0
    until(lambda: served.session.value(threshold) == -3.5, "the value is set")
    shown = stepedit("osc", "send", peer, STRENGTH, "1", "--types", "s", "--wait", "0.3").stdout
    assert "/stepedit/error" in shown


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["send", "nowhere", "/a"], "HOST:PORT"),
        (["send", "127.0.0.1:9", "a"], "slash"),
        (["send", "127.0.0.1:9", "/a", "1", "--types", "ii"], "2 values"),
        (["send", "127.0.0.1:9", "/a", "x", "--types", "i"], "no value"),
        (["send", "127.0.0.1:9", "/a", "1", "--types", "q"], "knows no"),
        (["browse", "127.0.0.1:1"], "refused"),
    ],
)
def test_wrong_arguments_are_told(args: list[str], says: str) -> None:
    """A mistake on the command line is a sentence, not a traceback."""
    done = stepedit("osc", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_listen_prints_what_comes(tmp_path: Path) -> None:
    """Somebody who tries out a surface sees what it sends, rubbish too."""
    log, port = tmp_path / "listen.log", free_port()
    with running([*COMMAND, "osc", "listen", str(port), "--count", "2"], log=log) as process:
        until(lambda: "Listening" in log.read_text(), "it listens")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"rubbish", ("127.0.0.1", port))
        stepedit("osc", "send", f"127.0.0.1:{port}", "/a/b", "1", "2.5", "x", "true")
        assert process.wait(15) == 0
    assert "no OSC packet" in log.read_text()
    assert "/a/b ,ifsT 1 2.5 'x' True" in log.read_text()


def test_a_port_in_use_names_its_holder(served: Served) -> None:
    """The second daemon on a port says who has it."""
    port = str(served.service.port)
    done = stepedit("serve", "quickstart", "--port", port, "--no-http")
    assert done.returncode == 2
    assert f"UDP port {port} of 127.0.0.1 is in use" in done.stderr
    if sys.platform == "linux":
        assert "(process " in done.stderr


GIVEN: dict[str, object] = {
    "host": "127.0.0.1", "port": 0, "token": "", "token_file": None, "roots": None,
    "source": None, "http": 0, "no_http": True, "mdns": False, "notify": None, "midi": None,
    "midi_port": None,
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"notify": ["127.0.0.1:8000"]},
        {"notify": ["127.0.0.1/a"]},
        {"notify": ["127.0.0.1:99999/a"]},
        {"roots": [Path("/nowhere")]},
        {"midi_port": "x"},
        {"host": "0.0.0.0"},
        {"token": "a", "token_file": Path("b")},
        {"token_file": Path("/nowhere")},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    """Nothing is started with options that cannot be meant."""
    with pytest.raises(StepEditError):
        control_options(**{**GIVEN, **wrong})  # type: ignore[arg-type]


def test_options_are_what_was_given(tmp_path: Path) -> None:
    """The token comes out of its file, the root is the input's folder, notify is split."""
    (tmp_path / "token").write_text("sesame\n")
    given = {
        **GIVEN,
        "token_file": tmp_path / "token",
        "source": tmp_path / "a.wav",
        "notify": ["127.0.0.1:8000/x/y", "[::1]:8001/z"],
    }
    osc = control_options(**given).osc  # type: ignore[arg-type]
    assert osc.token == "sesame"
    assert osc.roots == (tmp_path,)
    assert osc.notify == (("127.0.0.1", 8000, "/x/y"), ("::1", 8001, "/z"))
    (tmp_path / "token").write_text("\n")
    with pytest.raises(RequestError):
        control_options(**given)  # type: ignore[arg-type]
