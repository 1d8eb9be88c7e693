"""Sounds sit where their tag stands, come from the seed, and leave the words alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.analysis import analysis_of
from stepedit_fx.engines.parametric.engine import SOUNDS
from stepedit_fx.engines.parametric.sounds import make_sound, place_sound
from stepedit_fx.errors import EngineError
from stepedit_fx.measures import track_f0, track_level
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


def spectrum(sound: np.ndarray, rate: int) -> np.ndarray:
    """Level in dB by tenths of the length and by six bands."""
    hz = np.fft.rfftfreq(4096, 1 / rate)
    edges = (80, 300, 700, 1200, 2000, 3500, 6000)
    parts = [
        np.abs(np.fft.rfft(p * np.hanning(len(p)), 4096)) ** 2 for p in np.array_split(sound, 10)
    ]
    bands = [[p[(hz >= a) & (hz < b)].mean() for a, b in pairwise(edges)] for p in parts]
    return 10 * np.log10(np.array(bands) + 1e-10)


@pytest.mark.parametrize("tag", SOUNDS)
def test_no_two_seeds_sound_alike(tag, take) -> None:
    """The same laugh twice in a clip gives the machine away; 1 dB of a spectrum is just heard."""
    analysis = analysis_of(take.voice, take.place.sample_rate)
    heard = [spectrum(make_sound(tag, analysis, 1.0, 0.0, n), analysis.rate) for n in range(4)]
    apart = [np.sqrt(np.mean(np.square(a - b))) for a, b in combinations(heard, 2)]
    assert min(apart) > 1.0


@pytest.mark.parametrize("tag", SOUNDS)
def test_a_sound_starts_and_ends_in_nothing(tag, take) -> None:
    """A step at either end is a click."""
    analysis = analysis_of(take.voice, take.place.sample_rate)
    sound = make_sound(tag, analysis, 1.0, 0.0, seed=3)
    edge = round(0.002 * analysis.rate)
    top = np.abs(sound).max()
    assert np.abs(sound[:edge]).max() < 0.15 * top
    assert np.abs(sound[-edge:]).max() < 0.05 * top


@pytest.mark.parametrize(
    ("tag", "low_st", "high_st"),
    [
        ("Uhm", -4, 0),
        ("Confirmation-en", -3, 4),
        ("Dissatisfaction-hnn", -5, 0),
        ("Surprise-oh", 1, 9),
        ("Surprise-ah", 3, 10),
        ("Surprise-wa", 2, 10),
        ("Question-ei", -2, 6),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_sound_has_the_pitch_of_its_speaker(tag, low_st, high_st, seed, take) -> None:
    """Around their usual f0, no octave under or over it."""
    analysis = analysis_of(take.voice, take.place.sample_rate)
    sound = make_sound(tag, analysis, 1.0, 0.0, seed)
    f0 = track_f0(sound.astype(np.float32), analysis.rate)
    median_st = 12 * np.log2(np.median(f0[f0 > 0]) / analysis.median_f0_hz)
    assert low_st <= median_st <= high_st


@pytest.mark.parametrize("tag", ["Breathing", "Sigh"])
def test_a_breath_is_air_alone(tag, take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    for seed in range(3):
        sound = make_sound(tag, analysis, 1.0, 0.0, seed)
        assert not track_f0(sound.astype(np.float32), analysis.rate).any()


def test_a_laugh_is_four_to_six_bursts_five_a_second(take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    for seed in range(4):
        laugh = make_sound("Laughter", analysis, 1.0, 0.0, seed)
        level = uniform_filter1d(track_level(laugh.astype(np.float32), analysis.rate), 5)
        bursts = find_peaks(np.pad(level, 1, constant_values=-120), prominence=6)[0]
        assert 4 <= len(bursts) <= 6
        assert 4.3 < (len(bursts) - 1) / (np.ptp(bursts) * 0.01) < 5.9


@pytest.mark.parametrize("tag", SOUNDS)
def test_someone_who_only_whispers_still_has_sounds_and_silence_has_none(tag, engine) -> None:
    """Without a voiced frame a laugh is made of air; without any sound there is nothing to add."""
    rng = np.random.default_rng(4)
    envelope = np.abs(np.sin(np.arange(48000) * np.pi * 3 / 24000))
    hiss = (0.1 * envelope * rng.standard_normal(48000)).astype(np.float32)[None]
    for samples, is_heard in ((hiss, True), (np.zeros_like(hiss), False)):
        take = engine.encode([Audio(samples, 24000)])[0]
        sound = make_sound(tag, analysis_of(take.voice, 24000), 1.0, 0.0, seed=1)
        assert np.isfinite(sound).all()
        assert (np.abs(sound).max() > 0.01) == is_heard


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
