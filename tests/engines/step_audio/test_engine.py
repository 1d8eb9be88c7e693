"""The engine end to end, on a complete tiny checkpoint, through the code the real files go through.

Its weights are random, so what it says is noise: what is tested is that every sample and every
token is where it belongs.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import cancelled_by, open_engine
from stepedit_fx.engines.step_audio import editing, prompts
from stepedit_fx.engines.step_audio.engine import StepAudioEngine, StepAudioSettings
from stepedit_fx.engines.step_audio.gathering import Stopped
from stepedit_fx.engines.step_audio.networks import Networks
from stepedit_fx.engines.step_audio.takes import Around, Source, unpack
from stepedit_fx.engines.step_audio.text import TextTokenizer
from stepedit_fx.engines.step_audio.vocabulary import GROUP_S, check_mixed
from stepedit_fx.errors import Cancelled, EngineError, ReadError, RequestError, TagError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.speech import Edit, Speech, Transcript
from stepedit_fx.store import Store

HAPPY = Edit("emotion", "happy", seed=3)
GRAPHS = Path(__file__).parents[3] / "graphs"


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> StepAudioEngine:
    return opened(tiny_checkpoint)


def opened(models: Path, **settings: object) -> StepAudioEngine:
    made = open_engine("step-audio", models=models, device="cpu", dtype="float32", **settings)
    assert isinstance(made, StepAudioEngine)
    return made


@pytest.fixture(scope="module")
def clip(short_clip: Path) -> Audio:
    audio = read_audio(short_clip)
    return Audio(audio.samples, audio.sample_rate, 2.5, Transcript("Good morning"))


@pytest.fixture(scope="module")
def take(engine: StepAudioEngine, clip: Audio) -> Speech:
    return engine.encode([clip])[0]


@pytest.fixture(scope="module")
def long_clip(sample_clip: Path) -> Audio:
    """36 s: the sample clip six times, and more silence between than belongs to speech."""
    audio = read_audio(sample_clip)
    pause = np.zeros((1, audio.sample_rate // 2), np.float32)
    samples = np.concatenate([audio.samples, pause] * 6, axis=1)
    return Audio(samples, audio.sample_rate, 0.0, Transcript("One two three, four. " * 6))


def tokens(take: Speech) -> list[int]:
    return check_mixed(take.codes["tokens"].astype(np.int64)).tolist()


def test_a_take_that_nobody_edits_comes_back_bit_for_bit(
    engine: StepAudioEngine, clip: Audio, take: Speech
) -> None:
    back = engine.decode([take])[0]
    assert np.array_equal(back.samples, clip.samples)
    assert (back.start_s, back.transcript) == (2.5, clip.transcript)


def test_tokens_mel_and_span_are_of_the_same_stretch(take: Speech) -> None:
    """The reference's prompt mel and tokens are misaligned, and a stretch hides it."""
    source = Source.of(take.voice)
    for reference in source.references:
        groups = len(reference.tokens) // 5
        start, end = reference.span
        length = end - start + sum(reference.padding)
        assert length == pytest.approx(groups * GROUP_S * take.place.sample_rate, abs=1)
        assert len(reference.mel) == groups * 6


def test_an_edit_is_as_long_as_its_tokens_and_stands_where_the_source_stood(
    engine: StepAudioEngine, clip: Audio, take: Speech
) -> None:
    edited = engine.edit([take], [HAPPY])[0]
    assert tokens(edited) != tokens(take)
    assert edited.voice.digest == take.voice.digest
    sound = engine.decode([edited])[0]
    start, end = Source.of(take.voice).references[0].span
    assert sound.sample_rate == clip.sample_rate
    assert sound.start_s == clip.start_s
    assert np.array_equal(sound.samples[:, :start], clip.samples[:, :start])
    after = clip.frames - end
    assert np.array_equal(sound.samples[:, sound.frames - after :], clip.samples[:, end:])
    longest = start + after + round(len(tokens(edited)) / 5 * GROUP_S * clip.sample_rate)
    assert longest - sum(Source.of(take.voice).references[0].padding) <= sound.frames <= longest


def test_the_same_seed_gives_the_same_take_and_another_another(
    engine: StepAudioEngine, take: Speech
) -> None:
    first, again = engine.edit([take, take], [HAPPY, HAPPY])
    other = engine.edit([take], [Edit("emotion", "happy", seed=4)])[0]
    assert tokens(first) == tokens(again)
    assert tokens(first) != tokens(other)
    one, two = engine.decode([first])[0], engine.decode([first])[0]
    assert np.array_equal(one.samples, two.samples)


def test_a_batch_gives_what_each_gives_alone(
    engine: StepAudioEngine, clip: Audio, take: Speech
) -> None:
    """A line of dialogue must not sound different because of the lines beside it."""
    half = clip.with_samples(clip.samples[:, : clip.frames * 2 // 3])
    takes = engine.encode([clip, half])
    assert tokens(takes[0]) == tokens(take)
    edits = [HAPPY, Edit("style", "whisper", seed=9)]
    together = engine.edit(takes, edits)
    alone = [engine.edit([one], [edit])[0] for one, edit in zip(takes, edits, strict=True)]
    assert [tokens(t) for t in together] == [tokens(t) for t in alone]
    for a, b in zip(engine.decode(together), alone, strict=True):
        single = engine.decode([b])[0].samples
        assert np.abs(a.samples - single).max() < 1e-3 * np.abs(single).max()


def test_iterations_are_passes_and_no_strength_is_no_edit(
    engine: StepAudioEngine, take: Speech
) -> None:
    assert engine.edit([take], [Edit("emotion", "sad", strength=0.0)])[0] is take
    once = engine.edit([take], [Edit("emotion", "sad", iterations=1)])[0]
    twice = engine.edit([take], [Edit("emotion", "sad", iterations=2)])[0]
    half = engine.edit([take], [Edit("emotion", "sad", iterations=2, strength=0.5)])[0]
    assert tokens(half) == tokens(once) != tokens(twice)


class Counted:
    """Counts which networks run, on the way to the real ones."""

    def __init__(self, engine: StepAudioEngine, patch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        for owner, name in (
            (engine.networks.linguistic, "codes"),
            (engine.networks.semantic, "codes"),
            (engine.networks.speaker, "embed"),
            (engine.networks.flow, "mel"),
            (engine.networks.vocoder, "wav"),
        ):
            self._count(patch, owner, name)

    def _count(self, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        real = getattr(owner, name)
        label = type(owner).__name__

        def counted(*args: object, **more: object) -> object:
            self.calls[label] += 1
            return real(*args, **more)

        patch.setattr(owner, name, counted)


def test_a_chain_of_edits_stays_in_tokens(
    engine: StepAudioEngine, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three edits lose no generation: one encode, one decode, whatever stands between."""
    counted = Counted(engine, monkeypatch)
    take = engine.encode([clip])[0]
    for edit in (HAPPY, Edit("style", "radio"), Edit("speed", "faster")):
        take = engine.edit([take], [edit])[0]
    engine.decode([take])
    assert set(counted.calls.values()) == {1}
    assert len(counted.calls) == 5


def test_a_chain_through_sound_goes_back_to_sound_between_edits(
    tiny_checkpoint: Path, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the reference does, for those who want its very way."""
    engine = opened(tiny_checkpoint, chain="audio")
    counted = Counted(engine, monkeypatch)
    take = engine.encode([clip])[0]
    for edit in (HAPPY, Edit("style", "radio")):
        take = engine.edit([take], [edit])[0]
    assert set(counted.calls.values()) <= {2, 3}
    assert tokens(take)


def test_sounds_are_asked_for_and_the_words_are_kept(
    engine: StepAudioEngine, clip: Audio, take: Speech
) -> None:
    edit = Edit("paralinguistic", text="Good [Laughter] morning")
    assert engine.edit([take], [edit])[0].transcript.text == "Good morning"
    wordless = engine.encode([Audio(clip.samples, clip.sample_rate)])[0]
    assert engine.edit([wordless], [edit])[0].transcript.text == "Good morning"
    with pytest.raises(RequestError, match="no sound in it"):
        engine.edit([take], [Edit("paralinguistic", text="Good morning")])
    with pytest.raises(TagError, match="Laugther"):
        engine.edit([take], [Edit("paralinguistic", text="[Laugther] hi")])


def test_denoise_and_vad_reach_what_was_trimmed(engine: StepAudioEngine, clip: Audio) -> None:
    """Noise before the first word must go as well, and silence there is silence to take away."""
    hum = np.random.default_rng(0).normal(0, 0.002, (1, clip.sample_rate)).astype(np.float32)
    noisy = Audio(np.concatenate([hum, clip.samples, hum], axis=1), clip.sample_rate)
    take = engine.encode([noisy])[0]
    start, end = Source.of(take.voice).references[0].span
    assert start > clip.sample_rate // 2
    clean = engine.decode(engine.edit([take], [Edit("denoise")]))[0]
    assert not clean.samples[:, :start].any()
    assert not clean.samples[:, clean.frames - (noisy.frames - end) :].any()
    assert unpack(engine.edit([take], [Edit("vad")])[0])[1] is Around.NOTHING


def test_a_clone_says_other_words_in_the_same_voice(engine: StepAudioEngine, take: Speech) -> None:
    cloned = engine.clone([take], [Edit("clone", text="[Cantonese]ni3 hao3 [Laughter] friend")])[0]
    assert cloned.voice.digest == take.voice.digest
    assert cloned.transcript.text == "ni3 hao3 friend"
    sound = engine.decode([cloned])[0]
    length_s = len(tokens(cloned)) / 5 * GROUP_S
    assert sound.duration_s == pytest.approx(length_s, abs=0.2)
    again = engine.edit([cloned], [HAPPY])[0]
    assert tokens(again) != tokens(cloned)
    for nothing in ("  ", "[Cantonese] "):
        with pytest.raises(RequestError, match="no text"):
            engine.clone([take], [Edit("clone", text=nothing)])


def test_a_long_text_is_said_in_pieces(engine: StepAudioEngine, take: Speech) -> None:
    cloned = engine.clone([take], [Edit("clone", text="One two three four five six. " * 14)])[0]
    assert len(unpack(cloned)[0]) > 1
    assert engine.decode([cloned])[0].duration_s > 1


def test_an_edit_of_a_clone_is_told_the_words_each_piece_was_given(
    engine: StepAudioEngine, take: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the model took over each: lengths alone would put words into the wrong piece."""
    told: list[tuple[str, str]] = []

    def clone_prompt(tokenizer: TextTokenizer, text: str, *rest: Any) -> list[int]:
        told.append(("clone", text))
        return prompts.clone_prompt(tokenizer, text, *rest)

    def edit_prompt(tokenizer: TextTokenizer, edit: Edit, text: str, *rest: Any) -> list[int]:
        told.append(("edit", text))
        return prompts.edit_prompt(tokenizer, edit, text, *rest)

    monkeypatch.setattr(editing, "clone_prompt", clone_prompt)
    monkeypatch.setattr(editing, "edit_prompt", edit_prompt)
    text = "One two three four five six. " * 14
    twice = Edit("emotion", "happy", iterations=2)
    engine.edit(engine.clone([take], [Edit("clone", text=text)]), [twice])
    cloned = [words for what, words in told if what == "clone"]
    assert len(cloned) > 1
    assert [words for what, words in told if what == "edit"] == cloned * 2


def test_a_long_take_goes_by_segments_and_pauses_stay(
    engine: StepAudioEngine, long_clip: Audio
) -> None:
    """Only the sentence with a laugh in it is made anew; the chapter around it is untouched."""
    take = engine.encode([long_clip])[0]
    references = Source.of(take.voice).references
    assert len(references) > 1
    text = "[Laughter] " + long_clip.transcript.text
    edited = engine.edit([take], [Edit("paralinguistic", text=text)])[0]
    sound = engine.decode([edited])[0]
    end = references[0].span[1]
    kept = long_clip.frames - end
    assert np.array_equal(sound.samples[:, sound.frames - kept :], long_clip.samples[:, end:])
    start = references[0].span[0]
    assert not np.array_equal(sound.samples[:, start:end], long_clip.samples[:, start:end])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (11025, 2), (44100, 2), (48000, 1)])
def test_every_rate_and_stereo(
    engine: StepAudioEngine, clip: Audio, rate: int, channels: int
) -> None:
    """The reference refuses what is under 16 kHz."""
    import soxr

    mono = soxr.resample(clip.mono(), clip.sample_rate, rate)
    made = Audio(np.stack([mono] * channels), rate)
    sound = engine.decode(engine.edit(engine.encode([made]), [HAPPY]))[0]
    assert (sound.sample_rate, sound.channels) == (rate, channels)
    assert sound.frames > rate // 2


def test_silence_is_refused_with_a_remedy(engine: StepAudioEngine) -> None:
    with pytest.raises(EngineError, match="silent") as caught:
        engine.encode([Audio(np.zeros((1, 24000), np.float32), 24000)])
    assert caught.value.remedy


def test_a_transcript_is_asked_for_but_not_demanded(
    engine: StepAudioEngine, clip: Audio, caplog: pytest.LogCaptureFixture
) -> None:
    take = engine.encode([Audio(clip.samples, clip.sample_rate)])[0]
    with caplog.at_level(logging.WARNING):
        engine.edit([take], [HAPPY])
    assert "no transcript" in caplog.text


def test_a_cancelled_edit_stops_at_once(engine: StepAudioEngine, take: Speech) -> None:
    with cancelled_by(lambda: True), pytest.raises(Cancelled):
        engine.edit([take], [HAPPY])


def test_memory_that_runs_out_makes_batches_smaller(engine: StepAudioEngine) -> None:
    """What does not fit together is done one by one; what does not fit at all says what would."""
    sizes = []

    def work(_networks: Networks, batch: Sequence[int], _stopped: Stopped) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        return [2 * n for n in batch]

    def together(what: str, work: Any, items: list[int]) -> list[int]:
        return engine.networks.together(what, work, items, most=8, size=lambda n: n)

    assert together("doubling", work, list(range(7))) == [2 * n for n in range(7)]
    assert sizes == [7, 3, 1, 2, 4, 2, 2]

    def never(_networks: Networks, batch: Sequence[int], _stopped: Stopped) -> list[int]:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(EngineError, match="out of memory on cpu in trebling") as caught:
        together("trebling", never, [1, 2])
    assert caught.value.remedy


def test_the_fingerprint_is_of_weights_and_settings(tiny_checkpoint: Path) -> None:
    """A changed checkpoint or temperature must never be answered from the store."""
    prints = {
        opened(tiny_checkpoint).fingerprint,
        opened(tiny_checkpoint, temperature=0.9).fingerprint,
        opened(tiny_checkpoint, flow_steps=4).fingerprint,
        opened(tiny_checkpoint, noise_seed=1).fingerprint,
        opened(tiny_checkpoint, chain="audio").fingerprint,
    }
    assert len(prints) == 5
    assert opened(tiny_checkpoint).fingerprint in prints


@pytest.fixture
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STEPEDIT_MODELS", str(tmp_path / "nowhere"))
    return tmp_path


def test_without_models_the_message_says_how_to_get_them(no_models: Path, clip: Audio) -> None:
    with pytest.raises(ReadError, match="models fetch"):
        StepAudioEngine(StepAudioSettings()).encode([clip])


def graph_of(name: str, models: Path) -> Graph:
    """A shipped graph as it is, but for its engine."""
    text = (GRAPHS / f"{name}.yaml").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("engine:")]
    engine = f"{{kind: step-audio, models: '{models}', device: cpu, dtype: float32, flow_steps: 2}}"
    lines.insert(1, f"engine: {engine}")
    return Graph.parse("\n".join(lines), folder=GRAPHS)


def test_a_graph_made_for_the_parametric_engine_runs(
    tiny_checkpoint: Path, short_clip: Path, tmp_path: Path
) -> None:
    """One word changes, `engine: step-audio`; and what is known is not done again."""
    graph = graph_of("quickstart", tiny_checkpoint)
    store = Store(tmp_path / "store")
    first = graph.run(short_clip, out_dir=tmp_path, store=store)
    kinds = Counter(step.kind for step in first.plan.steps if step.id in first.ran)
    assert kinds["encode"] == kinds["decode"] == 1
    again = graph.run(short_clip, out_dir=tmp_path / "again", store=store)
    assert not {"encode", "decode"} & {s.kind for s in again.plan.steps if s.id in again.ran}
    (one,), (two,) = first.outputs.values(), again.outputs.values()
    assert one.read_bytes() == two.read_bytes()
