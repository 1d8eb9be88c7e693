"""Sound that is no clean voice: a result or a clear error, never a silent wrong one."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
import soxr

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.errors import StepEditError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.speech import Transcript
from tests.conftest import REPO

RATE = 24_000
EDITS = [
    "{emotion: happy}",
    "{emotion: sad}",
    "{style: whisper}",
    "{style: child}",
    "{speed: faster}",
    "{denoise: }",
    "{vad: }",
    '{paralinguistic: "[Sigh] well then"}',
    '{paralinguistic: "well [Laughter] then"}',
]


def melody() -> Samples:
    """Plucked notes of seven partials."""
    seconds = np.arange(int(0.4 * RATE)) / RATE
    notes = [
        sum(np.sin(2 * np.pi * 220 * 2 ** (step / 12) * k * seconds) / k for k in range(1, 8))
        for step in (0, 4, 7, 12, 7)
    ]
    return np.asarray(np.concatenate(0.15 * np.exp(-2 * seconds) * np.array(notes)), np.float32)


def speech() -> Samples:
    return read_audio(REPO / "examples" / "audio" / "good-morning.wav").samples[0, : 2 * RATE]


def sounds() -> Iterator[tuple[str, Audio, str]]:
    """Name, sound, and a word of the warning that it must give."""
    voice = speech()
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    deep = soxr.resample(voice, RATE, 44_100)  # played slower: another, deeper voice
    each: list[tuple[str, object, int, str]] = [
        ("silence", np.zeros(RATE), RATE, "silent"),
        ("30 ms", voice[RATE : RATE + 720], RATE, "too short"),
        ("one sample", np.ones(1) * 0.5, RATE, "too short"),
        ("noise", noise, RATE, "no voice"),
        ("a tone", 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), RATE, "tone"),
        ("music", melody(), RATE, "music"),
        ("clipped", np.clip(voice * 8, -1, 1), RATE, "clipped"),
        ("telephone", soxr.resample(voice, RATE, 8000), 8000, "telephone"),
        ("two speakers", np.concatenate([voice, np.zeros(RATE // 3), deep]), RATE, ""),
        ("a click", np.eye(1, RATE, 5000)[0], RATE, "no voice"),
        ("only offset", np.full(RATE, 0.5), RATE, "off zero"),
    ]
    for name, samples, rate, word in each:
        array = np.asarray(samples, np.float32)[None]
        yield name, Audio(array, rate, transcript=Transcript("well then", "en")), word


BAD = {name: (audio, word) for name, audio, word in sounds()}


@pytest.mark.parametrize("name", BAD)
def test_a_result_or_a_clear_error(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Every edit gives sound of a sensible level and length, or says why not; and it is warned."""
    audio, word = BAD[name]
    for edit in EDITS:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "stepedit_fx"):
            refused: StepEditError | None
            try:
                graph = Graph.parse(f"name: g\nchain: [{edit}]\n")
                (made,) = graph.run(audio, out_dir=None).values.values()
            except StepEditError as error:
                refused = error
            else:
                refused = None
            if refused:
                assert refused.remedy, f"{edit}: {refused}"
            else:
                samples = made.read(0, made.frames)
                assert np.isfinite(samples).all(), edit
                assert np.abs(samples).max(initial=0) <= max(1.0, 1.5 * audio.peak), edit
                assert made.duration_s <= 2 * audio.duration_s + 5, edit
                assert made.sample_rate == audio.sample_rate, edit
        assert word in " ".join(record.getMessage() for record in caplog.records), edit
