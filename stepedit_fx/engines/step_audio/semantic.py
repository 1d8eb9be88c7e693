"""The semantic tokenizer (VQ06, CosyVoice's S3 v1) by onnxruntime: 25 codes of 0..4095 a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stepedit_fx.engines.step_audio.features import WHISPER_BINS, whisper_log_mel
from stepedit_fx.engines.step_audio.onnx_model import Array, OnnxModel, Wanted
from stepedit_fx.engines.step_audio.vocabulary import SEMANTIC_CODES
from stepedit_fx.errors import EngineError

CODE_SAMPLES = 640  # at 16 kHz: 40 ms
LONGEST = 750 * CODE_SAMPLES  # 30 s, the longest piece the network was trained on
SEARCHED = 125 * CODE_SAMPLES  # a pause is looked for in the last 5 s of them
SHORTEST = 480  # a shorter piece is dropped
COUNT_SLACK = 2  # codes more or fewer than 25 a second


class SemanticTokenizer:
    """`speech_tokenizer_v1.onnx`. Raises ReadError where the file is not that model."""

    def __init__(self, path: Path | str, device: torch.device | str = "cpu") -> None:
        inputs = [
            Wanted("log-mel", "float", (1, WHISPER_BINS, None)),
            Wanted("its frames", "int32", (1,)),
        ]
        self.model = OnnxModel(path, inputs, device)

    def codes(self, clips: Sequence[Tensor]) -> list[NDArray[np.int64]]:
        """Codes of each clip, 25 a second.

        clips: each (n,), trimmed, at 16 kHz. Over 30 s they are cut at pauses. Raises EngineError
        where the network gives codes out of range, or too many or too few.
        """
        return [self._of_clip(clip.detach().cpu().float()) for clip in clips]

    def _of_clip(self, clip: Tensor) -> NDArray[np.int64]:
        pieces = [self._of_piece(piece) for piece in pieces_at_pauses(clip)]
        return np.concatenate([*pieces, np.zeros(0, np.int64)])

    def _of_piece(self, samples: Tensor) -> NDArray[np.int64]:
        mel = whisper_log_mel(samples)[None].numpy()  # (1, 128, frames)
        out = self.model.run(mel, np.array([mel.shape[2]], np.int32)).reshape(-1)
        expected = len(samples) / CODE_SAMPLES
        if abs(len(out) - expected) > COUNT_SLACK:
            raise EngineError(
                f"{self.model.path.name} gave {len(out)} codes for {len(samples) / 16000:.2f} s, "
                f"expected about {expected:.0f}",
                remedy="Is it the 25 Hz tokenizer of Step-Audio-Tokenizer?",
            )
        return self._whole(out)

    def _whole(self, out: Array) -> NDArray[np.int64]:
        finite = out.dtype.kind in "iu" or bool(np.isfinite(out).all())
        codes = out.astype(np.int64) if finite else np.full(len(out), -1, np.int64)
        if (codes != out).any() or (codes < 0).any() or (codes >= SEMANTIC_CODES).any():
            raise EngineError(
                f"{self.model.path.name} gave what is no code of 0..{SEMANTIC_CODES - 1}",
                remedy="Is it the tokenizer of Step-Audio-Tokenizer?",
            )
        return codes


def pieces_at_pauses(samples: Tensor) -> list[Tensor]:
    """A clip in pieces of at most 30 s, each but the last a whole number of codes long.

    samples: (n,) at 16 kHz. The cut is where the last 5 s are quietest; at equal level, late.
    """
    pieces = []
    while len(samples) > LONGEST:
        end = _quietest(samples[:LONGEST])
        pieces.append(samples[:end])
        samples = samples[end:]
    return [piece for piece in (*pieces, samples) if len(piece) >= SHORTEST]


def _quietest(samples: Tensor) -> int:
    first = len(samples) - SEARCHED
    power = samples[first - CODE_SAMPLES :].reshape(-1, CODE_SAMPLES).square().sum(dim=1)
    around = (power[:-1] + power[1:]).flip(0)  # of the 40 ms before and after each cut, last first
    return len(samples) - CODE_SAMPLES * (1 + int(around.argmin()))
