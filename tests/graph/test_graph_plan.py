"""Plans: what is put in, shared, stored and skipped, and what makes two results the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.errors import ReadError, RequestError
from stepedit_fx.files import write_audio
from stepedit_fx.graph import Graph
from stepedit_fx.graph.plan import Plan
from stepedit_fx.speech import Transcript
from stepedit_fx.store import Store

LINE = "{engine: toy, chain: [{emotion: happy}, {style: child}, {effects: [Gain]}]}"


def chain(*links: str) -> Graph:
    return Graph.parse(f"{{engine: toy, chain: [{', '.join(links)}]}}")


def states(plan: Plan) -> dict[str, str]:
    return {step.id: step.state for step in plan.steps}


def keys(graph: Graph, source: Path | Audio) -> dict[str, str]:
    return {step.id: step.key for step in graph.plan(source).steps}


def test_encode_and_decode_are_put_in_where_sound_meets_speech() -> None:
    steps = Graph.parse(LINE).plan().steps
    assert [s.id for s in steps] == [
        "input", "input.encode", "emotion", "style", "style.decode", "effects", "output"
    ]  # fmt: skip
    assert [s.id for s in steps if s.put_in] == ["input.encode", "style.decode"]


def test_one_take_in_five_moods_is_encoded_once() -> None:
    moods = ["happy", "sad", "angry", "fear", "remove"]
    text = "engine: parametric\nnodes:\n  take: {type: input}\n" + "".join(
        f"  {m}: {{type: emotion, from: take, value: {m}}}\n"
        f"  {m}_out: {{type: output, from: {m}, path: '{m}.wav'}}\n"
        for m in moods
    )
    kinds = [step.kind for step in Graph.parse(text).plan().steps]
    assert (kinds.count("encode"), kinds.count("decode")) == (1, 5)


def test_equal_nodes_are_one_step_under_both_names(tone: Audio) -> None:
    """A graph that asks for one thing twice does it once."""
    graph = Graph.parse(
        "engine: toy\nnodes:\n  take: {type: input}\n"
        "  a: {type: emotion, from: take, value: happy}\n"
        "  b: {type: emotion, from: take, value: happy}\n"
        "  x: {type: output, from: a, path: x.wav}\n  y: {type: output, from: b, path: y.wav}\n"
    )
    plan = graph.plan(tone)
    assert [s.id for s in plan.steps] == ["take", "take.encode", "a", "a.decode", "x", "y"]
    assert [s.serves for s in plan.steps][2:4] == [("a", "b"), ("a.decode", "b.decode")]


def test_bypass_leaves_a_node_out(tone: Audio) -> None:
    """With every edit bypassed the sound must not even be taken apart."""
    graph = chain("{emotion: {value: happy, bypass: true}}", "{vad: {bypass: true}}", "decode")
    assert [s.id for s in graph.plan(tone).steps] == ["input", "output"]
    half = chain("{emotion: {value: happy, bypass: true}}", "vad")
    assert [s.kind for s in half.plan(tone).steps] == ["input", "encode", "vad", "decode", "output"]
    assert keys(half, tone)["vad"] == keys(chain("vad"), tone)["vad"]


def test_bypassed_mix_needs_its_first_input_only(tone: Audio) -> None:
    graph = Graph.parse(
        "engine: toy\nnodes:\n  take: {type: input}\n  wet: {type: effects, from: take, "
        "chain: [Reverb]}\n  m: {type: mix, from: [take, wet], bypass: true}\n"
        "  out: {type: output, from: m}\n"
    )
    assert states(graph.plan(tone)) == {"take": "run", "wet": "skipped", "out": "run"}


def test_after_a_change_of_the_last_edit_only_what_follows_runs(
    tone: Audio, calls: list[str]
) -> None:
    """The bar of the issue, counted: one edit and one decode, nothing encoded."""
    store = Store.in_memory()
    chain("{emotion: happy}", "{style: child}", "{effects: [Gain]}").run(
        tone, store=store, out_dir=None
    )
    calls.clear()
    changed = chain("{emotion: happy}", "{style: whisper}", "{effects: [Gain]}")
    assert states(changed.plan(tone, store=store)) == {
        "input": "skipped", "input.encode": "skipped", "emotion": "cached",
        "style": "run", "style.decode": "run", "effects": "run", "output": "run",
    }  # fmt: skip
    result = changed.run(tone, store=store, out_dir=None)
    assert calls == ["whisper", "decode"]
    assert result.ran == ("style", "style.decode", "effects", "output")
    assert result.reused == ("emotion",)


def test_the_same_again_runs_nothing_but_the_writing(tone: Audio, calls: list[str]) -> None:
    store = Store.in_memory()
    graph = Graph.parse(LINE)
    first = graph.run(tone, store=store, out_dir=None)
    calls.clear()
    again = graph.run(tone, store=store, out_dir=None)
    assert calls == []
    assert (again.ran, again.reused) == (("output",), ("effects",))
    assert np.array_equal(first.values["output"].samples, again.values["output"].samples)


def test_ids_names_and_paths_do_not_count(tone: Audio, tmp_path: Path) -> None:
    """A renamed file, graph or node costs nothing."""
    write_audio(tmp_path / "a.wav", tone)
    write_audio(tmp_path / "other" / "b.flac", tone)
    one = Graph.parse(
        "{engine: toy, name: one, nodes: {in: {type: input}, x: {type: vad, from: in}, "
        "out: {type: output, from: x}}}"
    )
    two = Graph.parse("{engine: toy, name: two, chain: [vad, {output: 'y/{index}.wav'}]}")
    keys_one, keys_two = keys(one, tmp_path / "a.wav"), keys(two, tmp_path / "other" / "b.flac")
    assert list(keys_one.values()) == list(keys_two.values())


@pytest.mark.parametrize(
    "link",
    [
        "{emotion: {value: sad}}",
        "{emotion: {value: happy, strength: 0.5}}",
        "{emotion: {value: happy, iterations: 2}}",
        "{emotion: {value: happy, seed: 1}}",
        "{style: child}",
    ],
)
def test_every_field_counts(link: str, tone: Audio) -> None:
    """Else a turned knob would give back the sound from before."""
    plain = list(keys(chain("{emotion: happy}"), tone).values())
    turned = list(keys(chain(link), tone).values())
    assert plain[:2] == turned[:2]
    assert all(a != b for a, b in zip(plain[2:], turned[2:], strict=True))


def test_the_sound_its_words_and_the_engine_count(tone: Audio) -> None:
    graph = chain("vad")
    before = keys(graph, tone)
    louder = tone.with_samples(tone.samples * 2)
    worded = Audio(tone.samples, tone.sample_rate, transcript=Transcript("hello"))
    scaled = Graph.parse("{engine: {kind: toy, scale: 2}, chain: [vad]}")
    for other in (keys(graph, louder), keys(graph, worded), keys(scaled, tone)):
        shared = {name for name in before if before[name] == other[name]}
        assert shared <= {"input"}
        assert (shared == {"input"}) == (other == keys(scaled, tone))


def test_the_engine_does_not_count_for_effects(tone: Audio) -> None:
    """A new checkpoint leaves alone what it has no part in."""
    one = Graph.parse("{engine: toy, chain: [{effects: [Gain]}]}")
    two = Graph.parse("{engine: {kind: toy, scale: 2}, chain: [{effects: [Gain]}]}")
    assert keys(one, tone) == keys(two, tone)


def test_a_file_an_effect_reads_counts_by_its_content(tone: Audio, tmp_path: Path) -> None:
    """A replaced impulse response must be heard."""
    graph_file, response = tmp_path / "g.yaml", tmp_path / "ir.wav"
    write_audio(response, tone)
    graph_file.write_text(
        "{engine: toy, chain: [{effects: [{Convolution: {impulse_response_filename: ir.wav}}]}]}"
    )
    graph = Graph.load(graph_file)
    before = keys(graph, tone)["effects"]
    write_audio(response, tone.with_samples(tone.samples / 2))
    assert keys(graph, tone)["effects"] != before


def test_a_plan_without_a_source_knows_the_steps_and_nothing_more() -> None:
    plan = Graph.parse(LINE).plan(store=Store.in_memory(), out_dir="x")
    assert set(states(plan).values()) == {"run"}
    assert all(step.path is None for step in plan.steps)
    assert plan.estimate_s is None


def test_estimates_are_the_parametric_engines(tone: Audio) -> None:
    text = "{engine: parametric, chain: [{emotion: happy}]}"
    plan = Graph.parse(text).plan(tone)
    assert plan.estimate_s is not None
    assert 0 < plan.estimate_s < tone.duration_s
    assert Graph.parse(LINE).plan(tone).estimate_s is None


@pytest.mark.parametrize("link", ["", "symlink", "hardlink"])
def test_an_output_never_goes_over_the_input(take: Path, tmp_path: Path, link: str) -> None:
    """The one thing a batch tool must never do to somebody's recordings."""
    out_dir = take.parent
    if link:
        out_dir = tmp_path / "elsewhere"
        out_dir.mkdir()
        made = os.symlink if link == "symlink" else os.link
        made(take, out_dir / "take.wav")
    graph = Graph.parse("{engine: toy, chain: [vad, {output: '{stem}.wav'}]}")
    before = take.read_bytes()
    with pytest.raises(RequestError, match=r"take\.wav' is the input"):
        graph.run(take, out_dir=out_dir)
    assert take.read_bytes() == before


def test_two_outputs_in_one_file_are_refused_when_only_the_run_shows_it(tone: Audio) -> None:
    graph = Graph.parse(
        "engine: toy\nnodes:\n  take: {type: input}\n"
        "  x: {type: output, from: take, path: 'audio.wav'}\n"
        "  y: {type: output, from: take, path: '{stem}.wav'}\n"
    )
    with pytest.raises(RequestError, match="is written by 'x' too"):
        graph.plan(tone, out_dir="out")


def test_output_names_are_filled_in(take: Path, tmp_path: Path) -> None:
    graph = Graph.parse(
        "{engine: toy, name: g, vars: {mood: sad}, chain: [{emotion: '${mood}'}, "
        "{output: '{mood}/{stem}-{graph}-{node}-{index:03}.wav'}]}"
    )
    step = graph.plan(take, out_dir=tmp_path, index=7).steps[-1]
    assert step.path == tmp_path / "sad" / "take-g-output-007.wav"


def test_a_variable_cannot_lead_out_of_the_output_folder(tone: Audio) -> None:
    with pytest.raises(RequestError, match="inside the output folder"):
        Graph.parse(
            "{engine: toy, vars: {d: x}, chain: [vad, {output: '{d}/a.wav'}]}",
            variables={"d": ".."},
        )


def test_what_a_graph_cannot_read_is_told_by_node(take: Path, tmp_path: Path) -> None:
    graph = Graph.parse("{engine: toy, chain: [{input: {max_duration_s: 0.01}}, vad]}")
    for source in (take, Audio(np.zeros((1, 400), np.float32), 8000)):
        with pytest.raises((ReadError, RequestError), match="node 'input'"):
            graph.plan(source)
    with pytest.raises(ReadError, match=r"node 'input': .*none\.wav"):
        chain("vad").plan(tmp_path / "none.wav")
    own = Graph.parse("{engine: toy, chain: [{input: take.wav}, vad]}", folder=take.parent)
    with pytest.raises(RequestError, match="takes none"):
        own.plan(take)
    with pytest.raises(RequestError, match="no recording was given"):
        chain("vad").run(out_dir=None)


def test_another_engine_must_offer_what_the_graph_asks(tone: Audio) -> None:
    graph = Graph.parse("{engine: parametric, chain: [{style: recite}]}")
    toy = chain("vad").open_engine()
    with pytest.raises(RequestError, match="node 'style': engine 'toy' does not do style 'recite'"):
        graph.plan(tone, engine=toy)


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """Graphs of edits, effects and mixes, each on earlier nodes; every loose end is an output."""
    ids, used, lines = ["n0"], set[str](), ["n0: {type: input}"]
    for i in range(1, draw(st.integers(1, 9))):
        sources = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3))
        bypass = draw(st.booleans()) and draw(st.booleans())
        if len(sources) > 1:
            kind = "type: mix"
        else:
            kind = draw(
                st.sampled_from(
                    (
                        "type: emotion, value: happy",
                        "type: style, value: child",
                        "type: vad",
                        "type: effects, chain: [Gain]",
                    )
                )
            )
        lines.append(
            f"n{i}: {{{kind}, from: [{', '.join(sources)}], bypass: {str(bypass).lower()}}}"
        )
        ids.append(f"n{i}")
        used.update(sources)
    loose = [name for name in ids if name not in used]
    lines += [f"o{n}: {{type: output, from: {n}, path: '{n}.wav'}}" for n in loose]
    shuffled = draw(st.permutations(lines))
    return "engine: toy\nnodes:\n" + "".join(f"  {line}\n" for line in shuffled)


@settings(max_examples=60)
@given(graphs(), st.data())
def test_any_graph_runs_in_order_and_only_what_is_needed(text: str, data: st.DataObject) -> None:
    """Whatever the shape: sources first, every input of the right sort, nothing done twice, and
    with any part of the store gone the sound is the same."""
    tone = Audio(np.full((1, 80), 0.01, np.float32), 8000)
    graph = Graph.parse(text)
    plan = graph.plan(tone)
    seen: dict[str, object] = {}
    for step in plan.steps:
        assert all(seen[source] is step.node.takes for source in step.sources)
        seen[step.id] = step.node.gives
    inner = [step.key for step in plan.steps if step.node.gives is not None]
    assert len(set(inner)) == len(inner)

    store = Store.in_memory()
    fresh = graph.run(tone, out_dir=None)
    stored = graph.run(tone, store=store, out_dir=None)
    assert graph.run(tone, store=store, out_dir=None).plan.of("run") == tuple(
        s
        for s in stored.plan.steps
        if s.kind in ("output", "input") and _feeds_output(s, stored.plan)
    )
    kept = {key for key in inner if data.draw(st.booleans())}
    part = Store.in_memory()
    for key in kept:
        value = store.get(key)
        if value is not None:
            part.put(key, value)
    partly = graph.run(tone, store=part, out_dir=None)
    assert not {s.key for s in partly.plan.of("run") if s.kind != "input"} & kept
    for other in (stored, partly):
        assert other.values.keys() == fresh.values.keys()
        for name, value in fresh.values.items():
            assert np.array_equal(value.samples, other.values[name].samples)


def _feeds_output(step: object, plan: Plan) -> bool:
    """An output, or an input that goes straight into one."""
    return getattr(step, "kind", "") == "output" or any(
        getattr(step, "id", "") in other.sources for other in plan.steps if other.kind == "output"
    )
