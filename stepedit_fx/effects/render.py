"""A chain applied to a whole sound: same length, in line with it, and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.effects.automation import automated, is_automated
from stepedit_fx.effects.chain import CURVES, Effect, External, Item, Parallel, Series, active
from stepedit_fx.effects.external import run_external
from stepedit_fx.effects.plugins import (
    at_rate,
    built,
    checked,
    fitted,
    pitch_shifted,
    processed,
)
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.effects.values import ChainProblem
from stepedit_fx.errors import EffectError


@dataclass(frozen=True)
class _Room:
    """What rendering needs to know besides chain and samples."""

    sample_rate: int
    folder: Path
    plugin_folders: Sequence[Path]


def render(
    chain: Series,
    audio: Audio,
    *,
    tail_s: float = 0.0,
    folder: Path | None = None,
    plugin_folders: Sequence[Path] = (),
) -> Audio:
    """The audio through the chain, as long as before plus tail_s seconds for what rings on.

    folder: what relative paths in the chain are relative to. plugin_folders: where VST3 and
    AudioUnit effects may lie. An empty or bypassed chain gives back the very samples. Raises
    EffectError naming the effect, ReadError for an impulse response.
    """
    if _does_nothing(chain):
        return audio
    problems = check_rate(chain, audio.sample_rate)
    if problems:
        raise EffectError("\n".join(str(p) for p in problems))
    room = _Room(audio.sample_rate, folder or Path(), plugin_folders)
    frames = audio.frames + round(tail_s * audio.sample_rate)
    return audio.with_samples(_series(chain, fitted(audio.samples, frames), room))


def _does_nothing(item: Item) -> bool:
    return item.bypass or (isinstance(item, Series) and all(_does_nothing(i) for i in item.items))


def check_rate(chain: Series, sample_rate: int) -> list[ChainProblem]:
    """Frequencies the audio cannot hold: every one at or above half its sample rate."""
    nyquist_hz = sample_rate / 2
    problems = []
    for path, effect in active(chain):
        if isinstance(effect, External):
            continue
        for name, value in effect.params:
            if not EFFECTS[effect.name].params[name].below_nyquist:
                continue
            top_hz = value.extent[1] if isinstance(value, CURVES) else float(value)
            if top_hz >= nyquist_hz:
                message = (
                    f"{effect.name}: {name} is {top_hz:g} Hz, but audio at {sample_rate} Hz ends "
                    f"at {nyquist_hz:g} Hz. Lower it, or use audio with a higher sample rate"
                )
                problems.append(ChainProblem((*path, effect.name, name), message))
    return problems


def _series(chain: Series, samples: Samples, room: _Room) -> Samples:
    """Neighbours that give the same in blocks run together; the rest one after another."""
    together: list[Effect] = []
    for item in chain.items:
        if item.bypass:
            continue
        if isinstance(item, Effect) and _runs_together(item, samples.shape[0]):
            together.append(item)
            continue
        samples = _item(item, _together(together, samples, room), room)
        together = []
    return _together(together, samples, room)


def _runs_together(effect: Effect, channels: int) -> bool:
    spec = EFFECTS[effect.name]
    return not spec.whole and not (spec.each_above and channels > spec.each_above)


def _together(effects: Sequence[Effect], samples: Samples, room: _Room) -> Samples:
    if is_automated(effects):
        return automated(effects, samples, room.sample_rate, room.folder)
    plugins = [built(effect, room.sample_rate, room.folder) for effect in effects]
    names = ", ".join(effect.name for effect in effects)
    return processed(plugins, samples, room.sample_rate, names)


def _item(item: Item, samples: Samples, room: _Room) -> Samples:
    if isinstance(item, Series):
        return _series(item, samples, room)
    if isinstance(item, Parallel):
        outs = [_series(branch, samples, room) for branch in item.branches]
        return checked(np.sum(outs, axis=0, dtype=np.float32), samples, "Mix")
    if isinstance(item, External):
        return run_external(item, samples, room.sample_rate, room.folder, room.plugin_folders)
    each_above = EFFECTS[item.name].each_above
    if each_above and samples.shape[0] > each_above:
        return np.concatenate([_one(item, row[None], room) for row in samples])
    return _one(item, samples, room)


def _one(effect: Effect, samples: Samples, room: _Room) -> Samples:
    spec = EFFECTS[effect.name]
    if not spec.whole:
        return _together([effect], samples, room)
    plugin = built(effect, room.sample_rate, room.folder)
    if effect.name == "PitchShift":
        return pitch_shifted(plugin, samples, room.sample_rate)
    if spec.rates_hz and room.sample_rate not in spec.rates_hz:
        return at_rate(plugin, samples, room.sample_rate, spec.rates_hz, spec.name)
    return processed([plugin], samples, room.sample_rate, spec.name)
