"""docs/midi.md and the examples are what the code does."""

from __future__ import annotations

import importlib.util
import re

import pytest

from stepedit_fx.graph.controls import controls_of
from stepedit_fx.midi.reading import load_map, parse_map
from stepedit_fx.provenance import GraphSource
from stepedit_fx.shipped import find_graph
from tests.conftest import REPO

DOC = REPO / "docs" / "midi.md"


def test_the_tables_are_the_codes() -> None:
    """The reference lists every type, curve and mode that a map can have."""
    spec = importlib.util.spec_from_file_location("write_midi", REPO / "docs" / "write_midi.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    tables = DOC.read_text(encoding="utf-8").partition(script.START)[2]
    assert tables == script.markdown(), "run docs/write_midi.py"


def test_the_shown_map_is_one() -> None:
    """What someone copies from the page must be a map."""
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.S | re.M)
    assert len(parse_map(shown).entries) == 3


@pytest.mark.parametrize(
    ("name", "graph"), [("eight-knobs", "dry-wet"), ("motor-faders", "broadcast")]
)
def test_the_examples_fit_their_graphs(name: str, graph: str) -> None:
    """The shipped maps turn what their graphs have."""
    controls = controls_of(GraphSource.load(find_graph(graph)).graph())
    found = load_map(REPO / "examples" / "midi" / f"{name}.yaml", controls)
    assert found.entries
    assert not found.conflicts()
