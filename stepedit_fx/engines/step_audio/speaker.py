"""Who speaks: the CAM++ speaker encoder (`campplus.onnx`), by onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stepedit_fx.audio import Samples
from stepedit_fx.engines.step_audio.features import FBANK_BINS, FBANK_WINDOW, kaldi_fbank
from stepedit_fx.engines.step_audio.onnx_model import OnnxModel, Wanted
from stepedit_fx.errors import EngineError

EMBEDDING = 192


class SpeakerEncoder:
    """`campplus.onnx`. Raises ReadError where the file is not that model."""

    def __init__(self, path: Path | str, device: torch.device | str = "cpu") -> None:
        self.model = OnnxModel(path, [Wanted("fbank", "float", (1, None, FBANK_BINS))], device)

    def embed(self, samples: Tensor) -> Samples:
        """The voice as (192,) float32.

        samples: (n,) at 16 kHz and the prompt's level. Raises EngineError for less than 25 ms, or
        where the network gives something else.
        """
        if len(samples) < FBANK_WINDOW:
            raise EngineError(
                f"{len(samples)} samples are too few to tell a voice",
                remedy="Give at least 0.3 s of speech.",
            )
        out = self.model.run(speaker_features(samples.detach().cpu().float())[None].numpy())
        embedding = np.asarray(out, np.float32).reshape(-1)
        if embedding.shape != (EMBEDDING,) or not np.isfinite(embedding).all():
            raise EngineError(
                f"{self.model.path.name} gave {embedding.shape[0]} numbers for a voice, expected "
                f"{EMBEDDING} finite ones",
                remedy="Is it the speaker encoder of Step-Audio-EditX?",
            )
        return embedding


def speaker_features(samples: Tensor) -> Tensor:
    """Filterbank frames without their mean, (frames, 80): the mean is the microphone's."""
    fbank = kaldi_fbank(samples, "povey")
    return fbank - fbank.mean(dim=0)
