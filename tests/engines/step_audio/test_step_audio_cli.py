"""The engine from the command line, as someone with the weights would use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stepedit_fx.cli.app import app
from stepedit_fx.files import read_audio
from stepedit_fx.worker.opening import open_with


@pytest.fixture(autouse=True)
def _fresh_engine() -> Iterator[None]:
    """A process opens an engine once; these tests stand for several processes."""
    open_with.cache_clear()
    yield
    open_with.cache_clear()


@pytest.fixture
def cli(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("STEPEDIT_MODELS", str(tiny_checkpoint))
    return CliRunner()


def test_edit_on_the_model(cli: CliRunner, short_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "sad.wav"
    done = cli.invoke(
        app, ["edit", str(short_clip), str(out), "--emotion", "sad", "--engine", "step-audio"]
    )
    assert done.exit_code == 0, done.output
    assert read_audio(out).frames
    kept = json.loads((tmp_path / "sad.wav.json").read_text("utf-8"))
    assert kept["engine"]["kind"] == "step-audio"
    assert "weights" in kept["engine"]["fingerprint"]


def test_run_a_shipped_graph_on_the_model(cli: CliRunner, short_clip: Path, tmp_path: Path) -> None:
    """The same command as ever, and one option more; verify makes the same bytes again."""
    args = ["run", "quickstart", str(short_clip), "-o", str(tmp_path), "--engine", "step-audio"]
    done = cli.invoke(app, [*args, "--set", "engine.flow_steps=2"])
    assert done.exit_code == 0, done.output
    checked = cli.invoke(app, ["verify", str(tmp_path)])
    assert checked.exit_code == 0, checked.output


def test_plan_names_the_engine(cli: CliRunner, short_clip: Path) -> None:
    done = cli.invoke(
        app, ["plan", "quickstart", str(short_clip), "--engine", "step-audio", "--json"]
    )
    assert json.loads(done.stdout)["engine"] == "step-audio"


def test_without_models_a_run_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, short_clip: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEPEDIT_MODELS", str(tmp_path / "nowhere"))
    args = ["run", "quickstart", str(short_clip), "-o", str(tmp_path), "--engine", "step-audio"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code != 0
    assert "models fetch" in done.output + str(done.exception)


def test_an_unknown_engine_is_named(short_clip: Path) -> None:
    done = CliRunner().invoke(app, ["run", "quickstart", str(short_clip), "--engine", "step-adio"])
    assert done.exit_code != 0
    assert "step-audio" in done.output + str(done.exception)
