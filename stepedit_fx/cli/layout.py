"""`stepedit-fx osc layout`: a touch surface for a graph, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepedit_fx.cli.common import (
    EngineOption,
    GraphArg,
    SetOption,
    VarOption,
    load_graph,
    print_json,
)


def layout(
    graph: GraphArg,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where to [default: the screen]."),
    ] = None,
    target: Annotated[
        str,
        typer.Option("--target", metavar="HOST:PORT", help="Where stepedit-fx takes OSC."),
    ] = "127.0.0.1:9100",
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
) -> None:
    """Write a surface for Open Stage Control: faders, switches and menus of a graph."""
    import json

    from stepedit_fx.atomic import write_text
    from stepedit_fx.graph.controls import controls_of
    from stepedit_fx.osc.layout import checked_target, session_of

    to = checked_target(target)
    made = load_graph(graph, sets, var, engine)
    controls = controls_of(made)
    session = session_of(made, controls, to)
    if output is None:
        print_json(session)
        return
    write_text(output, json.dumps(session, indent=2, ensure_ascii=False) + "\n")
    typer.echo(f"{output}: {len(controls)} controls, for {to}. Open it with Open Stage Control.")
