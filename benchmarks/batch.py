"""Batches: two processes against one, and memory from clip 20 to clip 200.

    python benchmarks/batch.py [--clips 200] [--seconds 5]

Clips are the sample clip at other levels, so that no two share a result; nothing is stored
between the runs. Prints one table for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from stepedit_fx.batch import MEMORY_BYTES, Event, run_batch
from stepedit_fx.provenance import Recipe
from stepedit_fx.shipped import shipped
from stepedit_fx.store import Store
from stepedit_fx.takes import find_takes

SAMPLE = Path(__file__).parents[1] / "examples" / "audio" / "good-morning.wav"


def make_clips(folder: Path, clips: int, seconds: float) -> None:
    samples, rate = soundfile.read(SAMPLE, dtype="float32")
    samples = np.resize(samples, round(seconds * rate))
    for index in range(clips):
        level = 1 - 0.5 * index / clips
        soundfile.write(folder / f"{index:04}.wav", samples * level, rate, subtype="PCM_16")


def resident_mib(pids: list[int]) -> float:
    """Memory that belongs to these processes alone, summed (Linux)."""
    total_kib = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return total_kib / 1024


def measure(clips: Path, jobs: int, work: Path) -> tuple[float, list[float]]:
    """Seconds for the batch, and memory after clip 20, the middle one, and the last."""
    from multiprocessing import active_children
    from os import getpid

    takes = find_takes([str(clips)])
    marks = {min(20, len(takes)), len(takes) // 2, len(takes)}
    memory: list[float] = []
    ended = 0

    def watch(event: Event) -> None:
        nonlocal ended
        if event.item is None:
            return
        if event.item.state != "done":
            raise SystemExit(event.item.error)
        ended += 1
        if ended in marks and sys.platform == "linux":
            workers = [p.pid for p in active_children() if p.pid is not None]
            memory.append(resident_mib(workers or [getpid()]))

    store = Store(work / f"store{jobs}", memory_bytes=MEMORY_BYTES)
    recipe = Recipe.load(shipped("graphs")["quickstart"])
    out = work / f"out{jobs}"
    summary = run_batch(recipe, takes, out_dir=out, store=store, jobs=jobs, on_event=watch)
    return summary.seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "clips").mkdir()
        make_clips(work / "clips", args.clips, args.seconds)
        print("| processes | seconds | times one | MiB after clip 20, half, all |")
        print("| --- | --- | --- | --- |")
        first = 0.0
        for jobs in (1, 2):
            seconds, memory = measure(work / "clips", jobs, work)
            first = first or seconds
            told = ", ".join(f"{mib:.0f}" for mib in memory)
            print(f"| {jobs} | {seconds:.1f} | {first / seconds:.2f} | {told} |")


if __name__ == "__main__":
    main()
