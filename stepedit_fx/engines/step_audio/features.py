"""Spectral features of speech, as the networks of the checkpoint were trained on them.

Four kinds: Kaldi filterbanks for the linguistic tokenizer (stacked to a low frame rate) and for the
speaker encoder, whisper's log-mel for the semantic tokenizer, and the prompt mel of the flow.
Samples are float32, full scale at 1.0, on any device; features stay on that device.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from stepedit_fx.errors import ReadError

# Kaldi filterbank (compute-fbank-feats): 25 ms every 10 ms at 16 kHz.
FBANK_RATE_HZ = 16000
FBANK_WINDOW = 400  # samples
FBANK_HOP = 160
FBANK_FFT = 512  # the window rounded up to a power of two
FBANK_BINS = 80
FBANK_LOW_HZ = 20.0
PREEMPHASIS = 0.97
FBANK_BLOCK = 4096  # frames at a time, so that ten minutes take no more memory than forty seconds

# Low frame rate: 7 frames beside one another, every 6 frames.
STACK = 7
STACK_HOP = 6
STACK_LEFT = (STACK - 1) // 2  # the first frame is repeated this often before itself

INT16_SCALE = 32768.0  # the linguistic tokenizer was trained on 16-bit numbers

# whisper's log-mel (the large-v3 size), at 16 kHz.
WHISPER_FFT = 400
WHISPER_HOP = 160
WHISPER_BINS = 128

# The flow's prompt mel (matcha's), at 24 kHz.
PROMPT_RATE_HZ = 24000
PROMPT_FFT = 1920
PROMPT_HOP = 480
PROMPT_BINS = 80
PROMPT_HIGH_HZ = 8000.0

Window = Literal["hamming", "povey"]


def fbank_frames(samples: int) -> int:
    """Whole analysis windows in so many samples at 16 kHz."""
    return max(0, (samples - FBANK_WINDOW) // FBANK_HOP + 1)


@torch.inference_mode()
def kaldi_fbank(samples: Tensor, window: Window) -> Tensor:
    """Kaldi's log-mel filterbank without dither, (frames, 80).

    samples: (n,) at 16 kHz, in the scale that the network wants. Only whole windows count (Kaldi's
    snip-edges); no frames for fewer than 400 samples.
    """
    count = fbank_frames(samples.shape[0])
    if count == 0:
        return samples.new_zeros(0, FBANK_BINS)
    frames = samples.unfold(0, FBANK_WINDOW, FBANK_HOP)  # (frames, 400), a view
    blocks = [frames[at : at + FBANK_BLOCK] for at in range(0, count, FBANK_BLOCK)]
    return torch.cat([_fbank_block(block, window) for block in blocks])


def _fbank_block(frames: Tensor, window: Window) -> Tensor:
    frames = frames - frames.mean(dim=1, keepdim=True)
    previous = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - PREEMPHASIS * previous) * _kaldi_window(window, frames.device)
    power: Tensor = torch.fft.rfft(frames, FBANK_FFT).abs().square()  # (frames, 257)
    mel = power @ _kaldi_filters(frames.device)
    return mel.clamp_min(torch.finfo(torch.float32).eps).log()


@lru_cache(maxsize=8)
def _kaldi_window(kind: Window, device: torch.device) -> Tensor:
    phase = torch.arange(FBANK_WINDOW, dtype=torch.float64) * (2 * math.pi / (FBANK_WINDOW - 1))
    if kind == "hamming":
        shape = 0.54 - 0.46 * torch.cos(phase)
    else:  # Povey's: a Hann window to the power of 0.85
        shape = (0.5 - 0.5 * torch.cos(phase)) ** 0.85
    return shape.float().to(device)


@lru_cache(maxsize=4)
def _kaldi_filters(device: torch.device) -> Tensor:
    """Triangles that are straight on the mel axis, 20 Hz to Nyquist, (257, 80)."""

    def mel(hz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hz / 700.0)

    ends = mel(torch.tensor([FBANK_LOW_HZ, FBANK_RATE_HZ / 2], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), FBANK_BINS + 2, dtype=torch.float64)
    bins = mel(_bin_hz(FBANK_RATE_HZ, FBANK_FFT))
    return _triangles(bins, edges).float().to(device)


def stack_frames(fbank: Tensor, count: int) -> Tensor:
    """The low frame rate: 7 frames beside one another, every 6 frames, (count, 560).

    fbank: (frames, 80), left context included. Where the last stack runs over the end, the last
    frame is repeated.
    """
    missing = (count - 1) * STACK_HOP + STACK - fbank.shape[0]
    if missing > 0:
        fbank = torch.cat([fbank, fbank[-1:].expand(missing, -1)])
    stacks = fbank.unfold(0, STACK, STACK_HOP)[:count]  # (count, 80, 7)
    return stacks.transpose(1, 2).reshape(count, STACK * fbank.shape[1])  # (count, 7 * 80)


@torch.inference_mode()
def whisper_log_mel(samples: Tensor) -> Tensor:
    """whisper's log-mel of 16 kHz samples, (128, n // 160).

    samples: (n,), more than 200 (the window's reflected edge).
    """
    window = _hann(WHISPER_FFT, samples.device)
    spectrum = torch.stft(samples, WHISPER_FFT, WHISPER_HOP, window=window, return_complex=True)
    power = spectrum[:, :-1].abs().square()  # (201, frames)
    mel = _slaney_filters(FBANK_RATE_HZ, WHISPER_FFT, WHISPER_BINS, samples.device).T @ power
    log = mel.clamp_min(1e-10).log10()
    log = torch.maximum(log, log.max() - 8.0)
    return (log + 4.0) / 4.0


@torch.inference_mode()
def prompt_mel(samples: Tensor) -> Tensor:
    """The mel that the flow takes as its prompt: natural log, 0 to 8000 Hz, (n // 480, 80).

    samples: (n,) at 24 kHz, more than 720 (the reflected edge).
    """
    edge = (PROMPT_FFT - PROMPT_HOP) // 2
    padded = F.pad(samples[None], (edge, edge), mode="reflect")[0]
    window = _hann(PROMPT_FFT, samples.device)
    spectrum = torch.stft(
        padded, PROMPT_FFT, PROMPT_HOP, window=window, center=False, return_complex=True
    )
    magnitude = (spectrum.abs().square() + 1e-9).sqrt()  # (961, frames)
    filters = _slaney_filters(
        PROMPT_RATE_HZ, PROMPT_FFT, PROMPT_BINS, samples.device, PROMPT_HIGH_HZ
    )
    return (magnitude.T @ filters).clamp_min(1e-5).log()


@lru_cache(maxsize=8)
def _hann(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


@lru_cache(maxsize=8)
def _slaney_filters(
    rate_hz: int, fft: int, bins: int, device: torch.device, high_hz: float = 0.0
) -> Tensor:
    """librosa's default mel filterbank, (fft / 2 + 1, bins): Slaney's scale, triangles of area 1.

    high_hz: the upper end; 0 is the Nyquist frequency.
    """
    top = _slaney_mel(high_hz or rate_hz / 2)
    edges = torch.tensor([_slaney_hz(top * i / (bins + 1)) for i in range(bins + 2)]).double()
    filters = _triangles(_bin_hz(rate_hz, fft), edges) * (2.0 / (edges[2:] - edges[:-2]))
    return filters.float().to(device)


# Slaney's scale (his Auditory Toolbox): linear to 1 kHz, 15 mel there, then 27 mel for each 6.4.
_LINEAR_HZ = 200.0 / 3  # hertz a mel
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _LINEAR_HZ
_LOG_STEP = math.log(6.4) / 27.0


def _slaney_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz / _LINEAR_HZ
    return _KNEE_MEL + math.log(hz / _KNEE_HZ) / _LOG_STEP


def _slaney_hz(mel: float) -> float:
    if mel < _KNEE_MEL:
        return mel * _LINEAR_HZ
    return _KNEE_HZ * math.exp(_LOG_STEP * (mel - _KNEE_MEL))


def _bin_hz(rate_hz: int, fft: int) -> Tensor:
    return torch.arange(fft // 2 + 1, dtype=torch.float64) * (rate_hz / fft)


def _triangles(bins: Tensor, edges: Tensor) -> Tensor:
    """Triangles from edge to edge with peak 1, seen at the bins, (bins, edges - 2)."""
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0.0)


def read_cmvn(path: Path | str) -> Tensor:
    """The normalisation in Kaldi's nnet text form (`am.mvn`): shift to add, then factor, (2, bins).

    Raises ReadError that names the file and what is wrong in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError.of(path, f"cannot be read ({error})") from error
    try:
        shift, factor = (_component(text, name) for name in ("AddShift", "Rescale"))
    except ValueError as error:
        raise ReadError.of(
            path, f"is no normalisation file: {error}", remedy="Fetch the file again."
        ) from error
    if len(shift) != len(factor):
        raise ReadError.of(
            path, f"has {len(shift)} shifts but {len(factor)} factors", remedy="Fetch it again."
        )
    return torch.tensor([shift, factor], dtype=torch.float32)


def _component(text: str, name: str) -> list[float]:
    """The numbers of `<name> SIZE SIZE <LearnRateCoef> 0 [ ... ]`. Raises ValueError."""
    _, found, rest = text.partition(f"<{name}>")
    if not found:
        raise ValueError(f"<{name}> is missing")
    head, opened, rest = rest.partition("[")
    body, closed, _ = rest.partition("]")
    sizes = head.split()[:2]
    if not (opened and closed) or "<" in body or len(sizes) < 2:
        raise ValueError(f"<{name}> has no list of numbers")
    numbers = [float(word) for word in body.split()]
    if not numbers or sizes != [str(len(numbers))] * 2:
        raise ValueError(f"<{name}> of size {' x '.join(sizes)} has {len(numbers)} numbers")
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"<{name}> holds NaN or infinity")
    return numbers
