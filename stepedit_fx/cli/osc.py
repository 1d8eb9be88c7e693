"""`stepedit-fx osc`: say something by OSC, hear what is said, look at a daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli.common import JsonOption, print_json, print_table
from stepedit_fx.cli.control import DEFAULT_PORT, host_and_port
from stepedit_fx.cli.layout import layout
from stepedit_fx.errors import RequestError

if TYPE_CHECKING:
    from stepedit_fx.osc.wire import Arg, Bundle, Message

app = typer.Typer(no_args_is_help=True, help="Say and hear OSC messages, draw a surface for them.")
app.command()(layout)

PeerArg = Annotated[
    str, typer.Argument(metavar="HOST:PORT", help=f"Whom, as in 127.0.0.1:{DEFAULT_PORT}.")
]
TokenOption = Annotated[str, typer.Option("--token", help="The daemon's token, where it has one.")]
_ID = 1


# Unknown options are values here: -3.5 is a number.
@app.command(context_settings={"ignore_unknown_options": True})
def send(
    peer: PeerArg,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="As in /stepedit/ping.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="VALUE", help="Numbers, true, false, texts.")
    ] = None,
    types: Annotated[
        str | None,
        typer.Option("--types", metavar="TAGS", help="One tag a value: i h f d s T F N."),
    ] = None,
    tcp: Annotated[bool, typer.Option("--tcp", help="By TCP with SLIP, not by UDP.")] = False,
    token: TokenOption = "",
    wait: Annotated[
        float,
        typer.Option("--wait", min=0, metavar="SECONDS", help="Print answers until it is silent."),
    ] = 0.25,
) -> None:
    """Send one message."""
    from stepedit_fx.osc.client import OscClient

    if not address.startswith("/"):
        raise RequestError(f"{address}: an OSC address starts with a slash")
    host, port = host_and_port(peer, peer)
    args = _typed(values or [], types)
    with OscClient(host, port, tcp=tcp) as client:
        if token:
            _say_token(client, token)
        client.send(address, *args, tags=types or "")
        for message in client.messages(wait) if wait else ():
            typer.echo(_line(message))


def _typed(values: list[str], types: str | None) -> tuple[Arg, ...]:
    if types is None:
        return tuple(map(_guessed, values))
    taking = [tag for tag in types if tag not in "TFN"]
    if len(taking) != len(values):
        raise RequestError(f"--types {types} takes {len(taking)} values, got {len(values)}")
    waiting = iter(values)
    return tuple(_of_type(tag, waiting) for tag in types)


def _guessed(text: str) -> Arg:
    """A whole number, a number, true or false, else a text."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _of_type(tag: str, values: Any) -> Arg:
    constants: dict[str, Arg] = {"T": True, "F": False, "N": None}
    if tag in constants:
        return constants[tag]
    kinds = {"i": int, "h": int, "f": float, "d": float, "s": str}
    if tag not in kinds:
        raise RequestError(f"--types knows no '{tag}'", remedy="Known: i h f d s T F N.")
    text = next(values)
    try:
        value: Arg = kinds[tag](text)
    except ValueError as error:
        raise RequestError(f"'{text}' is no value for the tag {tag}") from error
    return value


def _say_token(client: Any, token: str) -> None:
    answer = client.ask("/stepedit/auth", _ID, token)
    if answer.address != "/stepedit/reply":
        raise RequestError(str(answer.args[-1]) if answer.args else "the token was not taken")


@app.command()
def listen(
    port: Annotated[int, typer.Argument(metavar="PORT", min=0, max=65535, help="By UDP.")],
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after this many packets.")
    ] = None,
) -> None:
    """Print what comes in, until Ctrl-C."""
    from stepedit_fx.osc.ports import bound
    from stepedit_fx.osc.wire import MalformedPacket, decode

    udp, tcp = bound(host, port)
    tcp.close()
    typer.echo(f"Listening on {host}:{udp.getsockname()[1]}, UDP. Ctrl-C ends it.", err=True)
    udp.settimeout(0.5)
    heard = 0
    with udp:
        while count is None or heard < count:
            try:
                data, source = udp.recvfrom(1 << 16)
            except TimeoutError:
                continue
            except KeyboardInterrupt:
                return
            heard += 1
            try:
                shown = _lines(decode(data))
            except MalformedPacket as error:
                shown = [f"no OSC packet, {len(data)} bytes: {error}"]
            for line in shown:
                typer.echo(f"{source[0]}:{source[1]}  {line}")


def _lines(packet: Message | Bundle) -> list[str]:
    from stepedit_fx.osc.wire import Message

    if isinstance(packet, Message):
        return [_line(packet)]
    inner = [f"  {line}" for item in packet.items for line in _lines(item)]
    return [f"#bundle of {len(packet.items)}, at {packet.time.unix_s:.3f}", *inner]


def _line(message: Message) -> str:
    values = " ".join(_value(value) for value in message.args)
    return f"{message.address} ,{message.tags} {values}".rstrip()


def _value(value: Arg) -> str:
    from stepedit_fx.graph.controls import as_float32

    if isinstance(value, float):
        return f"{as_float32(value):.9g}" if abs(value) < 1e30 else repr(value)
    return str(value) if isinstance(value, int) else repr(value)


@app.command()
def browse(
    peer: PeerArg,
    pattern: Annotated[str, typer.Argument(help="Which addresses.")] = "//*",
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what a running daemon lets one turn, and where it stands."""
    from stepedit_fx.osc.client import OscClient

    host, port = host_and_port(peer, peer)
    rows: list[tuple[Any, ...]] = []
    with OscClient(host, port, tcp=True) as client:
        if token:
            _say_token(client, token)
        client.send("/stepedit/list", _ID, pattern)
        for message in client.messages(5.0):
            if message.address == "/stepedit/error":
                raise RequestError(str(message.args[-1]))
            if message.address == "/stepedit/reply":
                break
            rows.append(message.args[1:])
        else:
            raise RequestError(f"{peer} does not answer as stepedit-fx serve does")
    if not rows:
        raise RequestError(f"nothing there matches {pattern}", remedy="//* matches all.")
    _print(rows, as_json)


def _print(rows: list[tuple[Any, ...]], as_json: bool) -> None:
    names = ("address", "kind", "unit", "low", "high", "value")
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
        return
    table = []
    for address, kind, unit, low, high, value in rows:
        is_number = kind in ("number", "whole")
        ends = (int(low), int(high)) if kind == "whole" else (_value(low), _value(high))
        span = f"{ends[0]} to {ends[1]} {unit}".rstrip() if is_number else ""
        table.append((str(address), _value(value), str(kind), span))
    print_table(("Address", "Value", "Kind", "Range"), table)
