"""The bars of control, each measured: what | bar | measured | command.

    python benchmarks/control.py [--only PART]... [--small]

Parts: osc (messages by TCP and UDP, broken packets), midi (over a real JACK server), live (OSC to
sound, swaps of speech under a running chain). --small is a quick look, with shorter runs: its
figures are not for the documents. Prints Markdown for docs/benchmarks.md; the exit code is 1 where
a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from control_live import live
from control_midi import midi
from control_osc import osc
from rows import Row, machine, print_table

PARTS: Mapping[str, Callable[[bool], list[Row]]] = {"osc": osc, "midi": midi, "live": live}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--small", action="store_true", help="a quick look")
    args = parser.parse_args()
    print(f"Measured on {machine()}")
    rows = [
        replace(row, script="control.py", part=part)
        for part in args.only or PARTS
        for row in PARTS[part](args.small)
    ]
    print_table(("what", "bar", "measured", "command"), [row.cells() for row in rows], "Bars:")
    print(f"\nLoad at the end: {machine().rpartition('load ')[2]}")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
