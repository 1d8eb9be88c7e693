"""A recording and what is said in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.base import Context, Node, param
from stepedit_fx.speech import Transcript

if TYPE_CHECKING:
    from stepedit_fx.files import Recording

SoundT = TypeVar("SoundT", "Audio", "Recording")


class Input(Node):
    """Read a recording: the file given to run, or one of its own."""

    kind = "input"
    takes = None
    gives = Audio
    inputs = (0, 0)
    main = "path"

    path: str = param(
        "",
        help="The recording, relative to the graph file; empty: the file given to run.",
        live=False,
    )
    transcript: str = param(
        "auto",
        help="What is said: auto (a sidecar beside the file), none, or the words.",
        live=False,
    )
    max_duration_s: float = param(
        14400.0, unit="s", ge=0.01, le=86400, help="Longer recordings are refused.", live=False
    )

    if TYPE_CHECKING:

        def __init__(
            self, path: str = "", *, transcript: str = "auto", max_duration_s: float = 14400.0
        ) -> None: ...

    def file(self, folder: Path) -> Path | None:
        """The node's own file, if it names one."""
        return folder / Path(self.path).expanduser() if self.path else None

    def reads(self, folder: Path) -> tuple[Path, ...]:
        file = self.file(folder)
        return (file,) if file else ()

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """Read the file. Raises ReadError, and RequestError where no file is given."""
        path = self.file(context.folder) or context.source
        if path is None:
            raise RequestError("no recording was given", remedy="Name an input file to run on.")
        return self.read(path)

    def read(self, path: Path) -> Audio:
        """A recording with the transcript this node asks for. Raises ReadError, RequestError."""
        from stepedit_fx.files import read_audio

        return self._worded_file(read_audio(path, max_duration_s=self.max_duration_s), path)

    def open(self, path: Path, hold_s: float) -> Audio | Recording:
        """As `read`; a recording that lasts longer than `hold_s` is not held in memory."""
        from stepedit_fx.files import probe, scan_recording

        if probe(path).duration_s <= hold_s:
            return self.read(path)
        return self._worded_file(scan_recording(path, max_duration_s=self.max_duration_s), path)

    def _worded_file(self, sound: SoundT, path: Path) -> SoundT:
        from stepedit_fx.transcripts import find_transcript

        if self.transcript == "auto":
            return replace(sound, transcript=find_transcript(path))
        return self.worded(sound)

    def worded(self, audio: SoundT) -> SoundT:
        """Sound that has been read already, with the transcript this node asks for.

        Raises RequestError where it is longer than max_duration_s.
        """
        if audio.duration_s > self.max_duration_s:
            raise RequestError(
                f"the recording lasts {audio.duration_s:.1f} s, over the {self.max_duration_s:g} s "
                "this input takes",
                remedy="Split it, or raise max_duration_s.",
            )
        if self.transcript == "auto":
            return audio
        text = "" if self.transcript == "none" else self.transcript
        return replace(audio, transcript=Transcript(text))
