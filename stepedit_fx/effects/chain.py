"""A chain of effects as plain, frozen values: what the data form is read into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stepedit_fx.effects.curves import Keyframes, Lfo, Ramp

Value = float | bool | str | Keyframes | Ramp | Lfo
Path = tuple[str | int, ...]
CURVES = (Keyframes, Ramp, Lfo)


@dataclass(frozen=True)
class Effect:
    """A built-in effect with every parameter, in the table's order; a Curve changes over time."""

    name: str
    params: tuple[tuple[str, Value], ...] = ()
    bypass: bool = False

    def data(self) -> dict[str, Any]:
        params = {n: v.data() if isinstance(v, CURVES) else v for n, v in self.params}
        return _with_bypass({self.name: params}, self.bypass)


@dataclass(frozen=True)
class External:
    """A VST3 or AudioUnit effect: where it lies, which plugin of the file, what to set."""

    form: str
    path: str
    plugin: str | None = None
    params: tuple[tuple[str, float | bool | str], ...] = ()
    bypass: bool = False

    def data(self) -> dict[str, Any]:
        named = {} if self.plugin is None else {"plugin": self.plugin}
        return _with_bypass(
            {self.form: {"path": self.path, **named, **dict(self.params)}}, self.bypass
        )


@dataclass(frozen=True)
class Series:
    """Effects one after another; none at all leaves the sound as it is."""

    items: tuple[Item, ...] = ()
    bypass: bool = False

    def data(self) -> dict[str, Any]:
        return _with_bypass({"Chain": self.items_data()}, self.bypass)

    def items_data(self) -> list[dict[str, Any]]:
        """The list that stands for this chain in YAML, every parameter written out."""
        return [item.data() for item in self.items]


@dataclass(frozen=True)
class Parallel:
    """Branches that hear the same sound, summed."""

    branches: tuple[Series, ...]
    bypass: bool = False

    def data(self) -> dict[str, Any]:
        return _with_bypass({"Mix": [b.items_data() for b in self.branches]}, self.bypass)


Item = Effect | External | Series | Parallel


def _with_bypass(data: dict[str, Any], bypass: bool) -> dict[str, Any]:
    return {**data, "bypass": True} if bypass else data


def active(series: Series, at: Path = ()) -> Iterator[tuple[Path, Effect | External]]:
    """Every effect that will sound, in order, with its path inside the chain's data."""
    for index, item in enumerate(series.items):
        if item.bypass:
            continue
        if isinstance(item, Series):
            yield from active(item, (*at, index, "Chain"))
        elif isinstance(item, Parallel):
            for number, branch in enumerate(item.branches):
                yield from active(branch, (*at, index, "Mix", number))
        else:
            yield (*at, index), item
