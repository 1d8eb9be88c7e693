"""Sounds sit where their tag stands, come from the seed, and leave the words alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.analysis import analysis_of
from stepedit_fx.engines.parametric.engine import SOUNDS
from stepedit_fx.engines.parametric.sounds import make_sound, place_sound
from stepedit_fx.errors import EngineError
from stepedit_fx.speech import Edit, Transcript, Word
from stepedit_fx.tags import Sound

TEXT = "Good morning, and welcome back. I was not sure you would come, but the kettle is on."


def said(text: str, seed: int = 0) -> Edit:
    return Edit("paralinguistic", text=text, seed=seed)


@pytest.mark.parametrize("tag", SOUNDS)
def test_a_sound_is_audible_and_no_louder_than_the_voice(tag, take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    sound = make_sound(tag, analysis, 1.0, 0.0, seed=1)
    voice_db = np.percentile(analysis.level_db, 80)
    sound_db = 10 * np.log10(np.mean(np.square(sound)))
    assert 0.2 < len(sound) / analysis.rate < 1.6
    assert voice_db - 25 < sound_db < voice_db + 1


@pytest.mark.parametrize("tag", SOUNDS)
def test_seeds_give_variants_and_the_same_seed_the_same_sound(tag, take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    one, same, other = (make_sound(tag, analysis, 1.0, 0.0, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_what_is_said_before_a_sound_stays_to_the_sample(clip, render) -> None:
    wet = render(said(TEXT.replace("I was", "[Laughter] I was")))
    changed = int(np.flatnonzero(wet.samples[0, : clip.frames] != clip.samples[0])[0])
    assert changed > 1.0 * clip.sample_rate
    tail = clip.sample_rate
    assert np.array_equal(wet.samples[0, -tail:], clip.samples[0, -tail:])


def test_a_tag_after_a_full_stop_lands_in_the_pause_there(take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    frame = place_sound(Sound("Sigh", 5), TEXT, analysis, [])
    assert any(first <= frame <= end for first, end in analysis.inner_pauses)
    assert 1.0 < frame / 100 < 2.6  # "back." ends after about a third of the clip


def test_known_word_times_decide_where_a_sound_goes(take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    starts = [0.3 * n for n in range(17)]
    assert place_sound(Sound("Uhm", 9), TEXT, analysis, starts) == pytest.approx(270, abs=8)


def test_tags_at_the_ends_stand_outside_the_words(take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    assert place_sound(Sound("Breathing", 0), TEXT, analysis, []) == analysis.phrases[0][0]
    assert place_sound(Sound("Sigh", 99), TEXT, analysis, []) >= analysis.phrases[-1][1] - 1


def test_a_text_without_a_sound_says_how_to_write_one(take, engine) -> None:
    with pytest.raises(EngineError, match=r"no sound in it.*\[Breathing\]"):
        engine.edit([take], [said("Good morning.")])


def test_a_text_that_is_not_the_recordings_is_refused(take, engine) -> None:
    known = replace(take, transcript=Transcript("Good morning, and welcome back."))
    with pytest.raises(EngineError, match="not what the recording says"):
        engine.edit([known], [said("Purple elephants [Sigh] never whistle quietly.")])


def test_a_word_more_or_less_does_not_move_a_sound(take, engine) -> None:
    words = tuple(Word(w, 0.3 * n, 0.3 * n + 0.3) for n, w in enumerate(TEXT.split()))
    known = replace(take, transcript=Transcript(TEXT, "en", words))
    exact = engine.edit([known], [said(TEXT.replace("but", "[Sigh] but"))])[0]
    short = engine.edit([known], [said(TEXT.replace("but", "[Sigh] but").replace("and ", ""))])[0]
    assert exact.codes["sounds"][0, 1] == short.codes["sounds"][0, 1]


def test_sounds_go_with_a_clip_that_is_all_one_pause(engine) -> None:
    hum = Audio(np.random.default_rng(0).normal(0, 1e-4, (1, 24000)).astype(np.float32), 24000)
    wet = engine.decode(engine.edit(engine.encode([hum]), [said("[Breathing]")]))[0]
    assert np.isfinite(wet.samples).all()


def test_a_laugh_after_the_last_word_follows_it(clip, engine) -> None:
    """And not the end of a long silence behind it."""
    tail = np.zeros((1, 3 * clip.sample_rate), np.float32)
    long = Audio(np.concatenate([clip.samples, tail], axis=1), clip.sample_rate)
    wet = engine.decode(engine.edit(engine.encode([long]), [said(TEXT + " [Laughter]")]))[0]
    heard = np.flatnonzero(np.abs(wet.samples[0]) > 0.02)[-1]
    assert heard < clip.frames + 1.8 * clip.sample_rate


def test_a_voice_on_one_side_laughs_as_loud_as_it_speaks(clip, engine) -> None:
    def laugh(audio: Audio) -> float:
        wet = engine.decode(engine.edit(engine.encode([audio]), [said("[Laughter] " + TEXT)]))[0]
        return float(np.abs(wet.samples[0, : clip.sample_rate]).max())

    one_side = Audio(np.concatenate([clip.samples, 0 * clip.samples]), clip.sample_rate)
    assert laugh(one_side) == pytest.approx(laugh(clip), rel=0.05)
