"""The language model's loop and the whole engine, with random weights of the published sizes.

    python benchmarks/neural.py [--small] [--device cuda] [--dtype bfloat16] [--only PART]...

Parts: loop (ids a second at batch 1, 8 and 32: transformers' `generate` against the engine's own
loop, and the share of the memory's bandwidth), engine (encode, edit, decode, batch 1 and 16; time
to first sound; a chain of three edits in tokens against sound between edits; memory), numbers (the
loop in float32 and bfloat16, CPU only). --small: fewer layers, for two CPU cores in minutes. The
device is a CUDA GPU where there is one. Prints Markdown for docs/benchmarks.md; the exit code is 1
where a bar of this device is missed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from neural_engine import engine_rows
from neural_loop import loop_rows, numbers_rows
from neural_models import PUBLISHED, SMALL, language_model
from rows import machine, print_table

from stepedit_fx.engines.step_audio.devices import choose_device, choose_dtype

PARTS = ("loop", "numbers", "engine")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="fewer layers")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable")
    args = parser.parse_args()
    os.environ["STEPEDIT_WORKER"] = "off"
    logging.getLogger("stepedit_fx").setLevel(logging.ERROR)  # answers are cut off on purpose
    sizes = SMALL if args.small else PUBLISHED
    device = choose_device(args.device)
    dtype = choose_dtype(args.dtype, device, size=sizes.language_model)
    print(f"Measured on {_where(device)}, language model in {str(dtype)[6:]}, {machine()}")
    parts = args.only or PARTS
    model = language_model(sizes.language_model, str(device), dtype)
    rows = []
    if "loop" in parts:
        rows += loop_rows(model, is_small=args.small)
    if "numbers" in parts and device.type == "cpu":
        rows += numbers_rows(sizes)
    if "engine" in parts:
        with tempfile.TemporaryDirectory() as folder:
            rows += engine_rows(sizes, Path(folder), model, str(device), str(dtype)[6:])
    asked = "--small " if args.small else ""
    rows = [replace(row, script=f"neural.py {asked}".strip()) for row in rows]
    print_table(("what", "bar", "measured", "command"), [row.cells() for row in rows], "Bars:")
    print(f"\nLoad at the end: {machine().rpartition('load ')[2]}")
    return 1 if any(row.met is False for row in rows) else 0


def _where(device: torch.device) -> str:
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {names}"
    return f"{torch.get_num_threads()} CPU threads, {names}"


if __name__ == "__main__":
    sys.exit(main())
