"""Non-verbal sounds, placed where their tags stand in the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import field_validator

from stepedit_fx.errors import TagError
from stepedit_fx.nodes.base import EditNode, param, strength_of
from stepedit_fx.nodes.keyframes import AnyStrength, Strength
from stepedit_fx.speech import Edit, Transcript
from stepedit_fx.tags import SOUNDS, parse_sounds

if TYPE_CHECKING:
    from stepedit_fx.segments import Segment

# About ten minutes of speech; sounds are placed by counting words up to each of them.
MAX_TEXT = 10_000


class Paralinguistic(EditNode):
    """Put in breaths, laughs, sighs: what is said, with a [Tag] where each sound belongs."""

    kind = "paralinguistic"
    main = "text"

    text: str = param(help='What is said, with tags: "Well, [Sigh] you made it."')
    strength: Strength = param(1.0, help="How loud the sounds are: 0 nothing, 1 in full.")

    if TYPE_CHECKING:

        def __init__(
            self, text: str, *, strength: AnyStrength = 1.0, bypass: bool = False, seed: int = 0
        ) -> None: ...

    @field_validator("text")
    @classmethod
    def _holds_a_sound(cls, text: str) -> str:
        if len(text) > MAX_TEXT:
            raise ValueError(f"the text is over {MAX_TEXT} characters. Split the recording.")
        try:
            sounds = parse_sounds(text)[1]
        except TagError as error:
            raise ValueError(str(error)) from error
        if not sounds:
            raise ValueError(
                f"the text holds no sound. Put one in brackets: [{'], ['.join(SOUNDS)}]"
            )
        return text

    def edit(self) -> Edit:
        return Edit("paralinguistic", text=self.text, seed=self.seed, **strength_of(self.strength))

    def shared(
        self, transcript: Transcript, segments: Sequence[Segment]
    ) -> list[Paralinguistic | None]:
        from stepedit_fx.segments import cut_text_with_sounds, shares_of

        said = transcript or Transcript(parse_sounds(self.text)[0])
        texts = cut_text_with_sounds(self.text, said.text, shares_of(said, segments))
        return [self.model_copy(update={"text": text}) if text else None for text in texts]
