"""Write the tables of docs/midi.md from the code, below its mark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stepedit_fx.midi.curves import CURVES
from stepedit_fx.midi.maps import ACTIONS, MODES
from stepedit_fx.midi.sources import ENCODINGS, NOTE_VALUES, SOURCES
from stepedit_fx.midi.takeover import TAKEOVERS

DOC = Path(__file__).with_name("midi.md")
START = "<!-- The rest is written by docs/write_midi.py. -->\n"


def markdown() -> str:
    """Every table of the reference."""
    sources = {
        kind: f"{spec.help} | " + (f"0 to {spec.numbers - 1}, the {spec.number_of}" if spec.numbers
                                   else "none")
        for kind, spec in SOURCES.items()
    }  # fmt: skip
    return "".join(
        [
            _table("Sources", "`type` | what it is | `number`", sources),
            _table("Endless encoders", "`encoding` | what it sends", ENCODINGS),
            _table("Notes", "`value` | what it gives", NOTE_VALUES),
            _table("Curves", "`curve` | how it travels", {k: c.help for k, c in CURVES.items()}),
            _table(
                "Takeover", "`takeover` | what happens", {k: t.help for k, t in TAKEOVERS.items()}
            ),
            _table("Modes", "`mode` | what it does", MODES),
            _table(
                "Targets beside parameters",
                "`target` | what it does | `mode` if none is given",
                {k: f"{a.help} | {a.mode}" for k, a in ACTIONS.items()},
            ),
        ]
    )


def _table(title: str, head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} |", "|" + " --- |" * (head.count("|") + 1)]
    lines += [f"| `{name}` | {text} |" for name, text in rows.items()]
    return f"\n### {title}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    head = DOC.read_text(encoding="utf-8").partition(START)[0]
    DOC.write_text(f"{head}{START}{markdown()}", encoding="utf-8")


if __name__ == "__main__":
    main()
