"""Where the boxes of a picture stand, and which way its lines go: rows from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

# Pixels.
BOX_HEIGHT = 46
ROW_GAP = 34
COLUMN_GAP = 22
LANE_WIDTH = 12
MARGIN = 16


@dataclass(frozen=True)
class Place:
    """A box in its row: centre and top in pixels."""

    x: float
    top: float
    width: float

    @property
    def foot(self) -> float:
        return self.top + BOX_HEIGHT


@dataclass(frozen=True)
class Layout:
    """Boxes by id, and for every line its places from source to target.

    A line that skips rows has a narrow place of its own in each of them, so that it runs beside
    boxes and not behind them.
    """

    boxes: Mapping[str, Place]
    lines: Sequence[Sequence[Place]]
    width: float
    height: float


def lay_out(sources: Mapping[str, Sequence[str]], widths: Mapping[str, float]) -> Layout:
    """Boxes in rows by their longest way from the top, each near below its sources.

    sources: of every box, sources before what they feed. widths: of every box, in pixels.
    """
    depth: dict[str, int] = {}
    for box in sources:
        depth[box] = max((depth[source] + 1 for source in sources[box]), default=0)
    ways = [
        [source, *(f"{source}\0{box}\0{row}" for row in range(depth[source] + 1, depth[box])), box]
        for box in sources
        for source in dict.fromkeys(sources[box])
    ]
    above: dict[str, list[str]] = {box: [] for box in sources}
    rows: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for box in sources:
        rows[depth[box]].append(box)
    for way in ways:
        for row, (upper, lower) in enumerate(pairwise(way), depth[way[0]] + 1):
            if lower not in above:
                rows[row].append(lower)
            above.setdefault(lower, []).append(upper)
    places = _place(rows, above, {**widths})
    return Layout(
        boxes={box: places[box] for box in sources},
        lines=[[places[stop] for stop in way] for way in ways],
        width=max(place.x + place.width / 2 for place in places.values()) + MARGIN,
        height=len(rows) * (BOX_HEIGHT + ROW_GAP) - ROW_GAP + 2 * MARGIN,
    )


def _place(
    rows: Sequence[Sequence[str]], above: Mapping[str, Sequence[str]], widths: dict[str, float]
) -> dict[str, Place]:
    centres: dict[str, float] = {}
    for row in rows:
        wanted = {
            item: sum(centres[upper] for upper in above[item]) / len(above[item])
            if above[item]
            else 0.0
            for item in row
        }
        order = sorted(row, key=wanted.__getitem__)
        centres.update(_spread(order, wanted, widths))
    left = min(centres[item] - widths.get(item, LANE_WIDTH) / 2 for item in centres)
    return {
        item: Place(
            centres[item] - left + MARGIN,
            MARGIN + index * (BOX_HEIGHT + ROW_GAP),
            widths.get(item, LANE_WIDTH),
        )
        for index, row in enumerate(rows)
        for item in row
    }


def _spread(
    order: Sequence[str], wanted: Mapping[str, float], widths: Mapping[str, float]
) -> dict[str, float]:
    """Centres near the wanted ones, pushed apart where boxes would touch, and balanced again."""
    centres: dict[str, float] = {}
    end = float("-inf")
    for item in order:
        half = widths.get(item, LANE_WIDTH) / 2
        centres[item] = max(wanted[item], end + half)
        end = centres[item] + half + COLUMN_GAP
    shift = sum(wanted[item] - centres[item] for item in order) / len(order)
    return {item: centre + shift for item, centre in centres.items()}
