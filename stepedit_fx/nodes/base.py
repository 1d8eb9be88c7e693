"""What a node is: a frozen model whose fields say everything the faces need to know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from typing_extensions import Self

from stepedit_fx.audio import Audio, Sound, held
from stepedit_fx.engines.base import Engine
from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.keyframes import AnyStrength, AnyTag, Holds, Keyframes, Line, Strength, Tag
from stepedit_fx.speech import Edit, Speech, Transcript
from stepedit_fx.tags import is_about_loudness

if TYPE_CHECKING:
    from stepedit_fx.segments import Segment

Value = Audio | Speech


def param(
    default: Any = ...,
    *,
    help: str,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    curve: str = "linear",
    live: bool = True,
) -> Any:
    """A node's field. YAML, CLI help, JSON Schema, OSC addresses and MIDI ranges come from it.

    unit: "Hz", "dB", "s", "%", "st" or "". curve: how a knob travels its range (linear, log).
    live: whether a control surface may turn it (a file's path may not). A text that is the tag
    of the node's kind is a choice among the engine's tags.
    """
    extra: JsonDict = {"unit": unit, "curve": curve, "live": live}
    return Field(default, description=help, ge=ge, le=le, json_schema_extra=extra)


@dataclass(frozen=True)
class Context:
    """What a node may use besides its inputs.

    source: the file an input node without a path of its own reads. folder: what relative paths
    in the graph file are relative to. plugin_folders: where VST3/AU effects may be loaded from;
    empty means that none may.
    """

    engine: Engine
    source: Path | None = None
    folder: Path = field(default_factory=Path)
    plugin_folders: tuple[Path, ...] = ()


class Node(BaseModel):
    """One step of a graph.

    kind: its ``type:`` in YAML. code_version: raised when the same fields would give another
    result. takes, gives: what flows in and out (None: nothing). inputs: how many it takes,
    least and most. main: the field that may stand alone, as in ``Emotion("happy")`` and
    ``{emotion: happy}``. cost_s: seconds of work per second of audio, for estimates
    (measured on one core at 24 kHz mono, speech edits on the parametric engine).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: ClassVar[str]
    code_version: ClassVar[int] = 1
    takes: ClassVar[type[Value] | None]
    gives: ClassVar[type[Value] | None]
    inputs: ClassVar[tuple[int, int]] = (1, 1)
    main: ClassVar[str] = ""
    cost_s: ClassVar[float] = 0.001

    def __init__(self, *main: Any, **fields: Any) -> None:
        if main and (len(main) > 1 or not self.main or self.main in fields):
            raise TypeError(f"{type(self).__name__}: give every field but '{self.main}' by name")
        super().__init__(**{self.main: main[0]} if main else {}, **fields)

    # The mark of pydantic's own __init__: model_validate then validates by itself, strictly where
    # asked to, and does not call this one, which only adds the positional form.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def reads(self, folder: Path) -> tuple[Path, ...]:
        """Files this node reads by itself; their content is part of what makes results the same.

        folder: what relative paths are relative to.
        """
        return ()

    def check_inputs(self, count: int) -> None:
        """Raise RequestError where the fields do not fit this many inputs (within `inputs`)."""

    def check_context(self, context: Context) -> None:
        """Raise StepEditError for what this node may not use; asked before any step runs."""

    @property
    def names_words(self) -> bool:
        """Whether something in this node is said in words of the transcript."""
        return False

    def resolved(self, transcript: Transcript) -> Self:
        """This node with all that it says in words of the source's transcript said in seconds.

        transcript: of the whole source, with word times. Raises RequestError for a word that is
        not in it.
        """
        return self

    def within(self, start_s: float, end_s: float) -> Self:
        """This node for a stretch of the source alone, its times counted from there.

        Where nothing in the node changes over time, the node itself: then equal stretches have
        equal results wherever they stand.
        """
        return self

    def branches(self) -> tuple[Node, ...]:
        """What the planner makes of this node's one source first, each in a branch of its own.

        `run` is then given the source's result and those of the branches, in this order.
        """
        return ()

    def limits(self, field: str) -> Mapping[str, float]:
        """Limits ("ge", "le") of a field that are narrower than its own, because of others."""
        return {}

    @abstractmethod
    def run(self, inputs: Sequence[Any], context: Context) -> Any:
        """The result for these inputs; raises StepEditError. Same inputs, same result."""

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        """The results for many inputs that have nothing in common: `run` on each."""
        return [self.run(inputs, context) for inputs in batch]

    def run_long(self, inputs: Sequence[Sound], context: Context) -> Sound:
        """As `run`, from sound to sound that is too long to hold.

        A node that can work in blocks does; this one, for the others, holds all of it.
        """
        made: Audio = self.run([held(sound) for sound in inputs], context)
        return made

    def shared(self, transcript: Transcript, segments: Sequence[Segment]) -> Sequence[Self | None]:
        """This node for each of the segments that a long recording is cut into.

        transcript: of the whole recording. None where the node has nothing to do.
        """
        return [self] * len(segments)


class EditNode(Node):
    """A node that asks the engine for one edit; subclasses say which."""

    takes = Speech
    gives = Speech
    cost_s = 0.0002

    bypass: bool = param(False, help="Pass the speech through unchanged.")
    seed: int = param(0, ge=0, le=2**31 - 1, help="Seed of every random choice.")

    @abstractmethod
    def edit(self) -> Edit:
        """The edit this node asks for; keyframes at words count once `resolved` has placed them."""

    @property
    def names_words(self) -> bool:
        return any(value.has_words for value in self._keyframes().values())

    def resolved(self, transcript: Transcript) -> Self:
        moved: dict[str, Any] = {
            name: value.resolved(transcript) for name, value in self._keyframes().items()
        }
        tags = getattr(self, "value", None)
        if isinstance(tags, Keyframes) and isinstance(tags.points[0][0], str):
            # "From 'wonderful' on, happy" says that there is nothing before it.
            strength = moved.get("strength", getattr(self, "strength", 1.0))
            if not isinstance(strength, Keyframes):
                strength = Keyframes(((0.0, strength),))
            moved["strength"] = strength.from_on(float(moved["value"].points[0][0]))
        return self.model_copy(update=moved) if moved else self

    def within(self, start_s: float, end_s: float) -> Self:
        cut = {name: value.within(start_s, end_s) for name, value in self._keyframes().items()}
        return self.model_copy(update=cut) if cut else self

    def run(self, inputs: Sequence[Any], context: Context) -> Speech:
        edited: Speech = self.run_batch([inputs], context)[0]
        return edited

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        if self.names_words:
            raise RequestError(
                "its keyframes are at words, and nobody has placed them yet",
                remedy="Call resolved() with the recording's transcript first.",
            )
        edit = self.edit()
        made = context.engine.edit([inputs[0] for inputs in batch], [edit] * len(batch))
        # What stays in part as it was must not be moved by one gain for the whole.
        is_free = _is_about_loudness(edit) or any(not strength for _, strength in edit.strengths)
        return [_released(take) for take in made] if is_free else list(made)

    def _keyframes(self) -> dict[str, Keyframes]:
        """The fields that change over time."""
        return {name: value for name, value in self if isinstance(value, Keyframes)}


def _is_about_loudness(edit: Edit) -> bool:
    values = [value for _, value in edit.values] or [edit.value]
    return edit.strength > 0 and any(is_about_loudness(edit.kind, value) for value in values)


def _released(take: Speech) -> Speech:
    """A take that need not be as loud as its source."""
    return replace(take, place=replace(take.place, loudness_lufs=None))


def strength_of(field: float | Keyframes) -> dict[str, Any]:
    """A strength as an `Edit` says it: the most there is of it, and how it goes over time."""
    if not isinstance(field, Keyframes):
        return {"strength": field}
    most = max(float(number) for _, number in field.points)
    line: Line = tuple((at, float(v)) for at, v in field.points if not isinstance(at, str))
    return {"strength": most, "strengths": () if field.has_words else line}


def value_of(field: str | Keyframes) -> dict[str, Any]:
    """A tag as an `Edit` says it: the first, and where others take over."""
    if not isinstance(field, Keyframes):
        return {"value": field}
    # Words that are not placed yet stand at the start: what matters of them is their tags.
    holds: Holds = tuple((0.0 if isinstance(at, str) else at, str(v)) for at, v in field.points)
    return {"value": holds[0][1], "values": holds}


class TagNode(EditNode):
    """An edit that is one of the tags of its kind, to a degree."""

    main = "value"

    value: Tag = param(help="The tag.")
    strength: Strength = param(
        1.0, help="How much of it: 0 nothing, 1 as the tag says; or keyframes."
    )
    iterations: int = param(1, ge=1, le=5, help="How many times over it is applied.")

    if TYPE_CHECKING:

        def __init__(
            self,
            value: AnyTag,
            *,
            strength: AnyStrength = 1.0,
            iterations: int = 1,
            bypass: bool = False,
            seed: int = 0,
        ) -> None: ...

    def edit(self) -> Edit:
        return Edit(
            self.kind,
            iterations=self.iterations,
            seed=self.seed,
            **value_of(self.value),
            **strength_of(self.strength),
        )
