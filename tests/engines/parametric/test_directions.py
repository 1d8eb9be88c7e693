"""Every emotion and style changes a voice the way its recipe's sources say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.directions import rows

REPO = Path(__file__).parents[3]
RECORDINGS = REPO.parent / "shared" / "speech"
# A low voice beside the sample clip's high one; benchmarks/directions.py takes all.
RECORDING = "en_male_political.wav"


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(REPO / "examples" / "audio", id="sample clip"),
        pytest.param(
            RECORDINGS,
            id="recordings",
            marks=pytest.mark.skipif(not RECORDINGS.is_dir(), reason="no ../shared/speech"),
        ),
    ],
)
def test_measured_changes_go_the_way_of_the_recipe(folder: Path) -> None:
    names = [RECORDING] if folder == RECORDINGS else ["*.wav"]
    table = rows([path for name in names for path in folder.glob(name)])
    wrong = [f"{tag}: {f} {c}" for tag, cells in table.items() for f, c in cells.items() if c.wrong]
    assert not wrong
    assert sum(any(cell.expected) for cells in table.values() for cell in cells.values()) > 30
