"""What every benchmark of a bar needs: rows to print, clips to run on, medians, a stopwatch."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import soxr

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio

REPOSITORY = Path(__file__).resolve().parents[1]
SPEECH = REPOSITORY.parent / "shared" / "speech"
EXAMPLES = REPOSITORY / "examples" / "audio"


@dataclass(frozen=True)
class Row:
    """One bar and what was measured. met: None where there is a figure but no bar.

    part: of the script, which prints it alone by ``--only``.
    """

    what: str
    bar: str
    measured: str
    met: bool | None
    part: str
    script: str = "core.py"

    def cells(self) -> tuple[str, ...]:
        missed = " **(missed)**" if self.met is False else ""
        command = f"`python benchmarks/{self.script} --only {self.part}`"
        return self.what, self.bar, self.measured + missed, command


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """A Markdown table, for docs/benchmarks.md."""
    if title:
        print(f"\n{title}\n")
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def machine() -> str:
    """One line on where this ran; the load says how far the figures can be trusted."""
    names = ("numpy", "scipy", "pedalboard", "praat-parselmouth")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    load = " ".join(f"{minutes:.1f}" for minutes in os.getloadavg())
    return (
        f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}; "
        f"load {load}."
    )


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def speech_paths() -> list[Path]:
    """The recordings in ../shared/speech, where it is there, else the sample clip."""
    return sorted((SPEECH if SPEECH.is_dir() else EXAMPLES).glob("*.wav"))


def speech_clips(rate_hz: int | None = None) -> dict[str, Audio]:
    """Recordings by name; rate_hz resamples those at another rate."""
    clips = {path.stem: read_audio(path) for path in speech_paths()}
    return {name: _at_rate(clip, rate_hz or clip.sample_rate) for name, clip in clips.items()}


def _at_rate(clip: Audio, rate_hz: int) -> Audio:
    if clip.sample_rate == rate_hz:
        return clip
    return Audio(soxr.resample(clip.samples.T, clip.sample_rate, rate_hz).T, rate_hz)


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that it takes; clock as for `Stopwatch`."""
    start = clock()
    work()
    return clock() - start


def median_of(work: Callable[[], object], runs: int) -> float:
    """Median seconds over several runs."""
    return statistics.median(timed(work) for _ in range(runs))


class Stopwatch:
    """Seconds by stage; what a stage spends inside another stage counts there alone.

    clock: seconds, as time.perf_counter gives; time.process_time leaves other programs out.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds: Counter[str] = Counter()
        self._inner: list[float] = []  # of each open stage: seconds spent in stages inside it

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        start = self.clock()
        try:
            yield
        finally:
            seconds = self.clock() - start
            self.seconds[name] += seconds - self._inner.pop()
            if self._inner:
                self._inner[-1] += seconds

    @contextmanager
    def watching(self, functions: Iterable[tuple[Any, str, str]]) -> Iterator[None]:
        """Count (module or class, name of a function in it, stage) while this is open."""
        with ExitStack() as stack:
            for owner, name, stage in functions:
                counted = self._counted(getattr(owner, name), stage)
                stack.enter_context(patch.object(owner, name, counted))
            yield

    def _counted(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def counted(*args: Any, **options: Any) -> Any:
            with self.stage(stage):
                return function(*args, **options)

        return counted
