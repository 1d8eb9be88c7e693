"""HiFT, the vocoder that is shipped: a source-filter network that ends in an inverse STFT.

f0 is read off the mel, a source is made from it (`hift_source`), and the network shapes mel and
source into the magnitudes and phases of a small STFT.

Source: HiFTNet (arXiv 2309.09493), CosyVoice 2, `hift.pt` of the published checkpoint.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import NamedTuple

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)
from torch import Tensor, nn
from torch.nn import functional

from stepedit_fx.engines.step_audio.hift_source import SineSource, SourceSettings

F0_CONVOLUTIONS = 5
F0_KERNEL = 3
F0_CONTEXT_FRAMES = F0_CONVOLUTIONS * (F0_KERNEL // 2)
END_KERNEL = 7  # of the first and the last convolution
LARGEST_MAGNITUDE = 100.0
POST_SLOPE = 0.01  # of the leaky ReLU before the last convolution; the others' is configured
SNAKE_EPSILON = 1e-9


class F0Config(BaseModel):
    cond_channels: PositiveInt


class StftConfig(BaseModel):
    n_fft: PositiveInt
    hop_len: PositiveInt


class HiftConfig(BaseModel):
    """The vocoder's section of `cosyvoice.yaml`, under the names it has there.

    nsf_alpha, nsf_sigma: amplitude of the source's sines and of its noise. nsf_voiced_threshold:
    hertz. audio_limit: full scale.
    """

    model_config = ConfigDict(frozen=True)
    in_channels: PositiveInt
    base_channels: PositiveInt
    nb_harmonics: NonNegativeInt
    sampling_rate: PositiveInt
    nsf_alpha: float
    nsf_sigma: float
    nsf_voiced_threshold: float
    upsample_rates: tuple[PositiveInt, ...] = Field(min_length=1)
    upsample_kernel_sizes: tuple[PositiveInt, ...]
    istft_params: StftConfig
    resblock_kernel_sizes: tuple[PositiveInt, ...] = Field(min_length=1)
    resblock_dilation_sizes: tuple[tuple[PositiveInt, ...], ...]
    source_resblock_kernel_sizes: tuple[PositiveInt, ...]
    source_resblock_dilation_sizes: tuple[tuple[PositiveInt, ...], ...]
    lrelu_slope: float
    audio_limit: float
    f0_predictor: F0Config

    @model_validator(mode="after")
    def _lists_match(self) -> HiftConfig:
        stages = (
            self.upsample_rates,
            self.upsample_kernel_sizes,
            self.source_resblock_kernel_sizes,
            self.source_resblock_dilation_sizes,
        )
        if len({len(values) for values in stages}) > 1:
            raise ValueError("upsample and source_resblock lists differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        return self

    @property
    def blocks(self) -> tuple[ResBlockSizes, ...]:
        return _block_sizes(self.resblock_kernel_sizes, self.resblock_dilation_sizes)

    @property
    def source_blocks(self) -> tuple[ResBlockSizes, ...]:
        kernels, dilations = self.source_resblock_kernel_sizes, self.source_resblock_dilation_sizes
        return _block_sizes(kernels, dilations)

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates) * self.istft_params.hop_len

    @property
    def bins(self) -> int:
        """Real and imaginary parts of an STFT frame."""
        return self.istft_params.n_fft + 2

    def channels(self, stage: int) -> int:
        """Halved by each stage; stage 0 is what comes out of the first."""
        return self.base_channels >> (stage + 1)

    def source_stride(self, stage: int) -> int:
        """STFT frames of the source for each step of a stage."""
        return math.prod(self.upsample_rates[stage + 1 :])


class ResBlockSizes(NamedTuple):
    kernel: int
    dilations: tuple[int, ...]

    @property
    def radius(self) -> int:
        """How many samples to each side a block sees."""
        return sum((self.kernel // 2) * (dilation + 1) for dilation in self.dilations)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, alpha for each channel (arXiv 2006.08195)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]  # (channels, 1)
        return torch.addcmul(x, (x * alpha).sin_().square_(), 1 / (alpha + SNAKE_EPSILON))


class ResBlock(nn.Module):
    """For each dilation: Snake, dilated convolution, Snake, convolution, added to what came in."""

    def __init__(self, channels: int, sizes: ResBlockSizes) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            padding = sizes.kernel // 2 * dilation
            return nn.Conv1d(channels, channels, sizes.kernel, padding=padding, dilation=dilation)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in sizes.dilations)
        self.convs2 = nn.ModuleList(convolution(1) for _ in sizes.dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in sizes.dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in sizes.dilations)

    def forward(self, x: Tensor) -> Tensor:
        steps = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for first, dilated, second, plain in steps:
            x = x + plain(second(dilated(first(x))))
        return x


class F0Predictor(nn.Module):
    """f0 in hertz of each mel frame, (batch, bands, frames) to (batch, frames)."""

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        widths = [bands] + [channels] * F0_CONVOLUTIONS
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv1d(before, after, F0_KERNEL, padding=F0_KERNEL // 2), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        hidden = self.condnet(mel).transpose(1, 2)  # (batch, frames, channels)
        f0: Tensor = self.classifier(hidden).squeeze(-1).abs()
        return f0


class HarmonicSum(nn.Module):
    """How the source sums its harmonics; holds the weights for `SineSource`."""

    def __init__(self, harmonics: int) -> None:
        super().__init__()
        self.l_linear = nn.Linear(harmonics, 1)


class Hift(nn.Module):
    """The network; `vocoder_network.Network` says what its figures mean."""

    window_frames = 128

    def __init__(self, config: HiftConfig) -> None:
        super().__init__()
        self.config = config
        self.bands = config.in_channels
        self.limit = config.audio_limit
        self.sample_rate = config.sampling_rate
        self.samples_per_frame = config.samples_per_frame
        self.context_frames = _context_frames(config)
        # The second half of a frame's source leans on the next frame's f0.
        self.open_end_frames = F0_CONTEXT_FRAMES + 1

        stages = range(len(config.upsample_rates))
        padding = END_KERNEL // 2
        self.m_source = HarmonicSum(config.nb_harmonics + 1)
        self.f0_predictor = F0Predictor(self.bands, config.f0_predictor.cond_channels)
        self.conv_pre = nn.Conv1d(self.bands, config.base_channels, END_KERNEL, padding=padding)
        self.ups = nn.ModuleList(_up(config, stage) for stage in stages)
        self.source_downs = nn.ModuleList(_source_down(config, stage) for stage in stages)
        self.source_resblocks = nn.ModuleList(
            ResBlock(config.channels(stage), config.source_blocks[stage]) for stage in stages
        )
        self.resblocks = nn.ModuleList(
            ResBlock(config.channels(stage), block) for stage in stages for block in config.blocks
        )
        narrowest = config.channels(stages[-1])
        self.conv_post = nn.Conv1d(narrowest, config.bins, END_KERNEL, padding=padding)

    def excitation(self, seed: int) -> HiftExcitation:
        return HiftExcitation(self, seed)

    def source(self, seed: int | None) -> SineSource:
        """The source of a take from its first frame on; seed as for `SineSource`."""
        config, linear = self.config, self.m_source.l_linear
        settings = SourceSettings(
            config.sampling_rate,
            config.samples_per_frame,
            config.nsf_alpha,
            config.nsf_sigma,
            config.nsf_voiced_threshold,
        )
        return SineSource(settings, linear.weight, linear.bias, seed)

    def forward(self, mel: Tensor, source: Tensor) -> Tensor:
        """(batch, bands, frames), (batch, samples) to (batch, samples)."""
        spectrum = self._stft(source)
        x = self.conv_pre(mel)
        last = len(self.ups) - 1
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, self.config.lrelu_slope))
            if stage == last:
                x = functional.pad(x, (1, 0), mode="reflect")  # an STFT has one frame more
            x += self.source_resblocks[stage](self.source_downs[stage](spectrum))
            x = self._mean_of_blocks(stage, x)
        return self._istft(self.conv_post(functional.leaky_relu(x, POST_SLOPE)))

    def _mean_of_blocks(self, stage: int, x: Tensor) -> Tensor:
        count = len(self.config.blocks)
        total = torch.zeros_like(x)
        for block in self.resblocks[stage * count : (stage + 1) * count]:
            total += block(x)
        return total.div_(count)

    def _stft(self, source: Tensor) -> Tensor:
        """(batch, samples) to (batch, bins, steps): real parts, then imaginary parts."""
        n_fft, hop = self.config.istft_params.n_fft, self.config.istft_params.hop_len
        window = torch.hann_window(n_fft, device=source.device)
        spectrum = torch.stft(source, n_fft, hop, window=window, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], 1)

    def _istft(self, x: Tensor) -> Tensor:
        """(batch, bins, steps), log magnitudes, then phases, to (batch, samples)."""
        n_fft, hop = self.config.istft_params.n_fft, self.config.istft_params.hop_len
        log_magnitude, phase = x.chunk(2, 1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=LARGEST_MAGNITUDE), torch.sin(phase))
        return torch.istft(spectrum, n_fft, hop, window=torch.hann_window(n_fft, device=x.device))


class HiftExcitation:
    """The source under a mel that grows: settled as far as f0 is, provisional after that."""

    def __init__(self, network: Hift, seed: int) -> None:
        self._network = network
        self._source = network.source(seed)
        self._kept = torch.empty(0)  # settled source, from the first frame that a stream holds
        self._kept_from = 0  # that frame

    def under(self, mel: Tensor, first_frame: int, last: bool) -> Tensor:
        frames = mel.shape[1]
        if not frames:
            return mel.new_empty(0)
        f0 = self._network.f0_predictor(mel[None])[0].cpu()
        start = self._source.frame - first_frame
        stop = frames if last else max(start, frames - self._network.open_end_frames)
        settled = self._source.push(f0[start:stop], f0[stop : stop + 1])
        held = self._kept[(first_frame - self._kept_from) * self._network.samples_per_frame :]
        self._kept = torch.cat([held, settled])
        self._kept_from = first_frame
        provisional = copy.copy(self._source).push(f0[stop:], f0[frames:])
        return torch.cat([self._kept, provisional]).to(mel.device)


def _up(config: HiftConfig, stage: int) -> nn.ConvTranspose1d:
    rate, kernel = config.upsample_rates[stage], config.upsample_kernel_sizes[stage]
    wide, narrow = config.channels(stage - 1), config.channels(stage)
    return nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)


def _source_down(config: HiftConfig, stage: int) -> nn.Conv1d:
    """The source's STFT frames to the steps of a stage."""
    stride = config.source_stride(stage)
    if stride == 1:
        return nn.Conv1d(config.bins, config.channels(stage), 1)
    return nn.Conv1d(config.bins, config.channels(stage), 2 * stride, stride, padding=stride // 2)


def _block_sizes(
    kernels: tuple[int, ...], dilations: tuple[tuple[int, ...], ...]
) -> tuple[ResBlockSizes, ...]:
    return tuple(ResBlockSizes(*sizes) for sizes in zip(kernels, dilations, strict=True))


def _context_frames(config: HiftConfig) -> int:
    """How many mel frames to each side a sample is influenced from, by the mel or the source."""
    widest = max(block.radius for block in config.blocks)
    overlap = math.ceil(config.istft_params.n_fft / config.istft_params.hop_len)
    steps = overlap + END_KERNEL // 2 + 1  # 1: the reflected step
    source_frames = 0
    for stage in reversed(range(len(config.upsample_rates))):
        steps += widest
        rate = math.prod(config.upsample_rates[: stage + 1])
        source_steps = steps + config.source_blocks[stage].radius + 2
        source_frames = max(source_frames, math.ceil(source_steps / rate) + 1)
        reach = math.ceil(config.upsample_kernel_sizes[stage] / config.upsample_rates[stage])
        steps = math.ceil(steps / config.upsample_rates[stage]) + reach
    return max(steps + END_KERNEL // 2, source_frames)
