"""Recordings too long to hold, run in segments: nothing lost, nothing done twice, little held."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx import segments
from stepedit_fx.audio import Audio, held
from stepedit_fx.batch import Event, run_batch
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.errors import Cancelled, EngineError, NothingToEdit, RequestError
from stepedit_fx.files import Spool, read_audio, write_audio
from stepedit_fx.graph import Graph, plan
from stepedit_fx.graph import run as graph_run
from stepedit_fx.graph.run import RunResult
from stepedit_fx.provenance import GraphSource
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.store import Store
from stepedit_fx.takes import Take
from stepedit_fx.verification import verify_output
from tests.graph.toy import ToyEngine

RATE = 8000
TOY = "version: 1\nname: g\nengine: {kind: toy}\n"


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done with an hour is done with a quarter of a minute."""
    monkeypatch.setattr(plan, "LONG_S", 6.0)
    for engine in (ToyEngine, ParametricEngine):
        monkeypatch.setattr(engine, "segment_s", 5.0)


@pytest.fixture(scope="module")
def talk() -> Audio:
    """Fifteen sentences of noise with pauses between, 24 s, stereo, and who knows when."""
    rng = np.random.default_rng(0)
    parts, words, at = [], [], 0.4
    for number in range(15):
        length = round(RATE * rng.uniform(0.8, 1.5))
        words.append(Word(f"word{number}", at, at + length / RATE))
        parts += [rng.normal(0, 0.05, (2, length)), rng.normal(0, 1e-4, (2, round(RATE * 0.4)))]
        at += length / RATE + 0.4
    samples = np.concatenate([rng.normal(0, 1e-4, (2, round(RATE * 0.4))), *parts], axis=1)
    said = Transcript(" ".join(word.text for word in words), "en", tuple(words))
    return Audio(samples.astype(np.float32), RATE, 7.5, said)


@pytest.fixture
def take(talk: Audio, tmp_path: Path) -> Path:
    path = tmp_path / "in" / "talk.wav"
    write_audio(path, talk, subtype="FLOAT")
    return path


def run(text: str, source: Audio | Path, store: Store | None = None, **more: object) -> RunResult:
    return Graph.parse(TOY + text).run(source, out_dir=None, store=store, **more)  # type: ignore[arg-type]


def sound(result: RunResult) -> Audio:
    (made,) = result.values.values()
    return held(made)


def short(text: str, source: Audio, monkeypatch: pytest.MonkeyPatch) -> Audio:
    """What the graph makes of the whole take in one go."""
    with monkeypatch.context() as patch:
        patch.setattr(plan, "LONG_S", 1e9)
        return sound(run(text, source))


@pytest.mark.parametrize(
    "text",
    [
        "chain: [{emotion: {value: happy, strength: 0}}]",
        "chain: [{emotion: happy}, {style: whisper}]",
        "chain: [{emotion: happy}, {effects: [{Delay: {delay_seconds: 0.4}}, Reverb]}]",
        "chain: [{effects: [{Gain: {gain_db: -3}}]}, {emotion: happy}, {effects: [Limiter]}]",
        "chain: [{effects: {chain: [Reverb], tail_s: 1.5}}]",
        """nodes:
  take: {type: input}
  mood: {type: emotion, from: take, value: sad}
  room: {type: effects, from: mood, chain: [Reverb]}
  both: {type: mix, from: [take, room], gain_db: [-3, -6], pan: [0, -1]}
  out: {type: output, from: both}
""",
    ],
    ids=["unedited", "edits", "then effects", "between effects", "effects alone", "net"],
)
def test_segments_give_what_one_go_gives(
    text: str, talk: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A seam, a lost sample or a late one would be heard in every chapter."""
    whole, joined = short(text, talk, monkeypatch), sound(run(text, talk))
    # Equal samples fade into one another without a trace, so that here even the fades agree.
    np.testing.assert_array_equal(joined.samples, whole.samples)
    assert joined.start_s == whole.start_s
    assert joined.transcript.text == whole.transcript.text
    for a, b in zip(joined.transcript.words, whole.transcript.words, strict=True):
        assert a.text == b.text
        assert (a.start_s, a.end_s) == pytest.approx((b.start_s, b.end_s))


def test_a_file_and_its_sound_are_one_recording(talk: Audio, take: Path) -> None:
    """What a session holds and what a batch reads share their results."""
    store = Store.in_memory()
    text = "chain: [{emotion: happy}]"
    first = run(text, take, store)
    assert "emotion" in first.ran
    assert all(isinstance(value, Spool) for value in first.values.values())
    again = run(text, Audio(talk.samples, talk.sample_rate, talk.start_s), store)
    assert "emotion" in again.reused
    np.testing.assert_array_equal(sound(again).samples, sound(first).samples)


def test_one_sentence_that_changes_renders_one_segment(talk: Audio, calls: list[str]) -> None:
    """A word mended in a chapter must not cost the chapter."""
    store = Store.in_memory()
    text = "chain: [{emotion: happy}]"
    run(text, talk, store)
    first = calls.count("decode")
    samples = talk.samples.copy()
    word = talk.transcript.words[7]
    samples[:, round(word.start_s * RATE) : round(word.end_s * RATE)] *= 0.5
    calls.clear()
    run(text, Audio(samples, RATE, talk.start_s, talk.transcript), store)
    assert first >= 2  # some five segments, by threes
    assert calls == ["encode", "happy", "decode"]


def test_one_word_that_changes_in_the_text_renders_one_segment(
    talk: Audio, calls: list[str]
) -> None:
    store = Store.in_memory()
    text = "chain: [{emotion: happy}]"
    run(text, talk, store)
    calls.clear()
    words = list(talk.transcript.words)
    words[7] = Word("other", words[7].start_s, words[7].end_s)
    said = Transcript(" ".join(word.text for word in words), "en", tuple(words))
    run(text, Audio(talk.samples, RATE, talk.start_s, said), store)
    assert calls == ["encode", "happy", "decode"]


def test_a_last_edit_that_changes_encodes_nothing(talk: Audio, calls: list[str]) -> None:
    store = Store.in_memory()
    run("chain: [{emotion: happy}, {style: whisper}]", talk, store)
    calls.clear()
    result = run("chain: [{emotion: happy}, {style: child}]", talk, store)
    assert set(calls) == {"child", "decode"}
    assert {"input.encode", "emotion"} <= set(result.reused)


def test_segments_go_to_the_engine_by_the_batch(talk: Audio, calls: list[str]) -> None:
    """A model on a graphics card would idle between one segment and the next."""
    run("chain: [{emotion: happy}]", talk)
    count = len(segments.cut_sound(talk, 5.0))
    assert calls.count("encode") == -(-count // ToyEngine.batch)


def test_keyframes_mean_the_whole_take(talk: Audio) -> None:
    """An edit from 12 s on must not begin anew in every segment."""
    made = sound(run("chain: [{emotion: {value: {keyframes: [[0, sad], [12, happy]]}}}]", talk))
    seconds = [np.s_[0, RATE * second : RATE * (second + 1)] for second in (1, 5, 21)]
    gains = [float(np.median(made.samples[one] / talk.samples[one])) for one in seconds]
    assert gains == pytest.approx([1.3, 1.3, 1.5], rel=1e-3)


def test_sounds_go_to_the_segment_with_their_word(
    talk: Audio, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sigh before the eighth word must not be placed in, or cost, every segment."""
    asked: list[str] = []
    edit = ToyEngine.edit

    def noting(self: ToyEngine, takes: list, edits: list) -> list:  # type: ignore[type-arg]
        asked.extend(one.text for one in edits)
        return edit(self, takes, edits)

    monkeypatch.setattr(ToyEngine, "edit", noting)
    words = [word.text for word in talk.transcript.words]
    text = " ".join([*words[:7], "[Sigh]", *words[7:]])
    run(f'chain: [{{paralinguistic: "{text}"}}]', talk)
    (only,) = asked
    assert "[Sigh] word7" in only
    assert "word0" not in only


def test_progress_moves_by_segments(talk: Audio) -> None:
    shares: list[float] = []
    run("chain: [{emotion: happy}]", talk, portion=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert len(set(shares)) > len(segments.cut_sound(talk, 5.0))


def test_a_run_that_is_cancelled_stops_and_writes_nothing(
    take: Path, tmp_path: Path, calls: list[str]
) -> None:
    asked = iter([*[False] * 12, *[True] * 1000])
    with pytest.raises(Cancelled):
        Graph.parse(TOY + "chain: [{emotion: happy}]").run(
            take, out_dir=tmp_path / "out", cancelled=lambda: next(asked)
        )
    assert not (tmp_path / "out").exists()


def test_an_error_in_a_segment_names_its_step_and_writes_nothing(
    take: Path, tmp_path: Path
) -> None:
    graph = Graph.parse(TOY + "chain: [{emotion: {value: fear, strength: 0.123}}]")
    with pytest.raises(EngineError, match="too frightened") as caught:
        graph.run(take, out_dir=tmp_path / "out")
    assert caught.value.node == "emotion"
    assert not (tmp_path / "out").exists()


def test_a_silent_stretch_that_an_engine_refuses_stays_as_it_is(
    talk: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five minutes of nobody talking must not be the end of the other fifty-five."""
    encode = ToyEngine.encode

    def picky(self: ToyEngine, takes: list[Audio]) -> list:  # type: ignore[type-arg]
        if any(take.peak < 0.01 for take in takes):
            raise NothingToEdit("nobody speaks")
        return encode(self, takes)

    monkeypatch.setattr(ToyEngine, "encode", picky)
    samples = talk.samples.copy()
    samples[:, 6 * RATE : 17 * RATE] *= 1e-3
    silenced = sound(run("chain: [{emotion: happy}]", Audio(samples, RATE)))
    np.testing.assert_array_equal(
        silenced.samples[:, 11 * RATE : 12 * RATE], samples[:, 11 * RATE : 12 * RATE]
    )
    assert np.abs(silenced.samples[:, : 3 * RATE]).max() > np.abs(samples[:, : 3 * RATE]).max()


def test_a_voice_is_not_taken_from_an_hour(talk: Audio) -> None:
    """Every segment would say the words anew."""
    with pytest.raises(RequestError, match="this one is long") as caught:
        Graph.parse("version: 1\nname: g\nchain: [{clone: Hello.}]").run(talk, out_dir=None)
    assert caught.value.node == "clone"


def test_a_batch_of_long_takes_is_signed_and_verified(take: Path, tmp_path: Path) -> None:
    """An output of an hour must be known as up to date, and be made again to the sample."""
    (tmp_path / "g.yaml").write_text(
        "version: 1\nname: g\nchain: [{emotion: happy}, {effects: [Reverb]}]\n"
    )
    source = GraphSource.load(tmp_path / "g.yaml")
    events: list[Event] = []
    summaries = [
        run_batch(
            source,
            [Take(take)],
            out_dir=tmp_path / "out",
            store=Store.in_memory(),
            on_event=events.append,
        )
        for _ in range(2)
    ]
    assert [s.items[0].state for s in summaries] == ["done", "up to date"]
    assert any(event.portion for event in events)
    (output,) = summaries[0].items[0].outputs
    assert verify_output(output).state == "same"


@pytest.fixture
def speech(sample_clip: Path, tmp_path: Path) -> Path:
    """Some twenty seconds of speech."""
    clip = read_audio(sample_clip)
    path = tmp_path / "speech.wav"
    samples = np.concatenate([clip.samples * gain for gain in (1, 0.9, 0.8)], axis=1)
    write_audio(path, Audio(samples, clip.sample_rate))
    return path


def test_a_real_edit_has_no_clicks_where_segments_meet(
    speech: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The joins of an edited chapter must not be heard."""
    with caplog.at_level(logging.WARNING):
        result = Graph.parse("version: 1\nname: g\nchain: [{emotion: happy}]").run(
            speech, out_dir=None
        )
    joined, before = sound(result), read_audio(speech)
    assert abs(joined.duration_s / before.duration_s - 1) < 0.25
    steps = [np.abs(np.diff(s.samples, n=2)).max() for s in (joined, before)]
    assert steps[0] < 3 * steps[1]
    again = sound(
        Graph.parse("version: 1\nname: g\nchain: [{emotion: happy}]").run(speech, out_dir=None)
    )
    np.testing.assert_array_equal(joined.samples, again.samples)


def test_a_locked_take_is_as_long_as_before_to_the_sample(speech: Path) -> None:
    """A chapter laid under a picture would drift from segment to segment."""
    text = "version: 1\nname: g\nchain: [{emotion: sad}, {decode: {length: lock}}]"
    result = Graph.parse(text).run(speech, out_dir=None)
    assert sound(result).frames == read_audio(speech).frames


def test_the_number_of_threads_changes_nothing(
    speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine would give another chapter than the next."""
    graph = Graph.parse("version: 1\nname: g\nchain: [{emotion: happy}]")
    made = []
    for threads in (1, 4):
        monkeypatch.setattr(graph_run, "_threads", lambda count=threads: count)
        made.append(sound(graph.run(speech, out_dir=None)))
    assert made[0].digest == made[1].digest
