"""Where a result is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from stepedit_fx.audio import Audio
from stepedit_fx.errors import did_you_mean
from stepedit_fx.nodes.base import Context, Node, param

Subtype = Literal[
    "auto", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "VORBIS", "MPEG_LAYER_III"
]
# What each ending can hold (libsndfile's names), of what we offer.
SUBTYPES: Mapping[str, tuple[str, ...]] = {
    ".wav": ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"),
    ".flac": ("PCM_16", "PCM_24"),
    ".ogg": ("VORBIS",),
    ".mp3": ("MPEG_LAYER_III",),
}
PLACEHOLDERS = ("stem", "graph", "node", "index")

_DRIVE = re.compile(r"[A-Za-z]:")
# {stem}, or {index:03} for a number with leading zeros.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)(?::0(\d))?\}", re.ASCII)


def placeholders(template: str) -> list[str]:
    """The names in braces. Raises ValueError for braces that hold no name."""
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise ValueError(f"braces hold a name, as in {{stem}} or {{index:03}}: '{template}'")
    return [match.group(1) for match in _PLACEHOLDER.finditer(template)]


def fill(template: str, values: Mapping[str, str]) -> str:
    """The path with every placeholder filled in; still relative and inside its folder.

    Raises ValueError where a value would lead out of the output folder, KeyError for an
    unknown name.
    """

    def value(match: re.Match[str]) -> str:
        return values[match.group(1)].zfill(int(match.group(2) or 0))

    return stay_inside(_PLACEHOLDER.sub(value, template))


def stay_inside(path: str) -> str:
    """The path itself. Raises ValueError where it is absolute or climbs with ``..``."""
    parts = re.split(r"[/\\]", path)
    if not parts[0] or _DRIVE.match(path) or ".." in parts or "\0" in path:
        raise ValueError(
            f"an output stays inside the output folder, got '{path}'. "
            "Write a relative path without '..'; run's -o names the folder."
        )
    return path


class Output(Node):
    """Write the sound to a file in the output folder."""

    kind = "output"
    takes = Audio
    gives = None
    main = "path"
    cost_s = 0.0005

    path: str = param(
        "{stem}.{graph}.wav",
        help="File name; {stem} of the input, {graph}, {node}, {index}, variables filled in.",
        live=False,
    )
    subtype: Subtype = param(
        "auto",
        help="Sample format; auto: 24 bits where the ending has them, the source's where finer.",
        live=False,
    )

    if TYPE_CHECKING:

        def __init__(
            self, path: str = "{stem}.{graph}.wav", *, subtype: Subtype = "auto"
        ) -> None: ...

    @field_validator("path")
    @classmethod
    def _is_a_template(cls, path: str) -> str:
        placeholders(path)
        stay_inside(_PLACEHOLDER.sub("x", path))
        ending = PurePosixPath(path).suffix.lower()
        if ending not in SUBTYPES:
            raise ValueError(
                f"cannot write '{ending or path}' files. {did_you_mean(ending, SUBTYPES)}"
            )
        return path

    @model_validator(mode="after")
    def _ending_holds_subtype(self) -> Output:
        if self.subtype not in ("auto", *SUBTYPES[self.ending]):
            raise ValueError(
                f"subtype {self.subtype} does not fit in '{self.ending}'. "
                f"It holds: {', '.join(SUBTYPES[self.ending])}."
            )
        return self

    @property
    def ending(self) -> str:
        """The file's ending in lower case, with its dot."""
        return PurePosixPath(self.path).suffix.lower()

    def subtype_for(self, source: str) -> str | None:
        """The sample format to write, None for the ending's default.

        source: the source file's subtype, "" if unknown. A source that is finer than 24 bits
        keeps its own format, so that an unedited pass is the source, bit for bit.
        """
        if self.subtype != "auto":
            return self.subtype
        finer = source in ("PCM_32", "FLOAT", "DOUBLE")
        return source if finer and source in SUBTYPES[self.ending] else None

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """The sound as it is written; the runner writes it when every branch is done."""
        audio: Audio = inputs[0]
        return audio
