"""The golden flow, random flows of other sizes, and random clips for them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from stepedit_fx.engines.step_audio.dit import EstimatorSizes
from stepedit_fx.engines.step_audio.flow import Conditioning, Draw, Flow
from stepedit_fx.engines.step_audio.flow_encoder import EncoderSizes
from stepedit_fx.engines.step_audio.vocabulary import (
    AUDIO_TOKENS,
    FLOW_ROWS,
    LINGUISTIC_CODES,
    Codes,
)

GOLDEN = Path(__file__).parent / "golden" / "acoustic"
CLOSE = 1e-4  # relative to the largest value, as the facts promise

# Heads that are no power of two, head sizes that differ, another look-ahead and kernel.
ODD_ENCODER = EncoderSizes(
    inputs=20, width=30, heads=3, hidden=44, layers=2, up_layers=2, look_ahead=2, key_bias=False
)
ODD_ESTIMATOR = EstimatorSizes(
    inputs=28, outputs=7, width=24, heads=5, head_size=6, hidden=50, depth=2, kernel=4,
    time_features=32,
)  # fmt: skip


@cache
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "io.safetensors")


@cache
def golden_config() -> dict[str, object]:
    flow: dict[str, object] = json.loads((GOLDEN / "config.json").read_text())["flow"]
    return flow


def golden_state() -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(GOLDEN / "flow.pt", weights_only=True)
    return state


@cache
def golden_flow() -> Flow:
    return Flow.from_state(golden_state(), golden_config())


@cache
def golden_voice() -> Conditioning:
    return Conditioning(
        golden()["mixed_prompt_tokens"].numpy(),
        golden()["prompt_feat"][0].numpy(),
        golden()["speaker_embedding"][0].numpy(),
    )


def golden_noise(_seed: int) -> Draw:
    frames = golden()["noise"][0].T
    at = 0

    def draw(count: int) -> Tensor:
        nonlocal at
        at += count
        return frames[at - count : at]

    return draw


def random_state(
    encoder: EncoderSizes, estimator: EstimatorSizes, seed: int = 0
) -> dict[str, Tensor]:
    """Weights of a size that keeps values near one, so that no layer hides another."""
    with torch.device("meta"):
        flow = Flow(encoder, estimator, rows=FLOW_ROWS, speaker=11, guidance=0.7)
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(t.shape, generator=generator)
        * (t[0].numel() ** -0.5 if t.ndim > 1 else 0.3)
        for name, t in flow.state_dict().items()
    }


@cache
def odd_flow() -> Flow:
    return Flow.from_state(random_state(ODD_ENCODER, ODD_ESTIMATOR), {})


def random_tokens(groups: int, rng: np.random.Generator) -> Codes:
    linguistic = rng.integers(0, LINGUISTIC_CODES, (groups, 2))
    semantic = rng.integers(LINGUISTIC_CODES, AUDIO_TOKENS, (groups, 3))
    return np.concatenate([linguistic, semantic], axis=1).reshape(-1)


def random_voice(flow: Flow, groups: int, rng: np.random.Generator) -> Conditioning:
    frames = groups * 6 + int(rng.integers(-2, 3))
    return Conditioning(
        random_tokens(groups, rng),
        rng.standard_normal((frames, flow.mels)).astype(np.float32),
        rng.standard_normal(flow.spk_embed_affine_layer.in_features).astype(np.float32),
    )


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference over the reference's largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())
