"""decode: as long, as loud and as high as asked, and an unedited take as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.files import read_audio
from stepedit_fx.loudness import loudness_lufs, true_peak
from stepedit_fx.measures import find_pauses, track_f0, track_level
from stepedit_fx.nodes import NODES
from stepedit_fx.nodes.base import Context
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.nodes.mix import Mix
from stepedit_fx.speech import Speech, Transcript, Word
from stepedit_fx.tags import EMOTIONS, STYLES, is_about_loudness
from stepedit_fx.timeline import at

CONTEXT = Context(open_engine())
EVEN = [
    (kind, tag)
    for kind, tags in (("emotion", EMOTIONS), ("style", STYLES))
    for tag in tags
    if not is_about_loudness(kind, tag)
]


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    return read_audio(sample_clip)


@pytest.fixture(scope="module")
def take(clip: Audio) -> Speech:
    taken: Speech = Encode().run([clip], CONTEXT)
    return taken


def made(take: Speech, kind: str, *, decode: Decode | None = None, **fields: object) -> Audio:
    edited = NODES[kind](**fields).run([take], CONTEXT)
    sound: Audio = (decode or Decode()).run([edited], CONTEXT)
    return sound


@pytest.mark.parametrize("length", ["free", "lock", {"within": "5%"}])
def test_an_unedited_take_is_its_source_to_the_sample(length, clip, take) -> None:
    """The mix of a dry and a wet take of nothing is silence, whatever decode is asked for."""
    wet = Decode(length=length, true_peak_db=-24).run([take], CONTEXT)
    assert wet.digest == clip.digest
    turned = wet.with_samples(-wet.samples)
    assert not Mix().run([clip, turned], CONTEXT).samples.any()


@pytest.mark.parametrize(("kind", "tag"), EVEN, ids=[f"{k} {t}" for k, t in EVEN])
def test_what_is_not_about_loudness_does_not_move_it(kind, tag, clip, take) -> None:
    """A chain of moods would creep up, or fade away."""
    wet = made(take, kind, value=tag)
    before, after = (loudness_lufs(a.samples, a.sample_rate) for a in (clip, wet))
    assert abs(after - before) < 1.0
    ceiling = max(10 ** (-1 / 20), true_peak(clip.samples, clip.sample_rate))
    assert true_peak(wet.samples, wet.sample_rate) <= ceiling


def test_what_is_about_loudness_may_move_it(clip, take) -> None:
    whisper = made(take, "style", value="whisper")
    assert loudness_lufs(whisper.samples, clip.sample_rate) < -3 + loudness_lufs(
        clip.samples, clip.sample_rate
    )
    same = made(take, "style", value="whisper", strength=0.0)
    assert same.digest == clip.digest


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("emotion", {"value": "sad"}),
        ("style", {"value": "exaggerated"}),
        ("speed", {"value": "more faster"}),
        ("vad", {}),
        ("paralinguistic", {"text": "Good morning, [Laughter] and welcome back."}),
    ],
    ids=["sad", "exaggerated", "faster", "vad", "laughter"],
)
def test_a_locked_take_is_as_long_as_its_source(kind, fields, clip, take) -> None:
    """A dubbed line ends with the picture."""
    wet = made(take, kind, decode=Decode(length="lock"), **fields)
    assert wet.frames == clip.frames
    if kind == "paralinguistic":  # its neighbours made room; the ends stayed
        assert at(wet.time_map, 0.1) == pytest.approx(0.1, abs=1e-3)
        assert at(wet.time_map, clip.duration_s - 0.1) == pytest.approx(
            clip.duration_s - 0.1, abs=2e-3
        )
    else:
        assert wet.time_map == ()


def test_within_is_near_enough_and_no_nearer(clip, take) -> None:
    wet = made(take, "speed", value="more slower", decode=Decode(length={"within": "5%"}))
    assert wet.frames == int(1.05 * clip.frames)
    small = made(take, "speed", value="slower", strength=0.1, decode=Decode(length=0.05))
    assert small.digest == made(take, "speed", value="slower", strength=0.1).digest


@pytest.mark.parametrize(
    ("kind", "tag"),
    [("emotion", "sad"), ("emotion", "admiration"), ("speed", "slower"), ("style", "recite")],
)
def test_the_silence_before_and_after_stays_as_long(kind, tag, clip) -> None:
    """A take that is dropped onto a timeline starts when it started."""
    silence = np.zeros((1, clip.sample_rate // 2), np.float32) + 1e-4
    framed = clip.with_samples(np.concatenate([silence, clip.samples, silence], axis=1))
    wet = made(Encode().run([framed], CONTEXT), kind, value=tag)

    def around(audio: Audio) -> tuple[float, float]:
        mono = audio.mono()
        level, f0 = track_level(mono, audio.sample_rate), track_f0(mono, audio.sample_rate)
        pauses = find_pauses(level, f0)
        return pauses[0][1] * 0.01, (len(level) - pauses[-1][0]) * 0.01

    assert around(wet) == pytest.approx(around(framed), abs=0.05)


def test_words_keep_their_times_with_a_lock(clip) -> None:
    """Subtitles made of the source fit the locked take."""
    words = (Word("Good", 0.2, 0.4), Word("morning", 0.4, 0.9))
    worded = replace(clip, transcript=Transcript("Good morning", "en", words))
    take = Encode().run([worded], CONTEXT)
    locked = made(take, "speed", value="slower", decode=Decode(length="lock"))
    assert locked.transcript.words == words
    free = made(take, "speed", value="slower")
    assert free.transcript.words[1].end_s > 0.95


@pytest.mark.parametrize("length", ["free", "lock", 0.05, {"within": "5%"}, {"within": 0.05}])
def test_lengths_are_read_and_written(length) -> None:
    node = Decode(length=length)
    assert Decode.model_validate_json(node.model_dump_json()) == node


@pytest.mark.parametrize("length", ["locked", 1.5, True, {"within": "80%"}, {"of": 1}, None, [1]])
def test_a_length_that_is_none_is_refused_in_plain_words(length) -> None:
    with pytest.raises(ValidationError, match=r"free, lock or \{within: 5%\}"):
        Decode(length=length)
