"""The engine with networks of the published sizes: what each part costs, and what a chain saves."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from neural_models import SMALL, Sizes, engine
from rows import Row, Stopwatch, print_table, speech_clips, timed

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import heard_by
from stepedit_fx.engines.step_audio import decoding, editing, encoding
from stepedit_fx.engines.step_audio.engine import StepAudioEngine
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.takes import Source
from stepedit_fx.speech import Edit, Speech, Transcript

STATUS = Path("/proc/self/status")
BATCHES = (1, 16)
RUNS = 3
BAR_CHAIN = 2.0
HAPPY = Edit("emotion", "happy", seed=1)
CHAIN = (HAPPY, Edit("style", "radio", seed=2), Edit("speed", "slower", seed=3))


def engine_rows(
    sizes: Sizes, folder: Path, model: Step1ForCausalLM, device: str, dtype: str
) -> list[Row]:
    """Tables, and the bar of the chain."""
    ours = engine(sizes, folder, model, device, dtype)
    seconds = 1.6 if sizes is SMALL else 10.0
    clips = _clips(seconds, max(BATCHES))
    weights = _memory()
    # An answer is as long as its source, so that what is compared is as much.
    runs = 1 if sizes is SMALL else RUNS
    with patch.multiple(editing, USUALLY_LONGER=1.0, SPARE_S=0.0, SHORTEST=1.0, LONGER={}):
        _all(ours, clips[:1])  # everything is loaded and has chosen its kernels
        _costs(ours, clips, seconds, runs)
        peak = _memory(peak=True)
        first, whole = _first_sound(ours, clips[0], runs)
        rows = [_chain(ours, clips[0], runs)]
    return [
        *rows,
        Row(
            f"first sound of an edit of {seconds:g} s, from the request on",
            "-",
            f"{first:.2f} s; all of it written and decoded {whole:.2f} s",
            None,
            "engine",
        ),
        Row(
            f"memory: weights, then the peak at batch {max(BATCHES)}",
            "-",
            f"{weights / 1e9:.2f} GB, {peak / 1e9:.2f} GB",
            None,
            "engine",
        ),
    ]


def _costs(ours: StepAudioEngine, clips: Sequence[Audio], seconds: float, runs: int) -> None:
    table = []
    for batch in BATCHES:
        some, watches = clips[:batch], []
        for _ in range(runs if batch == 1 else 1):
            watches.append(_all(ours, some))
        cells = [
            f"{statistics.median(watch[part] for watch in watches) / batch / seconds:.3f}"
            for part in ("encode", "edit", "decode")
        ]
        table.append((str(batch), *cells))
    print_table(
        ("batch", "encode", "edit", "decode"),
        table,
        f"Seconds for a second of audio, clips of {seconds:g} s:",
    )


def _all(ours: StepAudioEngine, clips: Sequence[Audio]) -> dict[str, float]:
    """One edit from sound to sound; seconds by part."""
    took: dict[str, float] = {}
    takes: list[Speech] = []
    edited: list[Speech] = []
    took["encode"] = timed(lambda: takes.extend(ours.encode(clips)))
    edits = [Edit("emotion", "happy", seed=n) for n in range(len(takes))]
    took["edit"] = timed(lambda: edited.extend(ours.edit(takes, edits)))
    took["decode"] = timed(lambda: ours.decode(edited))
    return took


def _first_sound(ours: StepAudioEngine, clip: Audio, runs: int) -> tuple[float, float]:
    """Seconds to the first block that the model has spoken, and to all of it without listening."""
    take = ours.encode([clip])[0]
    begins = Source.of(take.voice).references[0].span[0] / clip.sample_rate
    firsts, wholes = [], []
    for seed in range(runs):
        edit, start = Edit("emotion", "happy", seed=seed), time.perf_counter()
        heard: list[float] = []

        def hear(block: Audio, heard: list[float] = heard, start: float = start) -> None:
            if block.start_s >= begins - 1e-6 and not heard:
                heard.append(time.perf_counter() - start)

        with heard_by(hear):
            ours.edit([take], [edit])
        firsts += heard
        wholes.append(timed(lambda e=edit: ours.decode(ours.edit([take], [e]))))
    return statistics.median(firsts), statistics.median(wholes)


def _chain(ours: StepAudioEngine, clip: Audio, runs: int) -> Row:
    """Encode and decode of three edits, in tokens and with sound between them, by turns."""
    between = StepAudioEngine(ours.settings.model_copy(update={"chain": "audio"}))
    vars(between)["networks"] = ours.networks
    parts = [(encoding, "encode", "encode"), (decoding, "decode", "decode")]
    spent: dict[str, list[float]] = {"tokens": [], "audio": []}
    for _ in range(runs):
        for name, one in (("tokens", ours), ("audio", between)):
            watch = Stopwatch()
            with watch.watching(parts):
                take = one.encode([clip])
                for edit in CHAIN:
                    take = one.edit(take, [edit])
                if name == "tokens":
                    one.decode(take)
            spent[name].append(watch.seconds["encode"] + watch.seconds["decode"])
    tokens, audio = (statistics.median(spent[name]) for name in ("tokens", "audio"))
    return Row(
        "a chain of three edits, encode plus decode, against sound between edits",
        f"at least {BAR_CHAIN:g} times",
        f"{audio / tokens:.2f} times ({tokens:.2f} s, {audio:.2f} s)",
        audio / tokens >= BAR_CHAIN,
        "engine",
    )


def _clips(seconds: float, count: int) -> list[Audio]:
    """Speech of the recordings that are there, end to end, cut into clips that differ."""
    sound = np.concatenate([clip.mono() for clip in speech_clips(24000).values()])
    frames = round(seconds * 24000)
    step = max(1, (len(sound) - frames) // count)
    words = Transcript("What is said here is of no matter.")
    starts = [n * step for n in range(count)]
    return [Audio(sound[None, at : at + frames], 24000, transcript=words) for at in starts]


def _memory(*, peak: bool = False) -> float:
    """Bytes in use, on the GPU if there is one; peak: the most there were."""
    if torch.cuda.is_available():
        told = torch.cuda.max_memory_allocated if peak else torch.cuda.memory_allocated
        return float(told())
    name = "VmHWM" if peak else "VmRSS"
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith(name))
    return float(line.split()[1]) * 1024
