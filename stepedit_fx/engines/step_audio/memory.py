"""How much memory the networks take, from their sizes alone."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GB = 10**9
CONTROL_GROUP = Path("/sys/fs/cgroup")
# Bits of a weight, scales counted.
# bitsandbytes' int4 has a float32 scale for 64 weights, the published AWQ file one of 16 bits for
# 128: its 2.502 GB are this to 0.004 %.
WEIGHT_BITS = {
    "float32": 32.0, "bfloat16": 16.0, "float16": 16.0, "int8": 8.0, "int4": 4.5, "awq": 4.125,
}  # fmt: skip
CONTEXT_TOKENS = 8192  # prompt and answer together, as the reference allows
# The published flow, vocoder, tokenizers and speaker model in float32, rounded up.
OTHER_NETWORKS_BYTES = 2 * GB
CARDS_GB = (4, 6, 8, 10, 12, 16, 24, 32, 48, 80)
CARD_SHARE = 0.95  # the rest is the driver's and the screen's
WORKSPACE_BYTES = 1 * GB  # CUDA's context and activations of one take; an allowance
BATCH_SHARE = 0.8  # of what is free now, for a batch: others want memory too
# What a batch takes at the published size on a CPU, rounded up: the flow for a frame of prompt and
# target (350 MB for 3000), the tokenizers for a sample at 16 kHz (12 MiB of VQ02 for 160000).
FLOW_FRAME_BYTES = 120_000
TOKENIZER_SAMPLE_BYTES = 128
# Beyond the keys and values, of every take in the token loop: logits and probabilities of the audio
# ids in float64, and what the layers hold between them.
ROW_BYTES = 1 << 20


@dataclass(frozen=True)
class LanguageModelSize:
    """The numbers that say how large the language model is; the published ones as defaults."""

    layers: int = 32
    hidden: int = 3072
    intermediate: int = 8192
    heads: int = 48
    groups: int = 4
    vocabulary: int = 74752

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> LanguageModelSize:
        """The sizes in a config.json. Raises KeyError, TypeError or ValueError if incomplete."""
        return cls(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            heads=int(config["num_attention_heads"]),
            groups=int(config["num_attention_groups"]),
            vocabulary=int(config["vocab_size"]),
        )

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def layer_parameters(self) -> int:
        """In the matrices of all layers: what quantization makes smaller."""
        attention = 2 * self.hidden * (self.heads + self.groups) * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def other_parameters(self) -> int:
        """Embedding, lm_head and norms: never quantized."""
        return (2 * self.vocabulary + 2 * self.layers + 1) * self.hidden

    @property
    def parameters(self) -> int:
        return self.layer_parameters + self.other_parameters

    def weight_bytes(self, numbers: str) -> int:
        """All weights as ``numbers``: a dtype's name, "int8", "int4" or "awq"."""
        bits = WEIGHT_BITS[numbers]
        kept = bits if bits >= 16 else 16
        return int(self.layer_parameters * bits + self.other_parameters * kept) // 8

    def cache_bytes(self, tokens: int = CONTEXT_TOKENS, *, value_bytes: int = 2) -> int:
        """Keys and values of one take: 32 kB a token at the published size in 16 bits."""
        return tokens * self.layers * 2 * self.groups * self.head_dim * value_bytes

    def rows_in(self, free_bytes: int, tokens: int, *, value_bytes: int = 2) -> int:
        """How many takes of so many tokens fit in so many bytes, written side by side."""
        row = self.cache_bytes(tokens, value_bytes=value_bytes) + ROW_BYTES
        return int(free_bytes * BATCH_SHARE) // row

    def total_bytes(self, numbers: str, others: int = OTHER_NETWORKS_BYTES) -> int:
        """Everything that is on the device while one take is edited and decoded.

        others: bytes of the networks beside the language model.
        """
        cache = self.cache_bytes(value_bytes=4 if numbers == "float32" else 2)
        return self.weight_bytes(numbers) + cache + others + WORKSPACE_BYTES


def smallest_card(total_bytes: int) -> int | None:
    """The smallest usual GPU, in the GB on its box, that holds so much; None for none of them."""
    usable = (gb for gb in CARDS_GB if total_bytes <= CARD_SHARE * gb * 2**30)
    return next(usable, None)


def free_memory_bytes() -> int | None:
    """What the machine can still give, its container's limit counted; None if it does not say."""
    free = _meminfo_available()
    limit = _container_left()
    known = [n for n in (free, limit) if n is not None]
    if known:
        return min(known)
    try:  # macOS says what it has, not what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return None


def usable_cores() -> int:
    """Processors that this process may really use, its container's quota counted; at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = (CONTROL_GROUP / "cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        pass
    return max(1, cores)


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kib is None else int(kib) * 1024


def _container_left() -> int | None:
    group = CONTROL_GROUP
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = (group / "memory.current").read_text(encoding="ascii").strip()
    except OSError:  # no container, or no version 2 of control groups
        return None
    return None if limit == "max" else max(int(limit) - int(used), 0)
