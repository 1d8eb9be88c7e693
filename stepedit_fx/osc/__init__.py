"""OSC: the graph's controls for any program on the network that speaks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepedit_fx.osc.service import OscService
    from stepedit_fx.osc.settings import OscSettings

__all__ = ["OscService", "OscSettings"]
_HOMES = {"OscService": "service", "OscSettings": "settings"}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `stepedit-fx osc send` needs the packets, not the service.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
