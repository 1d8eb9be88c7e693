"""The linguistic tokenizer (VQ02): what is said, as 16.67 codes of 0..1023 a second.

Filterbank frames stacked to 60 ms, Paraformer's streaming encoder, and the nearest of its k-means
centroids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stepedit_fx.engines.step_audio.features import (
    FBANK_BINS,
    FBANK_HOP,
    INT16_SCALE,
    STACK,
    STACK_HOP,
    STACK_LEFT,
    fbank_frames,
    kaldi_fbank,
    stack_frames,
)
from stepedit_fx.engines.step_audio.sanm import (
    CHUNK,
    LOOK_BACK,
    OVERLAP,
    ChunkEncoder,
    Sizes,
    Windows,
)
from stepedit_fx.engines.step_audio.vocabulary import LINGUISTIC_CODES
from stepedit_fx.engines.step_audio.weights import State, assign, within
from stepedit_fx.errors import ReadError

CHUNK_SAMPLES = CHUNK * STACK_HOP * FBANK_HOP  # 240 ms at 16 kHz
HISTORY_SAMPLES = STACK_LEFT * FBANK_HOP  # before a chunk, that its first stack reaches back to

GROUP_CHUNKS = 128  # through the layers side by side: half a minute, in about 100 MB
LONGEST_PERIOD = 10000.0  # of the sinusoids

# What the published config.yaml says where this network could be built in another way. Chunk sizes
# are not among it: the reference's tokenizer sets its own, whatever the file says.
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "encoder_conf": {
        "input_layer": "pe_online",
        "normalize_before": True,
        "sanm_shfit": 0,
        "selfattention_layer_type": "sanm",
    },
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": FBANK_BINS,
        "frame_length": 25,
        "frame_shift": 10,
        "lfr_m": STACK,
        "lfr_n": STACK_HOP,
    },
}


def read_heads(config: Mapping[str, Any], source: str) -> int:
    """Attention heads of the encoder that a config.yaml describes.

    Raises ReadError where it describes another network than this file computes.
    """
    for section, wanted in PUBLISHED.items():
        found = config.get(section)
        for key, value in wanted.items():
            if isinstance(found, Mapping) and found.get(key, value) != value:
                raise ReadError.of(
                    source,
                    f"{section}.{key} is {found[key]!r}, wanted {value!r}",
                    remedy="Is it the online Paraformer of Step-Audio-Tokenizer?",
                )
    conf = config.get("encoder_conf")
    heads = conf.get("attention_heads") if isinstance(conf, Mapping) else None
    if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1:
        raise ReadError.of(source, "encoder_conf.attention_heads is not a number of heads")
    return heads


def code_count(samples: int) -> int:
    """Codes of a clip of so many samples at 16 kHz.

    A chunk of 240 ms gives 4. What is left over counts only if it fills the first of its stacks
    (880 samples); its last stack is filled up. Source: the published frontend's behaviour.
    """
    chunks = samples // CHUNK_SAMPLES
    frames = fbank_frames(samples) - chunks * CHUNK * STACK_HOP
    filled = frames + STACK_LEFT >= STACK
    return chunks * CHUNK + (-(-frames // STACK_HOP) if filled else 0)


class LinguisticTokenizer(nn.Module):
    """Sound to linguistic codes. Made by `from_state`; float32, on the device of its tensors."""

    def __init__(self, sizes: Sizes, centroids: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = ChunkEncoder(sizes)
        self.cmvn = nn.Parameter(torch.empty(2, sizes.inputs))
        self.centroids = nn.Parameter(torch.empty(centroids, sizes.width))

    @classmethod
    def from_state(
        cls,
        state: State,
        cmvn: Tensor,
        centroids: Tensor,
        heads: int,
        *,
        source: str = "model.pt",
        device: torch.device | str = "cpu",
    ) -> LinguisticTokenizer:
        """The tokenizer of a checkpoint.

        state: of model.pt; what is not under `encoder.` is another network's. cmvn: as `read_cmvn`
        gives it. centroids: (codes, width). heads: as `read_heads` gives it. Raises ReadError where
        these do not fit one another.
        """
        encoder = within(state, "encoder.")
        sizes = Sizes.of(encoder, heads, source)
        if centroids.ndim != 2 or not 0 < len(centroids) <= LINGUISTIC_CODES:
            raise ReadError.of(
                source,
                f"the linguistic codebook is {tuple(centroids.shape)}, wanted "
                f"({LINGUISTIC_CODES}, {sizes.width})",
                remedy="Is it linguistic_tokenizer.npy of Step-Audio-Tokenizer?",
            )
        with torch.device("meta"):
            network = cls(sizes, len(centroids))
        tensors = {f"encoder.{name}": tensor for name, tensor in encoder.items()}
        tensors |= {"cmvn": cmvn, "centroids": centroids}
        return assign(network, tensors, device=device, source=source)

    def codes(self, clips: Sequence[Tensor]) -> list[NDArray[np.int64]]:
        """Codes of each clip, `code_count` of its samples.

        clips: each (n,), trimmed, at 16 kHz. All chunks of all clips go through a layer together.
        """
        return [self.nearest(frames) for frames in self.encode(clips)]

    @torch.inference_mode()
    def encode(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's frames of each clip, (codes, width) each."""
        features = [self.features(clip, code_count(len(clip)), 0) for clip in clips]
        before = self.cmvn.new_zeros(OVERLAP, self.sizes.inputs)
        parts = [Windows.of(frames, before, 0) for frames in features if len(frames)]
        if not parts:
            return [self.centroids[:0]] * len(features)
        rows = self.through(Windows.side_by_side(parts), self.nothing_kept())
        out, at = [], 0
        for frames in features:
            out.append(rows[at : at + len(frames)])
            at += -(-len(frames) // CHUNK) * CHUNK
        return out

    @torch.inference_mode()
    def features(self, samples: Tensor, count: int, first: int) -> Tensor:
        """What the encoder takes of part of a clip, (count, 560).

        samples: the part at 16 kHz and, unless it is the clip's start, 30 ms before it.
        first: number in the clip of the part's first frame.
        """
        if count == 0:
            return self.cmvn.new_zeros(0, self.sizes.inputs)
        samples = samples.to(self.cmvn.device, torch.float32)
        fbank = kaldi_fbank(samples * INT16_SCALE, "hamming")
        if first == 0:
            fbank = torch.cat([fbank[:1].expand(STACK_LEFT, -1), fbank])
        stacks = (stack_frames(fbank, count) + self.cmvn[0]) * self.cmvn[1]
        return stacks * math.sqrt(self.sizes.width) + _positions(first, count, stacks)

    @torch.inference_mode()
    def through(self, windows: Windows, kept: list[Tensor]) -> Tensor:
        """The encoder's frames of all chunks, (chunks * 4, width), some chunks at a time."""
        groups = range(0, len(windows.index), GROUP_CHUNKS)
        return torch.cat([self.encoder(windows[at : at + GROUP_CHUNKS], kept) for at in groups])

    def nothing_kept(self) -> list[Tensor]:
        """What the layers keep before a first chunk."""
        return [self.cmvn.new_zeros(LOOK_BACK * CHUNK, 2 * self.sizes.width)] * self.sizes.layers

    @torch.inference_mode()
    def nearest(self, frames: Tensor) -> NDArray[np.int64]:
        """The nearest centroid of each frame (Euclidean), (n,)."""
        if not len(frames):
            return np.zeros(0, np.int64)
        nearest = torch.cdist(frames, self.centroids).argmin(dim=1)
        return nearest.cpu().numpy().astype(np.int64)


def _positions(first: int, count: int, like: Tensor) -> Tensor:
    """Sinusoids of frame numbers that start at 1, (count, size): all sines, then all cosines.

    In float32 and on the CPU like the reference's: far into a clip the rounding shows.
    """
    half = like.shape[1] // 2
    step = torch.tensor(LONGEST_PERIOD).log() / (half - 1)
    rates = torch.exp(torch.arange(half, dtype=torch.float32) * -step)
    frames = torch.arange(first + 1, first + count + 1, dtype=torch.float32)
    angles = torch.outer(frames, rates)
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(like.device)
