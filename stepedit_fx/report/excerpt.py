"""The start of a long sound: what of it a page can hold."""

from __future__ import annotations

from dataclasses import replace

from stepedit_fx.audio import Audio, Sound, TimeMap
from stepedit_fx.timeline import at

# Of a recording. Six stages of it at 24 kHz are some 20 MB of page.
EXCERPT_S = 120.0


def start_of(sound: Sound, source_s: float = EXCERPT_S) -> Audio:
    """What is heard of a recording's first seconds in a sound that was made from it.

    Words that have no times are all kept, as nobody knows which of them are said.
    """
    is_whole = sound.time_map[-1][0] <= source_s if sound.time_map else False
    length_s = sound.duration_s if is_whole else at(sound.time_map, source_s)
    frames = min(round(length_s * sound.sample_rate), sound.frames)
    said = sound.transcript
    if said.words and frames < sound.frames:
        words = tuple(word for word in said.words if word.end_s <= length_s)
        said = replace(said, text=" ".join(word.text for word in words), words=words)
    return Audio(
        sound.read(0, frames),
        sound.sample_rate,
        sound.start_s,
        transcript=said,
        time_map=sound.time_map if is_whole else _map_until(sound.time_map, source_s),
    )


def _map_until(time_map: TimeMap, source_s: float) -> TimeMap:
    if not time_map:
        return ()
    inside = tuple(knot for knot in time_map if knot[0] < source_s)
    return (*inside, (source_s, at(time_map, source_s)))
