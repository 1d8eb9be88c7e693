"""The step-audio engine from sound to sound on the tiny checkpoint: what runs, and its memory.

Linux only: memory is the process's own peak (VmHWM), put back to the present before each part.

    python benchmarks/step_audio_pipeline.py
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rows import REPOSITORY, machine, print_table, speech_clips

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.step_audio.takes import Source, unpack, with_segments
from stepedit_fx.engines.step_audio.vocabulary import GROUP
from stepedit_fx.speech import Edit, Speech, Transcript

sys.path.insert(0, str(REPOSITORY / "tests"))
from make_tiny_checkpoint import make_tiny_checkpoint

BAR_MIB = 300
CLIP_S = 10.0
EDITS = (Edit("emotion", "happy"), Edit("style", "radio"), Edit("speed", "slower"))
STATUS = Path("/proc/self/status")


def memory_mib(name: str) -> float:
    """VmRSS (now) or VmHWM (peak) in MiB."""
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def ten_seconds() -> Audio:
    """Speech of the shared recordings (or the sample clip), end to end, cut at 10 s."""
    clips = list(speech_clips(24000).values())
    mono = np.concatenate([clip.mono() for clip in clips] * 2)
    return Audio(mono[None, : round(CLIP_S * 24000)], 24000, transcript=Transcript("Hello there"))


def as_long_as_source(take: Speech) -> Speech:
    """The take with its source's tokens in another order: a random model's turns end early."""
    segments, around = unpack(take)
    references = Source.of(take.voice).references
    moved = [replace(s, tokens=np.roll(references[s.reference].tokens, GROUP)) for s in segments]
    return with_segments(take, moved, around)


def main() -> None:
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as folder:
        models = make_tiny_checkpoint(Path(folder))
        engine = open_engine("step-audio", models=models, device="cpu", dtype="float32")
        warm = ten_seconds()
        short = Audio(warm.samples[:, : 24000 * 2], 24000)
        engine.decode(engine.edit(engine.encode([short]), [EDITS[0]]))  # everything is loaded
        runs: Counter[str] = Counter()
        peaks: list[tuple[str, str]] = []
        forget_peak()
        before = memory_mib("VmRSS")

        def measured(name: str, work):  # type: ignore[no-untyped-def]
            forget_peak()
            result = work()
            runs[name.split()[0]] += 1
            peaks.append((name, f"{memory_mib('VmHWM') - before:.0f} MiB"))
            return result

        take = measured("encode", lambda: engine.encode([warm]))
        for edit in EDITS:
            take = measured(f"edit {edit.value}", lambda e=edit, t=take: engine.edit(t, [e]))
        full = [as_long_as_source(take[0])]
        measured("decode", lambda: engine.decode(full))
    worst = max(float(cell.split()[0]) for _, cell in peaks)
    peaks.append((f"largest (bar {BAR_MIB} MiB)", f"{worst:.0f} MiB"))
    print(machine())
    print_table(
        ("Part", "Peak beyond the loaded engine"), peaks, f"{CLIP_S:.0f} s, tiny checkpoint"
    )
    print(f"\n{runs['encode']} encode, {runs['edit']} edits, {runs['decode']} decode.")


if __name__ == "__main__":
    main()
