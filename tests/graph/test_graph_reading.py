"""Graphs read and checked: both forms, variables, settings, and every kind of mistake."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.errors import GraphError, Problem, ReadError
from stepedit_fx.files import write_audio
from stepedit_fx.graph import Graph

NODES = """\
engine: toy
nodes:
  take: {type: input}
  mood: {type: emotion, from: take, value: happy}
  out: {type: output, from: mood}
"""


def problems_of(text: str, **given: object) -> list[Problem]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(text, file="g.yaml", **given)  # type: ignore[arg-type]
    return list(caught.value.problems)


def with_nodes(*lines: str) -> str:
    return NODES + "".join(f"  {line}\n" for line in lines)


def test_chain_form_is_short_for_nodes_form() -> None:
    """The two ways of writing one graph must not sound different."""
    short = Graph.parse(
        "{engine: toy, name: g, chain: [{emotion: happy}, {style: {value: child, strength: 0.5}}, "
        "vad, {denoise: 0.3}, decode, {effects: [Reverb]}, {emotion: sad}]}"
    )
    assert list(short.nodes) == [
        "input", "emotion", "style", "vad", "denoise", "decode", "effects", "emotion2", "output"
    ]  # fmt: skip
    assert [spec.sources for spec in short.nodes.values()] == [
        (), *[(name,) for name in list(short.nodes)[:-1]]
    ]  # fmt: skip
    assert short.nodes["denoise"].node.strength == 0.3  # type: ignore[attr-defined]
    assert short.nodes["emotion2"].node.value == "sad"  # type: ignore[attr-defined]


def test_chain_keeps_its_own_input_and_output() -> None:
    graph = Graph.parse(
        "{engine: toy, chain: [{input: {transcript: none}}, vad, {output: '{stem}.flac'}]}"
    )
    assert list(graph.nodes) == ["input", "vad", "output"]
    assert graph.nodes["output"].node.path == "{stem}.flac"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("nods: {}", 1, 1, "a graph has no 'nods'. Did you mean 'nodes'?"),
        ("name: a", 1, 1, "neither nodes: nor chain:"),
        ("chain: [vad]\nnodes: {a: {type: input}}", 1, 1, "not both"),
        ("version: 2\nchain: [vad]", 1, 10, "version: 1"),
        ("name: a/b\nchain: [vad]", 1, 7, "part of file names"),
        ("name: 3\nchain: [vad]", 1, 7, "name must be a text"),
        ("seed: true\nchain: [vad]", 1, 7, "seed must be a whole number"),
        ("engine: parametrik\nchain: [vad]", 1, 9, "Did you mean 'parametric'?"),
        ("engine: {kind: toy, scal: 2}\nchain: [vad]", 1, 21, "Did you mean 'scale'?"),
        ("engine: {kind: toy, scale: x}\nchain: [vad]", 1, 28, "scale must be a number, got 'x'"),
        ("engine: [toy]\nchain: [vad]", 1, 9, "engine must be a kind"),
        ("vars: [a]\nchain: [vad]", 1, 7, "vars must be a mapping"),
        ("vars: {a b: 1}\nchain: [vad]", 1, 8, "letters, digits and _"),
        ("vars: {a: '${b}', b: 1}\nchain: [vad]", 1, 11, "cannot use variables"),
        ("chain: {a: 1}", 1, 8, "chain must be a list"),
        ("chain: []", 1, 8, "chain must be a list"),
        ("chain: [emotoin]", 1, 9, "unknown node type 'emotoin'. Did you mean 'emotion'?"),
        ("chain: [encode]", 1, 9, "put in by itself"),
        ("chain: [emotion]", 1, 9, "emotion needs 'value'"),
        ("chain: [{emotion: happy, style: child}]", 1, 9, "one step of a chain is one kind"),
        ("chain: [{decode: 3}]", 1, 18, "'decode' takes no value"),
        ("chain: [vad, input]", 1, 14, "takes nothing in"),
        ("nodes: [a]", 1, 8, "nodes must be a mapping"),
        ("nodes: {a: 3}", 1, 12, "'a' must be a mapping"),
        ("nodes: {a.b: {type: input}}", 1, 9, "an id is letters"),
        ("nodes: {a: {value: 3}}", 1, 9, "'a' needs a type"),
        ("nodes: {a: {type: input}}", 0, 0, "the graph has no output"),
        ("nodes: {a: {type: input}}", 1, 9, "nothing uses 'a'"),
        (with_nodes("x: {type: output}"), 6, 3, "'x' needs 'from'"),
        (with_nodes("x: {type: output, from: 3}"), 6, 27, "from must be a node's id"),
        (with_nodes("x: {type: output, from: mod}"), 6, 27, "no node 'mod'. Did you mean 'mood'?"),
        (with_nodes("x: {type: output, from: out}"), 6, 27, "'out' is an output and gives nothing"),
        (with_nodes("x: {type: output, from: [mood, take]}"), 6, 28, "takes 1 input, got 2"),
        (with_nodes("x: {type: mix, from: take}"), 6, 24, "takes 2 to 16 inputs, got 1"),
        (with_nodes("x: {type: input, from: take}"), 6, 26, "takes nothing in"),
        (with_nodes("x: {type: input}"), 6, 3, "both read the file given to run"),
        (with_nodes("x: {type: vad, from: take}"), 6, 3, "nothing uses 'x'"),
        (
            with_nodes("a: {type: vad, from: b}", "b: {type: denoise, from: a}"),
            6, 24, "circle: a -> b -> a",
        ),
        (with_nodes("a: {type: vad, from: a}"), 6, 24, "circle: a -> a"),
        (
            with_nodes("x: {type: output, from: take, path: '{stem}.{graph}.wav'}"),
            6, 39, "'x' would write over what 'out' writes",
        ),
        (with_nodes("x: {type: output, from: take, path: '{stm}.wav'}"), 6, 39, "'stem'"),
        (with_nodes("x: {type: output, from: take, path: '{}.wav'}"), 6, 39, "braces"),
        (with_nodes("x: {type: output, from: take, path: ../x.wav}"), 6, 39, "inside the output"),
        (with_nodes("x: {type: output, from: take, path: /x.wav}"), 6, 39, "inside the output"),
        (with_nodes("x: {type: output, from: take, path: 'c:\\x.wav'}"), 6, 39, "stays inside"),
        (with_nodes("x: {type: output, from: take, path: x.doc}"), 6, 39, "cannot write '.doc'"),
        (with_nodes("x: {type: output, from: take, path: a.mp3, subtype: PCM_16}"), 6, 6, "PCM_16"),
        (with_nodes("x: {type: output, from: take, subtype: PCM16}"), 6, 42, "subtype must be"),
        (with_nodes("x: {type: input, path: no.wav}"), 6, 26, "no such file"),
        (with_nodes("x: {type: input, path: .}"), 6, 26, "is a folder"),
        ("engine: toy\nchain: [{emotion: hapy}]", 2, 19, "'hapy'. Did you mean 'happy'?"),
        ("chain: [{style: radio}]\nengine: toy", 1, 17, "engine 'toy' does not do style 'radio'"),
        ("chain: [{clone: hello}]\nengine: toy", 1, 17, "does not do 'clone'"),
        ("chain: [{emotion: {value: sad, strength: 3}}]", 1, 42, "must be at most 1, got 3"),
        ("chain: [{emotion: {value: sad, strength: -1}}]", 1, 42, "strength must be at least 0"),
        ("chain: [{emotion: {value: sad, strength: loud}}]", 1, 42, "must be a number, got 'loud'"),
        ("chain: [{emotion: {value: sad, strength: '1'}}]", 1, 42, "must be a number, got '1'"),
        ("chain: [{emotion: {value: sad, strength: true}}]", 1, 42, "must be a number, got true"),
        ("chain: [{emotion: {value: sad, iterations: 1.5}}]", 1, 44, "must be a whole number"),
        ("chain: [{emotion: {value: 3}}]", 1, 27, "value must be a text, got 3"),
        ("chain: [{emotion: {value: sad, bypass: 1}}]", 1, 40, "must be true or false, got 1"),
        ("chain: [{emotion: {value: sad, strenght: 1}}]", 1, 32, "Did you mean 'strength'?"),
        ("chain: [{paralinguistic: 'no sound'}]", 1, 26, "the text holds no sound"),
        ("chain: [{paralinguistic: 'a [Sihg]'}]", 1, 26, "Did you mean 'Sigh'?"),
        ("chain: [{effects: [{Reverb: {room_size: 3}}]}]", 1, 41, "room_size"),
        ("chain: [{effects: [{Revreb: {}}]}]", 1, 20, "Did you mean 'Reverb'?"),
        ("chain: [{emotion: '${m}'}]", 1, 19, "unknown variable 'm'"),
        ("vars: {mood: sad}\nchain: [{emotion: '${mod}'}]", 2, 19, "Did you mean 'mood'?"),
        ("chain: [{emotion: '${m'}]", 1, 19, "without its '}'"),
        ("vars: {a: [1]}\nchain: [{emotion: 'x${a}'}]", 2, 19, "let it stand alone"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_line_column_and_the_way_out(
    text: str, line: int, column: int, words: str
) -> None:
    """A user fixes a graph by these words alone."""
    problems = problems_of(text)
    found = [p for p in problems if words in p.message]
    assert found, problems
    assert (found[0].file, found[0].line, found[0].column) == ("g.yaml", line, column)


def test_all_mistakes_are_told_at_once_in_file_order() -> None:
    """Else a graph with five mistakes takes five runs to mend."""
    text = with_nodes("a: {type: vad, from: nobody, strength: 9}", "b: {typ: input}", "c: 3")
    problems = problems_of(text)
    assert [p.line for p in problems] == sorted(p.line for p in problems)
    assert {p.line for p in problems} == {6, 7, 8}
    assert all(str(p).startswith(f"g.yaml:{p.line}:{p.column}: ") for p in problems)


def test_a_broken_node_breeds_no_further_complaints() -> None:
    """One typing slip in a type is one problem, not one for each node around it."""
    assert len(problems_of(NODES.replace("type: emotion", "type: emotoin"))) == 1


def test_variables_keep_their_type_alone_and_are_text_within_text() -> None:
    graph = Graph.parse(
        "vars: {mood: sad, s: 0.25, n: 3}\nengine: toy\nname: 'g-${n}'\n"
        "chain: [{emotion: {value: '${mood}', strength: '${s}', iterations: '${n}'}}, "
        "{paralinguistic: '[Sigh] $${n}'}, {output: '{mood}-${s}-{stem}.wav'}]"
    )
    assert graph.nodes["paralinguistic"].node.text == "[Sigh] ${n}"  # type: ignore[attr-defined]
    node = graph.nodes["emotion"].node
    assert (node.value, node.strength, node.iterations) == ("sad", 0.25, 3)  # type: ignore[attr-defined]
    assert graph.name == "g-3"
    assert graph.nodes["output"].node.path == "{mood}-0.25-{stem}.wav"  # type: ignore[attr-defined]


def test_given_variables_win_over_the_files_own() -> None:
    text = "{engine: toy, vars: {mood: sad}, chain: [{emotion: '${mood}'}]}"
    graph = Graph.parse(text, variables={"mood": "happy"})
    assert graph.nodes["emotion"].node.value == "happy"  # type: ignore[attr-defined]
    (problem,) = problems_of(text, variables={"mod": "happy"})
    assert str(problem) == "--var mod=happy: the graph has no variable 'mod'. Did you mean 'mood'?"


def test_variables_cannot_blow_a_graph_up() -> None:
    """A small file with a large variable used often must be refused, not fill the memory."""
    text = "{vars: {a: '" + "x" * 100_000 + "'}, chain: [{clone: '" + "${a}" * 1000 + "'}]}"
    assert "too large" in problems_of(text)[0].message


def test_a_graph_full_of_mistakes_is_refused_in_a_moment() -> None:
    """The nearest right word for each of thousands would take minutes."""
    lines = [f"n{i}: {{type: vad, from: q{i}}}" for i in range(900)]
    start = time.perf_counter()
    problems = problems_of(with_nodes(*lines))
    assert time.perf_counter() - start < 15
    assert len(problems) == 101
    assert "mend these first" in problems[-1].message
    too_many = problems_of(with_nodes(*lines, *(f"m{line}" for line in lines)))
    assert "at most 1000 nodes" in too_many[0].message
    long_text = problems_of("chain: [{paralinguistic: '" + "[Sigh] " * 100_000 + "'}]")
    assert "over 10000 characters" in long_text[0].message


def test_sets_change_what_the_file_says() -> None:
    graph = Graph.parse(
        NODES,
        sets=["mood.strength=0.5", "mood.value=sad", "mood.strength=0.25", "out.path=x.wav"],
    )
    node = graph.nodes["mood"].node
    assert (node.value, node.strength) == ("sad", 0.25)  # type: ignore[attr-defined]
    assert graph.nodes["out"].node.path == "x.wav"  # type: ignore[attr-defined]


def test_sets_change_the_engine_and_its_settings() -> None:
    """One graph, two engines: the choice is the command line's."""
    text = "engine: {kind: toy, scale: 3}\nchain: [{emotion: happy}]"
    assert Graph.parse(text).engine.model_dump()["scale"] == 3.0
    assert Graph.parse(text, sets=["engine.scale=2"]).engine.model_dump()["scale"] == 2.0
    assert Graph.parse(text, sets=["engine=parametric"]).engine.kind == "parametric"
    fresh = Graph.parse(text, sets=["engine=toy"]).engine
    assert fresh.model_dump()["scale"] == 1.0


def test_a_node_called_engine_keeps_its_sets() -> None:
    text = (
        "nodes: {a: {type: input}, engine: {type: emotion, from: a, value: sad}, "
        "o: {type: output, from: engine}}"
    )
    assert (
        Graph.parse(text, sets=["engine.value=happy"]).nodes["engine"].node.edit().value == "happy"
    )


def test_sets_reach_into_lists_and_keep_words_words() -> None:
    text = (
        "{engine: toy, chain: [{paralinguistic: '[Sigh]'}, "
        "{effects: [Gain, {Reverb: {room_size: 0.1}}]}]}"
    )
    graph = Graph.parse(
        text, sets=["effects.chain.1.Reverb.room_size=0.75", "paralinguistic.text=[Breathing]"]
    )
    assert graph.nodes["paralinguistic"].node.text == "[Breathing]"  # type: ignore[attr-defined]
    dumped = graph.nodes["effects"].node.model_dump(mode="json")
    assert "0.75" in str(dumped)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mood.strength=7", "strength must be at most 1, got 7"),
        ("mood.strength", "write it as node.param=value"),
        ("strength=1", "write it as node.param=value"),
        ("mod.strength=1", "Did you mean 'mood'?"),
        ("mood.strenth=1", "Did you mean 'strength'?"),
        ("mood.bypass=yes", "Write true or false"),
        ("mood.a.b=1", "there is no 'a'"),
    ],
)
def test_a_wrong_set_is_told_by_its_own_text(text: str, words: str) -> None:
    problems = problems_of(NODES, sets=[text])
    assert all(str(p).startswith(f"--set {text}: ") for p in problems)
    assert any(words in p.message for p in problems)


def test_the_graphs_seed_is_that_of_nodes_that_state_none() -> None:
    graph = Graph.parse(
        "{engine: toy, seed: 7, chain: [vad, {emotion: {value: sad, seed: 3}}, {denoise: 1}]}"
    )
    seeds = [getattr(spec.node, "seed", None) for spec in graph.nodes.values()]
    assert seeds == [None, 7, 3, 7, None]


def test_paths_in_a_graph_are_relative_to_its_file(tone: Audio, tmp_path: Path) -> None:
    """A graph and its recordings can be moved together."""
    write_audio(tmp_path / "deep" / "room.wav", tone)
    file = tmp_path / "g.yaml"
    file.write_text(
        "{engine: {kind: toy, table: deep/t.bin}, chain: [{input: deep/room.wav}, vad]}"
    )
    graph = Graph.load(file)
    assert graph.engine.table == tmp_path / "deep" / "t.bin"  # type: ignore[attr-defined]
    assert graph.plan().recordings


def test_files_that_are_no_graphs_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.yaml"):
        Graph.load(tmp_path / "none.yaml")
    with pytest.raises(ReadError, match=str(tmp_path)):
        Graph.load(tmp_path)
    big = tmp_path / "big.yaml"
    big.write_bytes(b"# " + b"x" * (10 << 20))
    with pytest.raises(GraphError, match=r"big\.yaml: over 1 MiB"):
        Graph.load(big)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"chain: [vad]\nname: caf\xe9\n")
    with pytest.raises(GraphError, match=r"latin\.yaml:2: not UTF-8"):
        Graph.load(latin)


def test_the_name_is_the_files_unless_stated(tmp_path: Path) -> None:
    file = tmp_path / "my-graph.yaml"
    file.write_text("\ufeff{engine: toy, chain: [vad]}", encoding="utf-8")
    assert Graph.load(file).name == "my-graph"


def test_digest_is_that_of_the_meaning() -> None:
    """Provenance compares graphs by it: a comment is no change, a value is."""
    same = NODES.replace("{type: input}", "{ type: 'input' } # take it")
    assert Graph.parse(NODES).digest == Graph.parse(same, file="<graph>").digest
    for old, new in [
        ("happy", "sad"),
        ("mood", "mud"),
        ("{type: input}", "{type: input, path: ''}"),
    ]:
        changed = Graph.parse(NODES.replace(old, new)).digest != Graph.parse(NODES).digest
        assert changed == (old != "{type: input}")


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.text(max_size=12), st.text(max_size=20)), max_size=3
    ).map(lambda pairs: [f"{a}={b}" for a, b in pairs]),
    st.dictionaries(st.text(max_size=6), st.text(max_size=20) | st.integers(), max_size=2),
)  # fmt: skip
def test_any_set_or_variable_is_taken_or_a_graph_error(
    sets: list[str], variables: dict[str, object]
) -> None:
    with suppress(GraphError):
        Graph.parse(NODES, sets=sets, variables=variables)
