"""What `serve` and `live` share: the options of OSC, OSCQuery and MIDI, and starting them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.errors import ReadError, RequestError

if TYPE_CHECKING:
    from stepedit_fx.osc.settings import OscSettings
    from stepedit_fx.provenance import GraphSource
    from stepedit_fx.session import Session

DEFAULT_PORT = 9100
_WAKE_S = 0.5  # a waiting main thread hears signals only now and then on Windows

HostOption = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; others need a token.")
]
PortOption = Annotated[
    int,
    typer.Option("--port", min=0, max=65535, help="OSC, by UDP and TCP; 0 takes any free one."),
]
TokenOption = Annotated[
    str, typer.Option("--token", help="What clients must say first; on this computer it shows.")
]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="The same, out of a file.")
]
RootOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Clients may name recordings and graphs in it [default: the input's]. Repeatable.",
    ),
]
HttpOption = Annotated[
    int | None,
    typer.Option(
        "--http",
        min=0,
        max=65535,
        metavar="PORT",
        help="OSCQuery, by HTTP [default: the port after OSC's].",
    ),
]
NoHttpOption = Annotated[bool, typer.Option("--no-http", help="No OSCQuery.")]
MdnsOption = Annotated[bool, typer.Option("--mdns", help="Announce it on the network.")]
NotifyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="HOST:PORT/ADDRESS",
        help="Send the id of each render that is done there, by OSC. Repeatable.",
    ),
]
MidiOption = Annotated[
    Path | None, typer.Option("--midi", metavar="MAP", help="Listen to MIDI, by this map.")
]
MidiPortOption = Annotated[
    str | None, typer.Option("--midi-port", metavar="NAME", help="The MIDI port [default: map's].")
]
SpoolOption = Annotated[
    Path | None,
    typer.Option("--spool", metavar="DIR", help="Where renders go [default: the user's data]."),
]
ScenesOption = Annotated[
    Path | None, typer.Option("--scenes", metavar="FILE", help="Keep scenes in this file.")
]


@dataclass(frozen=True)
class ControlOptions:
    """Which faces a session gets. midi_map: None for no MIDI."""

    osc: OscSettings
    midi_map: Path | None = None
    midi_port: str | None = None


@dataclass
class Faces:
    """The faces that run. facts: a line on each, for who starts them."""

    osc: Any = None
    midi: Any = None
    facts: list[str] = field(default_factory=list)


def control_options(
    *,
    host: str,
    port: int,
    token: str,
    token_file: Path | None,
    roots: Sequence[Path] | None,
    source: Path | None,
    http: int | None,
    no_http: bool,
    mdns: bool,
    notify: Sequence[str] | None,
    midi: Path | None,
    midi_port: str | None,
) -> ControlOptions:
    """The options as they were given. Raises RequestError."""
    from stepedit_fx.osc.settings import OscSettings

    for root in roots or ():
        if not root.is_dir():
            raise RequestError(f"--root {root}: there is no such folder")
    if midi_port is not None and midi is None:
        raise RequestError("--midi-port needs a map", remedy="Give one with --midi MAP.")
    if http is None:
        http = port + 1 if 0 < port < 65535 else 0
    near = (source.absolute().parent,) if source is not None else ()
    osc = OscSettings(
        host=host,
        port=port,
        token=_token(token, token_file),
        roots=tuple(root.absolute() for root in roots or near),
        http_port=None if no_http else http,
        mdns=mdns,
        notify=tuple(map(_target, notify or ())),
    )
    return ControlOptions(osc, midi, midi_port)


def _token(given: str, file: Path | None) -> str:
    if file is None:
        return given
    if given:
        raise RequestError("--token and --token-file exclude each other", remedy="Leave one out.")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError.of(file, getattr(error, "strerror", None) or "is no text") from error
    token = lines[0].strip() if lines else ""
    if not token:
        raise RequestError(f"--token-file {file}: its first line is empty")
    return token


def _target(text: str) -> tuple[str, int, str]:
    """HOST:PORT/ADDRESS, an IPv6 host in brackets."""
    place, slash, address = text.partition("/")
    host, port = host_and_port(place, f"--notify {text}")
    if not slash or not address:
        raise RequestError(f"--notify {text}: it takes HOST:PORT/ADDRESS")
    return host, port, f"/{address}"


def host_and_port(text: str, what: str) -> tuple[str, int]:
    """HOST:PORT, or PORT alone for this computer. what: for messages. Raises RequestError."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise RequestError(f"{what}: it takes HOST:PORT, as in 127.0.0.1:{DEFAULT_PORT}")
    return host.strip("[]") or "127.0.0.1", int(port)


def default_spool() -> Path:
    """Where renders go when nobody says."""
    import platformdirs

    return platformdirs.user_data_path("stepedit_fx", appauthor=False) / "spool"


@contextmanager
def session_of(
    graph_source: GraphSource,
    *,
    source: Path | None,
    spool: Path | None,
    store: Path | None,
    no_store: bool,
    plugin_folders: Sequence[Path] | None,
    scenes: Path | None,
) -> Iterator[Session]:
    """A session with the options that the command line has for it; closed at the end."""
    from stepedit_fx.cli.common import open_store
    from stepedit_fx.session import Session
    from stepedit_fx.takes import find_take

    recording = None if source is None else find_take(str(source)).path
    with Session(
        graph_source,
        spool=(spool or default_spool()).absolute(),
        source=recording,
        store=open_store(store, none=no_store).folder,
        plugin_folders=tuple(folder.absolute() for folder in plugin_folders or ()),
        scenes_file=scenes,
    ) as session:
        yield session


@contextmanager
def faces(session: Session, options: ControlOptions) -> Iterator[Faces]:
    """Start what the options ask for, and stop it all at the end. Raises RequestError."""
    from stepedit_fx.osc import OscService

    running = Faces()
    with ExitStack() as stack:
        running.osc = stack.enter_context(OscService(session, options.osc))
        running.facts += _osc_facts(running.osc, options.osc)
        if options.midi_map is not None:
            running.midi = _midi(session, options)
            running.midi.start()
            stack.callback(running.midi.stop)
            running.facts.append(f"MIDI by {options.midi_map}")
        yield running


def _osc_facts(service: Any, settings: OscSettings) -> list[str]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    facts = [f"OSC on {host}:{service.port}, UDP and TCP"]
    if service.http_port is not None:
        facts.append(f"OSCQuery on http://{host}:{service.http_port}/")
    if settings.token:
        facts.append("Clients must say the token first")
    roots = ", ".join(map(str, settings.roots))
    facts.append(f"Clients may name files in {roots}" if roots else "Clients may name no files")
    facts += [f"Renders are told to {h}:{p} at {address}" for h, p, address in settings.notify]
    return facts


def _midi(session: Session, options: ControlOptions) -> Any:
    from stepedit_fx.midi.reading import load_map
    from stepedit_fx.midi.service import MidiService, MidiSettings

    assert options.midi_map is not None
    midi_map = load_map(options.midi_map, session.controls)
    return MidiService(session, MidiSettings.of(midi_map, port=options.midi_port))


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and a closed terminal set, in place of what they do else."""
    stopped = threading.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup has hangups ignored, and so they stay.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_until_stopped(seconds: float | None = None) -> None:
    """Wait for Ctrl-C or SIGTERM, or so long; both end it quietly."""
    left_s = float("inf") if seconds is None else seconds
    with stop_signals() as stopped:
        while left_s > 0 and not stopped.wait(min(_WAKE_S, left_s)):
            left_s -= _WAKE_S
