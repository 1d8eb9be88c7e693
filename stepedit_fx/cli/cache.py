"""`cache`: the store of results."""

from __future__ import annotations

from dataclasses import asdict

import typer

from stepedit_fx.cli.common import JsonOption, StoreOption, open_store, print_json

app = typer.Typer(
    help="Look after the store of results.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def info(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say where results are kept, how many, and how large they may grow."""
    found = open_store(store).info()
    if as_json:
        print_json(asdict(found) | {"folder": str(found.folder)})
        return
    typer.echo(f"folder   {found.folder}")
    typer.echo(f"entries  {found.entries}")
    typer.echo(f"size     {_mib(found.bytes)} of at most {_mib(found.limit_bytes)}")


@app.command()
def verify(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Read every entry, and remove those that are damaged."""
    damaged = open_store(store).verify()
    if as_json:
        print_json({"damaged": damaged})
    else:
        typer.echo(f"{len(damaged)} damaged, removed" if damaged else "every entry is sound")


@app.command()
def clear(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Remove every entry; the next runs render anew."""
    freed = open_store(store).clear()
    if as_json:
        print_json({"freed_bytes": freed})
    else:
        typer.echo(f"{_mib(freed)} freed")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
