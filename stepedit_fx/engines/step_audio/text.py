"""The text tokenizer: words as ids, and never as anything but words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    BEGIN_OF_TURN_ID,
    BOS_ID,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
)
from stepedit_fx.errors import ReadError, RequestError

_IN_BRACKETS = re.compile(r"<[^<>]*>")
# What the ids with a meaning of their own are called in tokenizer.model.
NAMED = {
    BOS_ID: "<s>",
    END_OF_TURN_ID: "<|EOT|>",
    BEGIN_OF_TURN_ID: "<|BOT|>",
    FIRST_AUDIO_ID: "<audio_0>",
    FIRST_AUDIO_ID + AUDIO_TOKENS - 1: f"<audio_{AUDIO_TOKENS - 1}>",
}


class TextTokenizer:
    """SentencePiece without its special pieces: what a text says cannot steer the model.

    path: ``tokenizer.model`` of the checkpoint. Raises ReadError where it cannot be read or its
    special ids are not where the checkpoint has them.
    """

    def __init__(self, path: Path) -> None:
        from sentencepiece import SentencePieceProcessor

        try:
            self._pieces = SentencePieceProcessor(model_proto=path.read_bytes())
        except (OSError, RuntimeError) as error:
            raise ReadError.of(
                path, f"is no SentencePiece model ({error})", remedy="Fetch it again."
            ) from error
        size = self._pieces.vocab_size()
        for number, name in NAMED.items():
            found = self._pieces.id_to_piece(number) if number < size else "nothing"
            if found != name:
                raise ReadError.of(
                    path,
                    f"id {number} is {found!r}, not {name!r}",
                    remedy="It is the tokenizer of another model.",
                )

    def encode(self, text: str) -> list[int]:
        """Ids of a text that stands at the start of a piece.

        A special piece's name in the text ("<audio_5>", "<|EOT|>") is spelled out as text.
        Raises RequestError for a text that is not valid Unicode.
        """
        ids: list[int] = []
        for index, part in enumerate(self._cut(text)):
            ids += self._after(part) if index else self._encoded(part)
        return ids

    def encode_after(self, text: str) -> list[int]:
        """Ids of a text that follows something else: without the start of a piece."""
        ids: list[int] = []
        for part in self._cut(text):
            ids += self._after(part)
        return ids

    def _after(self, part: str) -> list[int]:
        # SentencePiece marks the start of its input. After a newline is the middle of one; the
        # newline is a byte piece of its own, so what follows it is untouched by cutting there.
        return self._encoded("\n" + part)[len(self._newline) :]

    @cached_property
    def _newline(self) -> list[int]:
        return self._encoded("\n")

    def _encoded(self, part: str) -> list[int]:
        try:
            part.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the text {part!r} is not valid Unicode", remedy="Remove the lone surrogates."
            ) from error
        ids: list[int] = self._pieces.encode(part)
        special = next((i for i in ids if i in self._special), None)
        if special is not None:
            name = self._pieces.id_to_piece(special)
            raise RequestError(f"the text {part!r} would be read as {name}", remedy="Reword it.")
        return ids

    def _cut(self, text: str) -> Iterator[str]:
        """The text, cut inside every name of a special piece, so that none is left whole."""
        start = 0
        for end in sorted(self._cuts(text)):
            yield text[start:end]
            start = end
        yield text[start:]

    def _cuts(self, text: str) -> set[int]:
        found = {
            match.start() + 1
            for match in _IN_BRACKETS.finditer(text)
            if match.group() in self._special_names
        }
        for name in self._unbracketed:
            at = text.find(name)
            while at >= 0:
                found.add(at + 1)
                at = text.find(name, at + 1)
        return found

    @cached_property
    def _special(self) -> frozenset[int]:
        """Ids that are no text: audio and beyond, control, and all named like ``<this>``."""
        pieces = self._pieces
        return frozenset(
            number
            for number in range(pieces.vocab_size())
            if number >= FIRST_AUDIO_ID
            or pieces.is_control(number)
            or (_IN_BRACKETS.fullmatch(pieces.id_to_piece(number)) and not self._is_text(number))
        )

    def _is_text(self, number: int) -> bool:
        """Byte pieces and the unknown piece stand for text, whatever they are called."""
        return bool(self._pieces.is_byte(number) or self._pieces.is_unknown(number))

    @cached_property
    def _special_names(self) -> frozenset[str]:
        return frozenset(self._pieces.id_to_piece(number) for number in self._special)

    @cached_property
    def _unbracketed(self) -> tuple[str, ...]:
        """Names that have no brackets around; single characters have nothing to cut inside."""
        names = (n for n in self._special_names if not _IN_BRACKETS.fullmatch(n))
        return tuple(name for name in names if len(name) > 1)
