"""Pictures of graphs: well formed, complete, and nothing in them runs."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.graph import Graph
from stepedit_fx.graph.draw import mermaid, svg
from stepedit_fx.graph.layout import lay_out

NASTY = """\
engine: toy
nodes:
  take: {type: input}
  air: {type: paralinguistic, from: take, text: '<script>alert("x")</script> & [Sigh] -->'}
  idle: {type: style, from: air, value: child, bypass: true}
  blend: {type: mix, from: [take, idle]}
  out: {type: output, from: blend}
"""


def test_svg_shows_every_step_once_with_text_escaped() -> None:
    root = ElementTree.fromstring(svg(Graph.parse(NASTY)))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for name in ("take", "take.encode", "air", "idle", "idle.decode", "blend", "out"):
        assert texts.count(name) == 1
    assert any(text and text.startswith("paralinguistic <script>") for text in texts)
    assert "style child (bypassed)" in texts
    assert not list(root.iter("script"))


def test_what_the_planner_puts_in_is_dashed() -> None:
    root = ElementTree.fromstring(svg(Graph.parse(NASTY)))
    space = "{http://www.w3.org/2000/svg}"
    dashed = [
        group.find(f"{space}text").text  # type: ignore[union-attr]
        for group in root.iter(f"{space}g")
        if group.find(f"{space}rect").get("stroke-dasharray")  # type: ignore[union-attr]
    ]
    assert dashed == ["take.encode", "idle.decode"]


def test_mermaid_holds_no_sign_that_mermaid_reads() -> None:
    text = mermaid(Graph.parse(NASTY))
    assert text.startswith("flowchart TD\n")
    assert "<script" not in text
    assert text.count("-->") == 7
    assert text.count("putin") == 3  # its definition and two steps


@pytest.mark.parametrize("count", [1, 30])
def test_a_long_chain_is_one_column(count: int) -> None:
    sources = {str(i): ([str(i - 1)] if i else []) for i in range(count)}
    layout = lay_out(sources, dict.fromkeys(sources, 100))
    assert {place.x for place in layout.boxes.values()} == {66.0}


@settings(max_examples=80)
@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=14), st.data())
def test_boxes_never_touch_and_lines_pass_beside_them(
    picks: list[list[int]], data: st.DataObject
) -> None:
    """A line behind a box would seem to come out of it."""
    sources = {str(i): [str(pick % i) for pick in row] if i else [] for i, row in enumerate(picks)}
    widths = {box: data.draw(st.integers(60, 260)) for box in sources}
    layout = lay_out(sources, widths)
    boxes = list(layout.boxes.values())
    stops = [stop for line in layout.lines for stop in line[1:-1]]
    for index, box in enumerate(boxes):
        assert box.x - box.width / 2 >= 15.9
        assert box.x + box.width / 2 <= layout.width
        assert box.foot <= layout.height
        for other in [*boxes[index + 1 :], *stops]:
            apart = abs(box.x - other.x) >= (box.width + other.width) / 2
            assert apart or box.top != other.top
    for line in layout.lines:
        assert all(a.foot < b.top for a, b in pairwise(line))
