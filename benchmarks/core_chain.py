"""What encode, three edits and decode cost on one core, by stage.

Processor seconds of a process held to one core: on an idle machine that is the time it takes, and
on a busy one what others do counts little.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from multiprocessing import get_context
from typing import Any

from rows import Row, Stopwatch, print_table, speech_clips, timed

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.speech import Edit

BAR_S = 0.06
RATE_HZ = 24_000
Combo = tuple[Edit, ...]

# Ordinary ones, then the heaviest known; `_heaviest` looks for worse.
COMBOS: tuple[Combo, ...] = (
    (Edit("emotion", "happy"), Edit("style", "generous"), Edit("speed", "faster")),
    (Edit("emotion", "angry"), Edit("style", "exaggerated"), Edit("speed", "more faster")),
    (Edit("emotion", "surprised"), Edit("style", "act_coy"), Edit("vad")),
    (Edit("denoise"), Edit("style", "whisper"), Edit("speed", "slower")),
    (Edit("emotion", "fear"), Edit("style", "recite"), Edit("speed", "slower")),
    (Edit("emotion", "sad"), Edit("style", "older"), Edit("speed", "slower")),
    (Edit("denoise"), Edit("style", "older"), Edit("speed", "more slower")),
    (Edit("emotion", "happy"), Edit("style", "child"), Edit("speed", "more slower")),
)
HEAVY = (Edit("denoise"), Edit("speed", "more slower"))  # alone they cost little, with others much
COSTLIEST = 8  # single tags that the search combines
STAGES = (
    "f0", "level", "pauses", "encode: rest", "edit 1", "edit 2", "edit 3", "denoise",
    "time-stretch", "pitch", "spectrum", "irregularity", "decode: rest",
)  # fmt: skip
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def chain(small: bool) -> list[Row]:
    """Seconds per second of audio, pooled over the clips, median of several runs."""
    costs: dict[str, dict[str, dict[str, float]]] = _on_one_core(_costs, small)
    pooled = {combo: clips.pop("all") for combo, clips in costs.items()}
    totals = {combo: sum(stages.values()) for combo, stages in pooled.items()}
    print_table(
        ("encode, three edits, decode", "all", *STAGES),
        ([c, _ms(totals[c]), *(_ms(pooled[c].get(s, 0.0)) for s in STAGES)] for c in totals),
        "Milliseconds per second of 24 kHz mono audio, on one core, by stage:",
    )
    names = list(next(iter(costs.values())))
    print_table(
        ("encode, three edits, decode", *names),
        ([c, *(_ms(sum(clips[n].values())) for n in names)] for c, clips in costs.items()),
        "The same by clip:",
    )
    worst, usual = max(totals, key=lambda c: totals[c]), statistics.median(totals.values())
    ordinary = f"median of {len(totals)} combinations of three edits"
    return [
        Row(f"chain, {ordinary}", *_against_bar(usual), "chain"),
        Row(f"chain, the heaviest ({worst})", *_against_bar(totals[worst]), "chain"),
    ]


def _against_bar(seconds: float) -> tuple[str, str, bool]:
    return f"at most {BAR_S} s/s", f"{seconds:.4f} s/s", seconds <= BAR_S


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f}"


def _on_one_core(function: Callable[..., Any], *args: object) -> Any:
    """What it gives in a fresh process with one core, where no library starts threads."""
    with _one_core(), get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


@contextmanager
def _one_core() -> Any:
    """A child started here inherits one core and single-threaded libraries."""
    environment, has_affinity = dict(os.environ), hasattr(os, "sched_setaffinity")
    cores = os.sched_getaffinity(0) if has_affinity else set()
    os.environ.update(dict.fromkeys(THREADS, "1"))
    if has_affinity:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        if has_affinity:
            os.sched_setaffinity(0, cores)


def _costs(small: bool) -> dict[str, dict[str, dict[str, float]]]:
    """combo -> clip ("all": pooled) -> stage -> median seconds per second of audio."""
    engine, clips = ParametricEngine(), speech_clips(RATE_HZ)
    if small:
        clips = dict(sorted(clips.items(), key=lambda item: item[1].duration_s)[:2])
    combos = COMBOS[::3] + COMBOS[-1:] if small else (*COMBOS, *_heaviest(engine, clips))
    for clip in clips.values():
        _run(engine, clip, COMBOS[-1])  # what is imported and planned once is not the chain's
    return {_name(combo): _cost(engine, clips, combo, 3 if small else 7) for combo in combos}


def _name(combo: Combo) -> str:
    return ", ".join(edit.value or edit.kind for edit in combo)


def _cost(
    engine: ParametricEngine, clips: Mapping[str, Audio], combo: Combo, runs: int
) -> dict[str, dict[str, float]]:
    split = {name: [_run(engine, clip, combo) for _ in range(runs)] for name, clip in clips.items()}
    # The median run of each clip, whole: medians of stages would not add up.
    median = {name: sorted(found, key=_total)[runs // 2] for name, found in split.items()}
    audio_s = {name: clip.duration_s for name, clip in clips.items()}
    out = {
        name: {s: t / audio_s[name] for s, t in stages.items()} for name, stages in median.items()
    }
    every = sum(audio_s.values())
    out["all"] = {s: sum(stages.get(s, 0.0) for stages in median.values()) / every for s in STAGES}
    return out


def _total(stages: Mapping[str, float]) -> float:
    return sum(stages.values())


def _run(engine: ParametricEngine, clip: Audio, combo: Combo) -> dict[str, float]:
    """Seconds by stage of one run."""
    watch = Stopwatch(time.process_time)
    with watch.watching(_functions()):
        with watch.stage("encode: rest"):
            speech = engine.encode([clip])[0]
        for number, edit in enumerate(combo, start=1):
            with watch.stage(f"edit {number}"):
                speech = engine.edit([speech], [edit])[0]
        with watch.stage("decode: rest"):
            engine.decode([speech])
    return dict(watch.seconds)


def _functions() -> Sequence[tuple[Any, str, str]]:
    """Where each stage happens: under the name by which its caller knows it."""
    import pedalboard

    from stepedit_fx.engines.parametric import analysis, render

    return (
        (analysis, "track_f0", "f0"),
        (analysis, "track_level", "level"),
        (analysis, "find_pauses", "pauses"),
        (render, "noise_spectrum", "denoise"),
        (render, "denoise", "denoise"),
        (render, "move_formants", "formants"),
        (pedalboard, "time_stretch", "time-stretch"),
        (render, "change_pitch_and_time", "pitch"),
        (render, "change_timbre", "spectrum"),
        (render, "make_irregular", "irregularity"),
    )


def _heaviest(engine: ParametricEngine, clips: Mapping[str, Audio]) -> list[Combo]:
    """The costliest triple of the costliest tags, on the shortest clip."""
    clip = min(clips.values(), key=lambda c: c.duration_s)
    speech = engine.encode([clip])[0]

    def seconds(combo: Combo) -> float:
        edited = speech
        for edit in combo:
            edited = engine.edit([edited], [edit])[0]
        return min(timed(lambda: engine.decode([edited]), time.process_time) for _ in range(2))

    tags = [Edit(k, tag) for k, all_of in engine.offers.items() for tag in all_of]
    singles = [
        edit for edit in tags if edit.kind not in {"clone", "paralinguistic"} and edit not in HEAVY
    ]
    singles.sort(key=lambda edit: seconds((edit,)), reverse=True)
    found = max(combinations((*HEAVY, *singles[:COSTLIEST]), 3), key=seconds)
    return [] if set(found) in map(set, COMBOS) else [found]
