"""What the documents show works as shown."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stepedit_fx import Graph
from stepedit_fx.errors import GraphError

REPO = Path(__file__).parents[1]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)


def test_links_between_pages_lead_somewhere() -> None:
    """A reader who follows a link finds a page."""
    for page in [*PAGES, REPO / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/graphs.md"])
def test_graphs_in_the_documents_load(page: str) -> None:
    """What someone copies from a page must be a graph."""
    shown = [text for text in blocks(REPO / page, "yaml") if "version: 1" in text]
    assert shown
    for text in shown:
        assert Graph.parse(text).nodes


def test_the_shown_errors_are_what_comes() -> None:
    """The page that explains messages shows real ones."""
    text = "\nchain:\n\n  - emotion: hapy\n  - effects:\n    - Revreb\n"
    with pytest.raises(GraphError) as caught:
        Graph.parse(text, file="happy.yaml")
    assert (
        str(caught.value).splitlines()
        == blocks(REPO / "docs" / "graphs.md", "text")[-1].strip().splitlines()
    )


def test_python_in_the_documents_runs(tmp_path: Path, short_clip: Path) -> None:
    """Every snippet of docs/python.md, one after another, on a real recording."""
    for target in (tmp_path / "in.wav", tmp_path / "takes" / "in.wav"):
        target.parent.mkdir(exist_ok=True)
        shutil.copy(short_clip, target)
    shutil.copytree(REPO / "graphs", tmp_path / "graphs")
    script = tmp_path / "snippets.py"
    script.write_text("\n".join(blocks(REPO / "docs" / "python.md", "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sad.wav").is_file()
    assert (tmp_path / "out" / "in.quickstart.wav").is_file()
