"""The linguistic tokenizer: all chunks side by side against the reference's chunk-by-chunk loop.

    python benchmarks/step_audio_tokenizer.py [--seconds 10] [--threads 2] [--runs 5] [--long]

Random weights of the published size (50 layers, 512 wide). Both ways run by turns, so that a busy
machine meets both; printed are medians by the clock, and processor seconds, which other programs
disturb less. --long adds the memory of ten minutes (some minutes' work). Linux only: memory is the
process's own peak (VmHWM). Exit code 1 where the bar of 4 times is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rows import machine, print_table, timed
from torch import Tensor

from stepedit_fx.engines.step_audio.linguistic import CHUNK_SAMPLES, LinguisticTokenizer
from stepedit_fx.engines.step_audio.linguistic_stream import LinguisticStream
from stepedit_fx.engines.step_audio.sanm import Sizes

PUBLISHED = Sizes(inputs=560, width=512, hidden=2048, kernel=11, layers=50, heads=4)
BAR = 4.0
LONG_S = 600


def published_size() -> LinguisticTokenizer:
    """Random weights, through the loader that the real ones go through."""
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        wanted = LinguisticTokenizer(PUBLISHED, 1024).state_dict()
    state = {
        name: torch.randn(tensor.shape, generator=random) / max(tensor.shape[-1], 1) ** 0.5
        for name, tensor in wanted.items()
    }
    cmvn = torch.stack([torch.full((560,), -8.0), torch.full((560,), 0.2)])
    return LinguisticTokenizer.from_state(state, cmvn, state["centroids"], PUBLISHED.heads)


def sound(seconds: float) -> Tensor:
    return 0.1 * torch.randn(round(16000 * seconds), generator=torch.Generator().manual_seed(1))


def one_by_one(tokenizer: LinguisticTokenizer, clip: Tensor) -> list[int]:
    stream = LinguisticStream(tokenizer)
    codes = [code for chunk in clip.split(CHUNK_SAMPLES) for code in stream.push(chunk).tolist()]
    return codes + stream.finish().tolist()


def side_by_side(tokenizer: LinguisticTokenizer, clip: Tensor) -> list[int]:
    found: list[int] = tokenizer.codes([clip])[0].tolist()
    return found


def memory_mib(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def peak_mib(work: Callable[[], object]) -> float:
    """What it takes beyond what is held already."""
    Path("/proc/self/clear_refs").write_text("5")  # puts the peak back to the present
    before = memory_mib("VmRSS")
    work()
    return memory_mib("VmHWM") - before


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--long", action="store_true", help="ten minutes' memory, too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"Measured on {machine()} torch {torch.__version__}, {args.threads} threads")
    tokenizer, clip = published_size(), sound(args.seconds)
    # Measured first: what has been freed once is not seen to be taken again.
    peak = peak_mib(lambda: tokenizer.codes([clip]))
    print(f"Peak beyond the weights for {args.seconds:g} s: {peak:.0f} MiB.")
    if args.long:
        minutes = sound(LONG_S)
        peak = peak_mib(lambda: tokenizer.codes([minutes]))
        print(f"Peak beyond that for {LONG_S} s: {peak:.0f} MiB.")
    ways = {"chunk by chunk": one_by_one, "side by side": side_by_side}
    codes = [way(tokenizer, clip) for way in ways.values()]  # and warms up
    clocks: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.runs):
        for name, way in ways.items():
            start = time.process_time()
            clocks[name].append(timed(lambda way=way: way(tokenizer, clip)))
            processor[name].append(time.process_time() - start)
    medians = {name: statistics.median(values) for name, values in clocks.items()}
    least = {name: min(values) for name, values in clocks.items()}
    rows = [
        (name, f"{medians[name]:.2f} s", f"{least[name]:.2f} s", f"{min(processor[name]):.2f} s")
        for name in ways
    ]
    print_table(("way", "median", "best", "processor"), rows, f"{args.seconds:g} s of sound:")
    ratio = medians["chunk by chunk"] / medians["side by side"]
    best = least["chunk by chunk"] / least["side by side"]
    print(f"\n{ratio:.1f} times as fast (best runs: {best:.1f}); bar: {BAR:g} times.")
    same = sum(a == b for a, b in zip(*codes, strict=True))
    print(f"{same} of {len(codes[0])} codes are the same.")
    print(f"Load at the end: {machine().rpartition('load ')[2]}")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
