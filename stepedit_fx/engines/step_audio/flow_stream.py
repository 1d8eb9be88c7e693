"""The flow as tokens come: mel in chunks, with bounded memory.

Chunks are of 15, 24, then 48 steps, each decoded as soon as 3 more steps are there to look ahead
to. Attention sees the prompt, what is remembered, and the chunk itself; nothing later. What is
remembered is bounded: the estimator keeps the prompt and the newest 2 s of every layer at every
Euler step, the encoder the prompt and the newest 10 s. Between the prompt and what is remembered
the encoder's positions close up, so that no distance grows beyond those the network was trained on.
Source: the published Step-Audio-EditX checkpoint and its streaming decoder, whose noise, indexed by
the length of a cache, repeated once that was cut; here it goes on by absolute frame.
"""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import torch
from torch import Tensor

from stepedit_fx.engines.step_audio.flow import (
    FRAMES_PER_SECOND,
    STEPS,
    Conditioning,
    Flow,
    Noise,
    align_mel,
)
from stepedit_fx.engines.step_audio.vocabulary import GROUP, Codes, from_flow, to_flow
from stepedit_fx.errors import EngineError

CHUNK_STEPS = (15, 24, 48)  # the last size goes on; at 25 steps a second
ESTIMATOR_WINDOW_S = 2.0
ENCODER_WINDOW_S = 10.0


class FlowStream:
    """One clip's tokens to mel, piece by piece.

    Cutting the tokens into other pieces gives the same frames. Memory is that of the prompt and
    the windows, whatever the length: at the published size, in float32 and with 10 steps, 1.3 MB a
    frame of the prompt and of the estimator's window.
    """

    def __init__(
        self,
        flow: Flow,
        voice: Conditioning,
        seed: int,
        *,
        steps: int = STEPS,
        noise: Noise | None = None,
    ) -> None:
        """steps: of Euler. noise: draws of a seed, in place of the flow's own."""
        self._flow = flow
        self._voice = voice
        self._draw = (noise or flow.noise)(seed)
        self._steps = steps
        with torch.inference_mode():
            self._speaker = flow.speakers([voice])
        self._partial: Codes = np.zeros(0, np.int64)  # mixed tokens of a group not yet whole
        self._rows: Codes = np.zeros((0, 2), np.int64)  # flow rows not yet decoded
        self._sizes = chain(CHUNK_STEPS, repeat(CHUNK_STEPS[-1]))
        self._size = next(self._sizes)
        self._prompted = False
        self._ended = False
        window_steps = int(ENCODER_WINDOW_S * FRAMES_PER_SECOND) // flow.frames_per_step
        window_frames = int(ESTIMATOR_WINDOW_S * FRAMES_PER_SECOND)
        self._encoder_cache = flow.encoder.new_cache(window_steps)
        self._caches = [flow.estimator.new_cache(window_frames) for _ in range(steps)]

    @torch.inference_mode()
    def push(self, tokens: Codes, *, last: bool = False) -> Tensor:
        """The frames that these mixed tokens complete, (80, frames), on the flow's device.

        All pushes together give 6 frames a group. tokens: any number; a group may be cut anywhere
        but at the end. last: nothing follows, so that what is held back comes out.
        Raises EngineError for malformed tokens, or for a push after the last.
        """
        if self._ended:
            raise EngineError("tokens pushed after the last", remedy="Begin another stream.")
        mixed = np.concatenate([self._partial, tokens]) if len(tokens) else self._partial
        whole = len(mixed) if last else len(mixed) // GROUP * GROUP
        self._rows = np.concatenate([self._rows, to_flow(mixed[:whole])])
        self._partial = mixed[whole:]
        self._ended = last
        chunks = [torch.zeros(0, self._flow.mels, device=self._flow.device)]
        ahead = self._flow.encoder.sizes.look_ahead
        if not self._prompted:
            if last and len(self._rows) < ahead:
                return self._short()
            if len(self._rows) >= ahead:
                self._take_prompt(self._rows[:ahead])
        while len(self._rows) >= self._size + ahead:
            chunks.append(self._decode(self._rows[: self._size + ahead]))
            self._rows = self._rows[self._size :]
            self._size = next(self._sizes)
        if last and len(self._rows):
            chunks.append(self._decode(self._rows, last=True))
        return torch.cat(chunks).T.contiguous()

    @property
    def remembered_bytes(self) -> int:
        """Memory that the caches hold."""
        blocks = [block.bytes for caches in self._caches for block in caches]
        return self._encoder_cache.bytes + sum(blocks)

    def _short(self) -> Tensor:
        """The whole of a clip that is shorter than the look-ahead, so that it has no chunks."""
        item = (from_flow(self._rows), self._voice, 0)
        return self._flow.mel([item], steps=self._steps, noise=lambda _: self._draw)[0]

    def _take_prompt(self, following: Codes) -> None:
        """Decodes the prompt for what it leaves in the caches; its frames are known."""
        prompt = to_flow(self._voice.tokens)
        known = align_mel(self._voice.mel, len(prompt), self._flow.frames_per_step)
        self._decode(np.concatenate([prompt, following]), known)
        self._prompted = True

    def _decode(
        self, rows: Codes, condition: Tensor | None = None, *, last: bool = False
    ) -> Tensor:
        """Frames of a chunk, (frames, 80); rows that are not the last end with the look-ahead."""
        flow = self._flow
        mu = flow.encode(
            torch.as_tensor(rows, device=flow.device)[None], cache=self._encoder_cache, last=last
        )
        known = torch.zeros_like(mu) if condition is None else condition.to(mu)[None]
        noise = self._draw(mu.shape[1]).to(mu)[None]
        mel = flow.solve(noise, mu, self._speaker, known, steps=self._steps, caches=self._caches)
        return mel[0]
