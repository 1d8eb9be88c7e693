"""The golden vocoders, and random ones of other sizes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch
from flow_helpers import GOLDEN
from torch import Tensor

from stepedit_fx.engines.step_audio.bigvgan import BigVgan, BigVganConfig
from stepedit_fx.engines.step_audio.hift import Hift, HiftConfig
from stepedit_fx.engines.step_audio.vocoder import Vocoder, open_vocoder
from stepedit_fx.engines.step_audio.vocoder_network import Network
from stepedit_fx.engines.step_audio.weights import assign

KINDS = ("hift", "bigvgan")

# Channels and rates that are no powers of two, two blocks a stage, another STFT.
ODD_HIFT = {
    "in_channels": 7, "base_channels": 20, "nb_harmonics": 2, "sampling_rate": 3000,
    "nsf_alpha": 0.1, "nsf_sigma": 0.003, "nsf_voiced_threshold": 10,
    "upsample_rates": [5, 3], "upsample_kernel_sizes": [11, 7],
    "istft_params": {"n_fft": 8, "hop_len": 2},
    "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 2], [1, 3]],
    "source_resblock_kernel_sizes": [5, 3], "source_resblock_dilation_sizes": [[1, 2], [1]],
    "lrelu_slope": 0.2, "audio_limit": 0.9, "f0_predictor": {"cond_channels": 6},
}  # fmt: skip
ODD_BIGVGAN = {
    "num_mels": 7, "upsample_initial_channel": 20,
    "upsample_rates": [5, 3], "upsample_kernel_sizes": [11, 7], "resblock": 1,
    "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 2], [1, 3]],
}  # fmt: skip


@cache
def golden_text() -> str:
    return (GOLDEN / "config.json").read_text(encoding="utf-8")


def golden_config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(golden_text())
    return config


def golden_state(kind: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(GOLDEN / f"{kind}.pt", weights_only=True)
    return state


@cache
def golden_vocoder(kind: str) -> Vocoder:
    return open_vocoder(golden_state(kind), golden_config(), source=f"{kind}.pt")


def odd_network(kind: str, **changed: object) -> Network:
    """Random weights that keep values near one."""
    with torch.device("meta"):
        network: Hift | BigVgan = (
            Hift(HiftConfig.model_validate({**ODD_HIFT, **changed}))
            if kind == "hift"
            else BigVgan(BigVganConfig.model_validate({**ODD_BIGVGAN, **changed}), 3000)
        )
    generator = torch.Generator().manual_seed(5)
    state = {
        name: torch.randn(t.shape, generator=generator)
        * (t[0].numel() ** -0.5 if t.ndim > 1 else 0.3)
        for name, t in network.state_dict().items()
    }
    for name in state:
        if kind == "hift" and name.endswith("alpha"):
            state[name] = state[name].abs() + 0.5
        if name == "f0_predictor.classifier.bias":
            state[name] += 100.0  # hertz: voiced
    return assign(network, state)


@cache
def odd_vocoder(kind: str) -> Vocoder:
    return Vocoder(odd_network(kind), "cpu")


def random_mel(frames: int, bands: int = 7, seed: int = 0) -> Tensor:
    return torch.randn(bands, frames, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def at_once(network: Network, mel: Tensor, seed: int) -> Tensor:
    """The whole mel through the network in one piece: what windows and streams must give."""
    excitation = network.excitation(seed).under(mel, 0, last=True)
    return network(mel[None], excitation[None])[0].clamp(-network.limit, network.limit)
