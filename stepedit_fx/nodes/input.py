"""A recording and what is said in it."""

from __future__ import annotations

import logging
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

log = logging.getLogger(__name__)

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
        help="What is said: auto (a sidecar beside the file), none, asr (a Whisper model listens), "
        "or the words.",
        live=False,
    )
    asr_model: str = param(
        "",
        help="Folder of the Whisper model for asr; empty: that of $STEPEDIT_ASR.",
        live=False,
    )
    max_duration_s: float = param(
        14400.0, unit="s", ge=0.01, le=86400, help="Longer recordings are refused.", live=False
    )

    if TYPE_CHECKING:

        def __init__(
            self,
            path: str = "",
            *,
            transcript: str = "auto",
            asr_model: str = "",
            max_duration_s: float = 14400.0,
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

        if self.transcript != "auto":
            return self.worded(sound)
        return _checked(replace(sound, transcript=find_transcript(path)), path.name)

    def worded(self, audio: SoundT) -> SoundT:
        """Sound that has been read already, with the transcript this node asks for.

        Raises RequestError where it is longer than max_duration_s, and where asr is asked for and
        there is no model to listen with.
        """
        if audio.duration_s > self.max_duration_s:
            raise RequestError(
                f"the recording lasts {audio.duration_s:.1f} s, over the {self.max_duration_s:g} s "
                "this input takes",
                remedy="Split it, or raise max_duration_s.",
            )
        if self.transcript == "auto":
            return audio
        if self.transcript == "none":
            return replace(audio, transcript=Transcript())
        if self.transcript == "asr":
            return replace(audio, transcript=_listened(audio, self.asr_model))
        return _checked(replace(audio, transcript=Transcript(self.transcript)), "the recording")


def _listened(sound: Audio | Recording, model: str) -> Transcript:
    from stepedit_fx.transcripts.asr import model_folder, transcribe

    parts = (sound.samples,) if isinstance(sound, Audio) else sound.blocks()
    return transcribe(parts, sound.sample_rate, model_folder(model))


def _checked(sound: SoundT, name: str) -> SoundT:
    """The sound, with a warning where its transcript can hardly be its own."""
    if sound.transcript:
        from stepedit_fx.transcripts.fit import misfit, sounding

        heard_s = None
        if isinstance(sound, Audio):
            heard_s = sounding(sound.mono(), sound.sample_rate)
        if why := misfit(sound.transcript, sound.duration_s, heard_s):
            log.warning("the transcript of %s seems to be another recording's: %s", name, why)
    return sound
