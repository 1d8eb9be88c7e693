"""Recordings of any length: what an hour takes, and whether segments leave a trace."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rows import Row, speech_clips

from stepedit_fx import segments
from stepedit_fx.audio import Audio, held
from stepedit_fx.files import read_audio, spooled, write_audio
from stepedit_fx.graph import Graph, plan
from stepedit_fx.store import Store

RATE_HZ = 24_000
BAR_MB = 600
BAR_SHARE = 0.06
HAPPY = "version: 1\nname: long\nchain: [{emotion: happy}]\n"
UNEDITED = "version: 1\nname: long\nchain: [{emotion: {value: happy, strength: 0}}]\n"
# In a process of its own: the peak is of this run alone. Not ru_maxrss: that of a new process
# starts at what its parent holds.
_RUN = """\
import sys, time
from pathlib import Path
from stepedit_fx.graph import Graph
start = time.perf_counter()
Graph.load(sys.argv[1]).run(sys.argv[2], out_dir=sys.argv[3])
took = time.perf_counter() - start
status = Path("/proc/self/status").read_text()
print(took, time.process_time(), int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def long(small: bool) -> list[Row]:
    """The bars of any length; small: ten minutes in place of the hour."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        work = Path(folder)
        (work / "long.yaml").write_text(HAPPY)
        return [
            *_an_hour(work, 600.0 if small else 3600.0),
            _null(work),
            *_three_minutes(work),
            _one_sentence(work),
        ]


def _talk(path: Path, seconds: float) -> Path:
    """Speech of several speakers with pauses, each clip at another level, so that none is alike."""
    rng = np.random.default_rng(0)
    clips = [clip.samples[0] for clip in speech_clips(RATE_HZ).values()]

    def parts() -> Sequence[np.ndarray]:
        done = 0
        made: list[np.ndarray] = []
        while done < seconds * RATE_HZ:
            clip = clips[len(made) // 2 % len(clips)] * np.float32(rng.uniform(0.5, 1.0))
            pause = rng.normal(0, 1e-4, round(rng.uniform(0.3, 1.2) * RATE_HZ))
            made += [clip, pause.astype(np.float32)]
            done += len(clip) + len(pause)
        return made

    write_audio(path, spooled((part[None] for part in parts()), RATE_HZ), subtype="PCM_16")
    return path


def _an_hour(work: Path, seconds: float) -> list[Row]:
    source = _talk(work / "hour.wav", seconds)
    command = [sys.executable, "-c", _RUN, work / "long.yaml", source, work / "out"]
    load = os.getloadavg()[0]
    out = subprocess.run(list(map(str, command)), capture_output=True, check=True, text=True)
    wall_s, cpu_s, peak_mb = map(float, out.stdout.split())
    length = f"{seconds / 60:.0f} min of speech at {RATE_HZ // 1000} kHz, one emotion"
    took = f"{wall_s:.0f} s, {100 * wall_s / seconds:.1f} % (of one core {cpu_s:.0f} s)"
    return [
        Row(
            f"{length}: time, two cores",
            f"at most {100 * BAR_SHARE:.0f} % of its length",
            f"{took}, load before {load:.1f}",
            wall_s <= BAR_SHARE * seconds,
            "long",
            "sound.py",
        ),
        Row(
            f"{length}: peak memory",
            f"at most {BAR_MB} MB",
            f"{peak_mb:.0f} MB",
            peak_mb <= BAR_MB,
            "long",
            "sound.py",
        ),
    ]


def _null(work: Path) -> Row:
    """What an unedited run through segments leaves against the source, all samples counted."""
    source = _talk(work / "null.wav", 300.0)
    made = Graph.parse(UNEDITED).run(source, out_dir=None).values
    (sound,) = (held(value) for value in made.values())
    before = read_audio(source)
    count = len(segments.cut_sound(before, 30.0))
    left = float(np.abs(sound.samples - before.samples).max())
    return Row(
        f"5 min unedited through {count} segments, against the source",
        "null outside the cross-fades",
        "null, the cross-fades too" if left == 0 else f"{20 * np.log10(left):.0f} dBFS left",
        left == 0,
        "long",
        "sound.py",
    )


def _three_minutes(work: Path) -> list[Row]:
    source = _talk(work / "three.wav", 180.0)
    start = time.perf_counter()
    (cut,) = map(held, Graph.parse(HAPPY).run(source, out_dir=None).values.values())
    cut_s, start = time.perf_counter() - start, time.perf_counter()
    limit, plan.LONG_S = plan.LONG_S, 1e9
    try:
        (whole,) = map(held, Graph.parse(HAPPY).run(source, out_dir=None).values.values())
    finally:
        plan.LONG_S = limit
    whole_s = time.perf_counter() - start
    return [
        Row(
            "3 min, one emotion, in segments and in one go",
            "",
            f"{cut_s:.1f} s and {whole_s:.1f} s; {cut.duration_s:.2f} s and "
            f"{whole.duration_s:.2f} s long",
            None,
            "long",
            "sound.py",
        )
    ]


def _one_sentence(work: Path) -> Row:
    """How many segments are rendered again after a second of the recording has changed."""
    source = read_audio(_talk(work / "sentence.wav", 300.0))
    store = Store(work / "store", memory_bytes=4 << 20)
    samples = source.samples.copy()
    middle = source.frames // 2
    samples[:, middle : middle + RATE_HZ] *= 0.7
    entries = []
    for sound in (source, Audio(samples, RATE_HZ)):
        Graph.parse(HAPPY).run(sound, out_dir=None, store=store)
        entries.append(sum(1 for _ in (work / "store").rglob("*.*")))
    count = len(segments.cut_sound(source, 30.0))
    each = entries[0] / count
    again = round((entries[1] - entries[0]) / each)
    return Row(
        f"a second changed in 5 min of {count} segments: rendered again",
        "1 segment",
        f"{again}",
        again == 1,
        "long",
        "sound.py",
    )
