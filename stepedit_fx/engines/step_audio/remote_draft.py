"""One answer of a remote model, every id of it checked as it comes.

A server takes one set of allowed ids for a whole completion, and the slots of a group want another
for every id. So the model is let run with all that may ever come. The first id that breaks a rule
is thrown away with all after it, and drawn anew with what may come there. Without top_k, top_p and
min_p that is the same distribution as drawing with the rules from the start: what is thrown away
has no say in what is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import lru_cache

import numpy as np

from stepedit_fx.engines.step_audio.generation import Generated, Request, Stop, pass_seed
from stepedit_fx.engines.step_audio.remote_call import Call, CutOff
from stepedit_fx.engines.step_audio.remote_model import Piece, Wish
from stepedit_fx.engines.step_audio.sampling import REPETITION_SHARE, REPETITION_WINDOW
from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
    LINGUISTIC_SLOTS,
    SLOT_RANGES,
)
from stepedit_fx.errors import EngineError

# A model that was trained on these groups hardly ever leaves them.
MOST_BREAKS = 20  # of the order of slots, in one answer
MOST_CUTS = 1  # of the connection, in one answer

Ask = Callable[[Wish, Call], Generator[Piece, None, None]]


class Draft:
    """An answer on its way. ids: what has been found good so far; only ever added to.

    told: called after every piece, in the writing thread. most_breaks: of the order of slots, that
    are put right before the model counts as another one.
    """

    def __init__(
        self, request: Request, told: Callable[[Draft], None], *, most_breaks: int = MOST_BREAKS
    ) -> None:
        self.request = request
        self.ids: list[int] = []
        self.stop: Stop | None = None
        self.call = Call()
        self.requests = 0
        self._most = 0
        self._told, self._most_breaks = told, most_breaks
        self._prompt = [int(id_) for id_ in request.prompt_ids]
        self._least = request.min_groups * GROUP
        self._breaks = self._cuts = 0

    def write(self, ask: Ask, most: int, where: str) -> None:
        """All of it, `most` ids at most, or as far as the call is not ended.

        ask: gives the pieces of one completion. where: the server's name in messages.
        Raises EngineError for a model that does not keep to groups, and as `remote_model.pieces`.
        """
        self._ask, self._most, self._where = ask, most, where
        is_strict = False
        while self.stop is None and not self.call.is_ended:
            before = len(self.ids)
            try:
                is_strict = not self._run(self._wish(is_strict))
            except CutOff:
                self._cut_off()
                continue
            if len(self.ids) == before and self.stop is None and not is_strict:
                if self.call.is_ended:
                    return
                raise EngineError(f"{where} ended an answer before it began")

    def result(self) -> Generated:
        """The answer, of whole groups."""
        ids, stop = list(self.ids), self.stop
        whole = len(ids) - len(ids) % GROUP
        return Generated(np.array(ids[:whole], np.int64), stop or "cancelled")

    def _run(self, wish: Wish) -> bool:
        """Take ids of one completion; False where one was refused."""
        taken, allowed = 0, frozenset(wish.allowed)
        with closing(self._ask(wish, self.call)) as pieces:
            for piece in pieces:
                ids = [*piece.ids]
                if piece.end == "stop" and (not ids or ids[-1] != END_OF_TURN_ID):
                    ids.append(END_OF_TURN_ID)  # some servers keep it to themselves
                elif piece.end not in {"", "stop", "length"}:
                    raise CutOff
                for id_ in ids:
                    if id_ not in allowed:
                        raise EngineError(
                            f"{self._where} wrote id {id_}, which it had not been allowed",
                            remedy="It has to know allowed_token_ids, as vLLM does.",
                        )
                    if not self._takes(id_):
                        self._told(self)
                        return False
                    taken += 1
                    if self.stop is not None or taken == wish.most:
                        break
                self._told(self)
                if piece.end or self.stop is not None or taken == wish.most:
                    return True
        if self.call.is_ended:
            return True
        raise CutOff  # ended without saying why

    def _takes(self, id_: int) -> bool:
        """Add an id, or end with it; False where a rule is broken."""
        if id_ not in _allowed_set(self._slot, self._may_end):
            self._breaks += 1
            if self._breaks > self._most_breaks:
                raise EngineError(
                    f"the model at {self._where} broke the order of audio ids {self._breaks} "
                    f"times in {len(self.ids)} ids",
                    remedy="Does the server hold Step-Audio-EditX, and its own tokenizer?",
                )
            return False
        if id_ == self._barred:
            return False
        if id_ == END_OF_TURN_ID:
            self.stop = "end"
            return True
        self.ids.append(id_)
        if len(self.ids) == self._most:
            self.stop = "budget"
        return True

    def _wish(self, is_strict: bool) -> Wish:
        """What to ask for next: strictly only what may come next, else all that may ever come."""
        self.requests += 1
        left = self._most - len(self.ids)
        allowed: Sequence[int] = range(FIRST_AUDIO_ID, FIRST_AUDIO_ID + AUDIO_TOKENS)
        allowed = (END_OF_TURN_ID, *allowed)
        if is_strict:
            barred = self._barred
            allowed = [id_ for id_ in _allowed(self._slot, self._may_end) if id_ != barred]
            rest = (LINGUISTIC_SLOTS if self._slot < LINGUISTIC_SLOTS else GROUP) - self._slot
            # As long as the same ids may come.
            left = 1 if barred is not None or self._may_end else min(left, rest)
        return Wish(
            prompt=[*self._prompt, *self.ids],
            allowed=allowed,
            most=left,
            least=min(left, max(0, self._least - len(self.ids))),
            # One seed each: with the same one, two requests would draw alike.
            seed=pass_seed(self.request.seed, "remote", self.requests) >> 32,
            sampling=self.request.sampling,
        )

    def _cut_off(self) -> None:
        if self.call.is_ended:
            return
        self._cuts += 1
        if self._cuts > MOST_CUTS:
            raise EngineError(
                f"{self._where} hung up in the middle of an answer, {self._cuts} times",
                remedy="Its log may say why.",
            )

    @property
    def _slot(self) -> int:
        return len(self.ids) % GROUP

    @property
    def _may_end(self) -> bool:
        return self._slot == 0 and len(self.ids) >= self._least

    @property
    def _barred(self) -> int | None:
        """The id that must not come next: the last one, where the newest ten hold it too often."""
        window = [*self._prompt[-REPETITION_WINDOW:], *self.ids[-REPETITION_WINDOW:]]
        window = window[-REPETITION_WINDOW:]
        often = window.count(window[-1]) > REPETITION_SHARE * REPETITION_WINDOW
        return window[-1] if often and self.request.sampling.repetition_rule else None


@lru_cache(maxsize=2 * GROUP)
def _allowed(slot: int, may_end: bool) -> tuple[int, ...]:
    """The ids that may come in a slot of a group."""
    low, high = SLOT_RANGES[slot]
    audio = range(FIRST_AUDIO_ID + low, FIRST_AUDIO_ID + high + 1)
    return (END_OF_TURN_ID, *audio) if may_end else tuple(audio)


@lru_cache(maxsize=2 * GROUP)
def _allowed_set(slot: int, may_end: bool) -> frozenset[int]:
    return frozenset(_allowed(slot, may_end))
