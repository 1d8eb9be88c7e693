"""Between Ardour and `stepedit-fx serve`: have a range of a track rendered, and say what came.

    stepedit_ardour.py render SESSION.ardour TRACK    the range between the markers at the playhead
    stepedit_ardour.py listen --spool DIR             announce whatever the daemon finishes

Ardour's OSC cannot import a file. So a result is announced by a marker that is named after the
file, and handed to stepedit_import.lua, which Ardour runs when it is told to (--action 2).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ardour_session import between, read_session, recording

from stepedit_fx.errors import ReadError, RequestError, StepEditError, WriteError
from stepedit_fx.osc.wire import Arg, Message, decode, encode

ARDOUR = ("127.0.0.1", 3819)
DAEMON = ("127.0.0.1", 9100)
FINISHED = "/stepedit/finished"
PATIENCE_S = 3.0  # for answers that take Ardour a few ms, or the time to save a session
FEEDBACK = 16  # transport, session and markers, of the bits of /set_surface/feedback
_JOB_ID = re.compile(r"[0-9a-f-]{1,64}")
_NOTE = re.compile(r"ardour:(\d{1,15}):(\d{1,7})")  # of stepedit_send_region.lua: samples, rate


class Peer:
    """A program that is spoken to by OSC over UDP. name: what to call it when it is silent."""

    def __init__(self, address: tuple[str, int], name: str, remedy: str) -> None:
        self._name = f"{name} at {address[0]}:{address[1]}"
        self._remedy = remedy
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.connect(address)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._link.close()

    def send(self, address: str, *args: Arg, tags: str = "") -> None:
        """Say something."""
        try:
            self._link.send(encode(Message(address, args, tags)))
        except OSError as error:
            raise self._silent(str(error)) from error

    def heard(
        self, wanted: Callable[[Message], bool], *, patience_s: float = PATIENCE_S
    ) -> Message:
        """The next message that is wanted. Raises RequestError where none comes."""
        end_s = time.monotonic() + patience_s
        while (left_s := end_s - time.monotonic()) > 0:
            self._link.settimeout(left_s)
            try:
                packet = decode(self._link.recv(65536))
            except TimeoutError:
                break
            except RequestError:  # a packet that is none; the next may be the answer
                continue
            except OSError as error:
                raise self._silent(str(error)) from error
            if isinstance(packet, Message) and wanted(packet):
                return packet
        raise self._silent("")

    def ask(self, address: str, *args: Arg, answer: str = "") -> Message:
        """Say something and wait for its answer, by default of the same address."""
        self.send(address, *args)
        return self.heard(lambda message: message.address == (answer or address))

    def _silent(self, why: str) -> RequestError:
        return RequestError(
            f"{self._name} does not answer{f' ({why})' if why else ''}", remedy=self._remedy
        )


def ardour(address: tuple[str, int]) -> Peer:
    """Ardour with its OSC surface on."""
    return Peer(
        address,
        "Ardour",
        "Turn on Edit > Preferences > Control Surfaces > Open Sound Control (OSC).",
    )


def saved(peer: Peer) -> None:
    """Have Ardour save its session, so that its file says what is on the screen."""
    peer.ask("/set_surface/feedback", FEEDBACK, answer="/session_name")
    peer.ask("/save_state", answer="/session_name")
    peer.send("/set_surface/feedback", 0)


def playhead(peer: Peer) -> int:
    """Where Ardour's playhead is, in samples."""
    return int(str(peer.ask("/transport_frame").args[0]))


def locate(peer: Peer, position: int) -> None:
    """Put the playhead somewhere; Ardour does so some time after it was told."""
    peer.send("/locate", position, 0)
    end_s = time.monotonic() + PATIENCE_S
    while playhead(peer) != position:
        if time.monotonic() > end_s:
            raise RequestError(f"Ardour does not go to sample {position}")
        time.sleep(0.02)


def until_stopped(peer: Peer) -> None:
    """Wait while Ardour rolls: to locate would end a recording."""
    while peer.ask("/transport_speed").args[0] != 0:
        time.sleep(0.5)


def announce(
    peer: Peer, path: Path, position: int, *, spool: Path | None, action: int | None
) -> None:
    """A marker where a result belongs, and its import where a script is there to do it.

    position: samples on the timeline. The playhead goes back to where it was.
    """
    until_stopped(peer)
    before = playhead(peer)
    locate(peer, position)
    peer.send("/add_marker", f"stepedit: {path.name}")
    locate(peer, before)
    if spool is not None and action is not None:
        queue = spool / "ardour.queue"
        try:
            with queue.open("a", encoding="utf-8") as lines:
                lines.write(f"{position}\t{path.resolve()}\n")
        except OSError as error:
            raise WriteError.of(queue, error.strerror or str(error)) from error
        peer.send("/access_action", f"LuaAction/script-{action}")
    print(f"{path}\n  belongs at {position} samples; a marker in Ardour says so.")


def render(args: argparse.Namespace) -> None:
    """Render what a track plays between two markers. Raises StepEditError."""
    with ardour(args.ardour) as peer:
        saved(peer)
        session = read_session(args.session)
        playhead_s = playhead(peer) / session.sample_rate
        start_s, end_s = between(session, playhead_s, args.between)
        region, from_s, to_s = recording(session, args.track, start_s, end_s)
        print(f"{region.path}: {from_s:.3f} to {to_s:.3f} s")
        done = rendered(args, region.path, from_s, to_s)
        _id, path, at_s, length_s, rate = map(str, done.args)
        print(f"{float(length_s):.3f} s at {rate} Hz")
        position_s = region.position_s + float(at_s) - region.start_s
        position = round(position_s * session.sample_rate)
        announce(peer, Path(path), position, spool=args.spool, action=args.action)


def rendered(args: argparse.Namespace, path: Path, from_s: float, to_s: float) -> Message:
    """The daemon's /stepedit/render/done. Raises RequestError where it fails or is silent."""
    number = random.randrange(1, 1 << 31)
    ends = {"/stepedit/render/done": 0, "/stepedit/render/failed": 0, "/stepedit/error": 1}
    with Peer(args.daemon, "stepedit-fx", "Start it: stepedit-fx serve GRAPH --root DIR") as daemon:
        daemon.ask("/stepedit/ping", 1, answer="/stepedit/reply")
        tags = "isdds"  # doubles: a float of an hour in seconds is off by samples
        daemon.send("/stepedit/render", number, str(path), from_s, to_s, "ardour", tags=tags)
        end = daemon.heard(
            lambda message: (
                message.address in ends
                and len(message.args) > ends[message.address]
                and message.args[ends[message.address]] == number
            ),
            patience_s=args.timeout,
        )
    if end.address != "/stepedit/render/done":
        raise RequestError(f"stepedit-fx did not render it: {end.args[-1]!s}")
    return end


def listen(args: argparse.Namespace) -> None:
    """Announce what `serve --notify HOST:PORT/stepedit/finished` tells of, until interrupted."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link,
        ardour(args.ardour) as peer,
    ):
        try:
            link.bind(("127.0.0.1", args.port))
        except OSError as error:
            raise RequestError(
                f"cannot listen at port {args.port}: {error.strerror}",
                remedy="Give another --port, here and in serve's --notify.",
            ) from error
        print(f"listening at 127.0.0.1:{link.getsockname()[1]}", flush=True)
        while True:
            try:
                packet = decode(link.recv(65536))
                if isinstance(packet, Message) and packet.address == FINISHED and packet.args:
                    finished(peer, args, str(packet.args[0]))
            except StepEditError as error:
                print(error, file=sys.stderr)
            sys.stdout.flush()


def finished(peer: Peer, args: argparse.Namespace, job_id: str) -> None:
    """Announce one render that stepedit_send_region.lua asked for. Raises StepEditError."""
    document = job(args.spool, job_id)
    found = _NOTE.fullmatch(str(document.get("note", "")))
    if found is None:
        return  # somebody else's
    position, rate = map(int, found.groups())
    span = document.get("span_s") or (0.0, 0.0)
    for file in document["files"]:
        path = inside(args.spool, Path(file["path"]))
        later = round((float(file["start_s"]) - float(span[0])) * rate)
        announce(peer, path, max(position + later, 0), spool=args.spool, action=args.action)


def job(spool: Path, job_id: str) -> dict[str, Any]:
    """The document of a render. Raises RequestError, ReadError."""
    if not _JOB_ID.fullmatch(job_id):
        raise RequestError(f"'{job_id[:80]}' is no id of a render")
    path = spool / f"{job_id}.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "Give the --spool of stepedit-fx serve."
        raise ReadError.of(path, error.strerror or str(error), remedy) from error
    except ValueError as error:
        raise ReadError.of(path, f"no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        raise ReadError.of(path, "no document of a render")
    return document


def inside(spool: Path, path: Path) -> Path:
    """The path, if it is a file in the spool folder. Raises RequestError."""
    real = path.resolve()
    if not real.is_relative_to(spool.resolve()) or not real.is_file():
        raise RequestError(f"{path} is no file in {spool}")
    return real


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise argparse.ArgumentTypeError(f"'{text}' is no HOST:PORT")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("render", help="render what a track plays between two markers")
    one.set_defaults(run=render)
    one.add_argument("session", type=Path, help="the session's .ardour file")
    one.add_argument("track", help="the name of an audio track")
    one.add_argument("--between", nargs=2, metavar=("FROM", "TO"), help="two markers by name")
    one.add_argument("--daemon", type=_address, default=DAEMON, metavar="HOST:PORT")
    one.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    other = commands.add_parser("listen", help="announce what the daemon finishes")
    other.set_defaults(run=listen)
    other.add_argument("--port", type=int, default=3820, help="the one of serve's --notify")
    for command in (one, other):
        command.add_argument("--ardour", type=_address, default=ARDOUR, metavar="HOST:PORT")
        command.add_argument(
            "--spool", type=Path, required=command is other, help="the --spool of serve"
        )
        command.add_argument(
            "--action", type=int, metavar="N", help="which Lua action stepedit_import.lua is"
        )
    return parser


def main() -> int:
    """Exit code 0 where it is done, 1 where it could not be, 130 where it was interrupted."""
    args = _parser().parse_args()
    try:
        args.run(args)
    except StepEditError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
