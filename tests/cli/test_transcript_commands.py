"""`transcribe` and `align`: sidecars from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stepedit_fx.audio import Audio
from stepedit_fx.cli.app import app
from stepedit_fx.files import write_audio
from stepedit_fx.transcripts import espeak, find_transcript

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")

TEXT = "The weather will be fine again tomorrow."


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("takes") / "take one.wav"
    said = espeak.speak(TEXT, "en-us")
    write_audio(path, Audio(said.samples[None], said.rate))
    return path


def called(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.output


def test_align_writes_a_sidecar_that_is_then_found(recording: Path) -> None:
    """The words' times are there for every later run, without asking again."""
    out = called("align", recording, "--text", TEXT)
    assert "7 words" in out
    assert [w.text for w in find_transcript(recording).words] == TEXT[:-1].split()
    assert "is there already" in called("align", recording, "--text", TEXT, code=2)
    called("align", recording, "--force")
    rows = json.loads(called("align", recording, "--json", "-o", recording.parent / "out"))
    assert rows[0]["words"] == 7
    assert Path(rows[0]["sidecar"]).read_text().startswith("0.0")


def test_a_text_that_is_another_recordings_is_refused(recording: Path, tmp_path: Path) -> None:
    """A sidecar with times for words that nobody says would be believed."""
    other = "Please close that old window before you leave."
    out = called("align", recording, "--text", other, "-o", tmp_path, code=1)
    assert "does not say" in out
    assert "understood was" in out
    assert not list(tmp_path.iterdir())
    called("align", recording, "--text", other, "-o", tmp_path, "--trust")


def test_what_cannot_be_done_is_said_before_any_work(recording: Path, tmp_path: Path) -> None:
    """Nobody wants to hear after an hour that the folder was misspelt."""
    assert "TextGrid" in called("align", recording, "--format", "textgird", code=2)
    assert "one recording's" in called("align", recording, recording, "--text", "x", code=2)
    assert "STEPEDIT_ASR" in called("transcribe", recording, code=2)
    assert "no folder" in called("transcribe", recording, "--model", tmp_path, code=2)
    assert "no such file" in called("align", tmp_path / "not.wav", "--text", "hello", code=1)
