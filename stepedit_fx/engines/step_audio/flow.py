"""The flow: mixed tokens, and how a voice sounds, to a mel spectrogram.

The encoder turns codes into `mu`, a first guess at the mel. The estimator moves noise towards a mel
along that guess, the speaker and the prompt's own mel, in Euler steps on a cosine schedule; each
step is pushed away from what the estimator would do knowing none of them (classifier-free
guidance). The prompt stands before the target and its frames are dropped in the end.
Source: the published Step-Audio-EditX checkpoint, `flow.pt` and `cosyvoice.yaml`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stepedit_fx.engines.step_audio.dit import BlockCache, Estimator, EstimatorSizes
from stepedit_fx.engines.step_audio.flow_config import check_config, check_tensors, guidance
from stepedit_fx.engines.step_audio.flow_encoder import EncoderCache, EncoderSizes, FlowEncoder
from stepedit_fx.engines.step_audio.flow_layers import size
from stepedit_fx.engines.step_audio.vocabulary import Codes, to_flow
from stepedit_fx.engines.step_audio.weights import State, assign, within
from stepedit_fx.errors import Cancelled, EngineError, RequestError

FRAMES_PER_SECOND = 50  # of the mel: 24000 Hz / 480
STEPS = 10  # of Euler, as published
NOISE_BLOCK = 50  # frames drawn at once

# Frames of prompts and targets decoded at once, padding included. At the published size 3000 took
# 350 MB on a CPU, which larger batches do not make faster.
BATCH_FRAMES = 3000
GPU_BATCH_FRAMES = 24000

Draw = Callable[[int], Tensor]  # how many frames -> the next so many, (frames, mels)
Noise = Callable[[int], Draw]  # a seed -> its draws


@dataclass(frozen=True)
class Conditioning:
    """The voice to speak with: one clip's codes, its mel and its speaker embedding.

    tokens: mixed prompt tokens, (groups * 5,). mel: the same clip's log-mel, (frames, 80), about 50
    a second; it is stretched to 2 frames a flow step. speaker: (192,).
    Raises EngineError when one of them is empty, malformed or not finite.
    """

    tokens: Codes
    mel: NDArray[np.float32]
    speaker: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not len(to_flow(self.tokens)):
            raise EngineError("a prompt needs at least one group of audio tokens")
        for name, array, axes in (("mel", self.mel, 2), ("speaker embedding", self.speaker, 1)):
            if array.ndim != axes or not array.size:
                raise EngineError(f"a prompt's {name} must have {axes} axes, got {array.shape}")
            if not np.isfinite(array).all():
                raise EngineError(f"a prompt's {name} holds NaN or infinity")


Item = tuple[Codes, Conditioning, int]  # mixed tokens, the voice, the seed of the noise


def align_mel(mel: NDArray[np.float32], steps: int, frames_per_step: int = 2) -> Tensor:
    """A prompt's mel, (frames, mels), stretched by nearest neighbour to the flow's steps.

    The result is (steps * frames_per_step, mels).
    """
    given = torch.as_tensor(mel, dtype=torch.float32).T[None]  # (1, M, T)
    return F.interpolate(given, size=steps * frames_per_step, mode="nearest")[0].T


def seeded_noise(seed: int, mels: int) -> Draw:
    """Noise by absolute frame: each call gives the next frames of one endless row, (frames, mels).

    Frame k is the same whatever was asked for before, since frames are drawn in blocks of one
    size. Drawn on the CPU, so that a seed means the same on every device.
    """
    blocks = _noise_blocks(seed, mels)
    held = torch.empty(0, mels)

    def draw(frames: int) -> Tensor:
        nonlocal held
        pieces = [held]
        while sum(len(p) for p in pieces) < frames:
            pieces.append(next(blocks))
        drawn = torch.cat(pieces)
        held = drawn[frames:]
        return drawn[:frames]

    return draw


def _noise_blocks(seed: int, mels: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(NOISE_BLOCK, mels, generator=generator)


class DualEmbedding(nn.Module):
    """Both codebooks' rows in one table: (batch, steps, 2) to (batch, steps, 2 * half)."""

    def __init__(self, rows: int, half: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(rows, half)

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.embedding(rows).flatten(2)
        return out


class Flow(nn.Module):
    """Codes to mel; see the module."""

    def __init__(
        self,
        encoder: EncoderSizes,
        estimator: EstimatorSizes,
        *,
        rows: int,
        speaker: int,
        guidance: float,
    ) -> None:
        super().__init__()
        self.guidance = guidance
        self.mels = mels = estimator.outputs
        self.input_embedding = DualEmbedding(rows, encoder.inputs // 2)
        self.spk_embed_affine_layer = nn.Linear(speaker, mels)
        self.encoder = FlowEncoder(encoder)
        self.encoder_proj = nn.Linear(encoder.width, mels)
        self.decoder = nn.ModuleDict({"estimator": Estimator(estimator)})

    @classmethod
    def from_state(
        cls,
        state: State,
        config: Mapping[str, Any],
        *,
        source: str = "flow.pt",
        device: torch.device | str = "cpu",
    ) -> Flow:
        """The network of a checkpoint, in float32 on a device.

        state: the tensors of `flow.pt`. config: what `cosyvoice.yaml` has under ``flow``: the
        guidance is taken from it; sizes are read off the tensors and must not differ from it.
        source: the file's name, for messages.
        Raises ReadError when tensors or config are of another model.
        """
        encoder = EncoderSizes.of(within(state, "encoder."), source)
        estimator = EstimatorSizes.of(within(state, "decoder.estimator."), source)
        rows = size(state, "input_embedding.embedding.weight", 0, source)
        check_config(config, encoder, estimator, source)
        check_tensors(rows, estimator, source)
        with torch.device("meta"):
            network = cls(
                encoder,
                estimator,
                rows=rows,
                speaker=size(state, "spk_embed_affine_layer.weight", 1, source),
                guidance=guidance(config, source),
            )
        return assign(network, state, device=device, source=source)

    @property
    def device(self) -> torch.device:
        return self.encoder_proj.weight.device

    @property
    def frames_per_step(self) -> int:
        return self.encoder.sizes.upsampling

    @property
    def estimator(self) -> Estimator:
        return cast(Estimator, self.decoder["estimator"])

    def noise(self, seed: int) -> Draw:
        """The noise of a seed, as `mel` takes it where no other is given."""
        return seeded_noise(seed, self.mels)

    @torch.inference_mode()
    def mel(
        self,
        items: Sequence[Item],
        *,
        steps: int = STEPS,
        noise: Noise | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> list[Tensor]:
        """The mel of each item's tokens, (80, frames) with 6 frames a group, on the flow's device.

        Items of any lengths are decoded as one batch (several, if they are long together), equal to
        one by one within float rounding. noise: draws of a seed, in place of `seeded_noise`.
        stopped: asked before every step.
        Raises EngineError for malformed tokens, a prompt of other sizes, or a result that is not
        finite; Cancelled when it was stopped.
        """
        mels: list[Tensor | None] = [None] * len(items)
        noise = noise or self.noise
        rows = [(to_flow(voice.tokens), to_flow(tokens)) for tokens, voice, _ in items]
        lengths = [len(prompt) + len(target) for prompt, target in rows]
        most = BATCH_FRAMES if self.device.type == "cpu" else GPU_BATCH_FRAMES
        for batch in _batches(lengths, most // self.frames_per_step):
            decoded = self._decode(
                [items[i] for i in batch], [rows[i] for i in batch], steps, noise, stopped
            )
            for i, mel in zip(batch, decoded, strict=True):
                mels[i] = mel
        return [mel for mel in mels if mel is not None]

    def encode(
        self,
        rows: Tensor,
        *,
        valid: Tensor | None = None,
        cache: EncoderCache | None = None,
        last: bool = True,
    ) -> Tensor:
        """Rows of the embedding, (batch, steps, 2), as mu, (batch, frames, 80).

        valid, cache, last: as `FlowEncoder` has them.
        """
        features = self.encoder(self.input_embedding(rows), valid=valid, cache=cache, last=last)
        mu: Tensor = self.encoder_proj(features)
        return mu

    def speakers(self, voices: Sequence[Conditioning]) -> Tensor:
        """The speaker of each voice as the estimator takes it, (batch, 80).

        Raises EngineError when a voice's mel or embedding has another size than the network's.
        """
        wanted = (self.mels, self.spk_embed_affine_layer.in_features)
        for voice in voices:
            if (voice.mel.shape[1], len(voice.speaker)) != wanted:
                raise EngineError(
                    f"a prompt has {voice.mel.shape[1]} mel bands and a speaker embedding of "
                    f"{len(voice.speaker)}, the flow takes {wanted[0]} and {wanted[1]}",
                    remedy="Were the prompt's features made by another model's tokenizer?",
                )
        given = torch.as_tensor(np.stack([voice.speaker for voice in voices]), dtype=torch.float32)
        speakers: Tensor = self.spk_embed_affine_layer(F.normalize(given.to(self.device), dim=1))
        return speakers

    def solve(
        self,
        noise: Tensor,
        mu: Tensor,
        speakers: Tensor,
        condition: Tensor,
        *,
        steps: int,
        valid: Tensor | None = None,
        caches: Sequence[Sequence[BlockCache]] | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Tensor:
        """Noise moved to mel frames; noise, mu, condition and result are (batch, frames, 80).

        speakers: (batch, 80). valid: (batch, frames), False where a row is padding. caches: of the
        estimator, one for each step. stopped: asked before every step.
        Raises RequestError for no steps, Cancelled.
        """
        context = torch.cat([mu, speakers[:, None].expand_as(mu), condition], dim=2)
        context = torch.cat([context, torch.zeros_like(context)])  # guided, then unguided
        valid = None if valid is None else valid.repeat(2, 1)
        x = noise
        for step, (time, after) in enumerate(pairwise(_times(steps).to(mu.device))):
            if stopped():
                raise Cancelled("the job was cancelled", remedy="Nothing half-made was kept.")
            velocity = self.estimator(
                x.repeat(2, 1, 1),
                context,
                time[None],
                valid=valid,
                cache=caches[step] if caches else None,
            )
            guided, unguided = velocity.chunk(2)
            velocity = (1 + self.guidance) * guided - self.guidance * unguided
            x = x + (after - time) * velocity
        if not torch.isfinite(x).all():
            raise EngineError(
                "the flow's mel holds NaN or infinity",
                remedy="Are the weights whole? `stepedit-fx models check` reads every tensor.",
            )
        return x

    def _decode(
        self,
        items: Sequence[Item],
        rows: Sequence[tuple[Codes, Codes]],
        steps: int,
        noise: Noise,
        stopped: Callable[[], bool],
    ) -> list[Tensor]:
        """The mel of each item, as one batch padded at the end."""
        speakers = self.speakers([voice for _, voice, _ in items])
        whole = [np.concatenate(pair) for pair in rows]
        lengths = [len(row) for row in whole]
        tokens = np.zeros((len(items), max(lengths), 2), np.int64)
        per_step = self.frames_per_step
        x = torch.zeros(len(items), max(lengths) * per_step, self.mels)
        condition = torch.zeros_like(x)
        for i, ((_, voice, seed), (prompt, _)) in enumerate(zip(items, rows, strict=True)):
            tokens[i, : lengths[i]] = whole[i]
            x[i, : lengths[i] * per_step] = noise(seed)(lengths[i] * per_step)
            condition[i, : len(prompt) * per_step] = align_mel(voice.mel, len(prompt), per_step)
        valid = _valid(lengths, self.device)
        mel = self.solve(
            x.to(self.device),
            self.encode(torch.as_tensor(tokens, device=self.device), valid=valid),
            speakers,
            condition.to(self.device),
            steps=steps,
            valid=None if valid is None else valid.repeat_interleave(per_step, dim=1),
            stopped=stopped,
        )
        ends = [
            (len(prompt) * per_step, n * per_step)
            for (prompt, _), n in zip(rows, lengths, strict=True)
        ]
        # Copied, so that one clip's mel does not hold the whole batch.
        return [mel[i, start:end].T.contiguous() for i, (start, end) in enumerate(ends)]


def _valid(lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """(batch, longest), False behind a shorter row's end; None where all are as long."""
    if min(lengths) == max(lengths):
        return None
    places = torch.arange(max(lengths), device=device)
    return places < torch.tensor(lengths, device=device)[:, None]


def _times(steps: int) -> Tensor:
    """Times of the Euler steps from 0 to 1, (steps + 1,): small steps first."""
    if steps < 1:
        raise RequestError(f"{steps} flow steps", remedy=f"Take 1 or more; {STEPS} is usual.")
    return 1 - torch.cos(torch.linspace(0, 1, steps + 1) * 0.5 * math.pi)


def _batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Indices by length, in batches that hold at most so many steps, padding included."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > most:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
