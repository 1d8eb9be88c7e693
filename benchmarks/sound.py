"""The bars of sound and time, each measured: what | bar | measured | command.

    python benchmarks/sound.py [--only PART]... [--small]

Parts: features (a table of every tag, before and after), classifier (the benchmark emotions and
styles named from what changed), survival (words understood before and after), quality (clips,
clicks, loudness, octave jumps, repeatability), sounds (non-verbal ones), strength (0 to 1 without
a jump), placement, long, words. --small is a quick look, with fewer clips: its figures are not for
the documents. Prints Markdown for docs/sound.md; the exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

from rows import Row, machine, print_table

# part -> the module and its function; imported when asked for, since some load much.
PARTS = {
    "features": ("sound_features", "acoustics"),
    "classifier": ("sound_classifier", "classifier"),
    "survival": ("sound_survival", "survival"),
    "quality": ("sound_quality", "quality"),
    "sounds": ("sound_sounds", "sounds"),
    "strength": ("sound_strength", "strength"),
    "placement": ("sound_placement", "placement"),
    "long": ("sound_long", "long"),
    "words": ("sound_words", "words"),
}


def measured(part: str, small: bool) -> list[Row]:
    module, name = PARTS[part]
    function: Callable[[bool], list[Row]] = getattr(import_module(module), name)
    return [replace(row, script="sound.py", part=part) for row in function(small)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=list(PARTS), help="repeatable")
    parser.add_argument("--small", action="store_true", help="a quick look")
    args = parser.parse_args()
    print(f"Measured on {machine()}")
    rows = [row for part in args.only or PARTS for row in measured(part, args.small)]
    print_table(("what", "bar", "measured", "command"), [row.cells() for row in rows], "Bars:")
    print(f"\nLoad at the end: {machine().rpartition('load ')[2]}")
    return 1 if any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
