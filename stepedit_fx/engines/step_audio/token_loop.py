"""The loop that writes audio ids: rows of a batch, each at its own place, one id a step.

A row that ends leaves and a waiting take may have its place while the others go on. Everything a
step does stays on the device, so that the host never waits for an id; on CUDA a step is one graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.linear import linear
from stepedit_fx.engines.step_audio.lm_attention import slopes
from stepedit_fx.engines.step_audio.lm_cache import KeyValueRows, Prefill, Step
from stepedit_fx.engines.step_audio.prompt_states import PromptStates
from stepedit_fx.engines.step_audio.sampling import (
    END_COLUMN,
    REPETITION_WINDOW,
    Sampling,
    audio_columns,
    draw,
    needs_ranking,
    repeats,
    slot_columns,
)
from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
)
from stepedit_fx.errors import EngineError

PREFILL_IDS = 512  # of a prompt between two looks at whether to stop
BOUND_STEP = 256  # a graph serves lengths up to the next multiple of this
MOST_GRAPHS = 64


class TokenLoop:
    """Up to `rows` takes written side by side, each of at most `places` ids, prompt included.

    states: of prompts that were read before, by this loop or another of the same model.
    """

    def __init__(
        self, model: nn.Module, rows: int, places: int, states: PromptStates | None = None
    ) -> None:
        self._model = inner(model)
        self._held = KeyValueRows(rows, places)
        self._known = PromptStates() if states is None else states
        device = self._device = _state_device(self._model)
        self._allowed = slot_columns().to(device)
        self._ids = audio_columns().to(device)
        self._samplings = [Sampling()] * rows
        # Of every row: what it was fed last, where it is, and what it may do.
        self._last = torch.zeros(rows, 1, dtype=torch.long, device=device)
        self._length = torch.zeros(rows, dtype=torch.long, device=device)  # ids in the cache
        self._count = torch.zeros(rows, dtype=torch.long, device=device)  # ids written
        self._least = torch.zeros(rows, dtype=torch.long, device=device)
        self._most = torch.zeros(rows, dtype=torch.long, device=device)
        self._ruled = torch.zeros(rows, dtype=torch.bool, device=device)
        self._ended = torch.ones(rows, dtype=torch.bool, device=device)  # also those not in use
        self._broken = torch.zeros(rows, dtype=torch.bool, device=device)
        self._settings = torch.zeros(rows, 4, dtype=torch.float64, device=device)
        self._window = torch.zeros(rows, REPETITION_WINDOW, dtype=torch.long, device=device)
        self._uniforms = torch.zeros(rows, places + 1, dtype=torch.float64, device=device)
        self._written = torch.zeros(rows, places + 1, dtype=torch.long, device=device)
        self._prompts = [0] * rows
        self._lengths = [0] * rows  # the host's own count, an upper bound between two looks
        self._graphed = _is_capturable(self._model)
        # One memory for all graphs: they never run at once.
        self._pool = torch.cuda.graph_pool_handle() if self._graphed else None
        self._graphs: dict[tuple[int, int, bool], Callable[[], None]] = {}
        self._head = audio_head(self._model)
        self.active = 0  # rows 0 .. active - 1 go on

    @property
    def rows(self) -> int:
        return self._held.rows

    @property
    def places(self) -> int:
        return self._held.places

    @property
    def bytes(self) -> int:
        """Memory of its keys and values."""
        return self._held.bytes

    def admit(
        self,
        prompt: Sequence[int],
        *,
        least: int,
        most: int,
        seed: int,
        sampling: Sampling,
        prefix: int = 0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Take in one prompt, in the next row; False where it was stopped on the way.

        least, most: ids of the answer. seed: of every draw. prefix: ids at the prompt's start that
        other prompts share; their keys and values are kept, as are those of the whole.
        """
        row = self.active
        if not self._prefill(row, prompt, prefix, stopped):
            return False
        generator = torch.Generator().manual_seed(seed)
        uniforms = torch.rand(most + 1, generator=generator, dtype=torch.float64)
        self._uniforms[row, : most + 1] = uniforms.to(self._device)
        newest = list(prompt[-REPETITION_WINDOW:])
        # Numbers that no id has, none twice: what is not there does not repeat.
        padding = range(-REPETITION_WINDOW, -len(newest))
        self._window[row] = torch.tensor([*padding, *newest], device=self._device)
        self._settings[row] = torch.tensor(sampling.numbers(), dtype=torch.float64)
        self._samplings[row] = sampling
        self._last[row] = prompt[-1]
        for state, value in (
            (self._length, len(prompt) - 1),
            (self._count, 0),
            (self._least, least),
            (self._most, most),
            (self._ruled, sampling.repetition_rule),
            (self._ended, False),
            (self._broken, False),
        ):
            state[row] = value
        self._lengths[row] = len(prompt) - 1
        self._prompts[row] = len(prompt)
        self.active += 1
        return True

    def advance(self, steps: int = 1) -> None:
        """So many more ids for every row that goes on. Nothing is waited for."""
        if self.active == 0:
            return
        ranked = needs_ranking(self._samplings[: self.active])
        for _ in range(steps):
            longest = max(self._lengths[: self.active]) + 1
            self._run(self.active, min(longest, self._held.places), ranked)
            for row in range(self.active):
                self._lengths[row] += 1

    def ended(self) -> list[int]:
        """Rows that are done, the last first, so that each may leave; waits for the device."""
        flags = self._ended[: self.active].tolist()
        return [row for row in reversed(range(self.active)) if flags[row]]

    def check(self, row: int) -> None:
        """Raise EngineError if a row's logits were not finite."""
        if bool(self._broken[row]):
            raise EngineError(
                "the language model gives logits that are NaN or infinite",
                remedy="Its weights are damaged (`stepedit-fx models check`), or float16 "
                "overflows: choose bfloat16 or float32.",
            )

    def written(self, row: int) -> list[int]:
        """The ids that a row has so far, without the end of turn."""
        ids: list[int] = self._written[row, : int(self._count[row])].tolist()
        return ids

    def count(self, row: int) -> int:
        """How many ids a row has at most so far, without waiting for the device."""
        return self._lengths[row] + 1 - self._prompts[row]

    def leave(self, row: int) -> None:
        """Give a row up; the last one takes its place."""
        last = self.active - 1
        if row != last:
            self._held.move(last, row, self._lengths[last])
            for state in self._state():
                state[row] = state[last]
            self._lengths[row] = self._lengths[last]
            self._prompts[row] = self._prompts[last]
            self._samplings[row] = self._samplings[last]
        self._ended[last] = True
        self.active = last

    def resized(self, rows: int, places: int) -> TokenLoop:
        """A loop with the same takes in it and more room; this one must not be used any more.

        rows, places: at least those in use.
        """
        larger = TokenLoop(self._model, rows, places, self._known)
        larger._held.fill_from(self._held, self.active)
        for new, old in zip(larger._state(), self._state(), strict=True):
            kept = old[: self.active, : new.shape[1]] if old.ndim == 2 else old[: self.active]
            if old.ndim == 2:
                new[: self.active, : kept.shape[1]] = kept
            else:
                new[: self.active] = kept
        larger._lengths[: self.active] = self._lengths[: self.active]
        larger._prompts[: self.active] = self._prompts[: self.active]
        larger._samplings[: self.active] = self._samplings[: self.active]
        larger.active = self.active
        return larger

    def _state(self) -> tuple[Tensor, ...]:
        return (
            self._last, self._length, self._count, self._least, self._most,
            self._ruled, self._ended, self._broken, self._settings, self._window, self._uniforms,
            self._written,
        )  # fmt: skip

    def _prefill(
        self, row: int, prompt: Sequence[int], prefix: int, stopped: Callable[[], bool]
    ) -> bool:
        """All of a prompt but its last id, which the first step feeds."""
        fed = prompt[:-1]
        prefix = min(prefix, len(fed))
        done, layers = self._known.longest(fed, prefix)
        self._held.put(row, layers)
        cache = Prefill(self._held, row, done)
        # A prefix is a piece of its own whether it is kept already or not: so its keys, and all
        # that follows from them, are the same to the last bit.
        edges = [*range(0, prefix, PREFILL_IDS), *range(prefix, len(fed), PREFILL_IDS)]
        edges = [*(edge for edge in edges if edge >= done), len(fed)]
        for start, end in pairwise(edges):
            if stopped():
                return False
            ids = torch.tensor([list(fed[start:end])])
            self._model.model(
                _where_ids_go(self._model, ids),
                past_key_values=cast("Any", cache),
                use_cache=True,
            )
            if end in (prefix, len(fed)):
                self._known.put(fed[:end], self._held.taken(row, end))
        return not stopped()

    def _run(self, count: int, longest: int, ranked: bool) -> None:
        if not self._graphed:
            self._step(count, longest, ranked)
            return
        # A graph each for 1, 2, 4, ... rows: those that are not in use count as ended.
        count = min(1 << (count - 1).bit_length(), self.rows)
        bound = min(-(-longest // BOUND_STEP) * BOUND_STEP, self._held.places)
        key = (count, bound, ranked)
        if key not in self._graphs:
            if len(self._graphs) >= MOST_GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[key] = self._captured(*key)
        self._graphs[key]()

    def _captured(self, count: int, bound: int, ranked: bool) -> Callable[[], None]:
        """The step as a CUDA graph: hundreds of small kernels started at once."""
        kept = [state.clone() for state in self._state()]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries choose and allocate in their first calls
                self._step(count, bound, ranked)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: another thread may allocate meanwhile, decoding or tokenizing.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            self._step(count, bound, ranked)
        # Warming up has moved the rows on; the places that it wrote will be written again.
        for state, before in zip(self._state(), kept, strict=True):
            state.copy_(before)
        return graph.replay

    def _step(self, count: int, bound: int, ranked: bool) -> None:
        """One id for each of the first `count` rows. bound: places that are looked at."""
        found = self._head(self._hidden(count, bound))  # (count, COLUMNS)
        logits = found.to(torch.float32).to(self._device).to(torch.float64)
        written = self._count[:count]
        allowed = self._allowed[written % GROUP]
        broken = (~torch.isfinite(logits) & allowed).any(dim=1) & ~self._ended[:count]
        self._broken[:count] |= broken
        self._ended[:count] |= broken
        logits = torch.nan_to_num(logits, 0.0, 0.0, 0.0)  # `check` tells; a draw needs numbers
        allowed[:, END_COLUMN] &= written >= self._least[:count]
        window = self._window[:count]
        barred = self._ruled[:count] & repeats(window)
        allowed &= ~(barred[:, None] & (self._ids == window[:, -1:]))
        uniforms = self._uniforms[:count].gather(1, written[:, None])[:, 0]
        column = draw(
            logits.masked_fill(~allowed, -torch.inf),
            self._settings[:count],
            uniforms,
            ranked=ranked,
        )
        self._take(count, column)

    def _hidden(self, count: int, bound: int) -> Tensor:
        """The last layer's output for the newest id of each row, (count, hidden)."""
        base = self._model.model
        x = base.embed_tokens(_where_ids_go(self._model, self._last[:count]))
        lengths = self._length[:count].clamp(max=self._held.places - 1).to(x.device)
        cache = Step(self._held, lengths, bound)
        distance = lengths[:, None] - torch.arange(bound, device=x.device)  # (count, bound)
        root = distance.clamp(min=0).to(torch.float32).sqrt()
        heads = self._model.config.num_attention_heads
        bias = root[:, None, None] * -slopes(heads, x.device)[:, None, None]  # (count, H, 1, bound)
        bias = bias.masked_fill((distance < 0)[:, None, None], -torch.inf).to(x.dtype)
        for layer in base.layers:
            x = layer(x, bias, past_key_values=cast("Any", cache))
        hidden: Tensor = base.norm(x)[:, 0]
        return hidden

    def _take(self, count: int, column: Tensor) -> None:
        """Write what was drawn, in every row that has not ended."""
        ids = self._ids[column]
        written, ended = self._count[:count], self._ended[:count]
        ends = (column == END_COLUMN) & ~ended
        goes_on = ~(ended | ends)
        place = written.clamp(max=self._written.shape[1] - 1)[:, None]
        kept = self._written[:count].gather(1, place)[:, 0]
        self._written[:count].scatter_(1, place, torch.where(goes_on, ids, kept)[:, None])
        shifted = torch.cat([self._window[:count, 1:], ids[:, None]], dim=1)
        self._window[:count] = torch.where(goes_on[:, None], shifted, self._window[:count])
        self._last[:count, 0] = torch.where(goes_on, ids, self._last[:count, 0])
        self._length[:count] += goes_on
        self._count[:count] += goes_on
        self._ended[:count] |= ends | (self._count[:count] >= self._most[:count])


def inner(model: nn.Module) -> Step1ForCausalLM:
    """The language model itself, where PEFT has wrapped it."""
    found = next((m for m in model.modules() if isinstance(m, Step1ForCausalLM)), None)
    if found is None:
        raise EngineError(
            f"{type(model).__name__} is no Step1 language model",
            remedy="Load the model with the engine, or as Step1ForCausalLM.",
        )
    return found


def _held_on(model: Step1ForCausalLM) -> torch.device:
    """Where ids are wanted; accelerate's hooks take them from the CPU."""
    held: torch.device = cast("Any", model.model.embed_tokens).weight.device
    return torch.device("cpu") if held.type == "meta" else held


def _where_ids_go(model: Step1ForCausalLM, ids: Tensor) -> Tensor:
    return ids.to(_held_on(model))


def _state_device(model: Step1ForCausalLM) -> torch.device:
    """Where drawing happens: with the model on CUDA, else on the CPU (MPS has no float64)."""
    held = _held_on(model)
    return held if held.type == "cuda" else torch.device("cpu")


def _is_capturable(model: Step1ForCausalLM) -> bool:
    """Whether a step is the same kernels every time: all of it on one CUDA device, no hooks."""
    devices = {weight.device for weight in model.parameters()}
    # Hooks move what flows through, and bitsandbytes looks at it on the host.
    foreign = any(
        hasattr(module, "_hf_hook") or type(module).__module__.startswith("bitsandbytes")
        for module in model.modules()
    )
    return not foreign and len(devices) == 1 and next(iter(devices)).type == "cuda"


def audio_head(model: Step1ForCausalLM) -> Callable[[Tensor], Tensor]:
    """From the last hidden state, (B, hidden), to the logits of the columns, (B, COLUMNS).

    A plain lm_head is read at these rows alone, a fourteenth of it; one that something is hooked
    to or wrapped around is run as a whole.
    """
    head: Any = model.lm_head
    hooked = hasattr(head, "_hf_hook") or head._forward_hooks or head._forward_pre_hooks
    audio = slice(FIRST_AUDIO_ID, FIRST_AUDIO_ID + AUDIO_TOKENS)
    end = slice(END_OF_TURN_ID, END_OF_TURN_ID + 1)
    if type(head) is not nn.Linear or hooked:

        def whole(hidden: Tensor) -> Tensor:
            logits: Tensor = head(hidden)
            return torch.cat([logits[:, end], logits[:, audio]], dim=1)

        return whole

    def rows(hidden: Tensor) -> Tensor:
        weight = head.weight
        return torch.cat([linear(hidden, weight[end]), linear(hidden, weight[audio])], dim=1)

    return rows
