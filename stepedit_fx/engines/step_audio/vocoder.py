"""Mel to sound: HiFT or BigVGAN, whichever the checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, PositiveInt, ValidationError
from torch import Tensor

from stepedit_fx.engines.step_audio.bigvgan import BigVgan, BigVganConfig
from stepedit_fx.engines.step_audio.hift import Hift, HiftConfig
from stepedit_fx.engines.step_audio.vocoder_network import Network, check_mel, render
from stepedit_fx.engines.step_audio.vocoder_stream import VocoderStream
from stepedit_fx.engines.step_audio.weights import State, assign, fold_weight_norm, within
from stepedit_fx.errors import ReadError

Config = TypeVar("Config", bound=BaseModel)
OLD_PREFIX = "generator."
CONFIG_FILE = "cosyvoice.yaml"


class Vocoder:
    """A vocoder's network with the ways to use it.

    sample_rate: hertz. samples_per_frame: of sound for a frame of mel.
    """

    def __init__(self, network: Network, device: torch.device | str) -> None:
        self._network = network
        self._device = torch.device(device)
        self.sample_rate = network.sample_rate
        self.samples_per_frame = network.samples_per_frame

    @torch.inference_mode()
    def wav(self, mels: Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
        """The sound of each mel, (frames * samples_per_frame,), float32 on the CPU.

        mels: (bands, frames) each, of any number of frames. seeds: one for each mel, of the
        source's noise (HiFT); the same mel and seed give the same sound alone and in a batch.
        Raises EngineError for a mel of another shape and for sound that is not finite.
        """
        for mel in mels:
            check_mel(mel, self._network)
        ready = [mel.to(self._device, torch.float32) for mel in mels]
        excitations = [
            self._network.excitation(seed).under(mel, 0, last=True)
            for mel, seed in zip(ready, seeds, strict=True)
        ]
        return render(self._network, ready, excitations)

    def stream(self, seed: int) -> VocoderStream:
        """A take whose mel comes chunk by chunk; seed: as for `wav`."""
        return VocoderStream(self._network, seed, self._device)


class MelConfig(BaseModel):
    """`mel_conf` of the file: what the flow's mels are."""

    num_mels: PositiveInt
    sampling_rate: PositiveInt
    hop_size: PositiveInt


def open_vocoder(
    state: State, config: Mapping[str, Any], *, source: str, device: torch.device | str = "cpu"
) -> Vocoder:
    """The vocoder that a checkpoint's tensors are of.

    state: the tensors of `hift.pt`, weight-normed or not. config: all of `cosyvoice.yaml`. source:
    the file's name, for messages.
    Raises ReadError for tensors of another model, and for a config that is incomplete or does not
    fit `mel_conf`.
    """
    tensors = fold_weight_norm(within(state, OLD_PREFIX) or state)
    mel = _section(MelConfig, config, "mel_conf")
    network: Hift | BigVgan
    with torch.device("meta"):
        if any(name.startswith("activation_post.") for name in tensors):
            name = "bigvgan" if "bigvgan" in config else "hift"
            network = BigVgan(_section(BigVganConfig, config, name), mel.sampling_rate)
        else:
            network = Hift(_section(HiftConfig, config, "hift"))
    _check_fits(network, mel)
    assign(network, tensors, device=device, source=source)
    return Vocoder(network, device)


def _section(kind: type[Config], config: Mapping[str, Any], name: str) -> Config:
    """A section as what it must be; the arguments of an object may lie one deeper, under "h"."""
    values = config.get(name)
    if isinstance(values, Mapping) and isinstance(values.get("h"), Mapping):
        values = values["h"]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([name, *(str(part) for part in first["loc"])])
        raise ReadError.of(
            CONFIG_FILE, f"{place}: {first['msg']}", remedy="Is it another model's file?"
        ) from None


def _check_fits(network: Network, mel: MelConfig) -> None:
    pairs = {
        "bands": (network.bands, mel.num_mels),
        "sample rate": (network.sample_rate, mel.sampling_rate),
        "samples a frame": (network.samples_per_frame, mel.hop_size),
    }
    for what, (ours, wanted) in pairs.items():
        if ours != wanted:
            raise ReadError.of(CONFIG_FILE, f"{what}: the vocoder has {ours}, mel_conf {wanted}")
