"""What a voice editor hears: each edit does its own thing and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import SOUNDS, ParametricEngine
from stepedit_fx.engines.parametric.sounds import MAKERS
from stepedit_fx.errors import TagError
from stepedit_fx.loudness import limited
from stepedit_fx.measures import find_pauses, measure, track_f0, track_level
from stepedit_fx.speech import Edit, Speech, Transcript, Word

EDITS = [
    Edit(kind, value, text="[Breathing] Good morning, [Laughter] and welcome back. [Uhm]")
    for kind, values in ParametricEngine().offers.items()
    if kind != "clone"  # which is no edit of a take
    for value in (values if kind != "paralinguistic" else [""])
]
NAMES = [f"{edit.kind} {edit.value}".strip() for edit in EDITS]


def figures(audio: Audio):
    return measure(audio.mono(), audio.sample_rate)


def sharpest_step(audio: Audio) -> float:
    """The largest step between samples against the usual ones near it and in all the clip.

    A brighter or louder voice has larger steps everywhere near; a click stands alone: one of 0.15
    in the sample clip is 2.4 times its own.
    """
    step = np.abs(np.diff(audio.samples[0].astype(np.float64)))
    near = uniform_filter1d(np.square(step), round(0.02 * audio.sample_rate))
    usual = np.sqrt(np.maximum(near, 0)) + 0.5 * np.sqrt(np.mean(np.square(step)))
    return float((step / usual).max())


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_strength_0_is_the_source_sample_for_sample(edit, clip, render) -> None:
    assert np.array_equal(render(replace(edit, strength=0.0)).samples, clip.samples)


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_an_edit_keeps_rate_and_channels_and_does_not_click(edit, clip, render) -> None:
    wet = render(edit)
    assert (wet.sample_rate, wet.channels) == (clip.sample_rate, clip.channels)
    wet = wet.with_samples(limited(wet.samples, wet.sample_rate, clip.peak))
    assert sharpest_step(wet) < 1.25 * sharpest_step(clip)


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_the_same_edit_twice_is_the_same_sound(edit, render) -> None:
    assert render(edit).digest == render(edit).digest


@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_a_voice_panned_to_one_side_stays_there(edit, clip, engine) -> None:
    first = clip.samples[:, : 2 * clip.sample_rate]
    stereo = Audio(np.concatenate([first, 0.25 * first]), clip.sample_rate)
    wet = engine.decode(engine.edit(engine.encode([stereo]), [edit]))[0]
    if edit.kind == "paralinguistic":  # sounds come at each channel's level
        left, right = np.sqrt(np.mean(np.square(wet.samples), axis=1))
        assert right / left == pytest.approx(0.25, rel=0.02)
    else:
        assert wet.samples[1] == pytest.approx(0.25 * wet.samples[0], abs=2e-4)


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_no_edit_at_all_is_the_source(rate, channels, engine) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (channels, rate // 3))
    audio = Audio(samples.astype(np.float32), rate, start_s=3600.0)
    back = engine.decode(engine.encode([audio]))[0]
    assert back.digest == audio.digest


def test_more_strength_is_more_of_it(clip, render) -> None:
    median = [
        figures(render(Edit("emotion", "happy", strength=s))).f0_median_hz for s in (0.25, 0.6, 1)
    ]
    assert figures(clip).f0_median_hz < median[0] < median[1] < median[2]


def test_iterations_deepen_an_edit_less_each_time(render) -> None:
    seconds = [render(Edit("speed", "slower", iterations=n)).duration_s for n in (1, 2, 3)]
    assert seconds[0] < seconds[1] < seconds[2]
    assert seconds[2] - seconds[1] < seconds[1] - seconds[0]


def test_edits_add_up_whatever_their_order(render) -> None:
    """Only constant shifts commute exactly; a faster sad voice is a sad faster one."""
    faster, child = Edit("speed", "faster"), Edit("denoise")
    assert render(faster, child).samples == pytest.approx(render(child, faster).samples, abs=1e-6)


def test_faster_and_back_is_the_length_it_was(clip, render) -> None:
    back = render(Edit("speed", "more faster"), Edit("speed", "more slower"))
    assert back.frames == pytest.approx(clip.frames, rel=0.002)


def test_whisper_has_no_voice_left(render) -> None:
    whisper = render(Edit("style", "whisper"))
    assert (track_f0(whisper.mono(), whisper.sample_rate) > 0).mean() < 0.1


def test_vad_takes_the_pauses_out_and_leaves_the_words(clip, render) -> None:
    wet = render(Edit("vad"))
    before, after = figures(clip), figures(wet)
    assert after.pause_s < 0.35 * before.pause_s
    assert after.speech_s == pytest.approx(before.speech_s, rel=0.1)


def test_denoise_lowers_the_background_and_not_the_voice(clip, engine) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, clip.samples.shape).astype(np.float32)
    noisy = Audio(clip.samples + noise, clip.sample_rate)
    wet = engine.decode(engine.edit(engine.encode([noisy]), [Edit("denoise")]))[0]
    level = {
        name: track_level(audio.mono(), audio.sample_rate)
        for name, audio in (("clean", clip), ("noisy", noisy), ("wet", wet))
    }
    speech = level["clean"] > np.percentile(level["clean"], 75)
    pauses = find_pauses(level["clean"], track_f0(clip.mono(), clip.sample_rate))
    inside = np.concatenate([np.arange(a + 3, b - 3) for a, b in pauses])
    assert np.median((level["noisy"] - level["wet"])[inside]) > 10
    assert abs(np.median((level["noisy"] - level["wet"])[speech])) < 1


def test_word_times_move_with_the_words(clip, take, render) -> None:
    words = (Word("Good", 0.1, 0.4), Word("morning", 0.4, 0.9))
    timed = replace(take, transcript=Transcript("Good morning", "en", words))
    moved = render(Edit("speed", "slower"), take=timed).transcript.words
    assert [w.text for w in moved] == ["Good", "morning"]
    assert moved[1].end_s == pytest.approx(0.9 * 1.2, abs=0.1)


def test_a_tag_the_engine_lacks_is_named_with_those_it_has(take, engine) -> None:
    with pytest.raises(TagError, match="clone"):
        engine.edit([take], [Edit("clone", text="Good evening.")])
    with pytest.raises(TagError, match="Did you mean 'happy'"):
        engine.edit([take], [Edit("emotion", "hapy")])


def test_the_engine_lists_the_sounds_it_makes() -> None:
    assert set(SOUNDS) == set(MAKERS)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((1, 0)),
        np.zeros((1, 24000)),
        np.full((1, 240), 0.1),
        np.random.default_rng(2).normal(0, 0.1, (2, 5000)),
        np.sign(np.sin(np.arange(24000) * 0.05))[None],
    ],
    ids=["nothing", "silence", "10 ms", "noise", "clipped"],
)
@pytest.mark.parametrize("edit", EDITS, ids=NAMES)
def test_sound_without_speech_is_rendered_or_left_alone(edit, samples, engine) -> None:
    audio = Audio(samples.astype(np.float32), 24000)
    wet = engine.decode(engine.edit(engine.encode([audio]), [edit]))[0]
    assert np.isfinite(wet.samples).all()


def test_a_batch_is_what_each_item_gives_alone(engine, take) -> None:
    edits = [Edit("emotion", "sad"), Edit("style", "older", seed=3)]
    together = engine.decode(engine.edit([take, take], edits))
    alone = [engine.decode(engine.edit([take], [edit]))[0] for edit in edits]
    assert [a.digest for a in together] == [a.digest for a in alone]


def test_an_edit_moves_no_sound(engine, take: Speech) -> None:
    """The voice is pinned: edits change codes alone."""
    edited = engine.edit([take], [Edit("style", "child")])[0]
    assert edited.voice is take.voice
    assert sum(code.nbytes for code in edited.codes.values()) < take.voice.arrays["samples"].nbytes


def test_denoise_works_where_an_editor_left_digital_silence(clip, engine) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, clip.samples.shape).astype(np.float32)
    gated = (clip.samples + noise).copy()
    for first, end in find_pauses(
        track_level(clip.mono(), clip.sample_rate), track_f0(clip.mono(), clip.sample_rate)
    ):
        gated[:, first * 240 : end * 240] = 0
    audio = Audio(gated, clip.sample_rate)
    wet = engine.decode(engine.edit(engine.encode([audio]), [Edit("denoise")]))[0]
    assert np.abs(wet.samples - gated).max() > 0.005


def test_vad_twice_leaves_the_pauses_that_it_left_once(render) -> None:
    once, twice = render(Edit("vad")), render(Edit("vad"), Edit("vad"))
    assert twice.frames == pytest.approx(once.frames, abs=5)
