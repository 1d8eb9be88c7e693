"""What is said in a recording, from a text file beside it.

Read are ``.txt``, the words alone; ``.srt`` and ``.vtt``, subtitles; ``.lab``, labels of
Audacity or HTK; ``.TextGrid``, tiers of Praat and of forced aligners.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts.cues import clean, malformed
from stepedit_fx.transcripts.labels import parse_lab
from stepedit_fx.transcripts.subtitles import parse_srt, parse_vtt
from stepedit_fx.transcripts.textgrid import parse_textgrid

MAX_BYTES = 1 << 20


def find_transcript(audio_path: Path | str) -> Transcript:
    """The words of the sidecar beside a recording; an empty transcript if there is none.

    A sidecar has the recording's name but for its ending; one with times goes before one
    without: ``.lab``, ``.TextGrid``, ``.srt``, ``.vtt``, then ``.txt``. Raises ReadError as
    `load_transcript` does.
    """
    for suffix in _PARSERS:
        for spelled in dict.fromkeys((suffix, suffix.lower(), suffix.upper())):
            path = Path(audio_path).with_suffix(spelled)
            if path.is_file():
                return load_transcript(path)
    return Transcript()


def load_transcript(path: Path | str) -> Transcript:
    """The words of a .txt, .srt, .vtt, .lab or .TextGrid file, at most 1 MiB.

    Words are those of `stepedit_fx.tags.split_words`, with times in seconds from the start of
    the recording; the words of a longer cue share its time by their length. What stands in
    square brackets is a note and left out.
    Raises ReadError, naming the line, for a file that is not what its ending says.
    """
    path = Path(path)
    parse = next((p for s, p in _PARSERS.items() if s.lower() == path.suffix.lower()), None)
    if parse is None:
        raise ReadError.of(path, "is no transcript", f"Transcripts end in {', '.join(_PARSERS)}.")
    transcript = parse(path, _read_text(path))
    if not split_words(transcript.text):
        raise ReadError.of(path, "holds no words", "Write into it what is said, or remove it.")
    return transcript


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReadError.of(path, f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ReadError.of(path, "is over 1 MiB, too long for a transcript", "Cut it shorter.")
    try:
        # Praat writes UTF-16 as soon as a text holds more than Latin letters.
        is_wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise malformed(path, line, "is not UTF-8", "Save the file as UTF-8.") from error
    if "\0" in text:
        raise ReadError.of(path, "is not a text file", "Save it as plain text in UTF-8.")
    return text


def _parse_txt(path: Path, text: str) -> Transcript:
    return Transcript(clean(text))


# By ending, in the order in which `find_transcript` looks.
_PARSERS: dict[str, Callable[[Path, str], Transcript]] = {
    ".lab": parse_lab,
    ".TextGrid": parse_textgrid,
    ".srt": parse_srt,
    ".vtt": parse_vtt,
    ".txt": _parse_txt,
}
