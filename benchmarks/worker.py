"""The worker under load, on the step-audio engine with a tiny checkpoint of random weights.

    python benchmarks/worker.py [--only PART]... [--small]

Parts: clients (64 at once, each compares its codes with those of the engine at home; then one with
many jobs beside 63 with one), kills (kill -9 at 50 random moments while 8 clients encode, edit,
decode and store), hours (eight hours of a take every ten seconds, one after another: memory).
--small: a tenth of it. Linux only. Prints Markdown for docs/benchmarks.md; the exit code is 1 where
a bar is missed.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rows import REPOSITORY, Row, machine, print_table

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import Engine, engine_class, open_engine
from stepedit_fx.errors import EngineError
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit, Speech, Transcript
from stepedit_fx.store import Store
from stepedit_fx.worker.client import WorkerEngine
from stepedit_fx.worker.control import find, stop

sys.path.insert(0, str(REPOSITORY / "tests"))
from make_tiny_checkpoint import make_tiny_checkpoint

SHARED_MEMORY = Path("/dev/shm")
CLIENTS = 64
MANY_JOBS = 200
KILLS = 50
KILL_CLIENTS = 8
LONGEST_KILL_ROUNDS = 3  # a kill comes at most so many rounds of a client after the worker is there
HOURS_JOBS = 8 * 3600 // 10
VOICES_MIB = 16
FLAT_MIB = 30  # what RSS may grow from a quarter of the jobs to the last
PARTS = ("clients", "kills", "hours")


class Bench:
    """A tiny checkpoint, the engine at home, and a folder for workers."""

    def __init__(self, folder: Path, *, small: bool) -> None:
        self.share = 10 if small else 1
        self.folder = folder
        self.run = folder / "w"
        self.run.mkdir(mode=0o700)
        models = make_tiny_checkpoint(folder / "models")
        self.fields = {"models": models, "device": "cpu", "dtype": "float32", "flow_steps": 2}
        self.home: Engine = open_engine("step-audio", **self.fields)
        clip = read_audio(REPOSITORY / "examples" / "audio" / "good-morning.wav")
        short = clip.samples[:, 6000:24000]
        self.clip = Audio(short, clip.sample_rate, transcript=Transcript("Good morning"))
        self.take = self.home.encode([self.clip])[0]

    def client(self) -> WorkerEngine:
        settings = engine_class("step-audio").Settings
        return WorkerEngine(
            settings.model_validate({"kind": "step-audio", **self.fields}), folder=self.run
        )

    def wanted(self, count: int) -> list[np.ndarray]:
        """The codes of so many edits, from the engine at home."""
        made = self.home.edit([self.take] * count, [edit(n) for n in range(count)])
        return [codes(take) for take in made]


def edit(seed: int) -> Edit:
    return Edit("emotion", "happy", seed=seed)


def codes(take: Speech) -> np.ndarray:
    return np.asarray(take.codes["tokens"])


def clients(bench: Bench) -> list[Row]:
    """Results that are lost or swapped, and who waits for whom."""
    count = max(8, CLIENTS // bench.share)
    wanted = bench.wanted(count)
    assert len({found.tobytes() for found in wanted}) > count / 2, "the edits must differ"
    right: list[bool] = []

    def ask(n: int) -> None:
        engine = bench.client()
        take = engine.encode([bench.clip])[0]
        right.append(np.array_equal(codes(engine.edit([take], [edit(n)])[0]), wanted[n]))
        engine.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(ask, range(count)))
    seconds = time.perf_counter() - start
    done_first, before, held_up = _beside_many(bench, count)
    return [
        Row(
            f"{count} clients at once, each its own edit",
            "none lost or swapped",
            f"{sum(right)} of {count} right, all in {seconds:.1f} s",
            sum(right) == count,
            "clients",
        ),
        Row(
            f"{count - 1} clients with one edit each, beside one that asked for {MANY_JOBS} before",
            "they do not wait for all of those",
            f"{done_first} of {count - 1} done before its last; when the last of them was done, it "
            f"had {before} of its {MANY_JOBS}; while one of them waited it got "
            f"{statistics.median(held_up):.0f} done (median), {max(held_up)} at most",
            before < MANY_JOBS,
            "clients",
        ),
    ]


def _beside_many(bench: Bench, count: int) -> tuple[int, int, list[int]]:
    """How many single clients end before the one with many, and how far that is by then.

    Also how many jobs of the one with many ended while each of the others waited.
    """
    greedy = bench.client()
    take = greedy.encode([bench.clip])[0]
    ended: list[str] = []
    held_up: list[int] = []

    def one(n: int) -> None:
        greedy.edit([take], [edit(n)])
        ended.append("many")

    def single(n: int) -> None:
        engine = bench.client()
        engine.status()  # connected: what follows is the waiting alone
        before = ended.count("many")
        engine.edit([take], [edit(n)])
        held_up.append(ended.count("many") - before)
        ended.append("single")
        engine.close()

    with ThreadPoolExecutor(MANY_JOBS) as many, ThreadPoolExecutor(count) as singles:
        first = [many.submit(one, n) for n in range(MANY_JOBS)]
        time.sleep(0.3)  # all of its jobs are in before anybody else's
        rest = [singles.submit(single, n) for n in range(count - 1)]
        for future in (*first, *rest):
            future.result()
    greedy.close()
    last_many = max(i for i, who in enumerate(ended) if who == "many")
    last_single = max(i for i, who in enumerate(ended) if who == "single")
    before = ended[:last_single].count("many")
    return ended[:last_many].count("single"), before, held_up


def kills(bench: Bench) -> list[Row]:
    """What clients see of a worker that is killed again and again, and what is left of it."""
    count = max(5, KILLS // bench.share)
    wanted = bench.wanted(KILL_CLIENTS)
    store = Store(bench.folder / "store")
    seen: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    over = threading.Event()
    shared_before = set(SHARED_MEMORY.iterdir())

    def load(n: int) -> None:
        engine = bench.client()
        round_ = 0
        while not over.is_set():
            round_ += 1
            try:
                take = engine.encode([bench.clip])[0]
                edited = engine.edit([take], [edit(n)])[0]
                store.put(f"{n:04x}{round_:060x}", edited)
                sound = engine.decode([edited])[0]
                good = np.array_equal(codes(edited), wanted[n]) and sound.frames > 0
                seen["right" if good else "wrong"] += 1
            except EngineError as error:
                seen["clear errors"] += 1
                errors[str(error)[:90]] += 1
            except Exception as error:  # noqa: BLE001 - told in the table
                seen[f"unclear: {type(error).__name__}: {error}"[:120]] += 1
        engine.close()

    start = time.perf_counter()
    first = bench.client()  # a whole round, with the start of a worker in it
    first.decode(first.edit(first.encode([bench.clip]), [edit(0)]))
    longest_s = LONGEST_KILL_ROUNDS * (time.perf_counter() - start)
    first.close()
    print(f"\nKills come 0 to {longest_s:.1f} s after a worker is there.")
    drawn = random.Random(7)
    with ThreadPoolExecutor(KILL_CLIENTS) as pool:
        running = [pool.submit(load, n) for n in range(KILL_CLIENTS)]
        killed = 0
        while killed < count:
            living = [found for found in find(bench.run) if found.pid]
            if living:
                time.sleep(drawn.uniform(0, longest_s))
                with suppress(ProcessLookupError):
                    os.kill(living[0].pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.05)
        over.set()
        for future in running:
            future.result()
    for found in find(bench.run):
        stop(found)
    processes = subprocess.run(
        ["pgrep", "-f", f"worker.process {bench.run}/"], capture_output=True, check=False
    ).stdout.split()
    damaged = store.verify()
    left = [path.name for path in bench.run.iterdir() if path.suffix == ".sock"]
    left += [
        path.name
        for path in SHARED_MEMORY.iterdir()
        if path not in shared_before and not _is_in_use(path)
    ]
    print(f"\nLeft: {left}.")
    print_table(("what clients saw", "times"), [(k, str(n)) for k, n in seen.items()], "Kills:")
    for told, times in errors.most_common(5):
        print(f"- {times} times: {told}")
    answered = seen["right"] + seen["clear errors"]
    return [
        Row(
            f"kill -9 of the worker {killed} times under {KILL_CLIENTS} clients",
            "every client its result or a clear error",
            f"{seen['right']} right, {seen['clear errors']} clear errors, "
            f"{sum(seen.values()) - answered} other",
            sum(seen.values()) == answered and seen["right"] > 0,
            "kills",
        ),
        Row(
            "what is left of them",
            "nothing damaged or left behind",
            f"{len(damaged)} damaged of {store.info().entries} stored, {len(processes)} processes, "
            f"{len(left)} sockets or shared memory",
            not (damaged or processes or left),
            "kills",
        ),
    ]


def hours(bench: Bench) -> list[Row]:
    """Memory of the worker over a working day of takes, done one after another.

    Its store of voices is full long before a quarter of them is done, as it is on a long day.
    """
    os.environ["STEPEDIT_WORKER_VOICES"] = str(VOICES_MIB)
    jobs = HOURS_JOBS // bench.share
    engine = bench.client()
    pid = int(engine.status()["pid"])
    rss: list[float] = []
    held: list[float] = []  # MiB of voices
    parts: list[tuple[int, int]] = []  # threads and open files
    start = time.perf_counter()
    for n in range(jobs):
        # Never the same twice: another level, another length, another seed.
        frames = bench.clip.frames - 24 * (n % 200)
        samples = bench.clip.samples[:, :frames] * (0.5 + (n % 997) / 2000)
        take = engine.encode([Audio(samples, bench.clip.sample_rate)])[0]
        engine.decode(engine.edit([take], [edit(n)]))
        if n % 8 == 0:  # now and then a client that goes
            other = bench.client()
            other.status()
            other.close()
        if (n + 1) % max(1, jobs // 20) == 0:
            rss.append(_rss_mib(pid))
            held.append(engine.status()["voices"]["bytes"] / 2**20)
            parts.append((_count(pid, "task"), _count(pid, "fd")))
            told = f"{rss[-1]:.0f} MiB, voices {held[-1]:.0f} MiB, threads, files: {parts[-1]}"
            print(f"- {n + 1} jobs: {told}", flush=True)
    status = engine.status()
    engine.close()
    for found in find(bench.run):
        stop(found)
    quarter, last = rss[len(rss) // 4], statistics.median(rss[-3:])
    (threads, files), (threads_last, files_last) = parts[len(parts) // 4], parts[-1]
    print(f"\n{time.perf_counter() - start:.0f} s; {_flat(status)}")
    return [
        Row(
            f"eight hours' worth of jobs, {jobs} takes encoded, edited and decoded",
            f"memory flat (within {FLAT_MIB} MiB from the first quarter on)",
            f"{quarter:.0f} MiB, {threads} threads and {files} open files after a quarter; "
            f"{last:.0f} MiB, {threads_last} and {files_last} at the end; voices, of which "
            f"{VOICES_MIB} MiB are kept: {held[len(held) // 4]:.0f} and {held[-1]:.0f} MiB",
            last - quarter <= FLAT_MIB and threads_last <= threads and files_last <= files,
            "hours",
        )
    ]


def _flat(status: dict[str, Any]) -> str:
    voices, prompts = status["voices"], status["model"]["writer"]["prompts"]
    return f"voices {voices}, prompts {prompts}"


def _is_in_use(path: Path) -> bool:
    """Whether a living process, of whatever program on this machine, has it in its memory."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if str(path) in maps.read_text():
                return True
    return False


def _rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024


def _count(pid: int, what: str) -> int:
    """How many threads ("task") or open files ("fd") a process has."""
    return len(list(Path(f"/proc/{pid}/{what}").iterdir()))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable")
    parser.add_argument("--small", action="store_true", help="a tenth of it")
    args = parser.parse_args()
    logging.getLogger("stepedit_fx").setLevel(logging.ERROR)
    os.environ["STEPEDIT_WORKER"] = "off"  # only the clients made here have one
    work: dict[str, Callable[[Bench], list[Row]]] = {
        "clients": clients, "kills": kills, "hours": hours,
    }  # fmt: skip
    print(f"Measured on {machine()}")
    rows: list[Row] = []
    for part in args.only or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), small=args.small)
            try:
                rows += [replace(row, script="worker.py") for row in work[part](bench)]
            finally:
                for found in find(bench.run):
                    stop(found)
    print_table(("what", "bar", "measured", "command"), [row.cells() for row in rows], "Bars:")
    print(f"\nLoad at the end: {machine().rpartition('load ')[2]}")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
