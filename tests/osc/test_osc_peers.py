"""Programs that other people wrote: liblo's oscsend and oscdump, python-osc, and Pure Data."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pythonosc.tcp_client import SimpleTCPClient
from pythonosc.udp_client import SimpleUDPClient

from tests.osc.conftest import Served
from tests.peers import free_port, program, running, until

STRENGTH = "/stepedit/node/emotion/param/strength"
RATIO = "/stepedit/node/effects.1/param/ratio"
PATCH = Path(__file__).with_name("peer.pd")


def oscsend(port: int, address: str, tags: str = "", *values: str) -> None:
    command = [program("oscsend"), f"osc.udp://127.0.0.1:{port}", address]
    subprocess.run([*command, *([tags] if tags else []), *values], check=True, timeout=10)


def test_oscsend_turns_a_knob(served: Served) -> None:
    """The command line of liblo, as the documentation shows it."""
    oscsend(served.service.port, STRENGTH, "f", "0.375")
    until(lambda: served.session.value(STRENGTH) == 0.375, "the value is set")
    oscsend(served.service.port, "/stepedit/node/effects.1/bypass", "T")
    bypass = "/stepedit/node/effects.1/bypass"
    until(lambda: served.session.value(bypass) is True, "the effect is bypassed")
    oscsend(served.service.port, bypass, "i", "0")
    until(lambda: served.session.value(bypass) is False, "it is on again")


def test_oscdump_shows_what_a_subscriber_hears(served: Served, tmp_path: Path) -> None:
    """What we send is read by liblo: the address, the tags and the values."""
    served.session.set({RATIO: 2.5})
    log, port = tmp_path / "dump.log", free_port()
    with running([program("oscdump"), "-L", str(port)], log=log):

        def heard() -> str:
            oscsend(served.service.port, "/stepedit/subscribe", "isi", "1", RATIO, str(port))
            return log.read_text()

        until(lambda: f"{RATIO} f 2.5" in heard(), "oscdump shows the value", every_s=0.3)
        served.session.set({RATIO: 3.5})
        until(lambda: f"{RATIO} f 3.5" in log.read_text(), "oscdump shows the change")


def test_a_pd_patch_turns_a_knob_and_sees_it_move(served: Served, tmp_path: Path) -> None:
    """Pure Data, by netsend and oscformat, and back through oscparse, value clamped."""
    log = tmp_path / "pd.log"
    lists = f"port {served.service.port}; watch 1; turn 5"
    command = [program("pd"), "-nogui", "-noaudio", "-nomidi", "-stderr", "-noprefs"]
    served.session.set({STRENGTH: 0.25})
    with running([*command, "-send", lists, str(PATCH)], log=log):
        until(lambda: served.session.value(STRENGTH) == 1.0, "the patch turned the knob")
        shown = "heard: list stepedit node emotion param strength"
        until(lambda: f"{shown} 1" in log.read_text(), f"Pd heard the echo: {log.read_text()}")
        served.session.set({STRENGTH: 0.5})
        until(lambda: f"{shown} 0.5" in log.read_text(), "Pd heard the change")


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_python_osc_is_understood(served: Served, kind: str) -> None:
    """Scripts that use python-osc work, over both transports."""
    served.session.set({STRENGTH: 0.25})
    if kind == "udp":
        udp = SimpleUDPClient("127.0.0.1", served.service.port)
        udp.send_message(STRENGTH, 0.75)
        until(lambda: served.session.value(STRENGTH) == 0.75, "the value is set")
        udp._sock.close()
        return
    with SimpleTCPClient("127.0.0.1", served.service.port, mode="1.1") as tcp:
        tcp.send_message(STRENGTH, 0.75)
        until(lambda: served.session.value(STRENGTH) == 0.75, "the value is set")
