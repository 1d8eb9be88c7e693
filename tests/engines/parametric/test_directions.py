"""Every emotion and style changes the sample clip the way its recipe's sources say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.directions import rows


@pytest.fixture(scope="module")
def table(sample_clip: Path):
    return rows(sample_clip.parent)


def test_measured_changes_go_the_way_of_the_recipe(table) -> None:
    wrong = [f"{tag}: {f} {c}" for tag, cells in table.items() for f, c in cells.items() if c.wrong]
    assert not wrong
    assert sum(any(cell.expected) for cells in table.values() for cell in cells.values()) > 30
