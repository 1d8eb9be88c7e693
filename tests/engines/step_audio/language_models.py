"""Language models for tests: the golden checkpoint's place, and tiny ones with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID

GOLDEN = Path(__file__).parent / "golden" / "lm"
EXACT = 1e-4  # relative, float32


def relative(got: Tensor, wanted: Tensor) -> float:
    return float((got.double() - wanted.double()).abs().max() / wanted.double().abs().max())


def tiny(seed: int = 0, **sizes: Any) -> Step1ForCausalLM:
    """A model with random weights, five heads of one group unless said otherwise."""
    torch.manual_seed(seed)
    config = Step1Config(
        **{
            "vocab_size": 90,
            "hidden_size": 40,
            "intermediate_size": 56,
            "num_attention_heads": 5,
            "num_attention_groups": 1,
            "num_hidden_layers": 2,
            **sizes,
        },
        initializer_range=0.2,
    )
    return Step1ForCausalLM(config).eval()


def writing(seed: int, *, ending: float = 3.5) -> Step1ForCausalLM:
    """A model with all ids, audio among them; the larger `ending`, the sooner its turns end.

    float64: in float32 one draw in some 100000 falls on an edge that a batch rounds otherwise.
    """
    torch.manual_seed(seed)
    config = Step1Config(
        hidden_size=30,
        intermediate_size=40,
        num_attention_heads=6,
        num_attention_groups=2,
        num_hidden_layers=2,
        initializer_range=0.4,
    )
    made = Step1ForCausalLM(config).double().eval()
    with torch.no_grad():
        made.lm_head.weight[END_OF_TURN_ID] *= ending
    return made
