"""Looking at a graph without rendering: `plan`, `check`, `draw`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import (
    EngineOption,
    GraphArg,
    JsonOption,
    NoStoreOption,
    SetOption,
    StoreOption,
    VarOption,
    load_graph,
    open_store,
    print_json,
    print_table,
)
from stepedit_fx.errors import RequestError

if TYPE_CHECKING:
    from stepedit_fx.graph.plan import Plan


def plan(
    graph: GraphArg,
    source: Annotated[
        Path | None, typer.Argument(metavar="INPUT", help="The recording it would run on.")
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("-o", "--out-dir", help="Where outputs would go.")
    ] = Path(),
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what would run, what is stored, and how long it takes."""
    from stepedit_fx.batch import has_all
    from stepedit_fx.takes import find_take

    checked = load_graph(graph, sets, var, engine)
    path = None if source is None else find_take(str(source)).path
    made = checked.plan(path, store=open_store(store, none=no_store), out_dir=out_dir)
    if as_json:
        print_json(_plan_data(made) | {"up_to_date": has_all(made)})
        return
    marks = {"run": "run", "cached": "stored", "skipped": "not needed"}
    rows = [
        (
            step.id,
            step.kind + (" (put in)" if step.put_in else ""),
            ", ".join(step.sources),
            marks[step.state] if made.recordings else "run",
            _seconds(step.estimate_s),
        )
        for step in made.steps
    ]
    print_table(("Step", "Kind", "From", "What happens", "About"), rows)
    for step in made.steps:
        if step.path is not None:
            typer.echo(f"{step.id} -> {step.path}")
    if made.estimate_s is not None:
        typer.echo(f"About {_seconds(made.estimate_s)} of work in all.")
    if made.is_long:
        typer.echo("Long: it is cut at pauses, and segments that are stored are not done again.")
    if has_all(made):
        typer.echo("Every output is up to date: `run` would leave it so, unless with --force.")
    if not made.recordings:
        typer.echo("Name an INPUT to see what is stored, and how long it takes.")


def _plan_data(made: Plan) -> dict[str, Any]:
    return {
        "graph": made.graph.name,
        "digest": made.graph.digest,
        "engine": made.engine.kind,
        "source": None if made.source is None else str(made.source),
        "estimate_s": made.estimate_s,
        "steps": [
            {
                "id": step.id,
                "kind": step.kind,
                "from": list(step.sources),
                "put_in": step.put_in,
                "state": step.state,
                "estimate_s": step.estimate_s,
                "key": step.key,
                "path": None if step.path is None else str(step.path),
            }
            for step in made.steps
        ],
    }


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def check(
    graphs: Annotated[
        list[str], typer.Argument(metavar="GRAPH", help="Graph files, or shipped names.")
    ],
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check graphs completely, and run nothing.

    Every problem is shown with file:line:column; exit code 2 if there is one.
    """
    from stepedit_fx.errors import GraphError

    found: list[dict[str, Any]] = []
    broken: list[GraphError] = []
    for name in graphs:
        try:
            checked = load_graph(name, sets, var, engine)
            found.append({"graph": name, "ok": True, "problems": []})
            if not as_json:
                typer.echo(f"{name}: fine, {len(checked.nodes)} nodes")
        except GraphError as error:
            broken.append(error)
            problems = [vars(problem) for problem in error.problems]
            found.append({"graph": name, "ok": False, "problems": problems})
    if as_json:
        print_json(found)
        if broken:
            raise typer.Exit(2)
    elif broken:
        raise GraphError([problem for error in broken for problem in error.problems])


def draw(
    graph: GraphArg,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write an SVG here, or Mermaid by .mmd.")
    ] = None,
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
) -> None:
    """Draw a graph: Mermaid to the screen, SVG to a file."""
    from stepedit_fx.atomic import write_text
    from stepedit_fx.graph.draw import mermaid, svg

    checked = load_graph(graph, sets, var, engine)
    if out is None:
        typer.echo(mermaid(checked))
        return
    forms = {".svg": svg, ".mmd": mermaid, ".mermaid": mermaid}
    form = forms.get(out.suffix.lower())
    if form is None:
        raise RequestError(
            f"cannot draw into '{out}'", remedy=f"Its name must end in {', '.join(forms)}."
        )
    write_text(out, form(checked))
