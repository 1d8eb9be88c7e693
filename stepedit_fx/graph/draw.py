"""A graph as a picture: SVG of our own, or Mermaid for what draws that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from stepedit_fx.graph.layout import BOX_HEIGHT, Place, lay_out
from stepedit_fx.graph.spec import Graph
from stepedit_fx.graph.steps import Step, build_steps, uses_engine
from stepedit_fx.nodes.base import Node

# Pixels, for the id in bold 12 px and the line below in 11 px: averages of DejaVu Sans, which is
# the widest of the fonts asked for.
BOLD_CHARACTER_WIDTH = 7.7
CHARACTER_WIDTH = 6.6
LEAST_WIDTH = 116
MOST_CHARACTERS = 34

# fill, line; dark text on each is readable, and each stands out on white and on black.
_COLOURS: Mapping[str, tuple[str, str]] = {
    "file": ("#dfe6ee", "#5b7083"),
    "speech": ("#fde3c8", "#c9751b"),
    "sound": ("#cfe8e3", "#2b8276"),
    "bypassed": ("#ececec", "#9a9a9a"),
}
_LINE = "#7d8793"
_TEXT = "#1d242b"
_FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def label(step: Step) -> str:
    """A step's kind and main values in one short line."""
    node = step.node
    parts = [node.kind]
    if node.main and (value := getattr(node, node.main)) not in ("", None):
        parts.append(_shown(node, value))
    if node.main != "strength" and (strength := getattr(node, "strength", 1)) != 1:
        parts.append(_shown(node, strength))
    if (iterations := getattr(node, "iterations", 1)) != 1:
        parts.append(f"x{iterations}")
    return _short(" ".join(parts)) + (" (bypassed)" if step.bypassed else "")


def _shown(node: Node, value: object) -> str:
    """A main value; of a chain of effects, their names."""
    if node.kind == "effects":
        data = node.model_dump(mode="json")[node.main]
        return " › ".join(
            next(iter(item)) if isinstance(item, dict) else str(item) for item in data
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def _look(step: Step) -> str:
    """Which colours a step has: by what flows through it."""
    if step.bypassed:
        return "bypassed"
    if step.node.kind in ("input", "output"):
        return "file"
    return "speech" if uses_engine(step.node) else "sound"


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart; steps that the planner puts in are dashed."""
    steps = build_steps(graph, keep_bypassed=True)
    names = {step.id: f"n{index}" for index, step in enumerate(steps)}
    lines = ["flowchart TD"]
    for step in steps:
        text = f"<b>{_entities(step.id)}</b><br/>{_entities(label(step))}"
        lines.append(f'  {names[step.id]}["{text}"]')
    for step in steps:
        lines += [f"  {names[source]} --> {names[step.id]}" for source in step.sources]
    for look, (fill, line) in _COLOURS.items():
        lines.append(f"  classDef {look} fill:{fill},stroke:{line},color:{_TEXT}")
    lines.append("  classDef putin stroke-dasharray:5 4")
    for step in steps:
        lines.append(f"  class {names[step.id]} {_look(step)}{',putin' * step.put_in}")
    return "\n".join(lines) + "\n"


def _entities(text: str) -> str:
    """Text that Mermaid takes as text: everything it gives a meaning to, as entities."""
    safe = set(" .,_-+:/…›")
    return "".join(c if c.isalnum() or c in safe else f"#{ord(c)};" for c in text)


def svg(graph: Graph) -> str:
    """The graph as an SVG, signal flowing down; for light and dark pages alike."""
    steps = build_steps(graph, keep_bypassed=True)
    layout = lay_out(
        {step.id: step.sources for step in steps}, {step.id: _width(step) for step in steps}
    )
    size = f"{layout.width:.0f} {layout.height:.0f}"
    width, height = size.split()
    title = escape(graph.name)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {size}" font-family="{_FONT}" font-size="12" text-anchor="middle" '
        f'role="img" aria-label="{title}">',
        f"<title>{title}</title>",
        *(_arrow(stops) for stops in layout.lines),
        *(_box(step, layout.boxes[step.id]) for step in steps),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _box(step: Step, place: Place) -> str:
    fill, line = _COLOURS[_look(step)]
    dashes = ' stroke-dasharray="5 4"' if step.put_in else ""
    left = place.x - place.width / 2
    return (
        f'<g><rect x="{left:.1f}" y="{place.top:.1f}" width="{place.width:.1f}" '
        f'height="{BOX_HEIGHT}" rx="8" fill="{fill}" stroke="{line}" stroke-width="1.5"{dashes}/>'
        f'<text x="{place.x:.1f}" y="{place.top + 20:.1f}" font-weight="600" fill="{_TEXT}">'
        f"{escape(_short(step.id))}</text>"
        f'<text x="{place.x:.1f}" y="{place.top + 36:.1f}" font-size="11" fill="{_TEXT}" '
        f'fill-opacity="0.75">{escape(label(step))}</text></g>'
    )


def _arrow(stops: Sequence[Place]) -> str:
    """A line from foot to head, straight down through the rows it passes, with a small tip."""
    path = f"M{stops[0].x:.1f} {stops[0].foot:.1f}"
    for upper, lower in pairwise(stops):
        is_last = lower is stops[-1]
        end = lower.top - 6 if is_last else lower.top
        half = (end - upper.foot) / 2
        path += f"C{upper.x:.1f} {upper.foot + half:.1f} {lower.x:.1f} {end - half:.1f} "
        path += f"{lower.x:.1f} {end:.1f}" + ("" if is_last else f"V{lower.foot:.1f}")
    tip = f"M{stops[-1].x - 4.5:.1f} {stops[-1].top - 7:.1f}l4.5 7l4.5 -7z"
    return (
        f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.6"/>'
        f'<path d="{tip}" fill="{_LINE}"/>'
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _width(step: Step) -> float:
    name = len(_short(step.id)) * BOLD_CHARACTER_WIDTH
    return max(LEAST_WIDTH, max(name, len(label(step)) * CHARACTER_WIDTH) + 24)
