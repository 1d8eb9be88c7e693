"""The bars of the core, each measured: what | bar | measured | command.

    python benchmarks/core.py [--only PART]... [--small]

Parts: chain (encode, three edits, decode on one core), rerun (the same graph again), batch (200
clips, one process and two), startup (--help, import), fidelity (unedited pass, peaks, clicks).
--small is a quick look, with fewer clips and runs: its figures are not for the documents.
Prints Markdown for docs/benchmarks.md; the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from core_batch import batch
from core_chain import chain
from core_fidelity import fidelity
from core_rerun import rerun
from core_startup import startup
from rows import Row, machine, print_table

PARTS: Mapping[str, Callable[[bool], list[Row]]] = {
    "chain": chain,
    "rerun": rerun,
    "batch": batch,
    "startup": startup,
    "fidelity": fidelity,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--small", action="store_true", help="a quick look")
    args = parser.parse_args()
    print(f"Measured on {machine()}")
    rows = [row for part in args.only or PARTS for row in PARTS[part](args.small)]
    print_table(("what", "bar", "measured", "command"), [row.cells() for row in rows], "Bars:")
    print(f"\nLoad at the end: {machine().rpartition('load ')[2]}")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
