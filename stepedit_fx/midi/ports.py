"""MIDI ports through python-rtmidi: found, opened, watched, and left alone once they are dead.

RtMidi itself and not mido's ports on it: those close a JACK port in a way that crashes the
process when the JACK server is gone (python-rtmidi 1.5.8), and cannot say whether it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stepedit_fx.errors import RequestError

logger = logging.getLogger(__name__)

# Our names of the systems -> RtMidi's.
BACKENDS = MappingProxyType(
    {
        "alsa": "API_LINUX_ALSA",
        "jack": "API_UNIX_JACK",
        "coremidi": "API_MACOSX_CORE",
        "windows": "API_WINDOWS_MM",
    }
)
DEFAULT_NAME = "stepedit"
_OURS = f"{DEFAULT_NAME}-"  # what our own clients' names start with
_PROBE = f"{_OURS}probe"
# Ports of a server that is gone. Closing one, or only forgetting it, crashes the process.
_DEAD: list[Any] = []


@dataclass(frozen=True)
class Listing:
    """The ports of one system by name, or why it has none."""

    backend: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    error: str = ""


def _rtmidi() -> Any:
    try:
        import rtmidi
    except ImportError as error:
        raise RequestError(
            "MIDI ports need python-rtmidi", remedy="pip install 'stepedit-fx[midi]'"
        ) from error
    return rtmidi


def compiled() -> tuple[str, ...]:
    """The systems that this python-rtmidi was built for."""
    rtmidi = _rtmidi()
    there = rtmidi.get_compiled_api()
    return tuple(name for name, api in BACKENDS.items() if getattr(rtmidi, api, None) in there)


def list_ports(backend: str) -> Listing:
    """The ports of a system now."""
    try:
        return Listing(backend, _names("MidiIn", backend), _names("MidiOut", backend))
    except OSError as error:
        return Listing(backend, error=str(error))


def _made(kind: str, backend: str, client: str) -> Any:
    rtmidi = _rtmidi()
    return getattr(rtmidi, kind)(getattr(rtmidi, BACKENDS[backend]), client)


def _names(kind: str, backend: str) -> tuple[str, ...]:
    """What a MidiIn can hear or a MidiOut can send to. Raises OSError without the system."""
    probe = _made(kind, backend, _PROBE)
    try:
        return tuple(probe.get_ports())
    finally:
        probe.delete()


def nearest(wanted: str | None, names: Sequence[str]) -> str | None:
    """The port that is meant: of that name, else the first that contains it; None: the first."""
    if wanted is None:
        return next(iter(names), None)
    if wanted in names:
        return wanted
    return next((name for name in names if wanted.lower() in name.lower()), None)


class Ports:
    """One input, and the output beside it where there is one.

    name: of our virtual ports, or what the device's names contain; None: the first device.
    heard: gets each message's bytes, from a thread of RtMidi's. Not safe for several threads.
    """

    def __init__(
        self,
        name: str | None,
        *,
        virtual: bool,
        backend: str | None,
        heard: Callable[[list[int]], None],
    ) -> None:
        self.name = name
        self.virtual = virtual
        self.backend = backend  # the one that is used, once it is open
        self._wanted = backend
        self._heard = heard
        self._in: Any = None
        self._out: Any = None
        self._device = ""

    @property
    def is_open(self) -> bool:
        return self._in is not None

    @property
    def told(self) -> str:
        """The port in words."""
        return f"'{self._device}' ({self.backend})"

    def open(self) -> bool:
        """Open what is there; False where the device is not.

        Raises RequestError where no MIDI system works.
        """
        failures = []
        for backend in (self._wanted,) if self._wanted else compiled():
            if backend not in compiled():
                failures.append(f"{backend}: this python-rtmidi was built without it")
                continue
            try:
                if self._open_with(backend):
                    return True
            except (OSError, RuntimeError, NotImplementedError, ValueError) as error:
                self._drop()
                failures.append(f"{backend}: {error}")
            else:
                failures.append("")
        if all(failures):
            raise RequestError(
                f"no MIDI system works ({'; '.join(failures)})",
                remedy="Start it (JACK needs its server; ALSA the module snd_seq), or name "
                "another backend.",
            )
        return False

    def _open_with(self, backend: str) -> bool:
        base = self.name or DEFAULT_NAME
        if self.virtual:
            device = target = base
        else:
            heard = [n for n in _names("MidiIn", backend) if not n.startswith(_OURS)]
            device = nearest(self.name, heard) or ""
            if not device:
                return False
            # A device's two ports are named alike; what follows the colon may differ.
            outputs = [n for n in _names("MidiOut", backend) if not n.startswith(_OURS)]
            target = nearest(device, outputs) or nearest(self.name or device, outputs) or ""
            target = target or nearest(device.partition(":")[0], outputs) or ""
        client = DEFAULT_NAME if not self.virtual else base
        self._in = _made("MidiIn", backend, f"{client}-in")
        self._out = _made("MidiOut", backend, f"{client}-out")
        if self.virtual:
            self._in.open_virtual_port(base)
            self._out.open_virtual_port(base)
        else:
            self._in.open_port(self._in.get_ports().index(device), DEFAULT_NAME)
            if target:
                self._out.open_port(self._out.get_ports().index(target), DEFAULT_NAME)
        self.backend, self._device = backend, device
        self._in.ignore_types(True, True, True)  # neither sysex, clock nor active sensing
        self._in.set_callback(lambda event, _: self._heard(event[0]))
        return True

    def is_there(self) -> bool:
        """Whether what is open still works."""
        if self._in is None or self.backend is None:
            return False
        try:
            if self.backend == "jack" and not self._is_known():
                return False
            return self.virtual or self._device in _names("MidiIn", self.backend)
        except OSError:
            return False

    def _is_known(self) -> bool:
        """Whether the JACK server that runs now knows our own port."""
        client = (self.name or DEFAULT_NAME) if self.virtual else DEFAULT_NAME
        return any(name.startswith(f"{client}-in") for name in _names("MidiOut", "jack"))

    def send(self, data: Sequence[int]) -> None:
        """Send one message; nothing where there is no output. Raises OSError, RuntimeError."""
        if self._out is not None and self._out.is_port_open():
            self._out.send_message(data)

    def close(self) -> None:
        """Close what is open; ports of a server that is gone are kept aside instead."""
        if self._in is not None and self.backend == "jack":
            try:
                alive = self._is_known()
            except OSError:
                alive = False
            if not alive:
                self._bury()
                return
        self._drop()

    def _drop(self) -> None:
        for port in (self._in, self._out):
            if port is not None:
                port.close_port()
                port.delete()
        self._in = self._out = None

    def _bury(self) -> None:
        import ctypes

        for port in (self._in, self._out):
            _DEAD.append(port)
            # One reference too many, so that not even the interpreter's end closes it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(port))
        self._in = self._out = None
