"""Write docs/cli.md from the commands' own --help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from stepedit_fx.cli.app import app

DOC = Path(__file__).with_name("cli.md")
WIDTH = 96

HEAD = """# The command line

Every command and option, as `--help` prints them. This page is written by `docs/write_cli.py`.

GRAPH is a path, or the name of a shipped graph or preset (`stepedit-fx presets`). INPUT is a file,
a folder (searched to any depth) or a quoted glob; outputs keep the places their recordings had in
the folder. Outputs of earlier runs, which have `<name>.json` beside them, are not taken as inputs.

| exit code | means |
| --- | --- |
| 0 | all done |
| 1 | a render failed, or `verify` found a difference; the rest was done |
| 2 | the graph or the arguments are wrong; nothing was done |
| 130 | stopped by Ctrl-C; every file that is there is whole |

`run` goes on where it stopped: an output whose provenance says the same and whose file is unchanged
is up to date. `--json` prints to stdout what a program needs; messages go to stderr.
"""


def markdown() -> str:
    """The whole page."""
    root: Any = typer.main.get_command(app)
    return HEAD + "".join(_sections(root, "stepedit-fx", None))


def _sections(command: Any, name: str, parent: Any) -> list[str]:
    context = command.context_class(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    title = context.command_path
    found = [f"\n## {title}\n\n```text\n{text.strip()}\n```\n"]
    for sub_name, sub in getattr(command, "commands", {}).items():
        found += _sections(sub, sub_name, context)
    return found


def main() -> None:
    DOC.write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
