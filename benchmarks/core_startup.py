"""How soon the command answers, and what an import costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from rows import Row, print_table, timed

BAR_S = 0.4
HEAVY = ("torch", "scipy", "numpy", "pedalboard", "parselmouth", "soundfile", "pydantic", "typer")
FORBIDDEN = ("torch", "scipy")
LIST_MODULES = """\
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import stepedit_fx
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def command() -> list[str]:
    """The console script of this environment, else the package run as a module."""
    script = Path(sys.executable).with_name("stepedit-fx")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "stepedit_fx"]


def startup(small: bool) -> list[Row]:
    """Wall time of --help, and the modules that `import stepedit_fx` loads."""
    helping = [*command(), "--help"]
    subprocess.check_output(helping)  # compiles what a fresh checkout has not compiled yet
    times = [timed(lambda: subprocess.check_output(helping)) for _ in range(3 if small else 10)]
    median = statistics.median(times)
    output = subprocess.check_output([sys.executable, "-c", LIST_MODULES], text=True)
    seconds, modules = json.loads(output)
    heavy = [name for name in HEAVY if name in modules]
    ours = [name for name in modules if name.startswith("stepedit_fx")]
    print_table(
        ("`import stepedit_fx`", ""),
        [
            ["modules loaded", str(len(modules))],
            ["of them ours", ", ".join(ours)],
            ["of them heavy", ", ".join(heavy) or "none"],
            ["time", f"{1e3 * seconds:.1f} ms"],
        ],
        "What an import loads:",
    )
    return [
        Row(
            "`stepedit-fx --help`, wall time",
            f"under {BAR_S} s",
            f"{median:.2f} s (median of {len(times)}; {min(times):.2f} to {max(times):.2f})",
            median < BAR_S,
            "startup",
        ),
        Row(
            "`import stepedit_fx`",
            "loads neither torch nor scipy",
            f"{len(modules)} modules; heavy: {', '.join(heavy) or 'none'}",
            not set(FORBIDDEN) & set(modules),
            "startup",
        ),
    ]
