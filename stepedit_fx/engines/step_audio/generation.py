"""Audio ids from the language model: a batch of prompts, each to its own end.

Every result is whole groups of five with each slot in its own range: the sampling allows nothing
else. An item that ends leaves the batch; the others go on as if it had never been there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.token_loop import TokenLoop
from stepedit_fx.engines.step_audio.vocabulary import AUDIO_TOKENS, FIRST_AUDIO_ID, GROUP
from stepedit_fx.errors import EngineError, RequestError

MOST_IDS = 8192  # prompt and answer; source: the published inference code

Stop = Literal["end", "budget", "cancelled"]
Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class Request:
    """One prompt, and how it is answered.

    prompt_ids: ids of the language model. max_groups, min_groups: of the answer, 120 ms each.
    seed: of all that is drawn.
    """

    prompt_ids: Sequence[int] | NDArray[np.int64]
    max_groups: int
    seed: int
    min_groups: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    prefix: int = 0


@dataclass(frozen=True)
class Generated:
    """The answer: ids (groups * 5,) of the language model without the end of turn, and its end.

    stop: "end" said by the model, "budget" for max_groups or the model's length, "cancelled".
    """

    ids: NDArray[np.int64]
    stop: Stop


def pass_seed(seed: int, *labels: str | int) -> int:
    """The seed of one pass of a job: the same for the same labels, in any process and order."""
    text = repr((int(seed), *labels)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 1  # 63 bits


def generate(
    model: Step1ForCausalLM,
    requests: Sequence[Request],
    *,
    loop: TokenLoop | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[Generated]:
    """Answer all requests as one batch; the same seed gives the same ids alone or in a batch.

    loop: one of this model to use again, if it has room; it keeps what prompts share.
    progress: called after every group with the ids that each item has so far and the number of
    items that go on. cancelled: asked before every piece of a prompt and every group; a cancelled
    item keeps its whole groups.
    Raises RequestError for a prompt without room for an answer, EngineError for a model whose
    logits are not finite or that has no audio ids.
    """
    if model.training and any(getattr(m, "gradient_checkpointing", False) for m in model.modules()):
        raise EngineError(
            "the language model is in training with gradient checkpointing, which keeps no cache",
            remedy="Call model.eval() first.",
        )
    items = [
        _Item(request, most_ids(model, request, place)) for place, request in enumerate(requests)
    ]
    stopped = cancelled or (lambda: False)
    if not items:
        return []
    places = max(len(item.request.prompt_ids) + item.most for item in items)
    if loop is None or loop.rows < len(items) or loop.places < places:
        loop = TokenLoop(model, len(items), places)
    with torch.inference_mode():
        _Run(loop, items, stopped, progress or (lambda step, left: None)).go()
    return [item.result() for item in items]


class _Run:
    """All items in one loop, from their prompts to their ends."""

    def __init__(
        self, loop: TokenLoop, items: Sequence[_Item], stopped: Cancelled, progress: Progress
    ) -> None:
        self.loop, self.stopped, self.progress = loop, stopped, progress
        self.items = list(items)  # those that go on, in the order of the loop's rows

    def go(self) -> None:
        try:
            if all(self._admitted(item) for item in self.items):
                self._write()
        finally:
            while self.loop.active:
                self._gone(self.loop.active - 1, None)

    def _admitted(self, item: _Item) -> bool:
        request = item.request
        return self.loop.admit(
            [int(id_) for id_ in request.prompt_ids],
            least=request.min_groups * GROUP,
            most=item.most,
            seed=request.seed,
            sampling=request.sampling,
            prefix=request.prefix,
            stopped=self.stopped,
        )

    def _write(self) -> None:
        """Group by group: a turn ends at a group's first id, so one look in five is enough."""
        step = 0
        while self.loop.active and not self.stopped():
            self.loop.advance()
            self._let_go()
            self.loop.advance(GROUP - 1)
            self._let_go()
            step += GROUP
            self.progress(step, self.loop.active)

    def _let_go(self) -> None:
        for row in self.loop.ended():
            self.loop.check(row)
            self._gone(row, "end")

    def _gone(self, row: int, stop: Stop | None) -> None:
        """A row's item has its answer, and the last row its place."""
        item = self.items[row]
        item.ids = self.loop.written(row)
        item.stop = "budget" if len(item.ids) == item.most else stop
        self.loop.leave(row)
        self.items[row] = self.items[self.loop.active]


@dataclass
class _Item:
    """One request on its way. most: ids of its answer."""

    request: Request
    most: int
    ids: list[int] = field(default_factory=list)
    stop: Stop | None = None

    def result(self) -> Generated:
        whole = len(self.ids) - len(self.ids) % GROUP
        return Generated(np.array(self.ids[:whole], np.int64), self.stop or "cancelled")


def most_ids(model: Step1ForCausalLM, request: Request, place: int = 0) -> int:
    """How many ids the answer to a request may have. place: of the prompt, for messages.

    Raises RequestError for a prompt that makes no sense or leaves no room, EngineError for a model
    without audio ids.
    """
    config = model.config
    if config.vocab_size < FIRST_AUDIO_ID + AUDIO_TOKENS:
        raise EngineError(
            f"the language model has {config.vocab_size} ids and no audio among them",
            remedy="Point the engine at a Step-Audio-EditX checkpoint.",
        )
    return answer_room(request, min(MOST_IDS, config.max_seq_len), config.vocab_size, place=place)


def answer_room(request: Request, places: int, vocabulary: int, *, place: int = 0) -> int:
    """How many ids an answer may have by a model of so many ids, for so many places in all.

    Raises RequestError for a prompt that makes no sense or leaves no room.
    """
    prompt = [int(id_) for id_ in request.prompt_ids]
    if not prompt or min(prompt) < 0 or max(prompt) >= vocabulary:
        raise RequestError(f"prompt {place} must hold ids of 0..{vocabulary - 1}")
    if not 1 <= request.min_groups <= request.max_groups:
        raise RequestError(
            f"prompt {place} asks for {request.min_groups} to {request.max_groups} groups",
            remedy="An answer has at least one group, and min_groups is at most max_groups.",
        )
    room = (places - len(prompt)) // GROUP
    if room < request.min_groups:
        raise RequestError(
            f"prompt {place} has {len(prompt)} ids; with {request.min_groups} groups it is longer "
            f"than the {places} that the model takes",
            remedy="Shorten the recording or the text.",
        )
    return int(min(request.max_groups, room)) * GROUP
