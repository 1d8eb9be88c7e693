"""A chain from its data form (what YAML gives), every problem found at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stepedit_fx.effects.chain import Effect, External, Item, Parallel, Path, Series, Value
from stepedit_fx.effects.table import EFFECTS, EffectSpec
from stepedit_fx.effects.values import ChainProblem, Problems, read_value, shown
from stepedit_fx.errors import EffectError, did_you_mean

# Plugins of others: form -> what their file or bundle ends in.
EXTERNAL_FORMS = {"VST3": ".vst3", "AudioUnit": ".component"}
_NAMES = (*EFFECTS, "Mix", "Chain", *EXTERNAL_FORMS)
# Deeper nesting is a slip or an attack; nobody mixes sixteen racks inside one another.
_DEEPEST = 16


def parse_chain(data: object) -> Series:
    """A chain from a list of effects, as in YAML; a Series is handed back as it is.

    Raises EffectError naming every problem with its path inside the data.
    """
    series, problems = read_chain(data)
    if problems:
        raise EffectError("\n".join(str(p) for p in problems))
    return series


def read_chain(data: object) -> tuple[Series, list[ChainProblem]]:
    """The chain as far as it could be read, and every problem in its data, in its order.

    Files and plugins are not looked at.
    """
    if isinstance(data, Series):
        return data, []
    problems = Problems()
    series = Series(_items(data, (), problems))
    return series, problems.found


def _items(data: object, path: Path, problems: Problems) -> tuple[Item, ...]:
    if not isinstance(data, list | tuple):
        problems.add(path, f"a chain must be a list of effects, got {shown(data)}")
        return ()
    if sum(isinstance(part, int) for part in path) > _DEEPEST:
        problems.add(path, f"chains are nested deeper than {_DEEPEST}")
        return ()
    read = (_item(item, (*path, index), problems) for index, item in enumerate(data))
    return tuple(item for item in read if item is not None)


def _item(data: object, path: Path, problems: Problems) -> Item | None:
    """One effect: "Name", {Name: parameters}, or either with bypass beside the name."""
    form = data if not isinstance(data, str) else {data: None}
    if not isinstance(form, Mapping):
        problems.add(path, f"an effect is Name or {{Name: {{...}}}}, got {shown(data)}")
        return None
    names = [key for key in form if key != "bypass"]
    if len(names) != 1:
        message = f"an item holds one effect, got {len(names)}"
        problems.add(path, message, "Start each effect with a dash of its own.")
        return None
    bypass = _bypass(form.get("bypass", False), (*path, "bypass"), problems)
    return _named(names[0], form[names[0]], bypass, path, problems)


def _named(
    name: object, inner: object, bypass: bool, path: Path, problems: Problems
) -> Item | None:
    if not isinstance(name, str) or name not in _NAMES:
        problems.add(path, f"unknown effect {shown(name)}", did_you_mean(str(name), _NAMES))
        return None
    at = (*path, name)
    if name == "Chain":
        return Series(_items(inner, at, problems), bypass)
    if name == "Mix":
        return _mix(inner, bypass, at, problems)
    if inner is not None and not isinstance(inner, Mapping):
        problems.add(at, f"{name} takes a mapping of parameters, got {shown(inner)}")
        return None
    params = dict(inner or {})
    if "bypass" in params:
        bypass = _bypass(params.pop("bypass"), (*at, "bypass"), problems) or bypass
    if name in EXTERNAL_FORMS:
        return _external(name, params, bypass, at, problems)
    return _effect(EFFECTS[name], params, bypass, at, problems)


def _bypass(data: object, path: Path, problems: Problems) -> bool:
    if isinstance(data, bool):
        return data
    problems.add(path, f"bypass must be true or false, got {shown(data)}")
    return False


def _mix(data: object, bypass: bool, path: Path, problems: Problems) -> Parallel | None:
    if not isinstance(data, list | tuple) or not data:
        problems.add(path, f"Mix must be a list of chains, got {shown(data)}")
        return None
    branches = [Series(_items(b, (*path, n), problems)) for n, b in enumerate(data)]
    return Parallel(tuple(branches), bypass)


def _effect(
    spec: EffectSpec, given: dict[Any, Any], bypass: bool, path: Path, problems: Problems
) -> Effect | None:
    """The effect with what is given and the defaults of the rest."""
    before = len(problems.found)
    params: dict[str, Value | None] = {name: p.default for name, p in spec.params.items()}
    for key, data in given.items():
        here = (*path, str(key))
        if key in spec.params:
            params[key] = read_value(spec, spec.params[key], data, here, problems)
        else:
            message = f"{spec.name} has no parameter {shown(key)}"
            problems.add(here, message, did_you_mean(str(key), spec.params))
    for name, param in spec.params.items():
        if param.default is None and name not in given:
            problems.add(path, f"{spec.name} needs '{name}'")
    if len(problems.found) > before:
        return None
    return Effect(spec.name, tuple((n, v) for n, v in params.items() if v is not None), bypass)


def _external(
    form: str, given: dict[Any, Any], bypass: bool, path: Path, problems: Problems
) -> External | None:
    where, plugin = given.pop("path", None), given.pop("plugin", None)
    before = len(problems.found)
    ending = EXTERNAL_FORMS[form]
    if not isinstance(where, str) or not where.endswith(ending) or "\0" in where:
        problems.add(path, f"{form} needs 'path': a file or bundle ending in {ending}")
    if plugin is not None and not isinstance(plugin, str):
        problems.add((*path, "plugin"), f"plugin must be a name, got {shown(plugin)}")
    for key, value in given.items():
        is_plain = isinstance(value, bool | int | str)
        if not is_plain and not (isinstance(value, float) and math.isfinite(value)):
            message = f"{shown(key)} must be a number, a word, true or false, got {shown(value)}"
            problems.add((*path, str(key)), message, "Plugins of others take no curves.")
    if len(problems.found) > before or not isinstance(where, str):
        return None
    params = {str(key): value for key, value in given.items()}
    return External(form, where, plugin, tuple(sorted(params.items())), bypass)
