"""From logits to the next id: the slot's range, the repetition rule, the filters and the draw.

All of it is tensor arithmetic in float64, row by row, on whatever device holds the logits: nothing
waits for the host, and an item gets the same codes alone or in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    END_OF_TURN_ID,
    FIRST_AUDIO_ID,
    GROUP,
    SLOT_RANGES,
)
from stepedit_fx.errors import RequestError

# Source: the published Step-Audio-EditX inference code.
REPETITION_WINDOW = 10  # ids
REPETITION_SHARE = 0.1  # of the window; a last id with more than this is barred
# What may ever come next, a column each: the end of turn, then the audio ids.
COLUMNS = 1 + AUDIO_TOKENS
END_COLUMN = 0


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

    def numbers(self) -> list[float]:
        """As a row of `draw`'s settings."""
        return [self.temperature, float(self.top_k), self.top_p, self.min_p]


def audio_columns() -> Tensor:
    """The id of every column, (COLUMNS,)."""
    audio = torch.arange(FIRST_AUDIO_ID, FIRST_AUDIO_ID + AUDIO_TOKENS)
    return torch.cat([torch.tensor([END_OF_TURN_ID]), audio])


def slot_columns() -> Tensor:
    """Which columns each slot of a group may hold, (GROUP, COLUMNS) bool; a turn ends at slot 0."""
    allowed = torch.zeros(GROUP, COLUMNS, dtype=torch.bool)
    for slot, (low, high) in enumerate(SLOT_RANGES):
        allowed[slot, 1 + low : 2 + high] = True
    allowed[0, END_COLUMN] = True
    return allowed


def repeats(window: Tensor) -> Tensor:
    """Whether the last of each row's ten newest ids is among them too often, (B,) bool.

    window: (B, REPETITION_WINDOW), the newest last. That id must not come next.
    """
    often = (window == window[:, -1:]).sum(dim=1)
    return often > REPETITION_SHARE * REPETITION_WINDOW


def draw(logits: Tensor, settings: Tensor, uniforms: Tensor, *, ranked: bool = True) -> Tensor:
    """The column drawn in each row, (B,).

    logits: (B, N) float64, at least one of a row finite. settings: (B, 4), `Sampling.numbers`.
    uniforms: (B,) in [0, 1); the column is where the cumulated probabilities, in the order of the
    columns, pass it. ranked: False where no row has top_k or top_p, which saves sorting.
    """
    temperature, top_k, top_p, min_p = settings.to(torch.float64).unbind(dim=1)
    # A temperature near 0 must not make 0/0; exactly 0 is the argmax below.
    top = logits.max(dim=1, keepdim=True).values
    shares = torch.softmax((logits - top) / temperature.clamp(min=1e-6)[:, None], dim=1)
    kept = shares >= min_p[:, None] * shares.max(dim=1, keepdim=True).values
    if ranked:
        kept &= _likeliest(shares, top_k[:, None], top_p[:, None])
    cumulated = (shares * kept).cumsum(dim=1)
    total = cumulated[:, -1:]
    # Below the total in spite of rounding, so that a column of probability 0 is never drawn.
    target = torch.minimum(uniforms[:, None] * total, total.nextafter(torch.zeros_like(total)))
    drawn = torch.searchsorted(cumulated, target, right=True)[:, 0]
    return torch.where(temperature == 0, logits.argmax(dim=1), drawn)


def _likeliest(shares: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Which columns top-k, then top-p leave in each row, (B, N) bool."""
    order = shares.argsort(dim=1, descending=True, stable=True)
    ranked = shares.gather(1, order)
    size = ranked.shape[1]
    among = torch.arange(size, device=shares.device) < torch.where(top_k == 0, size, top_k)
    ranked = ranked * among
    before = ranked.cumsum(dim=1) - ranked  # what the likelier ones hold
    # At top_p 1 nothing is cut, not even what rounding makes look superfluous.
    likely = (before < top_p * ranked.sum(dim=1, keepdim=True)) | (top_p == 1)
    return torch.zeros_like(likely).scatter(1, order, likely & among)


def needs_ranking(samplings: Sequence[Sampling]) -> bool:
    """Whether any of them asks for top_k or top_p."""
    return any(s.top_k != 0 or s.top_p != 1 for s in samplings)
