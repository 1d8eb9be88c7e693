"""YAML text: what is read, and that whatever is thrown at it is refused at once and by place."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.errors import GraphError, Problem
from stepedit_fx.graph import Graph
from stepedit_fx.graph.document import MAX_BYTES, core_scalar, read_yaml
from stepedit_fx.graph.tree import Mark, plain

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(GraphError) as caught:
        Graph.parse(text, file="g.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("# only a comment\n", 0, "empty"),
        ("null", 0, "empty"),
        ("- a\n- b\n", 1, "mapping"),
        ("just words", 1, "mapping"),
        ("chain:\n\t- decode\n", 2, "tab"),
        ("chain: [decode]\n---\nchain: [vad]\n", 2, "several documents"),
        ("chain: [decode]\nname: a\nname: b\n", 3, "duplicate key 'name', first on line 2"),
        ("x: !!python/object:os.system [a]\n", 1, "!!python/object:os.system"),
        ("x: !local 3\nchain: [vad]", 1, "!local"),
        ("x: !!binary aGk=\nchain: [vad]", 1, "!!binary"),
        ("x: !!int a\nchain: [vad]", 1, "not a YAML int"),
        ("base: &b {strength: 1}\nchain: [{vad: {<<: *b}}]", 2, "merge keys"),
        ("on: 1\nchain: [vad]", 1, "'on' is a boolean to some"),
        ("chain: [{emotion: no}]", 1, "'no' in quotes"),
        ("chain: [{vad: {bypass: yes}}]", 1, "Write true or false"),
        ("seed: 010\nchain: [vad]", 1, "octal"),
        ("seed: .inf\nchain: [vad]", 1, "finite"),
        ("seed: .nan\nchain: [vad]", 1, "finite"),
        ("seed: 1e999\nchain: [vad]", 1, "too large"),
        ("seed: 12345678901234567890\nchain: [vad]", 1, "18 digits"),
        ("1: x\nchain: [vad]", 1, "a key must be a word, got '1'"),
        ("[a]: x\nchain: [vad]", 1, "a key must be a word"),
        ("chain: [*nothing]", 1, "'*nothing' stands for nothing"),
        ("chain: &c [vad, *c]", 1, "'*c' stands for nothing"),
        ("chain: [vad", 1, "not YAML"),
        ("a: b: c", 1, "not YAML"),
        ("a: \x00", 0, "not a YAML text"),
        ("name: '\ud800'", 0, "surrogate"),
        ("[" * 10_000, 1, "50 deep"),
        ("a: " + "{a: " * 60 + "1" + "}" * 60, 1, "50 deep"),
        (LAUGHS, 5, "50000 values"),
        ("a: &a x\nb: [" + "*a, " * 200 + "]", 2, "100 aliases"),
        ("b: [" + "1, " * 60_000 + "]", 1, "50000 values"),
        ("#" * (MAX_BYTES + 1), 0, "1 MiB"),
    ],
)
def test_bad_yaml_is_refused_with_its_place_and_a_remedy(text: str, line: int, words: str) -> None:
    """Else a user stares at a traceback, or the machine at a billion laughs."""
    start = time.perf_counter()
    problems = problems_of(text)
    assert time.perf_counter() - start < 5
    found = [p for p in problems if words in p.message]
    assert found, problems
    assert found[0].file == "g.yaml"
    assert found[0].line == line
    assert (found[0].column > 0) == (line > 0)


@settings(max_examples=150)
@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_graph_or_a_graph_error(text: str) -> None:
    """Anything else raised would reach the user as a traceback."""
    with pytest.raises(GraphError):
        Graph.parse(text)


SIGNS = """nodes chain vars engine seed name from type emotion input output effects value strength
    path ${x} ${ [ ] { } : - , & * ! !! ? | > ' " # % @ ` 0 -1 1e9 .5 true no ~ <<"""


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*SIGNS.split(), "\n", "\n  ", "\t"]), max_size=60).map(" ".join))
def test_near_yaml_is_a_graph_or_a_graph_error(text: str) -> None:
    """Text made of the words and signs of graphs reaches further in than random text does."""
    with suppress(GraphError):
        Graph.parse(text, variables={"x": "1"})


_TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20)
_DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | _TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150)
@given(_DATA)
def test_json_reads_back_as_itself(data: object) -> None:
    """JSON is YAML: a graph written by a program is read as it was meant."""
    problems: list[Problem] = []
    tree = read_yaml(json.dumps(data, ensure_ascii=False), Mark("x"), problems)
    merges = "<<" in json.dumps(data)
    assert merges or (tree is not None and plain(tree) == data)
    assert merges or not problems


@settings(max_examples=200)
@given(st.text("0123456789+-.eExXoO_~nulltrefasyNo:abc", min_size=1, max_size=8))
def test_plain_scalars_mean_what_a_yaml_library_says_or_are_refused(text: str) -> None:
    """A value must not be a number here and a word in the user's editor."""
    value, problem = core_scalar(text)
    try:
        theirs = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return  # not a scalar by itself, or one that PyYAML cannot make
    if problem or not isinstance(theirs, bool | int | float | str | None):
        return
    one_only = isinstance(value, float | int) and isinstance(theirs, str)  # 1e3, 0o7: YAML 1.2
    old_only = isinstance(theirs, int | float) and isinstance(value, str)  # 1_000, 1:30: YAML 1.1
    assert value == theirs or one_only or old_only
