"""The vocoders at their published size: seconds for a second of sound, and memory.

    python benchmarks/step_audio_vocoder.py [--seconds 10] [--threads 2] [--runs 3] [--only hift]

Random weights: HiFT 512 channels wide as published, BigVGAN 1536 wide as NVIDIA's for 24 kHz (no
BigVGAN of Step-Audio is published). Printed are medians by the clock, processor seconds, which
other programs disturb less, and the memory beyond the weights at its peak. `streamed` is the same
mel in the flow's chunks of 30, 48 and then 96 frames; `first` is the time to its first sound.
Linux only: memory is the process's own peak (VmHWM). Exit code 1 where memory misses its bar.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rows import machine, print_table, timed
from torch import Tensor

from stepedit_fx.engines.step_audio.bigvgan import BigVgan, BigVganConfig
from stepedit_fx.engines.step_audio.hift import Hift, HiftConfig
from stepedit_fx.engines.step_audio.vocoder import Vocoder
from stepedit_fx.engines.step_audio.weights import assign

MEMORY_BAR_MB = 300
FRAMES_PER_SECOND = 50
BLOCKS = {
    "resblock_kernel_sizes": (3, 7, 11),
    "resblock_dilation_sizes": ((1, 3, 5),) * 3,
}
HIFT = HiftConfig.model_validate(
    {
        **BLOCKS,
        "in_channels": 80, "base_channels": 512, "nb_harmonics": 8, "sampling_rate": 24000,
        "nsf_alpha": 0.1, "nsf_sigma": 0.003, "nsf_voiced_threshold": 10,
        "upsample_rates": (8, 5, 3), "upsample_kernel_sizes": (16, 11, 7),
        "istft_params": {"n_fft": 16, "hop_len": 4},
        "source_resblock_kernel_sizes": (7, 7, 11),
        "source_resblock_dilation_sizes": ((1, 3, 5),) * 3,
        "lrelu_slope": 0.1, "audio_limit": 0.99, "f0_predictor": {"cond_channels": 512},
    }
)  # fmt: skip
BIGVGAN = BigVganConfig.model_validate(
    {
        **BLOCKS,
        "num_mels": 80, "upsample_initial_channel": 1536,
        "upsample_rates": (5, 4, 3, 2, 2, 2), "upsample_kernel_sizes": (11, 8, 7, 4, 4, 4),
        "use_bias_at_final": False, "use_tanh_at_final": False,
    }
)  # fmt: skip
NETWORKS: dict[str, Callable[[], Hift | BigVgan]] = {
    "hift": lambda: Hift(HIFT),
    "bigvgan": lambda: BigVgan(BIGVGAN, 24000),
}


def published_size(kind: str, device: str = "cpu") -> Vocoder:
    """Random weights that keep values near one."""
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        network = NETWORKS[kind]()
    state = {
        name: torch.ones(tensor.shape)
        if name.endswith("alpha")
        else torch.randn(tensor.shape, generator=random) / max(tensor[0].numel(), 4) ** 0.5
        for name, tensor in network.state_dict().items()
    }
    return Vocoder(assign(network, state, device=device), device)


def chunks(mel: Tensor) -> Iterator[Tensor]:
    """As the flow streams them: 15, 24, then 48 steps of two frames."""
    rest = mel
    for frames in (30, 48):
        yield rest[:, :frames]
        rest = rest[:, frames:]
    yield from rest.split(96, 1)


def streamed(vocoder: Vocoder, mel: Tensor) -> float:
    """Seconds to the first sound."""
    start, first = time.perf_counter(), 0.0
    stream = vocoder.stream(0)
    for chunk in chunks(mel):
        stream.push(chunk)
        first = first or time.perf_counter() - start
    stream.push(mel[:, :0], last=True)
    return first


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def cells(kind: str, seconds: float, runs: int) -> tuple[list[str], bool]:
    """A row for a vocoder, and whether the bar is met."""
    vocoder = published_size(kind)
    random = torch.Generator().manual_seed(1)
    mel = torch.randn(80, round(seconds * FRAMES_PER_SECOND), generator=random)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget earlier peaks
    before = peak_mb()
    vocoder.wav([mel], [0])
    memory_mb = peak_mb() - before

    def whole() -> None:
        vocoder.wav([mel], [0])

    def per_second(clock: Callable[[], float]) -> float:
        return statistics.median(timed(whole, clock) for _ in range(runs)) / seconds

    stream_s = [timed(lambda: streamed(vocoder, mel)) / seconds for _ in range(runs)]
    first_s = statistics.median(streamed(vocoder, mel) for _ in range(runs))
    figures = [
        kind,
        f"{per_second(time.perf_counter):.2f} s",
        f"{per_second(time.process_time):.2f} s",
        f"{statistics.median(stream_s):.2f} s",
        f"{first_s:.2f} s",
        f"{memory_mb:.0f} MB",
    ]
    return figures, memory_mb <= MEMORY_BAR_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=sorted(NETWORKS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kinds = [options.only] if options.only else list(NETWORKS)
    rows = [cells(kind, options.seconds, options.runs) for kind in kinds]
    head = ("vocoder", "by the clock", "processor", "streamed", "first", "memory")
    print_table(
        head,
        [figures for figures, _ in rows],
        f"For a second of sound, {options.seconds:g} s, {options.threads} threads. {machine()}",
    )
    return 0 if all(met for _, met in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
