"""Write the table of effects into docs/effects.md, below its mark."""

from __future__ import annotations

from pathlib import Path

from stepedit_fx.effects.help import markdown

DOC = Path(__file__).with_name("effects.md")
START = "<!-- The rest is written by docs/write_effects.py. -->\n"


def main() -> None:
    head = DOC.read_text(encoding="utf-8").partition(START)[0]
    DOC.write_text(f"{head}{START}\n{markdown()}", encoding="utf-8")


if __name__ == "__main__":
    main()
