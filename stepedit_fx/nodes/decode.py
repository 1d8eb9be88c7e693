"""Speech back into sound, and that back into its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from stepedit_fx.audio import Audio
from stepedit_fx.nodes.base import Context, Node, param
from stepedit_fx.speech import Speech

if TYPE_CHECKING:
    from stepedit_fx.timeline import Length

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")
MOST_OFF = 0.5  # a length that may be further off than this is free


def _read_length(data: object) -> Length:
    """free, lock, or {within: 5%} as a share; ValueError in plain words."""
    if data in ("free", "lock"):
        return data
    share = data.get("within") if isinstance(data, dict) and len(data) == 1 else data
    if isinstance(share, str) and (match := _SHARE.fullmatch(share.strip())):
        share = float(match[1]) / (100 if match[2] else 1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= MOST_OFF:
        raise ValueError("length must be free, lock or {within: 5%}, with 50% at most")
    return float(share)


def _length_data(length: Length) -> object:
    return {"within": length} if isinstance(length, float) else length


_Length = Annotated[
    Any,
    PlainValidator(_read_length),
    PlainSerializer(_length_data),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": ["free", "lock"]},
                {
                    "type": "object",
                    "properties": {
                        "within": {
                            "anyOf": [
                                {"type": "number", "minimum": 0, "maximum": MOST_OFF},
                                {"type": "string", "pattern": _SHARE.pattern},
                            ]
                        }
                    },
                    "required": ["within"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Decode(Node):
    """Turn speech back into sound, in its source's place; put in by itself where none is written.

    Where sound arrives already, there is nothing to decode and it passes as it is.
    """

    kind = "decode"
    code_version = 3
    takes = Speech
    gives = Audio
    cost_s = 0.04

    length: _Length = param(
        "free",
        help="free: as long as the edits make it; lock: every moment where the source had it; "
        "{within: 5%}: stretched only as far as it takes to be that near.",
        live=False,
    )
    loudness: Literal["match", "free"] = param(
        "match",
        help="match: as loud as the source (BS.1770), unless an edit is about loudness; free: as "
        "it comes.",
    )
    true_peak_db: float = param(
        -1.0,
        unit="dB",
        ge=-24,
        le=0,
        help="Peaks between samples stay under this, or under the source's own if they are higher.",
    )

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            length: Length | dict[str, float | str] = "free",
            loudness: Literal["match", "free"] = "match",
            true_peak_db: float = -1.0,
        ) -> None: ...

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """The sound. Raises RequestError where it cannot be made as long as asked."""
        made: Audio = self.run_batch([inputs], context)[0]
        return made

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        from stepedit_fx.timeline import placed

        takes: list[Speech] = [inputs[0] for inputs in batch]
        if self.length == "lock":
            takes = [replace(t, place=replace(t.place, is_locked=True)) for t in takes]
        return [
            placed(
                audio,
                take.place,
                self.length,
                is_matched=self.loudness == "match",
                true_peak_db=self.true_peak_db,
            )
            for audio, take in zip(context.engine.decode(takes), takes, strict=True)
        ]
