"""A round trip with a real Ardour, in a network namespace of its own (it binds 0.0.0.0:3819).

    unshare -n python tests/examples/ardour_inside.py headless|screen FOLDER CLIP

headless: hardour records a take through JACK, gets two markers, and has what lies between them
rendered. screen: Ardour itself under Xvfb sends the region and imports the result, by the Lua
scripts. What was seen goes to FOLDER/seen.json.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parents[2]
SCRIPTS = REPO / "examples" / "ardour"
sys.path[:0] = [str(REPO), str(SCRIPTS)]

from ardour_session import read_session  # noqa: E402
from stepedit_ardour import ARDOUR, Peer, ardour, locate, playhead, saved  # noqa: E402

from stepedit_fx.errors import RequestError  # noqa: E402
from tests.examples.serving import serving  # noqa: E402
from tests.peers import jack_server, running, until  # noqa: E402

RATE = 48_000
TRACK = "speech"
RECORDED_S = 3.0
HEADLESS_START_S = 8.0  # it takes two, or never comes
SCREEN_START_S = 20.0  # five or six
ATTEMPTS = 5

CREATE = """
AudioEngine:set_backend ("None (Dummy)", "", "")
local session = create_session (arg[1], arg[2], 48000)
session:new_audio_track (1, 2, nil, 1, "speech", ARDOUR.PresentationInfo.max_order,
  ARDOUR.TrackMode.Normal, true)
session:save_state ("")
close_session ()
quit ()
"""

# What Edit > Preferences and the script manager write: how Ardour's own LuaInstance keeps scripts.
ASSIGN = r"""
local function quoted (text) return string.format ("%q", text) end
local state = "scripts = {} "
for number = 1, 2 do
  local file = assert (io.open (arg[2 + number]))
  local text = file:read ("a")
  file:close ()
  local env = setmetatable ({ ardour = function () end }, { __index = _G })
  assert (load (text, "script", "t", env)) ()
  local params = env.action_params ()
  state = state .. string.format (
    "scripts[%d] = { n = %s, s = %s, f = %s, c = '', a = { spool = %s } } ", number,
    quoted ("stepedit " .. number), quoted (text), quoted (string.dump (env.factory, true)),
    quoted (arg[2]))
end
local out = assert (io.open (arg[1], "wb"))
out:write (state)
out:close ()
quit ()
"""

OSC_ON = (
    '<Protocol name="Open Sound Control (OSC)" active="1" debugmode="0" address-only="0" '
    'remote-port="0" banksize="0" striptypes="159" feedback="0" gainmode="0" '
    'send-page-size="0" plug-page-size="0"/>'
)
# What the window for audio setup writes; with it, Ardour connects to JACK and asks nothing.
CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config><Option name="try-autostart-engine" value="1"/></Config>
  <Extra><AudioMIDISetup><EngineStates>
    <State backend="JACK" driver="" device="" input-device="" output-device=""
      sample-rate="48000" buffer-size="256" n-periods="2" input-latency="0" output-latency="0"
      input-channels="0" output-channels="0" active="1" use-buffered-io="0" midi-option=""
      lru="1"><MIDIDevices/></State>
  </EngineStates></AudioMIDISetup></Extra>
</Ardour>
"""


def installed() -> tuple[Path, str]:
    """The folder of Ardour's programs, and the number in its name."""
    folder = max(Path("/usr/lib").glob("ardour[0-9]"))
    return folder, folder.name.removeprefix("ardour")


def environment(home: Path) -> dict[str, str]:
    folder, number = installed()
    return {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_RUNTIME_DIR": str(home),
        "LD_LIBRARY_PATH": str(folder),
        "GTK_PATH": str(folder),
        "ARDOUR_DATA_PATH": f"/usr/share/ardour{number}",
        "ARDOUR_CONFIG_PATH": f"/etc/ardour{number}",
        "ARDOUR_DLL_PATH": str(folder),
    }


def lua(home: Path, script: str, *args: str) -> None:
    """Run a script in Ardour's Lua without a window."""
    folder, _ = installed()
    path = home / "script.lua"
    path.write_text(script)
    command = [str(folder / "luasession"), str(path), *args]
    env = {**os.environ, **environment(home)}
    subprocess.run(command, env=env, check=True, timeout=60, stdout=subprocess.DEVNULL)


def new_session(home: Path, folder: Path) -> Path:
    """A session with a master bus, one track, and OSC on; its .ardour file."""
    lua(home, CREATE, str(folder), folder.name)
    path = folder / f"{folder.name}.ardour"
    text, count = re.subn(
        r'<Protocol name="Open Sound Control \(OSC\)"[^>]*/>', OSC_ON, path.read_text()
    )
    assert count == 1
    path.write_text(text)
    return path


def is_there(peer: Peer) -> bool:
    try:
        playhead(peer)
    except RequestError:
        return False
    return True


class NeverCame(Exception):
    """Ardour was started and answers nothing."""


@contextmanager
def answering(command: list[str], log: Path, env: dict[str, str], start_s: float) -> Iterator[Peer]:
    """Ardour, once it answers."""
    with running(command, log=log, env=env), ardour(ARDOUR) as peer:
        try:
            until(lambda: is_there(peer), "Ardour answers", patience_s=start_s, every_s=0.1)
        except pytest.fail.Exception as late:
            raise NeverCame(str(late)) from late
        yield peer


@contextmanager
def hardour(home: Path, session: Path) -> Iterator[Peer]:
    """Ardour without a window, once it stands still: it starts rolling by itself."""
    folder, _ = installed()
    program = next(folder.glob("hardour-*"))
    command = [str(program), "-c", "hardour", "-P", str(session.parent), session.stem]
    with answering(command, home / "hardour.log", environment(home), HEADLESS_START_S) as peer:
        peer.send("/transport_stop")
        until(lambda: speed(peer) == 0, "hardour stops")
        yield peer


@contextmanager
def window(home: Path, session: Path, spool: Path) -> Iterator[Peer]:
    """Ardour on a screen nobody sees, with our scripts as actions 1 and 2."""
    folder, number = installed()
    config = home / ".config" / f"ardour{number}"
    config.mkdir(parents=True, exist_ok=True)
    (config / f".a{number}").touch()  # "been here before": no wizard
    (config / "config").write_text(CONFIG)
    state = home / "scripts.lua"
    names = ("stepedit_send_region.lua", "stepedit_import.lua")
    lua(home, ASSIGN, str(state), str(spool), *(str(SCRIPTS / name) for name in names))
    (config / "ui_scripts").write_text(
        '<UIScripts><ActionScript lua="Lua 5.3">'
        f"{base64.b64encode(state.read_bytes()).decode()}</ActionScript><ActionHooks/></UIScripts>"
    )
    screen = f":{200 + os.getpid() % 700}"
    xvfb = ["Xvfb", screen, "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    program = next(folder.glob("ardour-[0-9]*"))
    env = {**environment(home), "DISPLAY": screen}
    command = [str(program), "--no-splash", "-n", str(session)]
    with running(xvfb, log=home / "xvfb.log"):
        time.sleep(1)
        with answering(command, home / "ardour.log", env, SCREEN_START_S) as peer:
            os.environ["DISPLAY"] = screen
            yield peer


def speed(peer: Peer) -> float:
    return float(str(peer.ask("/transport_speed").args[0]))


def recorded(peer: Peer, clip: Path) -> None:
    """Record a clip that a JACK client plays into the track, from the session's start."""
    import jack
    import soundfile
    import soxr

    samples, rate = soundfile.read(clip, dtype="float32")
    samples = soxr.resample(samples, rate, RATE)
    client = jack.Client("player")
    out = client.outports.register("out")
    place = 0
    plays = False

    @client.set_process_callback  # type: ignore[untyped-decorator,unused-ignore]
    def process(frames: int) -> None:
        nonlocal place
        buffer = out.get_array()
        buffer[:] = 0
        if plays:
            block = samples[place : place + frames]
            buffer[: len(block)] = block
            place += frames

    with client:
        (port,) = client.get_ports(f"hardour:{TRACK}/audio_in 1")
        client.connect(out, port)
        locate(peer, 0)
        peer.ask("/strip/list", answer="#reply")  # or track 1 is "no such strip"
        peer.send("/strip/recenable", 1, 1)
        peer.send("/rec_enable_toggle", 1)
        time.sleep(0.3)
        plays = True
        peer.send("/transport_play")
        until(lambda: playhead(peer) >= RECORDED_S * RATE, "it records")
        peer.send("/transport_stop")
        until(lambda: speed(peer) == 0, "it stops")
        peer.send("/strip/recenable", 1, 0)


def marked(peer: Peer, name: str, seconds: float) -> None:
    locate(peer, round(seconds * RATE))
    peer.send("/add_marker", name)


def bridge(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / "stepedit_ardour.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def headless(folder: Path, clip: Path) -> dict[str, Any]:
    home = folder / "home"
    session = new_session(home, folder / "takes")
    with serving(folder, port=9100, notify=3820) as (_, spool), hardour(home, session) as peer:
        silent = bridge("render", str(session), TRACK)
        recorded(peer, clip)
        marked(peer, "from", 0.75)
        marked(peer, "to", 2.25)
        locate(peer, RATE)
        done = bridge("render", str(session), TRACK, "--spool", str(spool))
        named = bridge("render", str(session), TRACK, "--between", "to", "nowhere")
        back = playhead(peer)
        saved(peer)
    (document,) = (json.loads(path.read_text()) for path in spool.glob("*.json"))
    return {
        "before": [silent.returncode, silent.stderr],
        "render": [done.returncode, done.stdout, done.stderr],
        "unknown": [named.returncode, named.stderr],
        "playhead": back,
        "document": document,
        "markers": read_session(session).markers,
        "session": str(session),
    }


def screen(folder: Path, session: Path) -> dict[str, Any]:
    home = folder / "home"
    before = read_session(session)
    spool = folder / "spool"
    listen = [sys.executable, str(SCRIPTS / "stepedit_ardour.py"), "listen", "--spool", str(spool)]
    with (
        serving(folder, port=9100, notify=3820),
        running([*listen, "--action", "2"], log=folder / "listen.log"),
        window(home, session, spool) as peer,
    ):
        time.sleep(2)  # OSC answers before the window is all there
        peer.send("/access_action", "Editor/select-all-objects")
        time.sleep(0.5)
        peer.send("/access_action", "LuaAction/script-1")

        def is_imported() -> bool:
            saved(peer)
            return len(read_session(session).tracks) > len(before.tracks)

        try:
            until(is_imported, "the result is imported", patience_s=20, every_s=0.5)
        finally:
            picture(folder / "screen.png")
        time.sleep(0.5)
        saved(peer)
    after = read_session(session)
    (new,) = after.tracks.keys() - before.tracks.keys()
    return {
        "track": new,
        "regions": [(region.position_s, region.length_s) for region in after.tracks[new]],
        "old": [
            [region.length_s for region in tracks[TRACK]]
            for tracks in (before.tracks, after.tracks)
        ],
        "markers": after.markers,
        "listened": (folder / "listen.log").read_text(),
    }


def picture(path: Path) -> None:
    """What is on the screen, where ImageMagick is there to take it."""
    if shutil.which("import"):
        subprocess.run(["import", "-window", "root", str(path)], check=False, timeout=20)


def round_trip(mode: str, folder: Path, source: Path) -> dict[str, Any]:
    """One try, with its own JACK server. source: the clip, or the session to open a copy of."""
    with jack_server(folder):
        if mode == "headless":
            return headless(folder, source)
        session = folder / source.parent.name / source.name
        shutil.copytree(source.parent, session.parent)
        return screen(folder, session)


def is_lost(folder: Path, error: BaseException) -> bool:
    """Whether Ardour and JACK lost one another, which is nothing of ours.

    Some one in six of its starts (7.3, on JACK 1.9.21) ends with two of its threads writing to the
    socket at once, and waiting for an answer for ever; JACK does not always notice.
    """
    told = (folder / "jackd.log").read_text(errors="replace")
    return isinstance(error, NeverCame) or "Unknown request" in told


def main() -> None:
    mode, folder, source = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for attempt in range(1, ATTEMPTS + 1):
        here = folder / f"{mode}-{attempt}"
        (here / "home").mkdir(parents=True)
        try:
            seen = round_trip(mode, here, source)
            break
        except (Exception, pytest.fail.Exception) as error:
            if attempt == ATTEMPTS or not is_lost(here, error):
                raise
    (folder / "seen.json").write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
