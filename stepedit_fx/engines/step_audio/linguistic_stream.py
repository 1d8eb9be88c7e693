"""The linguistic tokenizer fed with sound as it comes: the same codes, 240 ms at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stepedit_fx.engines.step_audio.linguistic import (
    CHUNK_SAMPLES,
    HISTORY_SAMPLES,
    LinguisticTokenizer,
    code_count,
)
from stepedit_fx.engines.step_audio.sanm import CHUNK, OVERLAP, Windows
from stepedit_fx.errors import EngineError


class LinguisticStream:
    """One clip, in pieces of any length. All codes together are those of the whole clip.

    What it holds does not grow with the clip: less than 300 ms of samples, a window's overlap, and
    16 frames of keys and values of each layer.
    """

    def __init__(self, tokenizer: LinguisticTokenizer) -> None:
        self.tokenizer = tokenizer
        self._samples = torch.zeros(0)  # not yet encoded, and before them what those reach back to
        self._received = 0  # samples
        self._done = 0  # frames encoded
        self._before = tokenizer.cmvn.new_zeros(OVERLAP, tokenizer.sizes.inputs)
        self._kept = tokenizer.nothing_kept()
        self._finished = False

    def push(self, samples: Tensor) -> NDArray[np.int64]:
        """The codes that these samples complete, 4 for every 240 ms received.

        samples: (n,) at 16 kHz. Raises EngineError after `finish`.
        """
        if self._finished:
            raise EngineError("the stream is finished", remedy="Start another one.")
        self._samples = torch.cat([self._samples, samples.cpu().float()])
        self._received += len(samples)
        return self._advance(self._received // CHUNK_SAMPLES * CHUNK - self._done)

    def finish(self) -> NDArray[np.int64]:
        """The codes of what is left over."""
        codes = self._advance(code_count(self._received) - self._done)
        self._finished = True
        return codes

    def _advance(self, count: int) -> NDArray[np.int64]:
        if count == 0:
            return np.zeros(0, np.int64)
        history = HISTORY_SAMPLES if self._done else 0
        end = history + -(-count // CHUNK) * CHUNK_SAMPLES
        frames = self.tokenizer.features(self._samples[:end], count, self._done)
        windows = Windows.of(frames, self._before, self._done // CHUNK)
        rows = self.tokenizer.through(windows, self._kept)[:count]
        self._samples = self._samples[max(0, end - HISTORY_SAMPLES) :].clone()
        self._before = torch.cat([self._before, frames])[-OVERLAP:]
        self._done += count
        return self.tokenizer.nearest(rows)
