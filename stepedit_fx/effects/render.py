"""A chain applied to a sound: same length, in line with it, and always the same.

Sound flows through in blocks and every effect keeps its state from one to the next, so that an
hour takes no more memory than a minute. A sound that is held already flows through as one block.
Effects give the same samples either way, but for pitch shift, the GSM coder, coders at a rate that
they do not know and plugins of others: of a sound that is not held they hear a minute at a time,
and ten seconds before and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain as one_after_another
from itertools import repeat, tee
from pathlib import Path

import numpy as np

from stepedit_fx.audio import BLOCK_FRAMES, Audio, Samples, Sound, blocks
from stepedit_fx.effects.automation import automated, is_automated
from stepedit_fx.effects.chain import CURVES, Effect, External, Item, Parallel, Series, active
from stepedit_fx.effects.external import run_external
from stepedit_fx.effects.flow import joined_windows, of_equal_length
from stepedit_fx.effects.plugins import (
    at_rate,
    built,
    checked,
    delayed,
    pitch_shifted,
    processed,
    streamed,
)
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.effects.values import ChainProblem
from stepedit_fx.errors import EffectError

Blocks = Iterator[Samples]
WINDOW_S = 60.0  # what an effect that works in windows hears at a time
# Effects whose coder or stretcher gives other samples when it gets them in parts.
_IN_WINDOWS = frozenset({"GSMFullRateCompressor", "PitchShift"})


@dataclass(frozen=True)
class _Room:
    """What rendering needs to know besides chain and samples.

    frames: of the whole sound. block: frames of each block but the last. window: frames that an
    effect which works in windows hears at a time.
    """

    sample_rate: int
    channels: int
    frames: int
    block: int
    window: int
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
    frames = audio.frames + round(tail_s * audio.sample_rate)
    if _does_nothing(chain) or not frames:
        return audio
    room = _room(chain, audio, frames, folder, plugin_folders, block=frames)
    return audio.with_samples(next(_series(chain, _with_tail(iter([audio.samples]), room), room)))


def render_blocks(
    chain: Series,
    sound: Sound,
    *,
    tail_s: float = 0.0,
    folder: Path | None = None,
    plugin_folders: Sequence[Path] = (),
) -> Blocks:
    """What `render` gives, a block at a time, holding no more than the chain's longest window."""
    if _does_nothing(chain):
        return blocks(sound)
    frames = sound.frames + round(tail_s * sound.sample_rate)
    room = _room(chain, sound, frames, folder, plugin_folders, block=BLOCK_FRAMES)
    return _series(chain, _with_tail(blocks(sound), room), room)


def _room(
    chain: Series,
    sound: Sound,
    frames: int,
    folder: Path | None,
    plugin_folders: Sequence[Path],
    *,
    block: int,
) -> _Room:
    """Raises EffectError for a chain that the sound's rate cannot carry."""
    problems = check_rate(chain, sound.sample_rate)
    if problems:
        raise EffectError("\n".join(str(p) for p in problems))
    window = max(block, round(WINDOW_S * sound.sample_rate))
    return _Room(
        sound.sample_rate, sound.channels, frames, block, window, folder or Path(), plugin_folders
    )


def _with_tail(samples: Blocks, room: _Room) -> Blocks:
    """The blocks, followed by silence to the length that is wanted."""
    silence = np.zeros((room.channels, room.block), np.float32)
    return of_equal_length(one_after_another(samples, repeat(silence)), room.block, room.frames)


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


def _series(chain: Series, samples: Blocks, room: _Room) -> Blocks:
    """Neighbours that give the same in blocks run together; the rest one after another."""
    together: list[Effect] = []
    for item in chain.items:
        if item.bypass:
            continue
        if isinstance(item, Effect) and _runs_together(item, room.channels):
            together.append(item)
            continue
        samples = _item(item, _together(together, samples, room), room)
        together = []
    return _together(together, samples, room)


def _runs_together(effect: Effect, channels: int) -> bool:
    spec = EFFECTS[effect.name]
    return not spec.whole and not (spec.each_above and channels > spec.each_above)


def _together(effects: Sequence[Effect], samples: Blocks, room: _Room) -> Blocks:
    if not effects:
        return samples
    if is_automated(effects):
        moved = automated(
            effects, samples, room.channels, room.frames, room.sample_rate, room.folder
        )
        return of_equal_length(moved, room.block, room.frames)
    plugins = [built(effect, room.sample_rate, room.folder) for effect in effects]
    names = ", ".join(effect.name for effect in effects)
    return streamed(plugins, samples, room.sample_rate, names)


def _item(item: Item, samples: Blocks, room: _Room) -> Blocks:
    if isinstance(item, Series):
        return _series(item, samples, room)
    if isinstance(item, Parallel):
        return _summed(item, samples, room)
    if isinstance(item, External):
        return _in_windows(
            partial(
                run_external,
                item,
                sample_rate=room.sample_rate,
                folder=room.folder,
                plugin_folders=room.plugin_folders,
            ),
            samples,
            room,
        )
    each_above = EFFECTS[item.name].each_above
    if each_above and room.channels > each_above:
        return _each(item, samples, room)
    return _one(item, samples, room)


def _summed(parallel: Parallel, samples: Blocks, room: _Room) -> Blocks:
    branches = tee(samples, len(parallel.branches))
    outs = [_series(b, s, room) for b, s in zip(parallel.branches, branches, strict=True)]
    for parts in zip(*outs, strict=True):
        yield checked(np.sum(parts, axis=0, dtype=np.float32), parts[0], "Mix")


def _each(effect: Effect, samples: Blocks, room: _Room) -> Blocks:
    """Every channel by itself, through an effect of its own."""

    def row(number: int, copy: Blocks) -> Blocks:
        return _one(effect, (block[number : number + 1] for block in copy), room)

    rows = [row(number, copy) for number, copy in enumerate(tee(samples, room.channels))]
    for parts in zip(*rows, strict=True):
        yield np.concatenate(parts)


def _one(effect: Effect, samples: Blocks, room: _Room) -> Blocks:
    spec = EFFECTS[effect.name]
    if not spec.whole:
        return _together([effect], samples, room)
    rate = room.sample_rate
    if effect.name in _IN_WINDOWS or (spec.rates_hz and rate not in spec.rates_hz):
        return _in_windows(partial(_whole, effect, room), samples, room)
    plugin = built(effect, rate, room.folder)
    late = delayed(plugin, samples, rate, spec.name)
    return of_equal_length(late, room.block, room.frames)


def _whole(effect: Effect, room: _Room, samples: Samples) -> Samples:
    spec = EFFECTS[effect.name]
    plugin = built(effect, room.sample_rate, room.folder)
    if effect.name == "PitchShift":
        return pitch_shifted(plugin, samples, room.sample_rate)
    if spec.rates_hz and room.sample_rate not in spec.rates_hz:
        return at_rate(plugin, samples, room.sample_rate, spec.rates_hz, spec.name)
    return processed([plugin], samples, room.sample_rate, spec.name)


def _in_windows(work: Callable[[Samples], Samples], samples: Blocks, room: _Room) -> Blocks:
    joined = joined_windows(work, samples, room.window, room.sample_rate)
    return of_equal_length(joined, room.block, room.frames)
