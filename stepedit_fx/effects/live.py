"""From pedalboard's own objects to data."""

from __future__ import annotations

from typing import Any

from stepedit_fx.effects.table import EFFECTS


def plugin_data(plugin: object) -> dict[str, Any] | None:
    """The data form of a live pedalboard plugin, every parameter written out.

    None where it has none: a plugin of somebody else, an impulse response held in memory, a
    container with such a thing inside. Values are as they stand, in the table's range or not.
    """
    import pedalboard

    name = type(plugin).__name__
    if isinstance(plugin, pedalboard.Mix):
        branches = [_items([inner]) if not _is_chain(inner) else _items(inner) for inner in plugin]
        return None if None in branches else {"Mix": branches}
    if isinstance(plugin, pedalboard.Chain):  # and so a Pedalboard
        items = _items(plugin)
        return None if items is None else {"Chain": items}
    if name not in EFFECTS or type(plugin) is not getattr(pedalboard, name):
        return None
    values = {param: _plain(getattr(plugin, param)) for param in EFFECTS[name].params}
    return None if None in values.values() else {name: values}


def _is_chain(plugin: object) -> bool:
    import pedalboard

    return isinstance(plugin, pedalboard.Chain)


def _items(plugins: Any) -> list[dict[str, Any]] | None:
    items = [plugin_data(plugin) for plugin in plugins]
    known = [item for item in items if item is not None]
    return known if len(known) == len(items) else None


def _plain(value: Any) -> float | bool | str | None:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    name: str = value.name  # of a pybind11 enumeration
    return name
