"""`stepedit-fx live`: a recording through a graph, played while it is turned."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from stepedit_fx.errors import StepEditError
    from stepedit_fx.live import Player
    from stepedit_fx.session import Event, Session

_LOOK_S = 0.1
# A thread that computes lets others have the interpreter after this long. Python's own 5 ms are a
# whole block of sound.
_SWITCH_S = 0.0002


def live(
    graph: GraphArg,
    source: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", help="The recording that is played.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="DEVICE", help="jack, sounddevice[:NAME], or null: to nobody."
        ),
    ] = "sounddevice",
    rate: Annotated[
        int | None,
        typer.Option("--rate", metavar="HZ", help="Sample rate [default: the device's, or 48000]."),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option("--block", metavar="FRAMES", help="Of a block [default: JACK's, or 256]."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="ID", help="Which output is heard [default: the first]."),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop/--once", help="Begin again at the end, or stop there.")
    ] = True,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="WAV", help="Write what is heard, 32 bit float."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.0, help="End after so long.")
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
    """Play a recording through a graph that is turned by OSC and MIDI."""
    from stepedit_fx.live import Player, open_device

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
    graph_source = load_graph_source(graph, sets, var, engine)
    opened = open_device(device, sample_rate=rate, block_frames=block)
    with (
        control.session_of(
            graph_source,
            source=source,
            spool=spool,
            store=store,
            no_store=no_store,
            plugin_folders=allow_plugins,
            scenes=scenes,
        ) as session,
        _troubles(session) as troubles,
        control.faces(session, options) as running,
        Player(session, opened, output=output, loop=loop, record=record) as player,
        _undisturbed(),
    ):
        for fact in (*_facts(player), *running.facts, "Ctrl-C ends it."):
            typer.echo(fact)
        _play(player, troubles, seconds)
    _tell_end(player)


def _facts(player: Player) -> Iterator[str]:
    device, session = player.device, player.session
    yield (
        f"{session.name} on {device.name}, {device.sample_rate} Hz, "
        f"blocks of {device.block_frames} frames"
    )
    effects = ", ".join(player.live_nodes)
    yield f"Live: {effects}" if effects else "No effects run live"
    yield f"Rendered behind: {player.rendered_node} and what feeds it"
    if player.recorder is not None:
        yield f"What is heard goes to {player.recorder.path}"


@contextmanager
def _troubles(session: Session) -> Iterator[deque[StepEditError]]:
    """What goes wrong while it plays."""
    from stepedit_fx.session import Trouble

    told: deque[StepEditError] = deque(maxlen=100)

    def listen(event: Event) -> None:
        if isinstance(event, Trouble):
            told.append(event.error)

    end = session.subscribe(listen)
    try:
        yield told
    finally:
        end()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """The interpreter set up so that the callback waits for no other thread longer than it can."""
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    # What is loaded now stays: the collector, which stops every thread, need not look at it.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(switch_s)


def _play(player: Player, troubles: deque[StepEditError], seconds: float | None) -> None:
    """Until Ctrl-C or SIGTERM, so long, or the end of what is played once.

    Raises what goes wrong before there is any sound.
    """
    left_s = float("inf") if seconds is None else seconds
    with control.stop_signals() as stopped:
        while left_s > 0 and not player.ended.is_set():
            if stopped.wait(min(_LOOK_S, left_s)):
                break
            left_s -= _LOOK_S
            while troubles:
                error = troubles.popleft()
                if not player.sounding.is_set():
                    raise error
                typer.echo(f"Error: {error}", err=True)


def _tell_end(player: Player) -> None:
    counts = player.counts
    typer.echo(f"Stopped. Late blocks: {counts.late} ours, {counts.device} the device's.")
    if counts.faults:
        typer.echo(f"{counts.faults} blocks were muted: {player.deck.last_fault}", err=True)
    if player.recorder is not None:
        seconds = player.recorder.frames / player.device.sample_rate
        typer.echo(f"{player.recorder.path}: {seconds:.1f} s")
        if player.recorder.failed:
            raise typer.Exit(1)
