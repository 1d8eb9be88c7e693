"""`verify`: render outputs again from their provenance and compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stepedit_fx.cli.common import JsonOption, PluginsOption, print_json


def verify(
    outputs: Annotated[
        list[Path], typer.Argument(metavar="OUT", help="Files or folders that `run` wrote.")
    ],
    allow_plugins: PluginsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Render outputs again from their provenance, and compare.

    Nothing that is stored is used. Exit code 1 unless all come out the same.
    """
    from stepedit_fx.store import Store
    from stepedit_fx.verification import verify_output

    store = Store.in_memory()
    verdicts = [
        verify_output(output, plugin_folders=allow_plugins or (), store=store)
        for output in _expanded(outputs)
    ]
    if as_json:
        print_json([asdict(v) | {"output": str(v.output)} for v in verdicts])
    else:
        for v in verdicts:
            typer.echo(f"{v.output}: {v.state}" + (f": {v.detail}" if v.detail else ""))
    if any(v.state != "same" for v in verdicts):
        raise typer.Exit(1)


def _expanded(outputs: list[Path]) -> list[Path]:
    """Folders stand for every output in them that has provenance."""
    from stepedit_fx.errors import RequestError
    from stepedit_fx.provenance import SUFFIX

    found: list[Path] = []
    for path in outputs:
        if not path.is_dir():
            found.append(path)
            continue
        sidecars = sorted(path.rglob(f"*.*{SUFFIX}"))
        inside = [p.with_name(p.name.removesuffix(SUFFIX)) for p in sidecars]
        inside = [p for p in inside if p.is_file()]
        if not inside:
            raise RequestError(f"{path}: no output with provenance in this folder")
        found += inside
    return found
