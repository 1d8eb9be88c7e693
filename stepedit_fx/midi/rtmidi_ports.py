"""MIDI ports of the operating system (ALSA, CoreMIDI, Windows) through python-rtmidi.

RtMidi itself and not mido's ports on it, which cannot say whether a device is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stepedit_fx.midi.names import OURS, nearest

Heard = Callable[[list[int]], None]


class RtPorts:
    """One input, and the output beside it where there is one. Open until it is closed."""

    def __init__(self, device: str, virtual: bool, inlet: Any, outlet: Any) -> None:
        self.device = device
        self._virtual = virtual
        self._in = inlet
        self._out = outlet

    @classmethod
    def opened(cls, api: int, name: str | None, virtual: bool, heard: Heard) -> RtPorts | None:
        """The ports of a device whose name contains this, None where there is none.

        api: RtMidi's number of the system. Raises OSError, RuntimeError, NotImplementedError.
        """
        import rtmidi

        base = name or OURS
        inlet = outlet = None
        try:
            inlet = rtmidi.MidiIn(api, f"{base if virtual else OURS}-in")
            outlet = rtmidi.MidiOut(api, f"{base if virtual else OURS}-out")
            device = base if virtual else nearest(name, inlet.get_ports())
            if device is not None:
                _connect(inlet, outlet, device, name, virtual)
                inlet.ignore_types(True, True, True)  # neither sysex, clock nor active sensing
                inlet.set_callback(lambda event, _: heard(event[0]))
                return cls(device, virtual, inlet, outlet)
        except BaseException:
            _drop(inlet, outlet)
            raise
        _drop(inlet, outlet)
        return None

    def is_there(self) -> bool:
        """Whether the device is still plugged in."""
        try:
            return self._virtual or self.device in self._in.get_ports()
        except (OSError, RuntimeError):
            return False

    def send(self, data: Sequence[int]) -> None:
        """Send one message; nothing where there is no output. Raises OSError, RuntimeError."""
        if self._out.is_port_open():
            self._out.send_message(data)

    def close(self) -> None:
        _drop(self._in, self._out)


def _connect(inlet: Any, outlet: Any, device: str, name: str | None, virtual: bool) -> None:
    if virtual:
        inlet.open_virtual_port(device)
        outlet.open_virtual_port(device)
        return
    inlet.open_port(inlet.get_ports().index(device), OURS)
    outputs = outlet.get_ports()
    # A device's two ports are named alike; what follows the colon may differ.
    found = nearest(device, outputs) or nearest(device.partition(":")[0], outputs)
    found = found or (nearest(name, outputs) if name else None)
    if found is not None:
        outlet.open_port(outputs.index(found), OURS)


def _drop(*ports: Any) -> None:
    for port in ports:
        if port is not None:
            port.close_port()
            port.delete()


def listed(api: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of inputs and outputs. Raises OSError where the system does not work."""
    import rtmidi

    found = []
    for kind in (rtmidi.MidiIn, rtmidi.MidiOut):
        probe = kind(api, f"{OURS}-probe")
        try:
            found.append(tuple(probe.get_ports()))
        finally:
            probe.delete()
    return found[0], found[1]
