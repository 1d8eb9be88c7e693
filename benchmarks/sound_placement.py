"""Where sound comes back: clicks in the source, found again after every kind of edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from rows import Row, print_table, speech_clips
from sound_quality import sharpest_step

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.loudness import loudness_lufs, true_peak
from stepedit_fx.nodes import NODES
from stepedit_fx.nodes.base import Context
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.speech import Speech
from stepedit_fx.timeline import at

LOCK_MS = 1.0
MAP_MS = 2.0
CLICK_EVERY_S = 0.37
SEARCH_S = 0.02
# Times what is sharp around it: of one that stands out by less, a sibilant beside it that an edit
# has made sharper is found instead.
CLEAR = 10.0
EDITS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "emotion happy": ("emotion", {"value": "happy"}),
    "emotion sad": ("emotion", {"value": "sad"}),
    "emotion surprised": ("emotion", {"value": "surprised"}),
    "style exaggerated": ("style", {"value": "exaggerated"}),
    "style older": ("style", {"value": "older"}),
    "style child": ("style", {"value": "child"}),
    "style warm": ("style", {"value": "warm"}),
    "speed faster": ("speed", {"value": "faster"}),
    "speed more slower": ("speed", {"value": "more slower"}),
    "vad": ("vad", {}),
}
SOUND = ("paralinguistic", {"text": "[Laughter]"})


@dataclass(frozen=True)
class Found:
    """Of one edit of one clip: milliseconds between clicks and where they should be."""

    edit: str
    clip: str
    length: str
    off_ms: np.ndarray
    is_long: bool  # the length is not the source's
    over_db: float
    step_times: float
    louder_lu: float


def marked(clip: Audio) -> tuple[Audio, np.ndarray]:
    """A clip with clicks in it, and their samples."""
    rate = clip.sample_rate
    places = (np.arange(0.3, clip.duration_s - 0.3, CLICK_EVERY_S) * rate).astype(int)
    samples = clip.samples.copy()
    samples[:, places] += clip.peak
    samples[:, places + 1] -= clip.peak / 2
    around = round(SEARCH_S * rate)
    before = np.abs(np.diff(clip.samples[0].astype(np.float64), 3))
    after = np.abs(np.diff(samples[0].astype(np.float64), 3))
    is_clear = [
        after[p - around : p + around].max() > CLEAR * before[p - around : p + around].max()
        for p in places
    ]
    return replace(clip, samples=samples), places[is_clear]


def off_ms(audio: Audio, places: np.ndarray, *, by_map: bool) -> np.ndarray:
    """How far from its place each click is heard. by_map: its place by the map, else the source's.

    A click is left out where the map has cut half of what is around it: it went, or was faded.
    """
    rate = audio.sample_rate
    sharp = np.abs(np.diff(audio.samples[0].astype(np.float64), 3))
    out = []
    for place in places:
        wanted = float(place)
        if by_map:
            before, here, after = (
                at(audio.time_map, place / rate + aside) for aside in (-SEARCH_S, 0, SEARCH_S)
            )
            if after - before < SEARCH_S:
                continue
            wanted = here * rate
        first = max(0, int(wanted - SEARCH_S * rate))
        near = sharp[first : int(wanted + SEARCH_S * rate)]
        out.append((first + 1.5 + int(np.argmax(near)) - wanted) / rate * 1e3)
    return np.array(out)


def _renders(small: bool) -> Iterator[Found]:
    context = Context(open_engine())
    clips = speech_clips()
    for name, clip in list(clips.items())[: 2 if small else None]:
        source, places = marked(clip)
        take: Speech = Encode().run([source], context)
        for edit, (kind, fields) in [*EDITS.items(), ("sound Laughter", SOUND)]:
            made = NODES[kind](**fields).run([take], context)
            for length in ("lock", "free"):
                yield _found(edit, name, length, source, places, made, context)


def _found(
    edit: str,
    name: str,
    length: str,
    source: Audio,
    places: np.ndarray,
    made: Speech,
    context: Context,
) -> Found:
    rate = source.sample_rate
    wet = Decode(length=length).run([made], context)
    ceiling = max(10 ** (-1 / 20), true_peak(source.samples, rate))
    louder = loudness_lufs(wet.samples, rate) - loudness_lufs(source.samples, rate)
    return Found(
        edit,
        name,
        length,
        off_ms(wet, places, by_map=length == "free"),
        length == "lock" and wet.frames != source.frames,
        20 * float(np.log10(true_peak(wet.samples, rate) / ceiling)),
        sharpest_step(wet) / sharpest_step(source),
        0.0 if made.place.loudness_lufs is None else louder,
    )


def placement(small: bool) -> list[Row]:
    """Clicks under the source, with the length locked and by the map of time."""
    found = list(_renders(small))
    _print_all(found)
    locked = [f for f in found if f.length == "lock" and f.edit != "sound Laughter"]
    sounds = [f for f in found if f.length == "lock" and f.edit == "sound Laughter"]
    free = [f for f in found if f.length == "free"]
    over = [f for f in found if f.over_db > 0.01]
    even = [f for f in found if f.edit != "sound Laughter"]
    return [
        _clicks("a click under the source, length: lock", locked, LOCK_MS),
        _clicks("the same by the map of time, length: free", free, MAP_MS),
        _row("length: lock gives the source's frames", "all", [f for f in found if f.is_long]),
        Row(
            "the same with a sound put in (its neighbours make room)",
            "",
            _spread(np.concatenate([f.off_ms for f in sounds])),
            None,
            "placement",
            "sound.py",
        ),
        _row(f"true peak under the ceiling ({len(found)} renders)", "all", over),
        _row("loudness as the source's", "1 LU", [f for f in even if abs(f.louder_lu) > 1]),
    ]


def _clicks(what: str, found: list[Found], bar_ms: float) -> Row:
    """Where clicks land, and where takes stand (the median of a render's clicks)."""
    takes = np.abs([np.median(f.off_ms) for f in found])
    off = np.concatenate([f.off_ms for f in found])
    within = np.abs(off) <= bar_ms
    measured = (
        f"{100 * within.mean():.0f} % of {len(off)} clicks, {_spread(off)}; the median click of "
        f"{(takes <= bar_ms).sum()} of {len(takes)} takes, worst {takes.max():.2f} ms"
    )
    return Row(what, f"within {bar_ms:g} ms", measured, bool(within.all()), "placement", "sound.py")


def _spread(off: np.ndarray) -> str:
    far = np.abs(off)
    return (
        f"median {np.median(far):.2f}, 95 % {np.quantile(far, 0.95):.2f}, worst {far.max():.2f} ms"
    )


def _row(what: str, bar: str, bad: list[Found]) -> Row:
    told = ", ".join(f"{f.edit} of {f.clip} ({f.length})" for f in bad[:4]) or "all"
    return Row(what, bar, told, not bad, "placement", "sound.py")


def _print_all(found: list[Found]) -> None:
    rows = []
    for edit in dict.fromkeys(f.edit for f in found):
        cells = [edit]
        for length in ("lock", "free"):
            of = [f for f in found if f.edit == edit and f.length == length]
            cells.append(_spread(np.concatenate([f.off_ms for f in of])))
        of = [f for f in found if f.edit == edit]
        cells.append(f"{max(f.step_times for f in of):.2f}")
        cells.append(f"{max(abs(f.louder_lu) for f in of):.2f}")
        rows.append(cells)
    head = ("edit", "clicks, lock", "clicks by the map, free", "sharpest step", "loudness (LU)")
    print_table(head, rows, "Clicks of the source, found again:")
