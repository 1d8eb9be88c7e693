"""docs/cli.md says what --help says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `python docs/write_cli.py` after a change of a command."""
    monkeypatch.syspath_prepend(str(DOCS))
    import write_cli

    assert (DOCS / "cli.md").read_text(encoding="utf-8") == write_cli.markdown()
    del sys.modules["write_cli"]
