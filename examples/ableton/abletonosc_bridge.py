"""Have stepedit-fx render the clip that is selected in Ableton Live, by AbletonOSC.

    abletonosc_bridge.py            once, the clip that is selected now

AbletonOSC (https://github.com/ideoforms/AbletonOSC) listens on 11000 and answers to 11001. It
cannot import a file: this says where the result lies, to be dragged into the set. StepEdit.maxpat
imports it.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import time
from collections.abc import Callable

from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.osc.wire import Arg, Message, decode, encode

PATIENCE_S = 2.0  # Live looks at its messages every 100 ms
ENDS = ("/stepedit/render/done", "/stepedit/render/failed")


class Peer:
    """A program that is spoken to by OSC over UDP. port: where its answers come, 0 for any."""

    def __init__(self, address: tuple[str, int], port: int, silence: str, remedy: str) -> None:
        self._address = address
        self._silence, self._remedy = silence, remedy
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._link.bind(("127.0.0.1", port))
        except OSError as error:
            raise RequestError(
                f"cannot listen at port {port}: {error.strerror}",
                remedy="Another program that speaks with AbletonOSC runs; end it.",
            ) from error

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._link.close()

    def send(self, address: str, *args: Arg, tags: str = "") -> None:
        """Say something."""
        self._link.sendto(encode(Message(address, args, tags)), self._address)

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
            except RequestError:  # no packet; the next may be the answer
                continue
            if isinstance(packet, Message) and wanted(packet):
                return packet
        raise RequestError(self._silence, remedy=self._remedy)

    def ask(self, address: str, *args: Arg) -> tuple[Arg, ...]:
        """AbletonOSC's answer, which has the address of the question and begins as it did."""
        self.send(address, *args)
        answer = self.heard(lambda m: m.address == address and m.args[: len(args)] == args)
        return answer.args[len(args) :]


def selected(live: Peer) -> tuple[str, tuple[float, float] | None]:
    """The file of the selected clip, and what of it plays (s); None for all of it.

    Raises RequestError. A warped clip's places are in beats, which AbletonOSC does not turn into
    seconds, so all of its file is taken.
    """
    track, slot = (int(str(n)) for n in live.ask("/live/view/get/selected_clip")[:2])
    if not live.ask("/live/clip_slot/get/has_clip", track, slot)[0]:
        raise RequestError(f"track {track}, slot {slot}: there is no clip", remedy="Select one.")
    if not live.ask("/live/clip/get/is_audio_clip", track, slot)[0]:
        raise RequestError(f"track {track}, slot {slot}: a MIDI clip", remedy="Select audio.")
    path = str(live.ask("/live/clip/get/file_path", track, slot)[0])
    if live.ask("/live/clip/get/warping", track, slot)[0]:
        return path, None
    start, end = (
        live.ask(f"/live/clip/get/{place}", track, slot)[0] for place in ("loop_start", "loop_end")
    )
    return path, (float(str(start)), float(str(end)))


def rendered(daemon: Peer, path: str, span_s: tuple[float, float] | None, timeout_s: float) -> str:
    """Where the result lies. Raises RequestError."""
    daemon.send("/stepedit/ping", 1)
    daemon.heard(lambda message: message.address == "/stepedit/reply")
    number = random.randrange(1, 1 << 31)
    tags = "is" + ("dd" if span_s else "") + "s"
    daemon.send("/stepedit/render", number, path, *(span_s or ()), "live", tags=tags)
    end = daemon.heard(
        lambda m: (
            (m.address in ENDS and m.args[:1] == (number,))
            or (m.address == "/stepedit/error" and m.args[1:2] == (number,))
        ),
        patience_s=timeout_s,
    )
    if end.address != ENDS[0]:
        raise RequestError(f"stepedit-fx did not render it: {end.args[-1]!s}")
    return str(end.args[1])


def main() -> int:
    """Exit code 0 where there is a result, 1 where there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--live-port", type=int, default=11000, help="AbletonOSC's")
    parser.add_argument("--answer-port", type=int, default=11001, help="where it answers")
    parser.add_argument("--daemon-port", type=int, default=9100, help="stepedit-fx serve's")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
    args = parser.parse_args()
    live_at, daemon_at = ("127.0.0.1", args.live_port), ("127.0.0.1", args.daemon_port)
    try:
        with Peer(
            live_at,
            args.answer_port,
            "AbletonOSC does not answer",
            "Choose it in Live's settings, Link/Tempo/MIDI, as a control surface.",
        ) as live:
            path, span_s = selected(live)
        print(f"{path}: {f'{span_s[0]:.3f} to {span_s[1]:.3f} s' if span_s else 'all of it'}")
        with Peer(
            daemon_at, 0, "stepedit-fx does not answer", "Start it: stepedit-fx serve GRAPH"
        ) as daemon:
            result = rendered(daemon, path, span_s, args.timeout)
    except StepEditError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{result}\n  AbletonOSC cannot import it: drag it into the set.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
