"""`worker`: the process that owns a model for all programs of this user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import (
    EngineOption,
    JsonOption,
    SetOption,
    load_graph,
    print_json,
)
from stepedit_fx.errors import EngineError, RequestError

if TYPE_CHECKING:
    from stepedit_fx.worker.control import Found

app = typer.Typer(
    help="Look after the process that owns a model for all programs.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def start(
    graph: Annotated[
        str | None,
        typer.Argument(metavar="GRAPH", help="Whose engine [default: step-audio as it is]."),
    ] = None,
    engine: EngineOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the worker that a graph's engine is served by, or find it. Runs do so by themselves."""
    from stepedit_fx.worker.client import WorkerEngine
    from stepedit_fx.worker.opening import is_shared

    if graph is None:
        graph, engine = "quickstart", engine or "step-audio"
    settings = load_graph(graph, sets, None, engine).engine
    if not is_shared(settings):
        raise RequestError(
            f"the engine '{settings.kind}' works in every process by itself and has no worker",
            remedy="Name one that has a model: `stepedit-fx worker start --engine step-audio`.",
        )
    shared = WorkerEngine(settings)
    status = {"socket": str(shared.address.socket), **shared.status()}
    shared.close()
    if as_json:
        print_json(status)
        return
    typer.echo(f"worker {status['pid']} serves {status['engine']} on {status['socket']}")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Say which workers there are, what they hold and what they are at."""
    from stepedit_fx.worker.control import find

    workers = find(cleared=_say_cleared)
    if as_json:
        print_json([_data(found) for found in workers])
        return
    if not workers:
        typer.echo("no worker runs")
    for number, found in enumerate(workers):
        typer.echo("\n" * bool(number) + f"worker {found.pid or '?'}")
        for line in _lines(_data(found), 1):
            typer.echo(line)


@app.command()
def stop(
    pids: Annotated[
        list[int] | None, typer.Argument(metavar="PID", help="Which [default: all of yours].")
    ] = None,
) -> None:
    """End workers; what they are at is dropped, and who waits for it is told."""
    from stepedit_fx.worker.control import find
    from stepedit_fx.worker.control import stop as end

    workers = find(cleared=_say_cleared)
    unknown = sorted(set(pids or ()) - {found.pid for found in workers})
    if unknown:
        raise RequestError(
            f"no worker has process id {', '.join(map(str, unknown))}",
            remedy="`stepedit-fx worker status` lists them.",
        )
    failed = 0
    for found in workers:
        if pids and found.pid not in pids:
            continue
        try:
            typer.echo(f"worker {found.pid or '?'} {end(found)}")
        except EngineError as error:
            typer.echo(f"Error: {error}", err=True)
            failed += 1
    if not workers:
        typer.echo("no worker runs")
    if failed:
        raise typer.Exit(1)


def _say_cleared(socket: Path) -> None:
    typer.echo(f"removed {socket}, which a dead worker left", err=True)


def _data(found: Found) -> dict[str, Any]:
    told = found.status or {"pid": found.pid, "trouble": found.why}
    facts = {name: value for name, value in told.items() if name not in ("id", "event")}
    return {"socket": str(found.address.socket), "log": str(found.address.log), **facts}


def _lines(facts: dict[str, Any], depth: int) -> list[str]:
    """Facts a line each, those within others indented."""
    lines = []
    for name, value in facts.items():
        indent = "  " * depth
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, depth + 1)] if value else []
        elif name.endswith("bytes") and isinstance(value, int):
            lines.append(f"{indent}{name.replace('_', ' ')}: {value / 2**20:.1f} MiB")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{indent}{name.replace('_', ' ')}: {shown}")
    return lines
