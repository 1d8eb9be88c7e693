"""The process in which one plugin of somebody else runs once: `python -m ...host FOLDER`.

Reads order.json and in.npy from the folder; writes out.npy, or refusal.json with a cause and a
remedy. Whatever else happens to it, the process that started it sees from its exit code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pedalboard

from stepedit_fx.audio import Samples
from stepedit_fx.errors import EffectError, did_you_mean

_CLASSES = {"VST3": "VST3Plugin", "AudioUnit": "AudioUnitPlugin"}


def main(desk: Path) -> None:
    """Does what order.json asks for."""
    order = json.loads((desk / "order.json").read_text(encoding="utf-8"))
    try:
        plugin = _loaded(order["form"], order["path"], order["plugin"])
        _set(plugin, order["params"])
        out = _processed(plugin, np.load(desk / "in.npy"), order["sample_rate"])
    except EffectError as error:
        said = json.dumps({"cause": error.cause, "remedy": error.remedy})
        (desk / "refusal.json").write_text(said, encoding="utf-8")
        return
    np.save(desk / "out.npy", out)


def _loaded(form: str, path: str, name: str | None) -> Any:
    cls = getattr(pedalboard, _CLASSES[form], None)
    if cls is None:
        raise EffectError(f"{form} plugins do not run on this system", remedy="Take its VST3.")
    try:
        plugin = cls(path, plugin_name=name)
    except (ImportError, ValueError, RuntimeError) as error:
        remedy = "It must be built for this system; of several in a file 'plugin' names one."
        raise EffectError(str(error), remedy=remedy) from error
    # pedalboard loads the only plugin of a file whatever name it is asked for.
    if name is not None and plugin.name != name:
        raise EffectError(f"holds no plugin '{name}'", remedy=did_you_mean(name, [plugin.name]))
    if not plugin.is_effect:
        raise EffectError("it is an instrument", remedy="Name an effect.")
    return plugin


def _set(plugin: Any, params: Mapping[str, Any]) -> None:
    known = plugin.parameters
    for name, value in params.items():
        if name not in known:
            raise EffectError(f"has no parameter '{name}'", remedy=did_you_mean(name, known))
        try:
            setattr(plugin, name, value)
        except (ValueError, TypeError) as error:
            remedy = "Look its values up in the plugin's own window or manual."
            raise EffectError(f"{name} cannot be {value!r}: {error}", remedy=remedy) from error


def _processed(plugin: Any, samples: Samples, sample_rate: int) -> Samples:
    """The samples through the plugin; mono through one that knows only stereo, too."""
    try:
        out: Samples = plugin.process(samples, sample_rate)
    except ValueError as error:
        channels = samples.shape[0]
        if channels != 1:
            remedy = "Give it sound with as many channels as it takes: most take two."
            raise EffectError(str(error), remedy=remedy) from error
        both = _processed(
            plugin, np.pad(np.repeat(samples, 2, axis=0), ((0, 0), (0, 1))), sample_rate
        )
        out = both[:, : samples.shape[1]].mean(axis=0, keepdims=True)
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]))
