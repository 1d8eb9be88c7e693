"""VST3 and AudioUnit effects: only from folders the user allowed, each render a fresh one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import External
from stepedit_fx.effects.files import plugin_path
from stepedit_fx.effects.plugins import processed
from stepedit_fx.errors import EffectError, did_you_mean

_CLASSES = {"VST3": "VST3Plugin", "AudioUnit": "AudioUnitPlugin"}


def run_external(
    external: External,
    samples: Samples,
    sample_rate: int,
    folder: Path,
    plugin_folders: Sequence[Path],
) -> Samples:
    """The samples through the plugin; its latency is made good by pedalboard.

    Raises EffectError where it may not or cannot be loaded, lacks a parameter, or fails.
    """
    plugin = _loaded(external, plugin_path(external, folder, plugin_folders))
    name = f"{external.form} {external.path}"
    known = plugin.parameters
    for param, value in external.params:
        if param not in known:
            message = f"{name} has no parameter '{param}'"
            raise EffectError(message, remedy=did_you_mean(param, known))
        try:
            setattr(plugin, param, value)
        except (ValueError, TypeError, AttributeError) as error:
            raise EffectError(f"{name}: {param} cannot be {value!r}: {error}") from error
    return processed([plugin], samples, sample_rate, name)


def _loaded(external: External, path: Path) -> Any:
    import pedalboard

    cls = getattr(pedalboard, _CLASSES[external.form], None)
    if cls is None:
        remedy = "Take its VST3 instead." if external.form == "AudioUnit" else ""
        raise EffectError(f"{external.form} plugins do not run on this system", remedy=remedy)
    try:
        plugin = cls(str(path), plugin_name=external.plugin)
    except (ImportError, ValueError, RuntimeError) as error:
        remedy = "It must be built for this system; a file of several needs 'plugin: NAME'."
        raise EffectError(f"{external.form} {path}: {error}", remedy=remedy) from error
    if not plugin.is_effect:
        raise EffectError(f"{external.form} {path} is an instrument", remedy="Name an effect.")
    return plugin
