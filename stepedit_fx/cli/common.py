"""What several commands share: their options, and the way they print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.errors import ReadError, RequestError

if TYPE_CHECKING:
    from rich.console import Console

    from stepedit_fx.graph import Graph
    from stepedit_fx.provenance import GraphSource
    from stepedit_fx.store import Store

# Tables that go to a file or a program are not folded to a terminal's width.
PIPED_WIDTH = 160

GraphArg = Annotated[
    str, typer.Argument(metavar="GRAPH", help="A graph file, or a shipped graph or preset by name.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NODE.FIELD=VALUE",
        help="Change a node's field, or engine=KIND. Repeatable.",
    ),
]
EngineOption = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="KIND", help="parametric or step-audio [default: what the graph says]."
    ),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="Give a variable its value. Repeatable."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where results are kept [default: $STEPEDIT_STORE, else the user's cache folder].",
    ),
]
NoStoreOption = Annotated[
    bool, typer.Option("--no-store", help="Keep no results between runs, and use none.")
]
PluginsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-plugins", metavar="DIR", help="Let VST3 and AU effects load from this folder."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def variables(given: Sequence[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` options as a mapping; the values are read as YAML by the graph."""
    split = [text.partition("=") for text in given or ()]
    for name, equals, _ in split:
        if not name or not equals:
            raise RequestError(f"--var takes NAME=VALUE, got '{name}'")
    return {name: value for name, _, value in split}


def load_graph_source(
    name: str,
    sets: Sequence[str] | None,
    given: Sequence[str] | None,
    engine: str | None = None,
) -> GraphSource:
    """The checked graph of a path or shipped name, as it was asked for.

    engine: short for the first of the sets, ``engine=kind``.

    Raises RequestError, and GraphError with every problem.
    """
    from stepedit_fx.provenance import GraphSource
    from stepedit_fx.shipped import find_graph

    path = find_graph(name)
    try:
        all_sets = (*((f"engine={engine}",) if engine else ()), *(sets or ()))
        return GraphSource.load(path, sets=all_sets, variables=variables(given))
    except ReadError as error:  # an argument that is no graph, not a render that failed
        raise RequestError(error.cause, remedy=error.remedy) from error


def load_graph(
    name: str,
    sets: Sequence[str] | None,
    given: Sequence[str] | None,
    engine: str | None = None,
) -> Graph:
    """The checked graph of a path or shipped name. Raises RequestError, GraphError."""
    return load_graph_source(name, sets, given, engine).graph()


def open_store(
    folder: Path | None, *, none: bool = False, memory_bytes: int | None = None
) -> Store:
    """The store that the options name. Raises RequestError, StoreError."""
    from stepedit_fx.store import Store

    if none and folder:
        raise RequestError("--store and --no-store exclude each other", remedy="Leave one out.")
    limits = {} if memory_bytes is None else {"memory_bytes": memory_bytes}
    return Store.in_memory(**limits) if none else Store(folder, **limits)


def print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """A table that shows text as it is; the last column takes the room that is left."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
