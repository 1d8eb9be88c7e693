"""docs/control.md: its tables are the code's, its Python runs, what it shows is what comes."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stepedit_fx.graph.controls import controls_of
from stepedit_fx.osc.commands import COMMANDS
from stepedit_fx.shipped import find_graph

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "control.md"


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "write_control.py"))


def test_the_tables_are_up_to_date(text: str, writer: dict[str, Any]) -> None:
    """A reader sees the addresses of this version. Else: python docs/write_control.py."""
    written = text.partition(writer["START"])[2].partition(writer["END"])[0]
    assert written == f"\n{writer['markdown']()}\n"


def test_every_address_on_the_page_is_one(text: str) -> None:
    """What a reader copies is understood."""
    from stepedit_fx.graph import Graph

    known = {*COMMANDS, *controls_of(Graph.load(find_graph("quickstart")))}
    shown = set(re.findall(r"(?:send \S+|oscsend \S+ \S+|:\d+)\s?(/stepedit/[\w./]+)", text))
    assert len(shown) >= 3
    assert shown <= known


def test_files_and_pictures_are_there(text: str) -> None:
    """The picture is shown, and is a picture."""
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert (DOCS / picture).read_text(encoding="utf-8").startswith("<svg")


def test_the_python_runs(text: str, tmp_path: Path, short_clip: Path) -> None:
    """The script on the page does what it says on a real recording."""
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    shutil.copy(short_clip, tmp_path / "in.wav")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "OSC on port" in done.stdout
    assert "Changed(generation=1" in done.stdout
