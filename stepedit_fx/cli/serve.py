"""`stepedit-fx serve`: a graph that is turned and rendered from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stepedit_fx.cli import control
from stepedit_fx.cli.common import (
    EngineOption,
    GraphArg,
    NoStoreOption,
    PluginsOption,
    SetOption,
    StoreOption,
    VarOption,
    load_graph_source,
)


def serve(
    graph: GraphArg,
    source: Annotated[
        Path | None,
        typer.Option("--input", metavar="WAV", help="The recording that renders are of."),
    ] = None,
    host: control.HostOption = "127.0.0.1",
    port: control.PortOption = control.DEFAULT_PORT,
    token: control.TokenOption = "",
    token_file: control.TokenFileOption = None,
    root: control.RootOption = None,
    http: control.HttpOption = None,
    no_http: control.NoHttpOption = False,
    mdns: control.MdnsOption = False,
    notify: control.NotifyOption = None,
    midi: control.MidiOption = None,
    midi_port: control.MidiPortOption = None,
    spool: control.SpoolOption = None,
    scenes: control.ScenesOption = None,
    engine: EngineOption = None,
    sets: SetOption = None,
    var: VarOption = None,
    store: StoreOption = None,
    no_store: NoStoreOption = False,
    allow_plugins: PluginsOption = None,
) -> None:
    """Open a graph to OSC, OSCQuery and MIDI, until Ctrl-C."""
    options = control.control_options(
        host=host,
        port=port,
        token=token,
        token_file=token_file,
        roots=root,
        source=source,
        http=http,
        no_http=no_http,
        mdns=mdns,
        notify=notify,
        midi=midi,
        midi_port=midi_port,
    )
    with (
        control.session_of(
            load_graph_source(graph, sets, var, engine),
            source=source,
            spool=spool,
            store=store,
            no_store=no_store,
            plugin_folders=allow_plugins,
            scenes=scenes,
        ) as session,
        control.faces(session, options) as running,
    ):
        facts = [
            f"{session.name}: {len(session.controls)} controls",
            *running.facts,
            f"Renders of {session.source or 'what clients name'} go to {session.spool}",
            "Ctrl-C ends it.",
        ]
        for fact in facts:
            typer.echo(fact)
        control.wait_until_stopped()
    typer.echo("Stopped.")
