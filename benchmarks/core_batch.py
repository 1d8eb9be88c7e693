"""Many clips through the real command: two processes against one, and memory on the way.

What two processes can win is also a matter of the machine and of who else works on it, so plain
arithmetic is timed the same way: what it wins is the most that a batch can.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from core_startup import command
from rows import EXAMPLES, Row, print_table, timed

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio, write_audio

BAR_TIMES = 1.6
BAR_GROWTH = 1.1  # "flat": no more than a tenth above what it was at clip 20
CLIPS = 200
EARLY_CLIP = 20
AROUND = 10  # memory swings within a clip: medians over so many clips
GRAPH = "quickstart"
ARITHMETIC = (sys.executable, "-c", "sum(n * n for n in range(30_000_000))")  # some 2 s
POLL_S = 0.05


@dataclass(frozen=True)
class Moment:
    """Memory while so many outputs were done: resident MiB of the parent, and of each worker."""

    done: int
    parent_mib: float
    workers_mib: tuple[float, ...]


@dataclass(frozen=True)
class Batch:
    """One run of the command. processor_s: of all its processes; less than that on a wall clock
    times the processes it had means that others had the cores.
    """

    seconds: float
    processor_s: float
    moments: tuple[Moment, ...]

    def around(self, first: int, end: int, *, workers: bool) -> float:
        """Median MiB while first to end outputs were done; of the workers, the largest one."""
        found = [
            max(m.workers_mib, default=0.0) if workers else m.parent_mib
            for m in self.moments
            if first <= m.done <= end and (m.workers_mib or not workers)
        ]
        return statistics.median(found) if found else float("nan")


def batch(small: bool) -> list[Row]:
    """`stepedit-fx run` over many clips with one process and with two."""
    clips = 2 * EARLY_CLIP if small else CLIPS
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        audio_s = _make_clips(work / "clips", clips, seconds=1.5 if small else 4.0)
        ceilings = [_ceiling()]
        runs = {jobs: _run(work, jobs, clips) for jobs in (1, 2)}
        ceilings.append(_ceiling())
    ratio = runs[1].seconds / runs[2].seconds
    late = (clips - AROUND, clips)
    early = (EARLY_CLIP, EARLY_CLIP + AROUND)
    rows = [
        Row(
            f"{clips} clips ({audio_s:.0f} s of audio, graph {GRAPH}), two processes against one",
            f"at least {BAR_TIMES} times",
            f"{ratio:.2f} times ({runs[1].seconds:.1f} s, then {runs[2].seconds:.1f} s)",
            ratio >= BAR_TIMES,
            "batch",
        ),
        Row(
            "arithmetic alone, two processes against one, before and after",
            "-",
            " and ".join(f"{times:.2f} times" for times in ceilings),
            None,
            "batch",
        ),
    ]
    print_table(
        ("processes", "seconds", "processor seconds", "processors had"),
        (
            [
                str(jobs),
                f"{r.seconds:.1f}",
                f"{r.processor_s:.1f}",
                f"{r.processor_s / r.seconds:.2f}",
            ]
            for jobs, r in runs.items()
        ),
        f"{clips} clips:",
    )
    table = []
    for jobs, found in runs.items():
        for workers in (False, True)[:jobs]:
            before, after = (found.around(*span, workers=workers) for span in (early, late))
            who = "its largest worker" if workers else "the parent"
            table.append([f"--jobs {jobs}: {who}", f"{before:.0f}", f"{after:.0f}"])
            flat = after <= BAR_GROWTH * before
            what = f"memory, --jobs {jobs}, {who}"
            bar = f"flat from clip {EARLY_CLIP} to clip {clips}"
            if sys.platform == "linux":
                rows.append(Row(what, bar, f"{before:.0f} MiB, {after:.0f} MiB", flat, "batch"))
    head = ("resident MiB", f"from clip {EARLY_CLIP}", f"up to clip {clips}")
    print_table(head, table, f"Memory (medians over {AROUND} clips):")
    return rows


def _make_clips(folder: Path, count: int, seconds: float) -> float:
    """Clips that all differ: slices of the sample clip, each at its own level; seconds in all."""
    source = read_audio(next(iter(sorted(EXAMPLES.glob("*.wav")))))
    random = np.random.default_rng(1)
    total_s = 0.0
    for index in range(count):
        frames = round(random.uniform(0.6, 1.0) * seconds * source.sample_rate)
        first = random.integers(0, source.frames - frames)
        gain = np.float32(random.uniform(0.4, 1.0))
        clip = source.with_samples(gain * source.samples[:, first : first + frames])
        write_audio(folder / f"{index:04}.wav", Audio(clip.samples, clip.sample_rate))
        total_s += clip.duration_s
    return total_s


def _run(work: Path, jobs: int, clips: int) -> Batch:
    """The command, in folders of its own, with an eye on /proc meanwhile."""
    out, log = work / f"out{jobs}", work / f"log{jobs}.json"
    asked = [*command(), "run", GRAPH, str(work / "clips"), "--jobs", str(jobs), "--json"]
    asked += ["-o", str(out), "--store", str(work / f"store{jobs}")]
    moments = []
    start, before_s = time.perf_counter(), _children_s()
    with log.open("wb") as stream:
        process = subprocess.Popen(asked, stdout=stream)
        while process.poll() is None:
            if sys.platform == "linux":
                moments.append(_moment(process.pid, out))
            time.sleep(POLL_S)
    seconds = time.perf_counter() - start
    done = json.loads(log.read_text())["done"]
    if process.returncode or done != clips:
        raise SystemExit(f"{' '.join(asked)}: exit code {process.returncode}, {done} done")
    return Batch(seconds, _children_s() - before_s, tuple(moments))


def _children_s() -> float:
    """Processor seconds of every process that this one has waited for, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _ceiling() -> float:
    """How many times sooner two processes do what one does twice, here and now."""

    def seconds(processes: int) -> float:
        return timed(
            lambda: [p.wait() for p in [subprocess.Popen(ARITHMETIC) for _ in range(processes)]]
        )

    return 2 * seconds(1) / seconds(2)


def _moment(pid: int, out: Path) -> Moment:
    done = sum(1 for _ in out.glob("*.json")) if out.is_dir() else 0
    workers = [mib for child in _children(pid) if (mib := _worker_mib(child))]
    return Moment(done, _resident_mib(pid), tuple(workers))


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it ended just now
        return []
    return [int(child) for child in listed.split()]


def _worker_mib(pid: int) -> float:
    """A worker's memory; 0 for multiprocessing's own helpers."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return 0.0
    return _resident_mib(pid) if b"spawn_main" in line else 0.0


def _resident_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
