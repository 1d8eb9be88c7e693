"""From logits to the next id: the slot's range, the repetition rule, the filters and the draw.

All of it runs on the CPU in float64 and row by row, so that an item gets the same codes alone or
in a batch, whatever the device of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, FIRST_AUDIO_ID, SLOT_RANGES
from stepedit_fx.errors import EngineError, RequestError

# Source: the published Step-Audio-EditX inference code.
REPETITION_WINDOW = 10  # ids
REPETITION_SHARE = 0.1  # of the window; a last id with more than this is barred


@dataclass(frozen=True)
class Sampling:
    """How the next id is drawn; the defaults are the reference's.

    temperature: 0 takes the likeliest id. top_k: so many of the likeliest, 0 for all. top_p: the
    fewest of the likeliest that hold this much probability. min_p: those at least this likely,
    relative to the likeliest. repetition_rule: bar an id that the last ten hold twice or more.
    Raises RequestError for values out of range.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_rule: bool = True

    def __post_init__(self) -> None:
        checks = {
            "temperature": (0 <= self.temperature <= 100, "between 0 and 100"),
            "top_k": (self.top_k >= 0, "0 (off) or more"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1 (off)"),
            "min_p": (0 <= self.min_p < 1, "at least 0 (off) and below 1"),
        }
        for name, (good, range_) in checks.items():
            if not good:  # NaN is not good either
                raise RequestError(
                    f"{name} {getattr(self, name)} is out of range", remedy=f"It must be {range_}."
                )


def barred_id(ids: Sequence[int]) -> int | None:
    """The id that must not come next: the last one, if it repeats too often just before.

    ids: prompt and generated ones, or at least the last ten of them.
    """
    window = list(ids[-REPETITION_WINDOW:])
    if len(window) < REPETITION_WINDOW:
        return None
    often = window.count(window[-1]) > REPETITION_SHARE * REPETITION_WINDOW
    return window[-1] if often else None


def slot_logits(logits: Tensor, slot: int) -> tuple[Tensor, Tensor]:
    """The ids that a slot of a group may hold, and their logits on the CPU.

    logits: (B, vocabulary), any device and dtype. slot: 0..4.
    Returns ids (N,) ascending, and logits (B, N) float64; slot 0 has the end of turn first.
    Raises EngineError if a logit is not finite.
    """
    low, high = (FIRST_AUDIO_ID + mixed for mixed in SLOT_RANGES[slot])
    ids = torch.arange(low, high + 1)
    found = logits[:, low : high + 1]
    if slot == 0:
        ids = torch.cat([torch.tensor([END_OF_TURN_ID]), ids])
        found = torch.cat([logits[:, END_OF_TURN_ID : END_OF_TURN_ID + 1], found], dim=1)
    found = found.to(torch.float32).cpu().to(torch.float64)  # MPS has no float64
    if not bool(torch.isfinite(found).all()):
        raise EngineError(
            "the language model gives logits that are NaN or infinite",
            remedy="Its weights are damaged (`stepedit-fx models check`), or float16 overflows: "
            "choose bfloat16 or float32.",
        )
    return ids, found


def bar(logits: Tensor, ids: Tensor, barred: Sequence[int | None]) -> Tensor:
    """The logits with barred[b] at -inf in row b, unless nothing else is left in that row."""
    out = logits.clone()
    for row, id_ in enumerate(barred):
        if id_ is None:
            continue
        left = out[row].masked_fill(ids == id_, -torch.inf)
        if bool(torch.isfinite(left).any()):
            out[row] = left
    return out


def draw(logits: Tensor, settings: Sequence[Sampling], uniforms: Sequence[float]) -> Tensor:
    """The column drawn in each row, (B,).

    logits: (B, N) float64, at least one of a row finite. uniforms: one number in [0, 1) a row; the
    column is where the cumulated probabilities, in the order of the columns, pass it.
    """
    temperature = _column([s.temperature for s in settings])
    # A temperature near 0 must not make 0/0; exactly 0 is the argmax below.
    top = logits.max(dim=1, keepdim=True).values
    shares = torch.softmax((logits - top) / temperature.clamp(min=1e-6), dim=1)
    shares = shares * _kept(shares, settings)
    cumulated = shares.cumsum(dim=1)
    total = cumulated[:, -1:]
    # Below the total in spite of rounding, so that a column of probability 0 is never drawn.
    target = torch.minimum(_column(uniforms) * total, total.nextafter(torch.zeros_like(total)))
    drawn = torch.searchsorted(cumulated, target, right=True)[:, 0]
    return torch.where(temperature[:, 0] == 0, logits.argmax(dim=1), drawn)


def _kept(shares: Tensor, settings: Sequence[Sampling]) -> Tensor:
    """Which columns top-k, then top-p, then min-p leave in each row, (B, N) bool."""
    kept = shares >= _column([s.min_p for s in settings]) * shares.max(dim=1, keepdim=True).values
    if all(s.top_k == 0 and s.top_p == 1 for s in settings):
        return kept
    order = shares.argsort(dim=1, descending=True, stable=True)
    ranked = shares.gather(1, order)
    size = ranked.shape[1]
    top_k = _column([s.top_k or size for s in settings])
    ranked = ranked * (torch.arange(size) < top_k)
    before = ranked.cumsum(dim=1) - ranked  # what the likelier ones hold
    top_p = _column([s.top_p for s in settings])
    # At top_p 1 nothing is cut, not even what rounding makes look superfluous.
    likely = (before < top_p * ranked.sum(dim=1, keepdim=True)) | (top_p == 1)
    within = likely & (torch.arange(size) < top_k)
    return kept & torch.zeros_like(kept).scatter(1, order, within)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]  # (B, 1)
