"""Runs: files written last and whole, branches side by side, errors by node, stops at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import tell_progress
from stepedit_fx.errors import Cancelled, EffectError, EngineError, RenderError, WriteError
from stepedit_fx.files import read_audio, write_audio
from stepedit_fx.graph import Graph
from stepedit_fx.store import Store

BRANCHES = """\
engine: toy
nodes:
  take: {type: input}
  a: {type: emotion, from: take, value: happy}
  b: {type: emotion, from: take, value: sad}
  x: {type: output, from: a, path: "{stem}.a.wav"}
  y: {type: output, from: b, path: "{stem}.b.wav"}
"""


def test_a_run_writes_every_output_and_says_where(take: Path, tone: Audio, tmp_path: Path) -> None:
    result = Graph.parse(BRANCHES).run(take, out_dir=tmp_path / "new" / "out")
    assert dict(result.outputs) == {
        "x": tmp_path / "new" / "out" / "take.a.wav",
        "y": tmp_path / "new" / "out" / "take.b.wav",
    }
    written = read_audio(result.outputs["x"])
    assert np.allclose(written.samples, tone.samples * 1.5, atol=1e-6)
    assert np.array_equal(result.values["x"].samples, result.values["x"].samples)
    assert set(result.seconds) == set(result.ran)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
def test_an_unedited_pass_is_the_source_bit_for_bit(tmp_path: Path, subtype: str) -> None:
    """At its own rate, length and channels, whatever its format."""
    random = np.random.default_rng(1)
    source = tmp_path / "in.wav"
    samples = random.uniform(-1, 1, (1001, 3)).astype(np.float32)
    soundfile.write(source, samples, 11025, subtype=subtype)
    graph = Graph.parse("{engine: parametric, chain: [{emotion: {value: sad, bypass: true}}]}")
    written = graph.run(source, out_dir=tmp_path / "out").outputs["output"]
    before, rate = soundfile.read(source, dtype="float32")
    after, rate_after = soundfile.read(written, dtype="float32")
    assert rate_after == rate
    assert np.array_equal(before, after)


def test_independent_branches_run_side_by_side(
    tone: Audio, toy_engine: type, calls: list[str]
) -> None:
    """Two edits that each wait for the other to begin can only end when both are running."""
    meeting = threading.Barrier(2, timeout=10)
    toy_engine.before.update(happy=meeting.wait, sad=meeting.wait)
    Graph.parse(BRANCHES).run(tone, out_dir=None)
    assert sorted(calls[1:3]) == ["happy", "sad"]


def test_how_far_a_model_is_reaches_who_runs_the_graph(tone: Audio, toy_engine: type) -> None:
    """A minute of waiting with a number that grows is not a program that hangs."""
    toy_engine.before.update(sad=lambda: tell_progress(120))
    told: list[tuple[str, str]] = []
    Graph.parse(BRANCHES).run(tone, out_dir=None, progress=lambda *step: told.append(step))
    of_b = [state for step, state in told if step == "b"]
    assert of_b == ["running", "120 tokens", "done"]


def test_an_engines_error_names_the_node_and_leaves_no_file(take: Path, tmp_path: Path) -> None:
    text = BRANCHES.replace("value: sad", "value: fear, strength: 0.123")
    earlier = tmp_path / "out" / "take.b.wav"
    write_audio(earlier, Audio(np.zeros((1, 8), np.float32), 8000))
    before = earlier.read_bytes()
    with pytest.raises(EngineError, match=r"node 'b': too frightened\. Lower strength"):
        Graph.parse(text).run(take, out_dir=tmp_path / "out")
    assert [path.name for path in earlier.parent.iterdir()] == ["take.b.wav"]
    assert earlier.read_bytes() == before


def test_a_strangers_error_becomes_a_render_error_naming_the_node(
    tone: Audio, toy_engine: type, calls: list[str]
) -> None:
    def burst() -> None:
        raise ZeroDivisionError("by nothing")

    toy_engine.before["sad"] = burst
    with pytest.raises(RenderError, match="node 'b': emotion failed: ZeroDivisionError") as caught:
        Graph.parse(BRANCHES).run(tone, out_dir=None)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_was_done_before_an_error_is_kept(
    tone: Audio, toy_engine: type, calls: list[str]
) -> None:
    """After the cause is mended, the run goes on from there."""
    store = Store.in_memory()
    text = "{engine: toy, chain: [{emotion: happy}, {emotion: {value: fear, strength: 0.123}}]}"
    with pytest.raises(EngineError):
        Graph.parse(text).run(tone, store=store, out_dir=None)
    calls.clear()
    Graph.parse(text.replace("0.123", "0.5")).run(tone, store=store, out_dir=None)
    assert calls == ["fear", "decode"]


def test_cancelling_stops_between_steps_and_writes_nothing(
    take: Path, tmp_path: Path, toy_engine: type, calls: list[str]
) -> None:
    stop = threading.Event()
    toy_engine.before["happy"] = stop.set
    text = "{engine: toy, chain: [{emotion: happy}, {emotion: sad}]}"
    with pytest.raises(Cancelled):
        Graph.parse(text).run(take, out_dir=tmp_path / "out", cancelled=stop.is_set)
    assert "sad" not in calls
    assert not (tmp_path / "out").exists()


def test_cancelling_does_not_wait_for_a_long_step(
    tone: Audio, toy_engine: type, calls: list[str]
) -> None:
    stop, let_go = threading.Event(), threading.Event()

    def long_step() -> None:
        stop.set()
        let_go.wait(20)

    toy_engine.before["happy"] = long_step
    start = time.perf_counter()
    with pytest.raises(Cancelled):
        Graph.parse("{engine: toy, chain: [{emotion: happy}]}").run(
            tone, out_dir=None, cancelled=stop.is_set
        )
    assert time.perf_counter() - start < 5
    let_go.set()


def test_an_interrupt_stops_the_run_and_leaves_no_file(
    take: Path, tmp_path: Path, toy_engine: type, calls: list[str]
) -> None:
    def progress(step_id: str, state: str) -> None:
        if (step_id, state) == ("b", "running"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Graph.parse(BRANCHES).run(take, out_dir=tmp_path / "out", progress=progress)
    assert not (tmp_path / "out").exists()


def test_progress_tells_each_step_in_order(tone: Audio) -> None:
    told: list[tuple[str, str]] = []
    store = Store.in_memory()
    graph = Graph.parse("{engine: toy, chain: [{emotion: happy}]}")
    graph.run(tone, out_dir=None, store=store, progress=lambda *event: told.append(event))
    assert told == [
        (step, state)
        for step in ("input", "input.encode", "emotion", "emotion.decode", "output")
        for state in ("running", "done")
    ]
    told.clear()
    graph.run(tone, out_dir=None, store=store, progress=lambda *event: told.append(event))
    assert told == [("emotion.decode", "cached"), ("output", "running"), ("output", "done")]


def test_an_entry_that_is_gone_after_all_is_made_again(tone: Audio, calls: list[str]) -> None:
    """Between planning and running another process may evict, or a disk may rot."""

    class Forgetful(Store):
        def get(self, key: str) -> None:
            return None

    graph = Graph.parse("{engine: toy, chain: [{emotion: happy}]}")
    store = Forgetful.in_memory()
    graph.run(tone, store=store, out_dir=None)
    assert graph.plan(tone, store=store).of("cached")
    calls.clear()
    result = graph.run(tone, store=store, out_dir=None)
    assert calls == ["encode", "happy", "decode"]
    assert result.reused == ()


def test_a_file_that_cannot_be_written_is_told_by_node(take: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "take.b.wav").mkdir(parents=True)
    with pytest.raises(WriteError, match="node 'y'"):
        Graph.parse(BRANCHES).run(take, out_dir=tmp_path / "out")


def test_a_result_does_not_hold_on_to_the_recording(take: Path) -> None:
    """Two hundred results of a batch must not keep two hundred recordings in memory."""
    result = Graph.parse(BRANCHES).run(take, out_dir=None)
    assert not result.plan.recordings
    assert result.outputs == {}


def test_a_plugin_nobody_allowed_stops_the_run_before_anything_runs(
    tone: Audio, tmp_path: Path, calls: list[str]
) -> None:
    (tmp_path / "x.vst3").write_bytes(b"")
    graph = Graph.parse(
        "{engine: toy, chain: [vad, {effects: [{VST3: {path: x.vst3}}]}]}", folder=tmp_path
    )
    with pytest.raises(EffectError, match=r"node 'effects'.*--allow-plugins"):
        graph.run(tone, out_dir=None)
    assert calls == []


def test_a_recording_named_by_the_clock_keeps_its_name(tone: Audio, tmp_path: Path) -> None:
    source = tmp_path / "take ~12:30.wav"
    write_audio(source, tone)
    written = Graph.parse("{engine: toy, name: g, chain: [vad]}").run(source, out_dir=tmp_path)
    assert written.outputs["output"] == tmp_path / "take ~12:30.g.wav"
