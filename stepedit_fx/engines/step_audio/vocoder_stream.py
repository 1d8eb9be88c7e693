"""Sound while the mel still grows.

The newest frames lack what follows them, so they are held back and made again when it is there;
the two versions are faded into one another. What came before is kept as far as the network sees,
so that the sound is that of the whole mel but for the frames just before a join.

The reference holds back as much, but keeps nothing of what came before, starts the source's
phase anew with every chunk, and fades by a Hamming window, whose halves add up to 1.08 and which
starts at 0.08: a bump of 0.7 dB with a step at each end. Less its pedestal it is a Hann window,
whose halves add up to 1; that is used here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stepedit_fx.engines.step_audio.vocoder_network import Network, check_mel, render
from stepedit_fx.errors import EngineError

HELD_FRAMES = 8  # mel_cache_len of the reference


class VocoderStream:
    """One take, chunk by chunk; its memory is bounded by the largest chunk.

    network: as `vocoder_network.Network`. seed: of the source's noise, as for the whole take.
    """

    def __init__(self, network: Network, seed: int, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._excitation = network.excitation(seed)
        self._mel = torch.zeros(network.bands, 0, device=device)  # what is still needed
        self._first = 0  # the frame of the take that it begins with
        self._given = 0  # frames whose sound has been given away
        self._tail = torch.zeros(0)  # what was made of the frames after those
        self._ended = False

    @torch.inference_mode()
    def push(self, mel: Tensor, last: bool = False) -> Tensor:
        """The sound that the mel so far settles, (samples,), on the CPU; may be empty.

        mel: (bands, frames), the next frames; none is allowed. last: the take ends with them. All
        that is given adds up to frames * samples_per_frame. Raises EngineError for a mel of
        another shape, for sound that is not finite, and after the last chunk.
        """
        if self._ended:
            raise EngineError("the vocoder's stream has ended", remedy="Open another one.")
        check_mel(mel, self._network)
        self._ended = last
        self._mel = torch.cat([self._mel, mel.to(self._mel)], 1)
        stop = self._first + self._mel.shape[1]
        settled = stop if last else stop - HELD_FRAMES
        if settled <= self._given or (mel.shape[1] == 0 and not last):
            return torch.zeros(0)
        sound = self._faded(self._rendered(last))
        return self._give(sound, settled)

    def _rendered(self, last: bool) -> Tensor:
        """The frames from the first that was not given away."""
        excitation = self._excitation.under(self._mel, self._first, last)
        sound = render(self._network, [self._mel], [excitation])[0]
        return sound[(self._given - self._first) * self._network.samples_per_frame :]

    def _faded(self, sound: Tensor) -> Tensor:
        samples = len(self._tail)
        share = torch.hann_window(2 * samples + 1, periodic=False)[:samples]
        sound[:samples] = torch.lerp(self._tail, sound[:samples], share)
        return sound

    def _give(self, sound: Tensor, settled: int) -> Tensor:
        size = self._network.samples_per_frame
        cut = (settled - self._given) * size
        self._tail = sound[cut : cut + (HELD_FRAMES - self._network.open_end_frames) * size].clone()
        self._given = settled
        first = max(self._first, settled - self._network.context_frames)
        self._mel = self._mel[:, first - self._first :].clone()
        self._first = first
        return sound[:cut]
