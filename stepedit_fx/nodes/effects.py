"""Pedalboard effects on sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import InitErrorDetails, PydanticCustomError

from stepedit_fx.audio import Audio, Sound
from stepedit_fx.effects.chain import Series
from stepedit_fx.effects.reading import read_chain
from stepedit_fx.errors import EffectError
from stepedit_fx.nodes.base import Context, Node, param


def _validated(data: object) -> Series:
    """The chain, or a ValidationError with every problem at its place inside the data."""
    series, problems = read_chain(data)
    if problems:
        # "value_error" is what pydantic calls a validator's own words; faces show them as they are.
        raise ValidationError.from_exception_data(
            "chain",
            [
                InitErrorDetails(
                    type=PydanticCustomError("value_error", "{error}", {"error": p.message}),
                    loc=p.path,
                    input=data,
                )
                for p in problems
            ],
        )
    return series


_Chain = Annotated[
    Series,
    PlainValidator(_validated),
    PlainSerializer(Series.items_data),
    WithJsonSchema({"type": "array"}),  # Effects.model_json_schema puts the whole one in
]


class Effects(Node):
    """Run sound through a chain of pedalboard effects."""

    kind = "effects"
    code_version = 2
    takes = Audio
    gives = Audio
    main = "chain"
    cost_s = 0.002

    chain: _Chain = param(
        help="Effects in order: Name, or {Name: {parameter: value or curve}}.", live=False
    )
    bypass: bool = param(False, help="Pass the sound through unchanged.")
    tail_s: float = param(
        0.0,
        unit="s",
        ge=0,
        le=60,
        help="Seconds added at the end for reverb and echoes to ring on; 0 keeps the length.",
        live=False,
    )

    if TYPE_CHECKING:

        def __init__(
            self, chain: Sequence[Any] | Series, *, bypass: bool = False, tail_s: float = 0.0
        ) -> None: ...

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of the fields, with every effect's parameters in its $defs."""
        from stepedit_fx.effects.schema import chain_schema, definitions

        schema = super().model_json_schema(*args, **kwargs)
        notes = {k: v for k, v in schema["properties"]["chain"].items() if k != "type"}
        schema["properties"]["chain"] = {**notes, **chain_schema()}
        schema["$defs"] = {**schema.get("$defs", {}), **definitions()}
        return schema

    def reads(self, folder: Path) -> tuple[Path, ...]:
        from stepedit_fx.effects.files import files_used

        return tuple(files_used(self.chain, folder))

    def check_context(self, context: Context) -> None:
        from stepedit_fx.effects.files import check_files

        problems = check_files(self.chain, context.folder, context.plugin_folders)
        if problems:
            raise EffectError("\n".join(str(problem) for problem in problems))

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        """The sound after the chain. Raises EffectError, ReadError."""
        from stepedit_fx.effects.render import render

        audio: Audio = inputs[0]
        if self.bypass:
            return audio
        return render(
            self.chain,
            audio,
            tail_s=self.tail_s,
            folder=context.folder,
            plugin_folders=context.plugin_folders,
        )

    def run_long(self, inputs: Sequence[Sound], context: Context) -> Sound:
        """As `run`, a block at a time."""
        from stepedit_fx.effects.render import render_blocks
        from stepedit_fx.files import spooled

        sound = inputs[0]
        if self.bypass:
            return sound
        done = render_blocks(
            self.chain,
            sound,
            tail_s=self.tail_s,
            folder=context.folder,
            plugin_folders=context.plugin_folders,
        )
        return spooled(done, sound.sample_rate, sound.start_s, sound.transcript, sound.time_map)
