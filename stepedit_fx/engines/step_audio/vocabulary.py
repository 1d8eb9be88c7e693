"""The numbering of audio tokens, in one table; every conversion derives from it.

Two codebooks describe the same sound: linguistic (VQ02, 16.67 codes a second) and semantic (VQ06,
25 a second). They are mixed in groups of five, two linguistic codes then three semantic ones.

| space | linguistic | semantic |
| --- | --- | --- |
| raw: what a tokenizer gives | code | code |
| mixed: `<audio_N>` in a prompt | code | 1024 + code |
| LM: ids of the language model | 65536 + code | 65536 + 1024 + code |
| flow: rows of its embedding | code; 1024 is padding | 1025 + code |

Source: the published Step-Audio-EditX checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepedit_fx.errors import EngineError

Codes = NDArray[np.int64]

LINGUISTIC_CODES = 1024  # codebook sizes
SEMANTIC_CODES = 4096
AUDIO_TOKENS = LINGUISTIC_CODES + SEMANTIC_CODES

LINGUISTIC_SLOTS = 2  # of a group
SEMANTIC_SLOTS = 3
GROUP = LINGUISTIC_SLOTS + SEMANTIC_SLOTS
GROUP_S = 0.12
GROUPS_PER_SECOND = 1 / GROUP_S
FLOW_STEPS = 3  # the flow's steps in a group: 25 a second

FIRST_AUDIO_ID = 65536  # of the language model; ids below are text and control
BOS_ID = 1  # <s>
END_OF_TURN_ID = 3  # <|EOT|>
BEGIN_OF_TURN_ID = 4  # <|BOT|>

FLOW_PADDING = LINGUISTIC_CODES
FLOW_ROWS = LINGUISTIC_CODES + 1 + SEMANTIC_CODES

# Smallest and largest mixed token of each slot of a group, in order.
SLOT_RANGES: tuple[tuple[int, int], ...] = (
    *((0, LINGUISTIC_CODES - 1),) * LINGUISTIC_SLOTS,
    *((LINGUISTIC_CODES, AUDIO_TOKENS - 1),) * SEMANTIC_SLOTS,
)


def mix(linguistic: ArrayLike, semantic: ArrayLike) -> Codes:
    """Raw codes of one clip as mixed tokens, as many whole groups as both have, (groups * 5,).

    linguistic: (n,), 0..1023. semantic: (m,), 0..4095. What is left over of the longer is dropped:
    the two tokenizers round a clip's end differently. Raises EngineError for a code out of range.
    """
    first = _checked(linguistic, LINGUISTIC_CODES, "linguistic")
    second = _checked(semantic, SEMANTIC_CODES, "semantic")
    groups = min(len(first) // LINGUISTIC_SLOTS, len(second) // SEMANTIC_SLOTS)
    rows = np.concatenate(
        [
            first[: groups * LINGUISTIC_SLOTS].reshape(groups, LINGUISTIC_SLOTS),
            second[: groups * SEMANTIC_SLOTS].reshape(groups, SEMANTIC_SLOTS) + LINGUISTIC_CODES,
        ],
        axis=1,
    )
    return rows.reshape(-1)


def unmix(tokens: ArrayLike) -> tuple[Codes, Codes]:
    """Mixed tokens as raw linguistic (groups * 2,) and semantic (groups * 3,) codes.

    Raises EngineError for what `check_mixed` refuses.
    """
    rows = check_mixed(tokens).reshape(-1, GROUP)
    semantic = rows[:, LINGUISTIC_SLOTS:] - LINGUISTIC_CODES
    return rows[:, :LINGUISTIC_SLOTS].reshape(-1), semantic.reshape(-1)


def check_mixed(tokens: ArrayLike) -> Codes:
    """The tokens as an int64 array, if they are whole groups with every slot in its range.

    Raises EngineError that names the position and the slot.
    """
    array = _integers(tokens, "audio tokens")
    if len(array) % GROUP:
        raise EngineError(
            f"{len(array)} audio tokens are not whole groups of {GROUP}: the last group, at "
            f"position {len(array) - len(array) % GROUP}, ends after slot {len(array) % GROUP - 1}",
            remedy="Cut the sequence at a group's end.",
        )
    lowest, highest = (np.array(ends) for ends in zip(*SLOT_RANGES, strict=True))
    rows = array.reshape(-1, GROUP)
    wrong = np.argwhere((rows < lowest) | (rows > highest))
    if len(wrong):
        group, slot = (int(n) for n in wrong[0])
        low, high = SLOT_RANGES[slot]
        raise EngineError(
            f"audio token {rows[group, slot]} at position {group * GROUP + slot} (slot {slot}) is "
            f"outside {low}..{high}",
            remedy="A group is two linguistic tokens, then three semantic ones.",
        )
    return array


def to_lm(tokens: ArrayLike) -> Codes:
    """Mixed tokens as ids of the language model. Raises as `check_mixed`."""
    return check_mixed(tokens) + FIRST_AUDIO_ID


def from_lm(ids: ArrayLike) -> Codes:
    """Ids of the language model as mixed tokens. Raises as `check_mixed`; text ids are refused."""
    return check_mixed(_integers(ids, "ids") - FIRST_AUDIO_ID)


def to_flow(tokens: ArrayLike) -> Codes:
    """Mixed tokens as the flow's embedding rows, (groups * 3, 2): linguistic, semantic.

    A group's two linguistic codes stand on its first two steps; the third has padding.
    Raises as `check_mixed`.
    """
    linguistic, semantic = unmix(tokens)
    groups = len(semantic) // SEMANTIC_SLOTS
    column = np.full((groups, FLOW_STEPS), FLOW_PADDING, np.int64)
    column[:, :LINGUISTIC_SLOTS] = linguistic.reshape(groups, LINGUISTIC_SLOTS)
    return np.stack([column.reshape(-1), semantic + FLOW_PADDING + 1], axis=1)


def from_flow(rows: ArrayLike) -> Codes:
    """The flow's rows, (steps, 2), back as mixed tokens. Raises EngineError if malformed."""
    array = np.asarray(rows)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) % FLOW_STEPS:
        raise EngineError(
            f"flow tokens must be (whole groups of {FLOW_STEPS} steps, 2), got {array.shape}"
        )
    linguistic = _integers(array[:, 0], "flow tokens").reshape(-1, FLOW_STEPS)
    wrong = np.flatnonzero(linguistic[:, LINGUISTIC_SLOTS] != FLOW_PADDING)
    if len(wrong):
        step = int(wrong[0]) * FLOW_STEPS + LINGUISTIC_SLOTS
        raise EngineError(f"flow step {step} must hold the padding {FLOW_PADDING}")
    semantic = _integers(array[:, 1], "flow tokens") - FLOW_PADDING - 1
    return mix(linguistic[:, :LINGUISTIC_SLOTS].reshape(-1), semantic)


def _integers(values: ArrayLike, what: str) -> Codes:
    array: NDArray[Any] = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise EngineError(f"{what} must be one row of integers, got {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _checked(codes: ArrayLike | Sequence[int], size: int, name: str) -> Codes:
    array = _integers(codes, f"{name} codes")
    wrong = np.flatnonzero((array < 0) | (array >= size))
    if len(wrong):
        at = int(wrong[0])
        raise EngineError(f"{name} code {array[at]} at position {at} is outside 0..{size - 1}")
    return array
