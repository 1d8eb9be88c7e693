"""Write the changes and the shipped recipes into docs/parametric.md, below its mark."""

from __future__ import annotations

from pathlib import Path

from stepedit_fx.engines.parametric.recipes import CHANGES, PerVoice, load_recipes

DOC = Path(__file__).with_name("parametric.md")
START = "<!-- The rest is written by docs/write_recipes.py. -->\n"


def markdown() -> str:
    """The changes a recipe may make, and what each shipped recipe makes of them."""
    lines = ["### Changes", "", "| change | neutral | range | |", "| --- | --- | --- | --- |"]
    for name, (kind, low, high, meaning) in CHANGES.items():
        neutral = "none" if name == "pause_keep_s" else "1" if kind == "ratio" else "0"
        lines.append(f"| `{name}` | {neutral} | {low:g} to {high:g} | {meaning} |")
    lines += ["", "### Shipped recipes", ""]
    for (kind, tag), recipe in load_recipes()[0].items():
        lines += [f"**{kind} {tag}**".replace(" **", "**"), ""]
        for name, change in recipe.changes.items():
            by = change.by
            shown = (
                f"{by.low:g} for a low voice, {by.high:g} for a high one"
                if isinstance(by, PerVoice)
                else f"{by:g}"
            )
            lines.append(f"- `{name}` {shown}: {change.source}")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    head = DOC.read_text(encoding="utf-8").partition(START)[0]
    DOC.write_text(f"{head}{START}\n{markdown()}", encoding="utf-8")


if __name__ == "__main__":
    main()
