"""MIDI ports of a JACK server, through JACK-Client.

Not through RtMidi, as found by running it (python-rtmidi 1.5.8, jackd2 1.9.21): it opens clients
with Python's lock held, which stops a JACK graph with a Python callback in it for a second; its
callback would turn the session inside JACK's own thread; and closing its ports after the server
has ended crashes the process.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from stepedit_fx.midi.names import OURS, nearest

logger = logging.getLogger(__name__)

Heard = Callable[[list[int]], None]
STOP_S = 2.0
MAX_WAITING = 4096  # messages out; far more than a cable carries in a period


class JackPorts:
    """One client with an input and an output. JACK's thread only hands messages over."""

    def __init__(self, client: Any, heard: Heard) -> None:
        self.device = ""
        self._client = client
        self._heard = heard
        self._ended = False
        self._in = client.midi_inports.register("midi_in")
        self._out = client.midi_outports.register("midi_out")
        self._came: SimpleQueue[bytes | None] = SimpleQueue()
        self._going: deque[bytes] = deque(maxlen=MAX_WAITING)
        client.set_process_callback(self._process)
        client.set_shutdown_callback(self._shut_down)
        self._thread = threading.Thread(target=self._listen, name="midi in", daemon=True)
        self._thread.start()
        client.activate()

    @classmethod
    def opened(cls, name: str | None, virtual: bool, heard: Heard) -> JackPorts | None:
        """The ports, connected to a device whose name contains this; None where there is none.

        virtual: ports under this name, which others connect to. Raises RuntimeError where no
        server runs.
        """
        client = _client((name if virtual else None) or OURS)
        device = name or OURS
        if not virtual:
            found = nearest(name, _names(client, is_output=True))
            if found is None:
                client.close()
                return None
            device = found
        ports = cls(client, heard)
        ports.device = device
        if not virtual:
            ports._connect(device)
        return ports

    def _connect(self, device: str) -> None:
        """Raises RuntimeError where the device is unplugged at this moment."""
        import jack

        try:
            self._plug(device)
        except jack.JackError as error:
            self.close()
            raise RuntimeError(str(error)) from error

    def _plug(self, device: str) -> None:
        self._client.connect(device, self._in)
        outputs = _names(self._client, is_input=True)
        # A device's two ports belong to one client, whose name stands before the colon.
        target = nearest(device, outputs) or nearest(device.partition(":")[0] + ":", outputs)
        if target is not None:
            self._client.connect(self._out, target)

    # JACK's threads

    def _process(self, frames: int) -> None:
        for _, data in self._in.incoming_midi_events():
            self._came.put(bytes(data))
        self._out.clear_buffer()
        going = self._going
        for _ in range(len(going)):
            data = going.popleft()
            try:
                self._out.write_midi_event(0, data)
            except Exception:  # noqa: BLE001 - the period is full: the rest goes with the next
                going.appendleft(data)
                break

    def _shut_down(self, status: Any, reason: str) -> None:
        self._ended = True

    # Our thread

    def _listen(self) -> None:
        while (data := self._came.get()) is not None:
            self._heard(list(data))

    # Everybody's

    def is_there(self) -> bool:
        """Whether the server runs and the device is still plugged in."""
        if self._ended:
            return False
        return any(port.name == self.device for port in self._connected()) or self._is_virtual()

    def _connected(self) -> list[Any]:
        return list(self._in.connections)

    def _is_virtual(self) -> bool:
        return ":" not in self.device

    def send(self, data: Sequence[int]) -> None:
        """Send one message with the next period; the oldest gives way where too many wait."""
        self._going.append(bytes(data))

    def close(self) -> None:
        self._came.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_S)
        if self._ended:
            # libjack frees clients of a server that has ended by itself, and a second time crashes
            # the process. One reference too many keeps garbage collection from closing it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._client))
        else:
            self._client.deactivate()
            self._client.close()


def _client(name: str) -> Any:
    import jack

    try:
        return jack.Client(name, no_start_server=True)
    except jack.JackError as error:
        raise RuntimeError(f"no JACK server answers ({error})") from error


def _names(client: Any, **side: bool) -> list[str]:
    return [port.name for port in client.get_ports(is_midi=True, **side)]


def listed() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of inputs and outputs. Raises RuntimeError where no server runs."""
    client = _client(f"{OURS}-probe")
    try:
        return tuple(_names(client, is_output=True)), tuple(_names(client, is_input=True))
    finally:
        client.close()
