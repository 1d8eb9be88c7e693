"""BigVGAN-v2, the vocoder of the Step-Audio papers: mel to sound, without a source.

Every activation is anti-aliased: it runs at twice the rate, between two short low-pass filters.
The filters are the checkpoint's own.

Source: BigVGAN (arXiv 2206.04658) and its second version by NVIDIA; the published checkpoint's
form of it, which pads the mel by reflection and not in the first convolution.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional

from stepedit_fx.engines.step_audio.vocoder_network import Excitation

END_KERNEL = 7  # of the first and the last convolution
MEL_PADDING_FRAMES = END_KERNEL // 2
OVERSAMPLING = 2  # of the activations
FILTER_TAPS = 12  # `weights.assign` refuses a file that has another length
SNAKE_EPSILON = 1e-9
FULL_SCALE = 1.0


class BigVganConfig(BaseModel):
    """The vocoder's section of `cosyvoice.yaml`, under the names it has there.

    The variants that no Step-Audio checkpoint has are refused: other blocks, other activations.
    """

    model_config = ConfigDict(frozen=True)
    num_mels: PositiveInt
    upsample_initial_channel: PositiveInt
    upsample_rates: tuple[PositiveInt, ...] = Field(min_length=1)
    upsample_kernel_sizes: tuple[PositiveInt, ...]
    resblock: Annotated[Literal["1"], BeforeValidator(str)] = "1"
    resblock_kernel_sizes: tuple[PositiveInt, ...] = Field(min_length=1)
    resblock_dilation_sizes: tuple[tuple[PositiveInt, ...], ...]
    activation: Literal["snakebeta"] = "snakebeta"
    snake_logscale: bool = True
    use_bias_at_final: bool = True
    use_tanh_at_final: bool = True

    @model_validator(mode="after")
    def _lists_match(self) -> BigVganConfig:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes differ in length")
        return self

    @property
    def samples_per_frame(self) -> int:
        return math.prod(self.upsample_rates)

    def channels(self, stage: int) -> int:
        """Halved by each stage; stage 0 is what comes out of the first."""
        return self.upsample_initial_channel >> (stage + 1)


class SnakeBeta(nn.Module):
    """x + sin(alpha x)^2 / beta, for each channel; logscale: both are kept as logarithms."""

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        self.logscale = logscale
        self.alpha = nn.Parameter(torch.empty(channels))
        self.beta = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha[:, None], self.beta[:, None]  # (channels, 1)
        if self.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        return torch.addcmul(x, (x * alpha).sin_().square_(), 1 / (beta + SNAKE_EPSILON))


class LowPass(nn.Module):
    """A filter of the checkpoint, (1, 1, taps)."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.empty(1, 1, FILTER_TAPS))


class Upsample(LowPass):
    """Twice the rate, (batch, channels, samples) to (batch, channels, 2 samples)."""

    def forward(self, x: Tensor) -> Tensor:
        edge = FILTER_TAPS // OVERSAMPLING - 1
        cut = edge * OVERSAMPLING + (FILTER_TAPS - OVERSAMPLING) // 2
        padded = functional.pad(x, (edge, edge), mode="replicate")
        taps = (self.filter * OVERSAMPLING).expand(x.shape[1], -1, -1)
        drawn_out = functional.conv_transpose1d(
            padded, taps, stride=OVERSAMPLING, groups=x.shape[1]
        )
        return drawn_out[..., cut:-cut]


class Downsample(nn.Module):
    """Half the rate, (batch, channels, samples) to (batch, channels, samples / 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.lowpass = LowPass()

    def forward(self, x: Tensor) -> Tensor:
        padded = functional.pad(x, (FILTER_TAPS // 2 - 1, FILTER_TAPS // 2), mode="replicate")
        taps = self.lowpass.filter.expand(x.shape[1], -1, -1)
        return functional.conv1d(padded, taps, stride=OVERSAMPLING, groups=x.shape[1])


class Activation(nn.Module):
    """SnakeBeta at twice the rate."""

    radius = FILTER_TAPS // OVERSAMPLING  # samples to each side, both filters

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        self.act = SnakeBeta(channels, logscale)
        self.upsample = Upsample()
        self.downsample = Downsample()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.downsample(self.act(self.upsample(x)))
        return y


class Block(nn.Module):
    """For each dilation: activation, dilated convolution, activation, convolution, added."""

    def __init__(
        self, channels: int, kernel: int, dilations: tuple[int, ...], logscale: bool
    ) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            padding = kernel // 2 * dilation
            return nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(convolution(1) for _ in dilations)
        self.activations = nn.ModuleList(
            Activation(channels, logscale) for _ in range(2 * len(dilations))
        )

    def forward(self, x: Tensor) -> Tensor:
        for step, (dilated, plain) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            y = dilated(self.activations[2 * step](x))
            x = x + plain(self.activations[2 * step + 1](y))
        return x


class BigVgan(nn.Module):
    """The network; `vocoder_network.Network` says what its figures mean."""

    window_frames = 256
    limit = FULL_SCALE
    open_end_frames = MEL_PADDING_FRAMES

    def __init__(self, config: BigVganConfig, sample_rate: int) -> None:
        super().__init__()
        self.config = config
        self.bands = config.num_mels
        self.sample_rate = sample_rate
        self.samples_per_frame = config.samples_per_frame
        self.context_frames = _context_frames(config)

        stages = range(len(config.upsample_rates))
        blocks = list(
            zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
        )
        narrowest, logscale = config.channels(stages[-1]), config.snake_logscale
        self.conv_pre = nn.Conv1d(self.bands, config.upsample_initial_channel, END_KERNEL)
        # A list in a list, as the checkpoint's names have it.
        self.ups = nn.ModuleList(nn.ModuleList([_up(config, stage)]) for stage in stages)
        self.resblocks = nn.ModuleList(
            Block(config.channels(stage), *sizes, logscale) for stage in stages for sizes in blocks
        )
        self.activation_post = Activation(narrowest, logscale)
        self.conv_post = nn.Conv1d(
            narrowest, 1, END_KERNEL, padding=END_KERNEL // 2, bias=config.use_bias_at_final
        )

    def excitation(self, seed: int) -> NoExcitation:
        """BigVGAN takes none: the seed changes nothing."""
        return NoExcitation()

    def forward(self, mel: Tensor, excitation: Tensor) -> Tensor:
        """(batch, bands, frames), (batch, 0) to (batch, samples)."""
        x = self.conv_pre(_reflected(mel, MEL_PADDING_FRAMES))
        for stage, up in enumerate(self.ups):
            x = self._mean_of_blocks(stage, up[0](x))  # type: ignore[index]
        x = self.conv_post(self.activation_post(x)).squeeze(1)
        return torch.tanh(x) if self.config.use_tanh_at_final else x

    def _mean_of_blocks(self, stage: int, x: Tensor) -> Tensor:
        count = len(self.config.resblock_kernel_sizes)
        total = torch.zeros_like(x)
        for block in self.resblocks[stage * count : (stage + 1) * count]:
            total += block(x)
        return total.div_(count)


class NoExcitation(Excitation):
    def under(self, mel: Tensor, first_frame: int, last: bool) -> Tensor:
        return mel.new_empty(0)


def _reflected(mel: Tensor, padding: int) -> Tensor:
    """The mel with frames mirrored at both ends, to and fro if it is shorter than the padding.

    (batch, bands, frames) to (batch, bands, frames + 2 padding).
    """
    frames = mel.shape[2]
    period = max(2 * (frames - 1), 1)
    index = torch.arange(-padding, frames + padding, device=mel.device) % period
    return mel[:, :, torch.minimum(index, period - index) if frames > 1 else index]


def _up(config: BigVganConfig, stage: int) -> nn.ConvTranspose1d:
    rate, kernel = config.upsample_rates[stage], config.upsample_kernel_sizes[stage]
    wide, narrow = config.channels(stage - 1), config.channels(stage)
    return nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)


def _context_frames(config: BigVganConfig) -> int:
    """How many mel frames to each side a sample is influenced from."""
    widest = max(
        sum(kernel // 2 * (dilation + 1) + 2 * Activation.radius for dilation in dilations)
        for kernel, dilations in zip(
            config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
        )
    )
    steps = END_KERNEL // 2 + Activation.radius
    for rate, kernel in reversed(
        list(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True))
    ):
        steps = math.ceil((steps + widest) / rate) + math.ceil(kernel / rate)
    return steps + MEL_PADDING_FRAMES
