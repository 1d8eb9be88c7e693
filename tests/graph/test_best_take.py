"""Several takes of a graph: other seeds, scores that a listener would share, and the best kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.batch import run_batch
from stepedit_fx.errors import GraphError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.graph.best import SEED_STEP, kept_take, seeded, takes_data, try_takes
from stepedit_fx.graph.scoring import Judge
from stepedit_fx.provenance import GraphSource, read_provenance
from stepedit_fx.speech import Edit, Transcript
from stepedit_fx.store import Store
from stepedit_fx.takes import Take
from stepedit_fx.verification import verify_output

TEXT = "version: 1\nname: t\ntakes: 3\nseed: 7\nchain: [{emotion: happy}, {style: warm}]"
SAID = "Good morning, and welcome back."


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    audio = read_audio(sample_clip)
    end = round(2.4 * audio.sample_rate)
    return replace(audio, samples=audio.samples[:, :end])


@pytest.fixture(scope="module")
def told(clip: Audio) -> Audio:
    """The clip with its words, so that somebody listens for them."""
    return replace(clip, transcript=Transcript(SAID, "en"))


def clicking(clip: Audio) -> Audio:
    samples = clip.samples.copy()
    samples[0, 20_000:40_000:5000] += 0.6
    return clip.with_samples(samples)


def cut(clip: Audio) -> Audio:
    return clip.with_samples(clip.samples[:, : clip.frames // 2])


def louder(clip: Audio) -> Audio:
    return clip.with_samples(clip.samples * 0.3)


def test_takes_differ_in_their_seeds_alone() -> None:
    """Take 1 is what one gets without takes; every take can be made again by its number."""
    graph = Graph.parse(TEXT)
    plain = Graph.parse(TEXT.replace("takes: 3\n", ""))
    assert seeded(graph, 1).digest == plain.digest
    third = seeded(graph, 3)
    assert third.takes == 1
    for node_id in ("emotion", "style"):
        node: Any = third.nodes[node_id].node
        assert node.seed == 7 + 2 * SEED_STEP
        assert node.model_copy(update={"seed": 7}) == graph.nodes[node_id].node
    assert seeded(graph, 3).digest == third.digest != seeded(graph, 2).digest


@pytest.mark.parametrize("spoil", [clicking, cut, louder])
def test_a_spoilt_take_is_not_kept(spoil: Any, clip: Audio) -> None:
    """The first seed gives clicks, half a sentence or a faint voice: the second is kept."""
    graph = Graph.parse("takes: 2\nname: t\nchain: [{style: warm}]")

    def render(take: Graph) -> dict[str, Audio]:
        node: Any = take.nodes["style"].node
        made = take.run(clip, out_dir=None).values["output"]
        assert isinstance(made, Audio)
        return {"output": spoil(made) if node.seed == 0 else made}

    trials = try_takes(graph, {"input": clip}, render)
    assert [trial.number for trial in trials] == [2, 1]
    assert trials[0].total > trials[1].total + 0.05
    data = takes_data(trials)
    assert data["kept"] == 2
    assert data["all"][0]["seeds"] == {"style": SEED_STEP}
    assert kept_take(data, graph) == 2
    assert kept_take(data, replace(graph, takes=3)) == 0
    assert json.loads(json.dumps(data)) == data


def test_of_equal_takes_the_first_is_kept(clip: Audio) -> None:
    """Nothing is drawn by lot: the same run keeps the same take."""
    graph = Graph.parse(TEXT)
    trials = try_takes(graph, {"input": clip}, lambda take: {"output": clip})
    assert [trial.number for trial in trials] == [1, 2, 3]


def test_a_take_that_lost_words_is_flagged(told: Audio, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever keeps the best of a bad lot is told what to listen for."""
    pytest.importorskip("pocketsphinx")
    graph = Graph.parse("takes: 1\nname: t\nchain: [denoise]")
    trials = try_takes(graph, {"input": told}, lambda take: {"output": cut(told)})
    assert trials[0].missing
    assert "not all words are understood" in caplog.text
    assert Judge(told, []).score(told).missing == ()


def test_a_take_that_does_not_do_what_was_asked_scores_less(clip: Audio) -> None:
    """Two unspoilt takes: the one that went higher and faster is the happier one."""
    engine = Graph.parse(TEXT).open_engine()
    happy = Edit("emotion", "happy")
    made = engine.decode(engine.edit(engine.encode([clip]), [happy]))[0]
    judge = Judge(clip, [happy])
    assert judge.score(made).parts["change"] > judge.score(clip).parts["change"] + 0.4


@pytest.mark.parametrize("written", ["0", "65", "1.5", "many", "true"])
def test_a_number_of_takes_that_cannot_be_is_told(written: str) -> None:
    with pytest.raises(GraphError, match="takes must be a whole number from 1 to 64"):
        Graph.parse(f"takes: {written}\nchain: [vad]")


def test_takes_from_the_command_line() -> None:
    """--takes is --set takes, so that provenance knows of it."""
    assert Graph.parse("chain: [vad]", sets=["takes=4"]).takes == 4


def test_the_kept_take_is_written_and_can_be_made_again(short_clip: Path, tmp_path: Path) -> None:
    """Provenance lists all takes; the same run again does nothing; verify renders the kept one."""
    source = GraphSource(TEXT, "t.yaml", tmp_path)
    for state in ("done", "up to date"):
        summary = run_batch(source, [Take(short_clip)], out_dir=tmp_path, store=Store.in_memory())
        (item,) = summary.items
        assert item.state == state, item.error
        assert len(item.tried) == 3
    (output,) = item.outputs
    known = read_provenance(output)
    assert known is not None
    assert known.takes["count"] == 3
    kept = known.takes["kept"]
    assert known.steps["emotion"]["fields"]["seed"] == 7 + (kept - 1) * SEED_STEP
    assert verify_output(output).state == "same"
    result = Graph.parse(TEXT).run(short_clip, out_dir=tmp_path / "again")
    again = read_audio(result.outputs["output"])
    assert np.array_equal(again.samples, read_audio(output).samples)
