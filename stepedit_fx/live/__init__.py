"""Live sound: a graph's edits rendered behind, its last effects run while it plays."""

from stepedit_fx.live.devices import Device, NullDevice, open_device
from stepedit_fx.live.player import Player

__all__ = ["Device", "NullDevice", "Player", "open_device"]
