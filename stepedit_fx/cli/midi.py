"""`midi`: ports, maps, learning, and what a controller sends."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import (
    JsonOption,
    SetOption,
    VarOption,
    load_graph,
    load_graph_source,
    print_json,
    print_table,
)
from stepedit_fx.errors import NotFound, ReadError, RequestError, StepEditError

if TYPE_CHECKING:
    from stepedit_fx.midi.maps import MidiMap

app = typer.Typer(
    help="Controllers: ports, maps, learning.", no_args_is_help=True, rich_markup_mode=None
)

MapArg = Annotated[Path, typer.Argument(metavar="MAP", help="A MIDI map (YAML).")]
PortOption = Annotated[
    str | None,
    typer.Option(
        "--port", metavar="NAME", help="Part of a device's name [default: the map's, or the first]."
    ),
]
VirtualOption = Annotated[
    bool, typer.Option("--virtual", help="Make a port that others connect to, of that name.")
]
BackendOption = Annotated[
    str | None,
    typer.Option("--backend", metavar="NAME", help="alsa, jack, coremidi or windows."),
]


@app.command()
def ports(as_json: JsonOption = False) -> None:
    """List the MIDI ports that are there, and which MIDI systems work."""
    from stepedit_fx.midi.ports import backends, list_ports

    listings = [list_ports(backend) for backend in backends()]
    if as_json:
        print_json([asdict(listing) for listing in listings])
        return
    for listing in listings:
        if listing.error:
            typer.echo(f"{listing.backend}: does not work here: {listing.error}")
            continue
        typer.echo(f"{listing.backend}: works")
        for title, names in (("inputs", listing.inputs), ("outputs", listing.outputs)):
            typer.echo(f"  {title}: {', '.join(names) or 'none'}")


@app.command()
def check(
    midi_map: MapArg,
    graph: Annotated[
        str | None,
        typer.Option("--graph", metavar="GRAPH", help="Check the targets against this graph too."),
    ] = None,
    sets: SetOption = None,
    var: VarOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a map completely, and list what turns what."""
    from stepedit_fx.graph.controls import controls_of

    controls = controls_of(load_graph(graph, sets, var)) if graph else None
    found = _load(midi_map, controls)
    rows = []
    for entry in found.entries:
        control = controls.by_address.get(entry.target) if controls is not None else None
        travel = entry.travel(control)
        known = control is not None or entry.range is not None
        ends = f"{travel.first:g} to {travel.last:g}" if known else "its own"
        unit = f" {control.unit}" if control is not None and control.unit else ""
        rows.append((str(entry.source), entry.target, ends + unit, entry.curve or travel.curve))
    conflicts = [str(problem) for problem in found.conflicts()]
    if as_json:
        keys = ("source", "target", "range", "curve")
        listed = [dict(zip(keys, row, strict=True)) for row in rows]
        print_json({"mappings": listed, "conflicts": conflicts})
        return
    print_table(("Control", "Turns", "Range", "Curve"), rows)
    for conflict in conflicts:
        typer.echo(f"Note: {conflict}", err=True)
    typer.echo(f"{midi_map}: {len(rows)} mappings" + ("" if graph else "; targets not checked"))


@app.command()
def learn(
    midi_map: MapArg,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="What the control is to turn.")],
    graph: Annotated[
        str, typer.Option("--graph", metavar="GRAPH", help="The graph that the address is in.")
    ],
    port: PortOption = None,
    virtual: VirtualOption = False,
    backend: BackendOption = None,
    sets: SetOption = None,
    var: VarOption = None,
) -> None:
    """Wait for a control to be moved, and write it into the map, which is made if need be."""
    from dataclasses import replace

    from stepedit_fx.midi.maps import MidiMap
    from stepedit_fx.midi.service import MidiService, MidiSettings
    from stepedit_fx.session import Session

    found = _load(midi_map) if midi_map.exists() else MidiMap(file=midi_map)
    graph_source = load_graph_source(graph, sets, var)
    told: SimpleQueue[str | StepEditError] = SimpleQueue()
    with (
        tempfile.TemporaryDirectory() as spool,
        Session(graph_source, spool=Path(spool)) as session,
    ):
        session.control(address)
        # Only to learn: what is moved is not to be told where it stands.
        own = replace(found, entries=tuple(replace(e, feedback=False) for e in found.entries))
        settings = MidiSettings.of(own, port=port, virtual=virtual, backend=backend)
        service = MidiService(session, settings)
        service.start()
        try:
            service.learn(address, told.put)
            typer.echo(f"Move the control that is to turn {address} ...", err=True)
            answer = told.get()
        finally:
            service.stop()
    if isinstance(answer, StepEditError):
        raise answer
    typer.echo(answer)


@app.command()
def monitor(
    port: PortOption = None,
    virtual: VirtualOption = False,
    backend: BackendOption = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0, help="Stop by itself [default: Ctrl-C].")
    ] = None,
) -> None:
    """Print what a controller sends, as a map would name it."""
    from stepedit_fx.midi.decode import Decoder, parsed

    decoder = Decoder()
    end_s = time.monotonic() + seconds if seconds is not None else float("inf")
    with _listening(port, virtual, backend) as (name, received):
        typer.echo(f"Listening to {name}", err=True)
        while (left_s := end_s - time.monotonic()) > 0:
            try:
                message = parsed(received.get(timeout=min(left_s, 0.05)))
            except Empty:
                message = None
            now_s = time.monotonic()
            moves = decoder.feed(message, now_s) if message else decoder.due(now_s)
            for move in moves:
                value = "let go" if move.released else move.value if not move.step else move.step
                number = f" number {move.number}" if _has_number(move.type) else ""
                typer.echo(f"{move.type} channel {move.channel}{number}: {value}")


def _has_number(kind: str) -> bool:
    from stepedit_fx.midi.sources import SOURCES

    return bool(SOURCES[kind].numbers)


@contextmanager
def _listening(
    port: str | None, virtual: bool, backend: str | None
) -> Iterator[tuple[str, SimpleQueue[list[int]]]]:
    """An open port's name and what comes in, as bytes."""
    from stepedit_fx.midi.ports import Ports, backends, list_ports

    received: SimpleQueue[list[int]] = SimpleQueue()
    put: Callable[[list[int]], None] = received.put
    opened = Ports(port, virtual=virtual, backend=backend, heard=put)
    if not opened.open():
        there = [n for b in backends() for n in list_ports(b).inputs]
        raise NotFound(
            f"there is no MIDI device '{port}'" if port else "there is no MIDI device",
            remedy=f"There are: {', '.join(there)}." if there else "Connect one, or say --virtual.",
        )
    try:
        yield opened.told, received
    finally:
        opened.close()


def _load(midi_map: Path, controls: Any = None) -> MidiMap:
    from stepedit_fx.midi.reading import load_map

    try:
        return load_map(midi_map, controls)
    except ReadError as error:  # an argument, not a render that failed
        raise RequestError(error.cause, remedy=error.remedy) from error
