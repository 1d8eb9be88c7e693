"""`transcribe` and `align`: sidecars with what is said, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import JsonOption, print_json
from stepedit_fx.errors import RequestError, StepEditError

if TYPE_CHECKING:
    from stepedit_fx.speech import Transcript

FilesArg = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings.")]
FolderOption = Annotated[
    Path | None,
    typer.Option("-o", "--out-dir", metavar="DIR", help="Where to [default: beside each file]."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]
_FORMS = "txt, srt, vtt, lab or TextGrid."


def transcribe(
    files: FilesArg,
    model: Annotated[
        str,
        typer.Option(metavar="DIR", help="A folder with a Whisper model [default: $STEPEDIT_ASR]."),
    ] = "",
    form: Annotated[str, typer.Option("--format", metavar="FORM", help=_FORMS)] = "lab",
    language: Annotated[
        str, typer.Option(metavar="CODE", help="As en or zh [default: the model tells].")
    ] = "",
    out_dir: FolderOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write down what is said in recordings, by a local Whisper model.

    Nothing is downloaded. Needs `pip install 'stepedit-fx[asr]'`.
    """
    from stepedit_fx.transcripts.asr import model_folder
    from stepedit_fx.transcripts.asr import transcribe as listen

    folder = model_folder(model)

    def heard(path: Path) -> tuple[Transcript, float]:
        from stepedit_fx.files import scan_recording

        sound = scan_recording(path)
        said = listen(sound.blocks(), sound.sample_rate, folder, language=language)
        if not said:
            raise RequestError("nothing is said in it, as far as the model hears")
        return said, sound.duration_s

    _write_all(files, form, out_dir, force, as_json, heard)


def align(
    files: FilesArg,
    text: Annotated[
        str, typer.Option(metavar="WORDS", help="What is said [default: the file's sidecar].")
    ] = "",
    form: Annotated[str, typer.Option("--format", metavar="FORM", help=_FORMS)] = "lab",
    out_dir: FolderOption = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Do not ask whether the recording says what the text does."),
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find when each word is said, and write it beside the recording.

    English by forced alignment (`pip install 'stepedit-fx[align]'`), any other language in
    proportion to its syllables, between pauses.
    """
    from stepedit_fx.speech import Transcript

    if text and len(files) > 1:
        raise RequestError(
            "--text is one recording's", remedy="Name one file, or put sidecars beside them."
        )

    def aligned(path: Path) -> tuple[Transcript, float]:
        from stepedit_fx.files import scan_recording
        from stepedit_fx.transcripts import find_transcript
        from stepedit_fx.transcripts.alignment import align as find_words
        from stepedit_fx.transcripts.cutting import RATE, whole

        words = Transcript(text) if text else find_transcript(path)
        if not words:
            raise RequestError("it has no transcript", remedy="Give --text, or a .txt beside it.")
        sound = scan_recording(path)
        mono = whole(sound.blocks(), sound.sample_rate)
        return find_words(words, mono, RATE, trust=trust), sound.duration_s

    _write_all(files, form, out_dir, force, as_json, aligned)


def _write_all(
    files: list[Path],
    form: str,
    out_dir: Path | None,
    force: bool,
    as_json: bool,
    work: Callable[[Path], tuple[Transcript, float]],
) -> None:
    """A sidecar for every file; where one fails the others are made, and the exit code is 1."""
    from stepedit_fx.transcripts.writing import sidecar_path

    targets = [sidecar_path(path, form, out_dir) for path in files]
    if len(set(targets)) < len(targets):
        raise RequestError(
            "two of the recordings would write one file", remedy="Run one folder at a time."
        )
    if not force:
        there = next((target for target in targets if target.exists()), None)
        if there is not None:
            raise RequestError(f"{there}: is there already", remedy="--force writes over it.")
    rows: list[dict[str, Any]] = []
    for path, target in zip(files, targets, strict=True):
        try:
            said = _write(path, target, work)
            rows.append({"file": str(path), "sidecar": str(target), **said, "error": None})
        except StepEditError as error:
            rows.append({"file": str(path), "sidecar": None, "error": str(error)})
        if not as_json:
            _tell(rows[-1])
    if as_json:
        print_json(rows)
    if any(row["error"] for row in rows):
        raise typer.Exit(1)


def _write(
    path: Path, target: Path, work: Callable[[Path], tuple[Transcript, float]]
) -> dict[str, Any]:
    from stepedit_fx.atomic import write_text
    from stepedit_fx.transcripts.writing import sidecar_text

    said, duration_s = work(path)
    write_text(target, sidecar_text(said, target.suffix, duration_s))
    return {"words": len(said.words), "language": said.language, "text": said.text}


def _tell(row: dict[str, Any]) -> None:
    if row["error"]:
        lead = "" if row["error"].startswith(row["file"]) else f"{row['file']}: "
        typer.echo(f"Error: {lead}{row['error']}", err=True)
    else:
        typer.echo(f"{row['sidecar']}: {row['words']} words")
