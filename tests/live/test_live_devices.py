from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Samples
from stepedit_fx.errors import RequestError
from stepedit_fx.live import Player, open_device
from stepedit_fx.live.jack_device import CLIENT, JackDevice
from stepedit_fx.session import Session
from tests.conftest import REPO
from tests.live.conftest import BLOCK, GENTLE, RATE, graph_text
from tests.peers import library, missing, program, until

pytestmark = pytest.mark.alone  # JACK

Opened = Callable[[str, Path], Session]


@pytest.mark.parametrize("spec", ["nul", "jack:other", "", "null:x", "sounddevic:HDMI"])
def test_a_device_that_is_none_is_refused(spec: str) -> None:
    """A misspelt --device would end in a traceback."""
    with pytest.raises(RequestError, match="there is no device"):
        open_device(spec)


@pytest.mark.parametrize(("rate", "block"), [(0, 256), (10**9, 256), (48_000, 0), (48_000, 10**6)])
def test_rates_and_blocks_have_limits(rate: int, block: int) -> None:
    """A block of no frames would never end."""
    with pytest.raises(RequestError, match="must be"):
        open_device("null", sample_rate=rate, block_frames=block)


def test_the_null_device_has_the_rate_and_block_it_is_given() -> None:
    """--rate and --block would be ignored."""
    device = open_device("null", sample_rate=44_100, block_frames=64)
    assert (device.sample_rate, device.block_frames) == (44_100, 64)


@pytest.mark.parametrize(("library", "spec"), [("jack", "jack"), ("sounddevice", "sounddevice")])
def test_a_missing_library_is_named(
    library: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra installed, nobody would know what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(RequestError, match=r"stepedit-fx\[live\]"):
        open_device(spec)


def test_a_sound_card_that_is_not_there_is_said_so() -> None:
    """A misspelt sound card would end in PortAudio's own words, or in a traceback."""
    library("sounddevice")
    with pytest.raises(RequestError, match="no output 'no such card'"):
        open_device("sounddevice:no such card")


def test_the_machines_own_sound_card_plays_or_says_why_not() -> None:
    """On a machine without a sound card --device sounddevice would crash."""
    sounddevice = library("sounddevice")
    if not any(found["max_output_channels"] for found in sounddevice.query_devices()):
        with pytest.raises(RequestError, match="take jack or null"):
            open_device("sounddevice")
        return
    device = open_device("sounddevice")
    device.start(lambda block: block.fill(0.0))
    device.stop()


# PortAudio reaches a JACK server as it does a sound card: by streams and callbacks of its own.
_PORTAUDIO = """
import sys, time
import numpy as np
from stepedit_fx.errors import RequestError
from stepedit_fx.live import open_device
try:
    device = open_device("sounddevice:system")
except RequestError as error:
    sys.exit(f"no JACK: {error}")
blocks = []
device.start(lambda block: (blocks.append(block.shape), block.fill(0.1)))
time.sleep(0.5)
device.stop()
device.stop()
made = len(blocks)
time.sleep(0.1)
assert made == len(blocks) > 20, (made, len(blocks))
assert set(blocks) == {(2, 256)}, set(blocks)
assert (device.sample_rate, device.channels) == (48_000, 2)
try:
    open_device("sounddevice:system", sample_rate=44_100).start(lambda block: None)
except RequestError as error:
    assert "cannot play at 44100 Hz" in str(error)
else:
    raise AssertionError("a rate that JACK does not have")
"""


def test_portaudio_plays(jackd: str) -> None:
    """--device sounddevice would be silent, play noise or never stop."""
    library("sounddevice")
    done = subprocess.run(
        [sys.executable, "-c", _PORTAUDIO], capture_output=True, text=True, timeout=60
    )
    if done.returncode and "no JACK: " in done.stderr:
        missing("this PortAudio was built without JACK")
    assert done.returncode == 0, done.stderr


def test_without_a_jack_server_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """JACK's own lines would fill the terminal."""
    _libjack()
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    with pytest.raises(RequestError, match="no JACK server answers"):
        JackDevice(server=f"nobody{os.getpid()}")


def _libjack() -> Any:
    try:
        import jack
    except (ImportError, OSError) as error:
        missing(str(error))
    return jack


@contextlib.contextmanager
def captured(source: str) -> Iterator[list[Samples]]:
    """What a port gives, as a list that fills up, heard by another JACK client."""
    jack = _libjack()
    client = jack.Client("ears", no_start_server=True)
    port = client.inports.register("in")
    heard: list[Samples] = []

    def process(frames: int) -> None:
        heard.append(port.get_array().copy())

    client.set_process_callback(process)
    client.activate()
    client.connect(source, port)
    try:
        yield heard
    finally:
        client.deactivate()
        client.close()


def test_jack_hears_the_sound(jackd: str, open_session: Opened, hum: Path) -> None:
    """In a DAW's patchbay the client would be silent, or not there."""
    session = open_session(graph_text(GENTLE), hum)
    device = open_device("jack")
    assert (device.sample_rate, device.block_frames) == (RATE, BLOCK)
    with Player(session, device) as player, captured(f"{CLIENT}:out_1") as heard:
        assert player.sounding.wait(30)
        until(lambda: len(heard) > 250, "the other client hears a whole turn")
        samples = np.concatenate(heard)
        client = _libjack().Client("eyes", no_start_server=True)
        links = [port.name for port in client.get_all_connections(f"{CLIENT}:out_2")]
        client.close()
    assert links == ["system:playback_2"]
    assert np.abs(samples).max() == pytest.approx(0.3, rel=0.5)
    assert player.counts.faults == 0
    player.stop()


def test_two_players_on_one_jack_server_have_two_names(jackd: str) -> None:
    """The second would be refused, or take the first one's ports."""
    first, second = open_device("jack"), open_device("jack")
    for device in (first, second):
        device.start(lambda block: block.fill(0.0))
    client = _libjack().Client("eyes", no_start_server=True)
    names = {port.name.partition(":")[0] for port in client.get_ports(f"{CLIENT}.*")}
    client.close()
    first.stop()
    second.stop()
    second.stop()
    assert len(names) == 2


def test_jack_has_a_rate_and_a_block_of_its_own(jackd: str) -> None:
    """--rate would be taken and the sound play at another pitch."""
    with pytest.raises(RequestError, match="sample rate of 48000"):
        open_device("jack", sample_rate=44_100)
    with pytest.raises(RequestError, match="block of 256"):
        open_device("jack", block_frames=64)


def test_the_sound_goes_on_when_jack_dies_and_comes_back(hum: Path, tmp_path: Path) -> None:
    """A restart of the JACK server would end the session's sound for good."""
    _libjack()
    program("jackd")
    # libjack knows one server a process, and the one that all tests share stays alive.
    command = [sys.executable, "-m", "tests.live.mortal_jack", str(hum), str(tmp_path)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "went on without a server, and came back" in done.stdout
