"""`run`: recordings through a graph."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import (
    EngineOption,
    GraphArg,
    JsonOption,
    NoStoreOption,
    PluginsOption,
    SetOption,
    StoreOption,
    VarOption,
    console,
    load_graph_source,
    open_store,
    print_json,
    print_table,
)
from stepedit_fx.errors import ReadError, RequestError

if TYPE_CHECKING:
    from stepedit_fx.batch import Event, Item, Summary
    from stepedit_fx.provenance import GraphSource
    from stepedit_fx.store import Store
    from stepedit_fx.takes import Take

# Longer lists show what went wrong, and count the rest.
SHOWN_ITEMS = 30


def run(
    graph: GraphArg,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="Recordings: files, folders or globs."),
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("-o", "--out-dir", metavar="DIR", help="Where outputs go.")
    ] = Path(),
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
    midi: Annotated[
        Path | None,
        typer.Option("--midi", metavar="FILE", help="Move parameters as this MIDI file says."),
    ] = None,
    midi_map: Annotated[
        Path | None,
        typer.Option("--midi-map", metavar="MAP", help="Which of its controls move what."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, max=256, help="Processes [default: what suits]."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write also outputs that are up to date.")
    ] = False,
    takes: Annotated[
        int | None,
        typer.Option(
            "--takes",
            metavar="N",
            min=1,
            max=64,
            help="Make N takes by other seeds, keep the best.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="A page to judge every stage by."),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Also write the sound to standard output as it is made."),
    ] = False,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    allow_plugins: PluginsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run recordings through a graph. A bad file stops nothing; outputs up to date are kept."""
    sets = [*(sets or ()), *([f"takes={takes}"] if takes else ())]
    graph_source = load_graph_source(graph, sets, var, engine)
    if midi is not None or midi_map is not None:
        moved = _moved(graph_source, midi, midi_map)
        graph_source = load_graph_source(graph, [*sets, *moved], var, engine)
    render(
        graph_source,
        inputs or [],
        out_dir=out_dir,
        jobs=jobs,
        force=force,
        report=report,
        stream=stream,
        store=store,
        no_store=no_store,
        allow_plugins=allow_plugins,
        as_json=as_json,
    )


def _moved(graph_source: GraphSource, midi: Path | None, midi_map: Path | None) -> tuple[str, ...]:
    """What the MIDI file sets, as if it were written with --set."""
    from stepedit_fx.midi.automation import automation_sets
    from stepedit_fx.midi.reading import load_map

    if midi is None or midi_map is None:
        raise RequestError(
            "--midi and --midi-map belong together",
            remedy="Name the MIDI file, and the map that says what its controls move.",
        )
    try:
        return automation_sets(graph_source.graph(), midi, load_map(midi_map))
    except ReadError as error:  # an argument that cannot be used, not a render that failed
        raise RequestError(error.cause, remedy=error.remedy) from error


def render(
    graph_source: GraphSource,
    inputs: Sequence[str],
    *,
    out_dir: Path,
    jobs: int | None = None,
    force: bool = False,
    report: Path | None = None,
    stream: bool = False,
    store: Path | None = None,
    no_store: bool = False,
    allow_plugins: Sequence[Path] | None = None,
    as_json: bool = False,
) -> None:
    """Run a batch with a progress bar and a summary; exit code 1 if a take failed.

    stream: standard output is for the sound, and what is said goes to standard error.
    """
    from stepedit_fx.batch import MEMORY_BYTES, run_batch
    from stepedit_fx.cli.pipe import SoundPipe
    from stepedit_fx.takes import find_takes

    if out_dir.exists() and not out_dir.is_dir():
        raise RequestError(f"{out_dir}: a file stands where the output folder is to be")
    if report is not None:
        _check_report(report)
    takes = find_takes(inputs)
    pipe = SoundPipe() if stream else None
    opened = open_store(store, none=no_store, memory_bytes=MEMORY_BYTES)
    with _progress(len(takes)) as on_event:
        summary = run_batch(
            graph_source,
            takes,
            out_dir=out_dir,
            store=opened,
            jobs=jobs,
            plugin_folders=_folders(allow_plugins),
            force=force,
            on_event=on_event,
            hear=pipe.hear if pipe is not None else None,
        )
    with redirect_stdout(sys.stderr) if stream else nullcontext():
        if as_json:
            print_json(_summary_data(summary))
        else:
            _print_summary(summary)
    if report is not None:
        folders = _folders(allow_plugins)
        _report(report, graph_source, takes, summary, out_dir, opened, folders)
    if summary.failed:
        raise typer.Exit(1)


def _check_report(path: Path) -> None:
    """Raise RequestError for what cannot become a page; nobody wants to hear it after the run."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"--report {path}: not a page's name", remedy="Let it end in .html.")
    if path.is_dir():
        raise RequestError(f"--report {path}: a folder has this name", remedy="Name a file.")


def _report(
    path: Path,
    graph_source: GraphSource,
    takes: Sequence[Take],
    summary: Summary,
    out_dir: Path,
    store: Store,
    plugin_folders: Sequence[Path],
) -> None:
    """Write the page, and say on stderr that it is there, so that stdout stays what it was."""
    from stepedit_fx.report import write_report

    with console(stderr=True).status("report") as status:
        written = write_report(
            path,
            graph_source,
            takes,
            summary.items,
            out_dir=out_dir,
            store=store,
            plugin_folders=plugin_folders,
            progress=lambda done: status.update(f"report: {done} of {len(summary.items)}"),
        )
    typer.echo(f"Report: {written.path} ({written.size / 1e6:.1f} MB)", err=True)
    if written.without_sound:
        typer.echo(
            f"Warning: the report holds no sound of {written.without_sound} takes, to stay of a "
            "size that browsers open. Report on fewer at a time to hear them.",
            err=True,
        )


def _folders(given: Sequence[Path] | None) -> tuple[Path, ...]:
    for folder in given or ():
        if not folder.is_dir():
            raise RequestError(f"--allow-plugins {folder}: there is no such folder")
    return tuple(folder.absolute() for folder in given or ())


@contextmanager
def _progress(takes: int) -> Iterator[Any]:
    """A bar on the terminal, and nothing anywhere else; gives what takes the events."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    done = failed = 0
    try:
        with Progress(*columns, console=screen, transient=True) as bar:
            task = bar.add_task("starting", total=takes or 1)

            def take(event: Event) -> None:
                nonlocal done, failed
                if event.item is not None:
                    done += 1
                    failed += event.item.state == "failed"
                    bar.update(task, completed=done)
                elif event.portion is not None and takes <= 1:
                    bar.update(task, completed=done + event.portion)
                    return
                what = _at(event.step) if event.step and takes <= 1 else "rendering"
                bar.update(task, description=what + (f", {failed} failed" if failed else ""))

            yield take
    except KeyboardInterrupt:
        if takes > 1:
            screen.print(f"{done} of {takes} done. The same command goes on from there.")
        raise


def _at(step: tuple[str, str]) -> str:
    """A step by name, and how far a model is that writes it."""
    name, state = step
    return f"{name}, {state}" if state.endswith("tokens") else name


def _failure(item: Item) -> str:
    name = str(item.source) if item.source else "the graph"
    return item.error if name in item.error else f"{name}: {item.error}"


def _print_summary(summary: Summary) -> None:
    items = summary.items
    if len(items) > 1:
        shown = items if len(items) <= SHOWN_ITEMS else summary.failed
        rows = [(str(i.source or ""), i.state, f"{i.seconds:.2f} s", _outcome(i)) for i in shown]
        if rows:
            print_table(("Input", "State", "Time", "Output"), rows)
    for item in items:
        for warning in item.warnings:
            typer.echo(f"Warning: {item.source}: {warning}", err=True)
    for item in items:
        for line in _tried(item):
            typer.echo(line)
    for item in summary.failed:
        typer.echo(f"Failed: {_failure(item)}", err=True)
    if len(items) == 1:
        for path in items[0].outputs:
            typer.echo(f"{path}" + (" (up to date)" if items[0].state == "up to date" else ""))
    typer.echo(_totals(summary))


def _tried(item: Item) -> Iterator[str]:
    """One line for each take that was made of a recording, the one that was kept first."""
    for place, take in enumerate(item.tried):
        lost = f", not understood: {', '.join(take['missing_words'])}" * bool(take["missing_words"])
        kept = "kept " if place == 0 else "     "
        yield f"{kept}take {take['take']}: {take['score']:.3f}{lost}"


def _outcome(item: Item) -> str:
    return ", ".join(str(path) for path in item.outputs) or "-"


def _totals(summary: Summary) -> str:
    counts = {
        state: sum(item.state == state for item in summary.items)
        for state in ("done", "up to date", "failed")
    }
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    audio_s = sum(item.audio_s for item in summary.items)
    return f"{told} in {summary.seconds:.1f} s ({audio_s:.1f} s of audio)."


def _summary_data(summary: Summary) -> dict[str, Any]:
    items = [
        asdict(item)
        | {
            "source": None if item.source is None else str(item.source),
            "outputs": [str(path) for path in item.outputs],
        }
        for item in summary.items
    ]
    return {
        "items": items,
        "seconds": summary.seconds,
        "done": sum(item.state == "done" for item in summary.items),
        "up_to_date": sum(item.state == "up to date" for item in summary.items),
        "failed": len(summary.failed),
    }
