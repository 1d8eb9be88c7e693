"""clone on the embedded engine: espeak-ng's words, moved to a reference's measures."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.parametric.clone import BANDS_HZ, long_term_db
from stepedit_fx.errors import RequestError
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import measure
from stepedit_fx.speech import Edit, Transcript
from stepedit_fx.transcripts import espeak

pytest.importorskip("espeakng_loader")

TEXT = "Please close the window before you leave the office tonight."


@pytest.fixture(scope="module")
def engine():
    return open_engine()


@pytest.fixture(scope="module")
def reference() -> Audio:
    """A high, slow, dark voice: espeak-ng's own with other settings, dulled."""
    said = espeak.speak(
        "The weather will be fine again tomorrow, and we are going to the lake.",
        "en-us+f4",
        rate=130,
        pitch=70,
    )
    dark = np.convolve(said.samples, np.hanning(24) / 12)[: len(said.samples)]
    return Audio(
        0.3 * (0.8 * dark + 0.2 * said.samples)[None],
        said.rate,
        start_s=12.0,
        transcript=said.transcript,
    )


def said_by(engine, audio: Audio, text: str = TEXT, seed: int = 0) -> Audio:
    taken = engine.encode([audio])
    return engine.decode(engine.clone(taken, [Edit("clone", text=text, seed=seed)]))[0]


@pytest.fixture(scope="module")
def cloned(engine, reference) -> Audio:
    return said_by(engine, reference)


def test_a_clone_has_the_pitch_pace_and_loudness_of_its_reference(cloned, reference) -> None:
    """Otherwise the new sentence stands out from the recording it is cut into."""
    want, got = (measure(a.mono(), a.sample_rate) for a in (reference, cloned))
    assert abs(12 * np.log2(got.f0_median_hz / want.f0_median_hz)) < 0.5
    assert got.f0_range_st == pytest.approx(want.f0_range_st, rel=0.25)
    assert got.syllables_per_s == pytest.approx(want.syllables_per_s, rel=0.10)
    loudness = [loudness_lufs(a.samples, a.sample_rate) for a in (reference, cloned)]
    assert loudness[1] == pytest.approx(loudness[0], abs=1.0)


def test_a_clone_has_the_long_term_spectrum_of_its_reference(cloned, reference) -> None:
    """A dull recording with a bright sentence in it sounds like two microphones."""
    rate = reference.sample_rate
    plain = espeak.speak(TEXT, "en-us")
    speech = (BANDS_HZ >= 100) & (BANDS_HZ <= 8000)
    want, before, after = (
        long_term_db(x, rate)[speech] for x in (reference.mono(), plain.samples, cloned.mono())
    )
    assert np.std(after - want) < 0.5 * np.std(before - want)


def test_a_clone_knows_its_words_and_can_be_edited(engine, cloned, reference) -> None:
    """Sounds are placed at words, also in a sentence that was cloned."""
    words = cloned.transcript.words
    assert [w.text for w in words][:3] == ["Please", "close", "the"]
    assert all(a.start_s < a.end_s <= b.start_s + 1e-6 for a, b in pairwise(words))
    assert words[-1].end_s <= cloned.duration_s + 1e-6
    assert cloned.start_s == reference.start_s
    taken = engine.clone(engine.encode([reference]), [Edit("clone", text=TEXT)])
    sigh = Edit("paralinguistic", text=TEXT.replace("before", "[Sigh] before"))
    assert engine.decode(engine.edit(taken, [sigh]))[0].duration_s > cloned.duration_s + 0.3


def test_one_text_and_seed_give_one_sound(engine, cloned, reference) -> None:
    """A render that differs each time can be neither stored nor verified."""
    assert said_by(engine, reference).digest == cloned.digest


def test_a_clone_says_that_it_is_a_sketch(engine, reference, caplog) -> None:
    """Who wants the voice itself must hear of the engine that has it."""
    with caplog.at_level(logging.WARNING):
        said_by(engine, reference, "Good evening to you all.")
    assert sum("sketch" in r.message and "step-audio" in r.message for r in caplog.records) == 1


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no words"),
        ("...", "no words"),
        ("x" * 10_001, "10001 characters"),
        ("𐌰𐌱𐌲", "gothic"),
        ("世界です", "kanji"),
    ],
)
def test_a_text_that_cannot_be_said_is_refused(engine, reference, text, cause) -> None:
    """Silence, or letters read one by one, would be a wrong result without a word."""
    with pytest.raises(RequestError, match=cause):
        said_by(engine, reference, text)


@pytest.mark.parametrize(
    ("text", "voice", "language"),
    [
        ("上次你说鞋子有点磨脚。", "", "zh"),
        ("[Cantonese]上次你说鞋子有点磨脚。", "", "zh"),
        ("こんにちは、おげんきですか。", "", "ja"),
        ("안녕하세요 세계", "", "ko"),
        ("Bonjour mes amis", "fr", "fr"),
        ("Привет мир", "", "ru"),
    ],
)
def test_the_language_is_that_of_the_text(engine, reference, text, voice, language) -> None:
    """Chinese read by an English voice is noise."""
    there = replace(reference, transcript=Transcript("x", voice))
    said = said_by(engine, there, text)
    assert said.transcript.language == language
    assert said.duration_s > 0.4


@pytest.mark.parametrize("kind", ["silence", "noise", "short", "stereo", "telephone", "empty"])
def test_any_reference_gives_speech(engine, reference, kind) -> None:
    """A reference without a voice gives espeak-ng's own, not a crash or NaN."""
    rng = np.random.default_rng(0)
    rate = 8000 if kind == "telephone" else 24000
    samples = {
        "silence": np.zeros((1, 48000)),
        "noise": 0.05 * rng.standard_normal((1, 48000)),
        "short": reference.samples[:, 3000:4000],
        "stereo": np.stack([reference.samples[0], np.zeros(reference.frames)]),
        "telephone": reference.samples[:, : 8000 * 3],
        "empty": np.zeros((1, 0)),
    }[kind]
    said = said_by(engine, Audio(samples.astype(np.float32), rate))
    assert said.channels == samples.shape[0]
    assert said.duration_s > 1.0
    assert said.peak > 0.001
    if kind == "stereo":
        assert not said.samples[1].any()
