"""The same graph again, and again after a change of its last edit."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rows import Row, Stopwatch, median_of, print_table, speech_clips, timed

from stepedit_fx.audio import Audio
from stepedit_fx.batch import MEMORY_BYTES, run_batch
from stepedit_fx.files import write_audio
from stepedit_fx.graph import Graph
from stepedit_fx.provenance import GraphSource
from stepedit_fx.shipped import shipped
from stepedit_fx.store import Store
from stepedit_fx.takes import find_takes

BAR_TIMES = 50
CLIP_S = 10.0
RATE_HZ = 24_000
AGAIN = 7  # repetitions of the second run, of which the median counts
THREE_EDITS = """\
version: 1
name: three-edits
chain: [{emotion: happy}, {style: older}, {speed: slower}]
"""


def rerun(small: bool) -> list[Row]:
    """First run against the same again: Graph.run, the batch that the CLI uses, the CLI itself."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "three-edits.yaml").write_text(THREE_EDITS)
        _write_clips(work)
        graphs = [work / "three-edits.yaml", shipped("graphs")["quickstart"]]
        rounds = 3 if small else 7
        rows = [row for path in graphs for row in _first_and_again(path, work, rounds)]
        rows.append(_last_edit(work))
        _print_split(graphs[0], work, 5 if small else 21)
        rows.append(_command_line(graphs[0], work, rounds))
        return rows


def _write_clips(work: Path) -> None:
    """take.wav, 10 s of speech, and warm.wav, what a process is warmed up on."""
    speech = np.concatenate([clip.samples[0] for clip in speech_clips(RATE_HZ).values()])
    take = np.resize(speech, (1, round(CLIP_S * RATE_HZ)))
    write_audio(work / "take.wav", Audio(take, RATE_HZ), subtype="PCM_16")
    write_audio(work / "warm.wav", Audio(take[:, : 2 * RATE_HZ], RATE_HZ), subtype="PCM_16")


def _first_and_again(path: Path, work: Path, rounds: int) -> list[Row]:
    """Every way of running the graph again, against its first run in the same round."""
    graph = Graph.load(path)
    base = Path(tempfile.mkdtemp(dir=work))
    graph.run(work / "warm.wav", out_dir=base, store=Store.in_memory())
    found = [_one_round(path, work / "take.wav", base / str(n)) for n in range(rounds)]
    return [_times(f"{graph.name}: {what}", [times[what] for times in found]) for what in found[0]]


def _one_round(path: Path, take: Path, base: Path) -> dict[str, tuple[float, float]]:
    """Seconds of the first run and of the same again, by way of running, in fresh folders."""
    graph, graph_source, takes = Graph.load(path), GraphSource.load(path), find_takes([str(take)])
    kept = Store(base / "memory")

    def from_disk() -> None:
        graph.run(take, out_dir=base / "disk-out", store=Store(base / "disk"))

    def from_memory() -> None:
        graph.run(take, out_dir=base / "memory-out", store=kept)

    def by_batch() -> None:
        store = Store(base / "batch", memory_bytes=MEMORY_BYTES)
        run_batch(graph_source, takes, out_dir=base / "batch-out", store=store, jobs=1)

    ways = {
        "Graph.run, results on disk": from_disk,
        "Graph.run, results in memory": from_memory,
        "batch, output up to date": by_batch,
    }
    return {way: (timed(work), median_of(work, AGAIN)) for way, work in ways.items()}


def _times(what: str, times: Sequence[tuple[float, float]]) -> Row:
    ratio = statistics.median(first / again for first, again in times)
    first, again = (1e3 * statistics.median(t[side] for t in times) for side in (0, 1))
    measured = f"{ratio:.0f} times ({first:.0f} ms, then {again:.1f} ms)"
    return Row(
        f"the same graph again, {what}",
        f"at least {BAR_TIMES} times faster",
        measured,
        ratio >= BAR_TIMES,
        "rerun",
    )


def _last_edit(work: Path) -> Row:
    """What runs after the last edit's strength is changed, by `plan` and by `run`."""
    path, take, store = work / "three-edits.yaml", work / "take.wav", Store(work / "changed")
    Graph.load(path).run(take, out_dir=work / "changed-out", store=store)
    changed = Graph.load(path, sets=["speed.strength=0.5"])
    fresh = Store(work / "changed")
    planned = changed.plan(take, store=fresh, out_dir=work / "changed-out").of("run")
    result = changed.run(take, out_dir=work / "changed-out", store=fresh)
    kinds = [step.kind for step in planned]
    right = kinds == ["speed", "decode", "output"] and result.ran == tuple(s.id for s in planned)
    return Row(
        "a change of the last of three edits",
        "only that edit, the decode and what follows run",
        f"ran {', '.join(result.ran)}; from the store {', '.join(result.reused)}",
        right,
        "rerun",
    )


def _print_split(path: Path, work: Path, runs: int) -> None:
    """Where the milliseconds of a second run go, median over runs."""
    graph, take, out = Graph.load(path), work / "take.wav", work / "split-out"
    folder = work / "split"
    graph.run(take, out_dir=out, store=Store(folder))
    splits = []
    for _ in range(runs):
        watch = Stopwatch()
        with watch.watching(_functions()), watch.stage("everything else"):
            graph.run(take, out_dir=out, store=Store(folder))
        splits.append(watch.seconds)
    stages = sorted({stage for split in splits for stage in split})
    medians = {stage: statistics.median(split[stage] for split in splits) for stage in stages}
    medians["all"] = statistics.median(split.total() for split in splits)
    ordered = sorted(medians.items(), key=lambda item: -item[1])
    print_table(
        ("second run of Graph.run, results on disk", "ms"),
        ([stage, f"{1e3 * seconds:.2f}"] for stage, seconds in ordered),
        f"Where it goes ({CLIP_S:g} s of 24 kHz mono, written as PCM_24):",
    )


def _functions() -> Sequence[tuple[Any, str, str]]:
    from stepedit_fx import files, transcripts
    from stepedit_fx.graph import plan, run

    digest: Any = vars(Audio)["digest"]  # the cached property itself
    return (
        (plan, "make_plan", "plan"),
        (files, "read_audio", "read the recording"),
        (files, "probe", "read its header again"),
        (transcripts, "find_transcript", "find its transcript"),
        (digest, "func", "hash its samples"),
        (Store, "get", "get the result from the store"),
        (run._Run, "_render", "threads"),
        (files, "write_audio", "encode and write the output"),
        (os, "fsync", "wait for the disk (fsync)"),
        (Path, "replace", "put the output in place (rename)"),
    )


def _command_line(path: Path, work: Path, rounds: int) -> Row:
    """The whole command twice, Python's start included; no bar, but what a person waits for."""
    from core_startup import command

    firsts, agains = [], []
    for number in range(rounds):
        run = [*command(), "run", str(path), str(work / "take.wav"), "--json", "--jobs", "1"]
        run += ["-o", str(work / f"cli{number}"), "--store", str(work / f"cli-store{number}")]
        firsts.append(_seconds_of(run, "done"))
        agains.append(_seconds_of(run, "up to date"))
    first, again = statistics.median(firsts), statistics.median(agains)
    return Row(
        "`stepedit-fx run` again, start of the process included",
        "-",
        f"{first:.2f} s, then {again:.2f} s",
        None,
        "rerun",
    )


def _seconds_of(run: list[str], state: str) -> float:
    start = time.perf_counter()
    output = subprocess.check_output(run)
    seconds = time.perf_counter() - start
    states = [item["state"] for item in json.loads(output)["items"]]
    if states != [state]:
        raise SystemExit(f"{' '.join(run)}: {states}, not '{state}'")
    return seconds
