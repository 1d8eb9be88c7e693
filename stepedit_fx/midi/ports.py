"""MIDI ports, whichever system of this machine has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from stepedit_fx.errors import RequestError
from stepedit_fx.midi import jack_ports, rtmidi_ports
from stepedit_fx.midi.jack_ports import JackPorts
from stepedit_fx.midi.rtmidi_ports import RtPorts

JACK = "jack"
# Our names of the systems -> RtMidi's.
RTMIDI = MappingProxyType(
    {"alsa": "API_LINUX_ALSA", "coremidi": "API_MACOSX_CORE", "windows": "API_WINDOWS_MM"}
)
# What a system that does not work raises: RtMidi's errors are OSErrors, JACK's RuntimeErrors (and
# OSError where libjack itself is missing).
_FAILURES = (OSError, RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Listing:
    """The ports of one system by name, or why it has none."""

    backend: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    error: str = ""


def backends() -> tuple[str, ...]:
    """The systems that the installed libraries can use. Raises RequestError where none is."""
    found = list(_apis())
    try:
        import jack  # noqa: F401

        found.append(JACK)
    except (ImportError, OSError):  # OSError: JACK-Client without libjack
        pass
    if not found:
        raise RequestError(
            "MIDI ports need python-rtmidi", remedy="pip install 'stepedit-fx[midi]'"
        )
    return tuple(found)


def _apis() -> dict[str, int]:
    """The systems that python-rtmidi was built for, with its numbers of them."""
    try:
        import rtmidi
    except ImportError:
        return {}
    there: Any = rtmidi.get_compiled_api()
    numbers: dict[str, Any] = {name: getattr(rtmidi, api, None) for name, api in RTMIDI.items()}
    return {name: number for name, number in numbers.items() if number in there}


def list_ports(backend: str) -> Listing:
    """The ports of a system now."""
    try:
        found = jack_ports.listed() if backend == JACK else rtmidi_ports.listed(_apis()[backend])
        return Listing(backend, *found)
    except _FAILURES as error:
        return Listing(backend, error=str(error))


class Ports:
    """One input, and the output beside it where there is one.

    name: of our virtual ports, or what the device's name contains; None: the first device.
    heard: gets each message's bytes, from a thread of its own. Not safe for several threads.
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
        self.told = ""  # the port in words, once it was open
        self._backend = backend
        self._heard = heard
        self._open: JackPorts | RtPorts | None = None

    @property
    def is_open(self) -> bool:
        return self._open is not None

    def open(self) -> bool:
        """Open what is there; False where the device is not.

        Raises RequestError where no MIDI system works.
        """
        failures, works = [], False
        for backend in (self._backend,) if self._backend else backends():
            try:
                self._open = self._opened(backend)
                works = True
            except _FAILURES as error:
                failures.append(f"{backend}: {error}")
            if self._open is not None:
                self.told = f"'{self._open.device}' ({backend})"
                return True
        if not works:
            raise RequestError(
                f"no MIDI system works ({'; '.join(failures)})",
                remedy="Start it (JACK needs its server, ALSA the module snd_seq), or name "
                "another backend.",
            )
        return False

    def _opened(self, backend: str) -> JackPorts | RtPorts | None:
        if backend not in backends():
            extra = "'stepedit-fx[live]'" if backend == JACK else "'stepedit-fx[midi]'"
            raise ValueError(f"not on this system, or its library is missing (pip install {extra})")
        if backend == JACK:
            return JackPorts.opened(self.name, self.virtual, self._heard)
        return RtPorts.opened(_apis()[backend], self.name, self.virtual, self._heard)

    def is_there(self) -> bool:
        """Whether what is open still works."""
        return self._open is not None and self._open.is_there()

    def send(self, data: Sequence[int]) -> None:
        """Send one message; nothing where there is no output. Raises OSError, RuntimeError."""
        if self._open is not None:
            self._open.send(data)

    def close(self) -> None:
        """Close what is open."""
        was, self._open = self._open, None
        if was is not None:
            was.close()
