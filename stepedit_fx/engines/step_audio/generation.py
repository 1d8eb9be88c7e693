"""Audio ids from the language model: a batch of prompts, each to its own end.

Every result is whole groups of five with each slot in its own range: the sampling allows nothing
else. An item that ends leaves the batch; the others go on as if it had never been there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import DynamicCache

from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.sampling import (
    REPETITION_WINDOW,
    Sampling,
    bar,
    barred_id,
    draw,
    slot_logits,
)
from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    BEGIN_OF_TURN_ID,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
)
from stepedit_fx.errors import EngineError, RequestError

MOST_IDS = 8192  # prompt and answer; source: the published inference code
PREFILL_IDS = 512  # of a prompt between two looks at whether to stop

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
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[Generated]:
    """Answer all requests as one batch; the same seed gives the same ids alone or in a batch.

    progress: called after every step with the ids that each item has so far and the number of
    items that go on. cancelled: asked before every step; a cancelled item keeps its whole groups.
    Raises RequestError for a prompt without room for an answer, EngineError for a model whose
    logits are not finite or that has no audio ids.
    """
    if model.training and any(getattr(m, "gradient_checkpointing", False) for m in model.modules()):
        raise EngineError(
            "the language model is in training with gradient checkpointing, which keeps no cache",
            remedy="Call model.eval() first.",
        )
    items = [_item(model, place, request) for place, request in enumerate(requests)]
    stopped = cancelled or (lambda: False)
    if not items:
        return []
    with torch.inference_mode():
        batch = _Batch(model, [item.prompt for item in items])
        active = list(items)
        logits = batch.prefill(stopped)
        step = 0
        while active and logits is not None and not stopped():
            ids = _next_ids(logits, active, step % GROUP)
            step += 1
            for item, id_ in zip(active, ids, strict=True):
                item.take(id_)
            left = [row for row, item in enumerate(active) if item.stop is None]
            if progress is not None:
                progress(step, len(left))
            if len(left) < len(active):
                active = [active[row] for row in left]
                batch.keep(left)
            if active:
                logits = batch.feed(torch.tensor([[item.ids[-1]] for item in active]))
    return [item.result() for item in items]


@dataclass
class _Item:
    """One request on its way."""

    request: Request
    prompt: list[int]
    groups: int  # at most
    generator: torch.Generator
    ids: list[int] = field(default_factory=list)
    stop: Stop | None = None

    def take(self, id_: int) -> None:
        if id_ == END_OF_TURN_ID:
            self.stop = "end"
            return
        self.ids.append(id_)
        if len(self.ids) == self.groups * GROUP:
            self.stop = "budget"

    @property
    def may_end(self) -> bool:
        return len(self.ids) >= self.request.min_groups * GROUP

    @property
    def barred(self) -> int | None:
        if not self.request.sampling.repetition_rule:
            return None
        missing = max(0, REPETITION_WINDOW - len(self.ids))
        before = self.prompt[-missing:] if missing else []
        return barred_id(before + self.ids[-REPETITION_WINDOW:])

    def uniform(self) -> float:
        return torch.rand((), generator=self.generator, dtype=torch.float64).item()

    def result(self) -> Generated:
        whole = len(self.ids) - len(self.ids) % GROUP
        return Generated(np.array(self.ids[:whole], np.int64), self.stop or "cancelled")


def _next_ids(logits: Tensor, items: Sequence[_Item], slot: int) -> list[int]:
    """The next id of each item; all items are at the same slot. logits: (B, vocabulary)."""
    ids, found = slot_logits(logits, slot)
    if slot == 0:  # the end of turn comes first there
        early = torch.tensor([not item.may_end for item in items])
        found[:, 0].masked_fill_(early, -torch.inf)
    found = bar(found, ids, [item.barred for item in items])
    columns = draw(
        found, [item.request.sampling for item in items], [item.uniform() for item in items]
    )
    chosen: list[int] = ids[columns].tolist()
    return chosen


class _Batch:
    """The model's state for the rows that still go on: padding on the left, then the cache."""

    def __init__(self, model: Step1ForCausalLM, prompts: Sequence[Sequence[int]]) -> None:
        self._model = model
        # Where accelerate has offloaded the embedding, its hooks take ids from the CPU.
        held: torch.device = cast("Any", model.get_input_embeddings()).weight.device
        self._device = torch.device("cpu") if held.type == "meta" else held
        self._cache = DynamicCache()
        longest = max(map(len, prompts))
        # Ids at places of padding are never seen; any will do.
        self._prompt = torch.full((len(prompts), longest), BEGIN_OF_TURN_ID)
        for row, prompt in enumerate(prompts):
            self._prompt[row, longest - len(prompt) :] = torch.tensor(prompt)
        self._padding = torch.tensor([longest - len(prompt) for prompt in prompts])

    def prefill(self, stopped: Cancelled) -> Tensor | None:
        """Logits after the prompts, (B, vocabulary); None where it was stopped on the way."""
        logits = None
        for start in range(0, self._prompt.shape[1], PREFILL_IDS):
            if stopped():
                return None
            logits = self.feed(self._prompt[:, start : start + PREFILL_IDS])
        return logits

    def feed(self, ids: Tensor) -> Tensor:
        """Logits after (B, T) more ids, (B, vocabulary)."""
        length = self._cache.get_seq_length() + ids.shape[1]
        valid = None
        if bool(self._padding.any()):
            valid = (torch.arange(length) >= self._padding[:, None]).to(self._device)  # (B, length)
        out = self._model(
            ids.to(self._device),
            attention_mask=valid,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, without the padding that none of them needs.

        Every step copies the cache to append to it, so making it smaller at once always pays.
        """
        if not rows:
            return
        index = torch.tensor(rows)
        self._padding = self._padding[index]
        spare = int(self._padding.min())
        self._padding = self._padding - spare
        for layer in cast("list[Any]", self._cache.layers):  # of keys and values, all of them
            at = index.to(layer.keys.device)
            layer.keys = layer.keys[at, :, spare:]  # (B, G, places, D)
            layer.values = layer.values[at, :, spare:]


def _item(model: Step1ForCausalLM, place: int, request: Request) -> _Item:
    prompt = [int(id_) for id_ in request.prompt_ids]
    config = model.config
    if config.vocab_size < FIRST_AUDIO_ID + AUDIO_TOKENS:
        raise EngineError(
            f"the language model has {config.vocab_size} ids and no audio among them",
            remedy="Point the engine at a Step-Audio-EditX checkpoint.",
        )
    if not prompt or min(prompt) < 0 or max(prompt) >= config.vocab_size:
        raise RequestError(f"prompt {place} must hold ids of 0..{config.vocab_size - 1}")
    if not 1 <= request.min_groups <= request.max_groups:
        raise RequestError(
            f"prompt {place} asks for {request.min_groups} to {request.max_groups} groups",
            remedy="An answer has at least one group, and min_groups is at most max_groups.",
        )
    room = (min(MOST_IDS, config.max_seq_len) - len(prompt)) // GROUP
    if room < request.min_groups:
        raise RequestError(
            f"prompt {place} has {len(prompt)} ids; with {request.min_groups} groups it is longer "
            f"than the {min(MOST_IDS, config.max_seq_len)} that the model takes",
            remedy="Shorten the recording or the text.",
        )
    return _Item(
        request=request,
        prompt=prompt,
        groups=min(request.max_groups, room),
        generator=torch.Generator().manual_seed(request.seed),
    )
