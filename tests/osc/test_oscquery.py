"""OSCQuery over real sockets: every address against the proposal, WebSockets, and strangers."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
import socket
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from stepedit_fx.errors import RequestError
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.osc.commands import COMMANDS
from stepedit_fx.osc.query import MAX_CLIENTS, MAX_CONNECTIONS, MAX_FRAME, QueryServer
from stepedit_fx.osc.query_guard import Guard
from stepedit_fx.osc.query_tree import forms, norm_of
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.osc.wire import Bundle, Message, decode, encode
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Event, Session
from stepedit_fx.shipped import shipped
from tests.peers import until

FILES = {**shipped("graphs"), **shipped("presets")}
STRENGTH = f"{ROOT}/node/emotion/param/strength"
MOOD = f"{ROOT}/node/emotion/param/value"
BYPASS = f"{ROOT}/node/emotion/bypass"
CUTOFF = f"{ROOT}/node/effects.0/param/cutoff_frequency_hz"
T = TypeVar("T")

# The Vidvox proposal's attributes, as a schema: what each must look like, and what goes together.
SCALAR = {"type": ["number", "string", "boolean", "null"]}
NODE: dict[str, Any] = {
    "type": "object",
    "required": ["FULL_PATH", "ACCESS"],
    "additionalProperties": False,
    "properties": {
        "FULL_PATH": {"type": "string", "pattern": "^/"},
        "ACCESS": {"enum": [0, 1, 2, 3]},
        "CONTENTS": {
            "type": "object",
            "propertyNames": {"pattern": r"^[^ #*,/?\[\]{}]+$"},
            "additionalProperties": {"$ref": "#/$defs/node"},
        },
        "TYPE": {"type": "string", "pattern": r"^[ifsbhtdScrmTFNI\[\]]+$"},
        "VALUE": {"type": "array", "items": SCALAR, "minItems": 1},
        "DESCRIPTION": {"type": "string", "minLength": 1},
        "RANGE": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "MIN": {"type": "number"},
                    "MAX": {"type": "number"},
                    "VALS": {"type": "array", "items": SCALAR, "minItems": 1},
                },
            },
        },
        "CLIPMODE": {"type": "array", "items": {"enum": ["none", "low", "high", "both"]}},
        "UNIT": {"type": "array", "items": {"type": "string", "pattern": r"^[a-z]+\.[a-z/-]+$"}},
        "OVERLOADS": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["TYPE"],
                "properties": {"TYPE": {"type": "string"}},
            },
        },
    },
    "allOf": [
        {
            "if": {"properties": {"ACCESS": {"enum": [1, 3]}}},
            "then": {"required": ["TYPE", "VALUE"]},
            "else": {"not": {"required": ["VALUE"]}},
        },
        {
            "if": {"properties": {"ACCESS": {"const": 0}}},
            "then": {"required": ["CONTENTS"]},
            "else": {"required": ["DESCRIPTION"]},
        },
    ],
}
VALIDATOR = Draft202012Validator({"$defs": {"node": NODE}, "$ref": "#/$defs/node"})
HOST_INFO = Draft202012Validator(
    {
        "type": "object",
        "required": ["NAME", "EXTENSIONS", "OSC_PORT", "OSC_TRANSPORT"],
        "properties": {
            "NAME": {"type": "string", "minLength": 1},
            "EXTENSIONS": {"type": "object", "additionalProperties": {"type": "boolean"}},
            "OSC_IP": {"type": "string"},
            "OSC_PORT": {"type": "integer", "minimum": 1, "maximum": 65535},
            "OSC_TRANSPORT": {"enum": ["UDP", "TCP"]},
            "WS_IP": {"type": "string"},
            "WS_PORT": {"type": "integer", "minimum": 1, "maximum": 65535},
        },
        "additionalProperties": False,
    }
)


def graph(name: str) -> GraphSource:
    return GraphSource.load(FILES[name])


class Served:
    """A query server in an event loop of its own, as the OSC service has it, and a client."""

    def __init__(self, session: Session, **settings: Any) -> None:
        self.session = session
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        wanted = OscSettings(**{"http_port": 0, **settings})
        self.server = QueryServer(session, wanted, 9100)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def __enter__(self) -> Served:
        try:
            self.run(self.server.start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.run(self.server.stop())
            self.run(self.server.stop())  # again: no harm
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            client.request(
                method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
            answer = client.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            client.close()

    def get(self, path: str) -> Any:
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def socket(self, **more: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.server.port}/", proxy=None, **more)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    spool = tmp_path_factory.mktemp("query") / "spool"
    with Session(graph("quickstart"), spool=spool) as session, Served(session) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Served:
    shared.session.open(graph("quickstart"))
    return shared


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inside in node.get("CONTENTS", {}).values():
        yield from walk(inside)


def next_value(client: ClientConnection) -> Message:
    while True:
        frame = client.recv(timeout=10)
        if isinstance(frame, bytes):
            packet = decode(frame)
            assert isinstance(packet, Message)
            return packet


def command(what: str, path: str) -> str:
    return json.dumps({"COMMAND": what, "DATA": path})


@pytest.mark.parametrize("name", FILES)
def test_every_answer_is_what_the_proposal_says(served: Served, name: str) -> None:
    """Any OSCQuery browser draws the controls of any graph that ships."""
    session = served.session
    session.open(graph(name))
    root = served.get("/")
    VALIDATOR.validate(root)
    found = {node["FULL_PATH"]: node for node in walk(root)}
    assert len(found) == sum(1 for _ in walk(root))
    assert set(session.controls) | set(COMMANDS) <= set(found)
    for path, node in found.items():
        answer = served.get(path)
        VALIDATOR.validate(answer)
        assert answer == node
        for attribute, value in node.items():
            if attribute != "CONTENTS":
                assert served.get(f"{path}?{attribute}") == {attribute: value}
    for address, control in session.controls.items():
        node, value = found[address], session.value(address)
        assert node["VALUE"] == [value]
        assert node["ACCESS"] == 3
        assert node["TYPE"] == _tag(value)
        if control.kind in ("number", "whole"):
            assert node["RANGE"] == [{"MIN": control.low, "MAX": control.high}]
        if control.kind == "choice":
            assert node["RANGE"] == [{"VALS": list(control.choices)}]
        if control.kind != "text" and "/param/" in address:
            assert found[f"{address}/norm"]["VALUE"] == [norm_of(control, value)]


def _tag(value: object) -> str:
    if isinstance(value, bool):
        return "T" if value else "F"
    return {int: "i", float: "f", str: "s"}[type(value)]


def test_host_info(served: Served) -> None:
    """A client learns where OSC and the WebSocket are, and what they can."""
    info = served.get("/?HOST_INFO")
    HOST_INFO.validate(info)
    assert (info["OSC_PORT"], info["WS_PORT"]) == (9100, served.server.port)
    assert info["EXTENSIONS"]["LISTEN"] is True


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stepedit/node/emotion", 200),
        ("/stepedit/node/emotion/", 200),
        ("/stepedit/node/emotion/param/strength/norm", 200),
        ("/stepedit/node/emotion%2Fparam/strength", 200),
        ("/nothing", 404),
        ("/stepedit/node/emotion/param/strenth", 404),
        ("/stepedit/node/emotion/param/*", 404),
        ("/../../etc/passwd", 404),
        ("/stepedit/node?VALUE", 204),
        ("/stepedit/render?VALUE", 204),
        (f"{MOOD}?UNIT", 204),
        (f"{MOOD}?TAGS", 204),
        (f"{MOOD}?value", 400),
        (f"{MOOD}?WHAT", 400),
        (f"{MOOD}?VALUE&WHAT", 400),
        (f"{MOOD}?HOST_INFO&VALUE", 400),
        (f"{MOOD}?VALUE=1", 400),
    ],
)
def test_codes(served: Served, path: str, status: int) -> None:
    """What is not there is 404, what has no such thing 204, what nobody knows 400."""
    got, headers, body = served.ask(path)
    assert got == status
    assert (body == b"") == (status == 204)
    if body:
        assert headers["Content-Type"].startswith("application/json")
        assert isinstance(json.loads(body), dict)


def test_several_attributes_at_once(served: Served) -> None:
    """One request for what a client draws a fader from."""
    assert served.get(f"{STRENGTH}?VALUE&RANGE") == {
        "VALUE": [served.session.value(STRENGTH)],
        "RANGE": [{"MIN": 0.0, "MAX": 1.0}],
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_only_get(served: Served, method: str) -> None:
    """Nothing can be set by a form of some page."""
    before = served.session.values
    try:
        status, headers, _ = served.ask(STRENGTH, method)
        assert status == 405
        assert headers["Allow"] == "GET"
    except http.client.RemoteDisconnected:
        pass  # websockets before 16 closes on any other method by itself
    assert served.session.values == before


def test_listen_hears_values_and_ignore_ends_it(served: Served) -> None:
    """A surface sees what others turn: now, at every change, and no more when it is done."""
    session = served.session
    with served.socket() as client:
        client.send(command("LISTEN", STRENGTH))
        assert next_value(client) == Message(STRENGTH, (pytest.approx(0.8),))  # type: ignore[arg-type]
        session.set({STRENGTH: 0.25, MOOD: "sad"})
        assert next_value(client) == Message(STRENGTH, (0.25,))
        for path in (f"{STRENGTH}/norm", MOOD, BYPASS):
            client.send(command("LISTEN", path))
        got = {m.address: m.args[0] for m in (next_value(client) for _ in range(3))}
        assert got == {f"{STRENGTH}/norm": 0.25, MOOD: "sad", BYPASS: False}
        client.send(command("IGNORE", STRENGTH))
        client.send(command("IGNORE", f"{STRENGTH}/norm"))
        client.send(command("LISTEN", CUTOFF))
        assert next_value(client).address == CUTOFF
        session.set({STRENGTH: 0.5, BYPASS: True})
        assert next_value(client) == Message(BYPASS, (True,))


def test_a_socket_sets_and_hears_what_it_became(served: Served) -> None:
    """A value out of range comes back clamped, to the one who sent it too."""
    session = served.session
    with served.socket() as client:
        client.send(command("LISTEN", STRENGTH))
        next_value(client)
        client.send(encode(Message(STRENGTH, (7.0,))))
        assert next_value(client) == Message(STRENGTH, (1.0,))
        assert session.value(STRENGTH) == 1.0
        client.send(encode(Message(f"{STRENGTH}/norm", (0.5,))))
        assert next_value(client) == Message(STRENGTH, (0.5,))
        assert served.get(f"{STRENGTH}?VALUE") == {"VALUE": [0.5]}


def test_a_bundle_is_one_change(served: Served) -> None:
    """Several values at once make one generation; a pattern is all that match."""
    session, heard = served.session, list[Event]()
    end = session.subscribe(heard.append)
    with served.socket() as client:
        items = (Message(STRENGTH, (0.125,)), Bundle(items=(Message(MOOD, ("fear",)),)))
        client.send(encode(Bundle(items=items)))
        until(lambda: heard, "the change")
        client.send(encode(Message(f"{ROOT}/node/effects.*/bypass", (True,))))
        until(lambda: len(heard) > 1, "the other")
    end()
    first, second = heard
    assert isinstance(first, Changed)
    assert isinstance(second, Changed)
    assert dict(first.values) == {STRENGTH: 0.125, MOOD: "fear"}
    assert first.origin == "osc"
    assert len(second.values) == 4


@pytest.mark.parametrize(
    ("frame", "code", "word"),
    [
        (encode(Message(f"{STRENGTH}x", (1.0,))), 404, "no control"),
        (encode(Message(f"{ROOT}/node/nope*", (1.0,))), 404, "nope"),
        (encode(Message(STRENGTH, ("much",))), 400, STRENGTH),
        (encode(Message(STRENGTH, (float("nan"),))), 400, STRENGTH),
        (encode(Message(f"{STRENGTH}/norm", ("x",))), 400, "norm"),
        (encode(Message(f"{STRENGTH}/norm", (float("nan"),))), 400, STRENGTH),
        (encode(Message(STRENGTH, (1.0, 2.0))), 400, "one number"),
        (encode(Bundle(items=(Message(STRENGTH, (0.1,)), Message("/x", (1,))))), 404, "/x"),
        (b"/a\0\0,f\0\0", 400, "ends"),
        ("", 400, "COMMAND"),
        ("{}", 400, "COMMAND"),
        ("[" * 5000, 400, "COMMAND"),
        ('{"COMMAND": "LISTEN", "DATA": 3}', 400, "COMMAND"),
        (command("DANCE", STRENGTH), 400, "COMMAND"),
        (command("LISTEN", "/nothing"), 404, "/nothing"),
        (command("LISTEN", f"{ROOT}/node"), 404, "node"),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_wrong_frames_are_answered(
    served: Served, frame: str | bytes, code: int, word: str
) -> None:
    """Whatever comes gets an error with its code, sets nothing, and the connection stays."""
    before = served.session.values
    with served.socket() as client:
        client.send(frame)
        error = next_value(client)
        assert error.address == f"{ROOT}/error"
        assert error.tags == "siis"
        assert error.args[2] == code
        assert word in str(error.args[3])
        client.send(command("LISTEN", MOOD))
        assert next_value(client).address == MOOD
    assert served.session.values == before


def test_a_socket_takes_what_udp_takes(served: Served) -> None:
    """Commands, queries and subscriptions work here too, each answered to who asked."""
    with served.socket() as client, served.socket() as other:
        client.send(encode(Message(f"{ROOT}/ping", (7,))))
        assert next_value(client).args[:2] == (f"{ROOT}/ping", 7)
        client.send(encode(Message(STRENGTH)))
        assert next_value(client).args == (pytest.approx(0.8),)
        client.send(encode(Message(f"{ROOT}/scene/store", (8, "mine"))))
        assert next_value(client).args == (f"{ROOT}/scene/store", 8, "mine")
        assert "mine" in served.session.scenes
        client.send(encode(Message(f"{ROOT}/subscribe", (9, MOOD))))
        assert next_value(client).args[:2] == (f"{ROOT}/subscribe", 9)
        assert next_value(client).address == MOOD
        served.session.set({MOOD: "sad"})
        assert next_value(client) == Message(MOOD, ("sad",))
        other.send(encode(Message(f"{ROOT}/ping", (1,))))
        assert next_value(other).args[:2] == (f"{ROOT}/ping", 1)


def test_a_list_of_everything_arrives_whole(served: Served) -> None:
    """Hundreds of answers at once are not lost on the way."""
    with served.socket() as client:
        client.send(encode(Message(f"{ROOT}/list", (1,))))
        seen = []
        while (message := next_value(client)).address != f"{ROOT}/reply":
            seen.append(message.args[1])
        assert seen == list(served.session.controls)


def test_another_graph_is_announced(served: Served) -> None:
    """A browser redraws when another graph is opened, and hears no ghosts of the old one."""
    session = served.session
    with served.socket() as client:
        client.send(command("LISTEN", STRENGTH))
        next_value(client)
        session.open(graph("dry-wet"))
        assert json.loads(client.recv(timeout=10)) == {
            "COMMAND": "PATH_CHANGED",
            "DATA": f"{ROOT}/node",
        }
        wet = f"{ROOT}/node/blend/param/wet"
        client.send(command("LISTEN", wet))
        assert next_value(client).address == wet
        session.set({wet: 0.75})
        assert next_value(client) == Message(wet, (0.75,))
        session.open(graph("dry-wet"))  # the same addresses, at their own values again
        assert next_value(client) == Message(wet, (pytest.approx(0.35),))  # type: ignore[arg-type]
    assert "blend" in served.get(f"{ROOT}/node")["CONTENTS"]


def test_the_newest_value_comes_last_to_a_slow_client(served: Served) -> None:
    """Thousands of turns reach a client as fewer, and end where the knob ends."""
    session = served.session
    with served.socket() as client:
        client.send(command("LISTEN", STRENGTH))
        next_value(client)
        for number in range(3000):
            session.set({STRENGTH: number / 3000})
        session.set({STRENGTH: 0.625})
        count = 0
        while next_value(client).args[0] != 0.625:
            count += 1
            assert count < 3000
        with pytest.raises(TimeoutError):
            client.recv(timeout=0.1)


def test_a_client_that_does_not_read_costs_nobody(served: Served) -> None:
    """One client that sleeps neither holds up the others nor makes the server grow."""
    session = served.session
    with served.socket(close_timeout=0.5) as asleep, served.socket() as awake:
        for path in session.controls:
            asleep.send(command("LISTEN", path))
        awake.send(command("LISTEN", STRENGTH))
        next_value(awake)
        for number in range(500):
            session.set({STRENGTH: number / 500, CUTOFF: 100 + number})
        session.set({STRENGTH: 0.375})
        while next_value(awake).args[0] != 0.375:
            pass
        (stream,) = (s for s in served.server._streams if len(s._listened) > 1)
        assert len(stream._pending) <= len(session.controls)


def test_frames_that_are_too_large_end_the_connection(served: Served) -> None:
    """A megabyte in a frame is not read."""
    with served.socket() as client:
        client.send(bytes(MAX_FRAME + 4))
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
    assert served.get("/?HOST_INFO")


def test_there_is_room_for_so_many(served: Served) -> None:
    """The sixty-fifth client is sent away in words, and comes in when another has gone."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_CLIENTS):
            stack.enter_context(served.socket())
        until(lambda: len(served.server._streams) == MAX_CLIENTS, "all are in")
        with pytest.raises(ConnectionClosed, match="clients"), served.socket() as late:
            late.recv(timeout=10)
    until(lambda: not served.server._streams, "all are gone")
    with served.socket() as client:
        client.send(command("LISTEN", MOOD))
        assert next_value(client).address == MOOD


def test_garbage_on_the_port(served: Served) -> None:
    """Bytes that are no HTTP, and requests that never end, do not stop the server."""
    dice = random.Random(0)
    port = served.server.port
    holding = []
    for number in range(60):
        client = socket.create_connection(("127.0.0.1", port), timeout=5)
        data = dice.randbytes(dice.randint(1, 3000))
        client.sendall([data, b"GET / HTTP/1.1\r\n", b"GET /" + b"a" * 20_000][number % 3])
        if number % 2:
            holding.append(client)
        else:
            client.close()
    assert served.get("/?HOST_INFO")
    for client in holding:
        client.close()


def test_a_crowd_at_the_door(served: Served) -> None:
    """Hundreds of connections that say nothing use up neither the port nor the process."""
    port = served.server.port
    with contextlib.ExitStack() as stack:
        crowd = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            for _ in range(MAX_CONNECTIONS + 20)
        ]
        last = crowd[-1]
        with contextlib.suppress(ConnectionResetError):
            assert last.recv(1) == b""  # cut off
    until(lambda: _is_open(served), "there is room again")


def _is_open(served: Served) -> bool:
    try:
        return served.ask("/?HOST_INFO")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_frames_of_any_kind(served: Served) -> None:
    """Thousands of random and damaged frames: the server answers, and everyone else goes on."""
    dice = random.Random(1)
    good = [
        encode(Message(STRENGTH, (0.5,))),
        encode(Bundle(items=(Message(MOOD, ("sad",)), Message(f"{ROOT}/ping", (1,))))),
        encode(Message(f"{ROOT}/node/*/param/{{strength,ratio}}", (0.5,))),
        command("LISTEN", STRENGTH).encode(),
    ]
    with served.socket(max_queue=None) as client:
        for number in range(2000):
            data = bytearray(dice.choice(good))
            for _ in range(dice.randint(0, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            frame = bytes(data[: dice.randint(0, len(data))] if number % 3 else data)
            client.send(frame.decode("utf-8", "replace") if number % 5 == 0 else frame)
        client.send(encode(Message(f"{ROOT}/ping", (4242,))))
        while next_value(client).args[:2] != (f"{ROOT}/ping", 4242):
            pass


class TestStrangers:
    """Pages of other sites, names that are not ours, and clients without the token."""

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "LOCALHOST"])
    def test_our_names(self, served: Served, host: str) -> None:
        """However a program on this machine calls it."""
        assert served.ask("/?HOST_INFO", Host=f"{host}:{served.server.port}")[0] == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.7", ""])
    def test_names_of_others(self, served: Served, host: str) -> None:
        """A site whose name was made to lead here (DNS rebinding) reads nothing."""
        status, _, body = served.ask("/", Host=host)
        assert status in (400, 403)
        assert b"FULL_PATH" not in body
        with (
            pytest.raises((InvalidStatus, ValueError)),
            served.socket(additional_headers={"Host": "evil.example"}),
        ):
            pass

    @pytest.mark.parametrize(
        ("origin", "is_in"),
        [
            ("http://localhost:3000", True),
            ("https://127.0.0.1", True),
            ("http://[::1]:8080", True),
            ("https://evil.example", False),
            ("http://localhost.evil.example", False),
            ("null", False),
            ("file://", False),
            ("http://[", False),
            ("", False),
        ],
    )
    def test_pages(self, served: Served, origin: str, is_in: bool) -> None:
        """A page of this machine may show the knobs; a page of the web may not touch them."""
        status, headers, _ = served.ask("/?HOST_INFO", Origin=origin)
        assert status == (200 if is_in else 403)
        assert headers.get("Access-Control-Allow-Origin") == (origin if is_in else None)
        if is_in:
            with served.socket(origin=origin) as client:
                client.send(command("LISTEN", MOOD))
                assert next_value(client).address == MOOD
        else:
            with pytest.raises(InvalidStatus), served.socket(origin=origin or "null"):
                pass

    def test_no_page_is_named_to_programs(self, served: Served) -> None:
        """Without an origin nothing is said to browsers."""
        assert "Access-Control-Allow-Origin" not in served.ask("/")[1]

    def test_the_token(self, served: Served) -> None:
        """With a token nobody reads or sets without it, by HTTP or WebSocket."""
        with Served(served.session, token="s3cret ü") as own:
            assert own.ask("/?HOST_INFO")[0] == 401
            assert own.ask("/?HOST_INFO&token=wrong")[0] == 401
            assert own.ask("/?HOST_INFO", Authorization="Basic s3cret")[0] == 401
            assert own.ask("/?HOST_INFO&token=s3cret%20%C3%BC")[0] == 200
            port = own.server.port
            with pytest.raises(InvalidStatus), own.socket():
                pass
            with connect(f"ws://127.0.0.1:{port}/?token=s3cret%20%C3%BC", proxy=None) as client:
                client.send(command("LISTEN", MOOD))
                assert next_value(client).address == MOOD
        with Served(served.session, token="plain") as own:
            assert own.ask("/?HOST_INFO", Authorization="Bearer plain")[0] == 200
            assert own.ask("/?HOST_INFO", Authorization="Bearer plain2")[0] == 401
            assert b"plain" not in own.ask("/?token=plain")[2]

    def test_guard_on_a_network(self) -> None:
        """Bound to a network, addresses and this machine's name lead here; other names do not."""
        guard = Guard("0.0.0.0", "token")
        here = socket.gethostname().lower().removesuffix(".local")
        assert all(map(guard.knows, ["192.168.1.7:80", "[fe80::1]", f"{here}.local", "127.0.0.1"]))
        assert not any(map(guard.knows, ["evil.example", "", "local", "[", "x" * 300]))

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_headers_of_any_kind(self, host: str, origin: str) -> None:
        """No header makes the server fail instead of refuse."""
        guard = Guard("127.0.0.1", "token")
        assert isinstance(guard.knows(host), bool)
        assert isinstance(guard.trusts(origin), bool)
        assert guard.admits(f"Bearer {host}", origin) == ("token" in (host.strip(), origin.strip()))


def test_no_path_of_this_machine_is_told(served: Served, tmp_path: Path) -> None:
    """Where files lie is nobody's business over the network."""
    text = served.ask("/")[2].decode() + served.ask("/?HOST_INFO")[2].decode()
    for secret in (str(served.session.spool), str(Path.home()), str(Path(__file__).parents[2])):
        assert secret not in text


def test_a_port_in_use_is_said(served: Served) -> None:
    """The message names the port and what to do."""
    port = served.server.port
    with (
        pytest.raises(RequestError, match=rf"{port}.*(process|program).*--http"),
        Served(served.session, http_port=port),
    ):
        pass


def test_nothing_listens_after_stop(served: Served) -> None:
    """Stopping ends every connection and gives the port back."""
    with Served(served.session) as own, own.socket() as client:
        port = own.server.port
        own.run(own.server.stop())
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
    with pytest.raises(OSError):  # noqa: PT011 - whichever way the system says it
        socket.create_connection(("127.0.0.1", port), timeout=2)
    served.session.set({STRENGTH: 0.3})  # nobody is told any more, and nothing fails
    assert own.server.port == 0


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("is", ("is",)),
        ("[i]", ("i",)),
        ("", ("",)),
        ("[i]f", ("f", "if")),
        ("i[s][ff]", ("i", "is", "iff", "isff")),
    ],
)
def test_forms_of_commands(tags: str, expected: tuple[str, ...]) -> None:
    """Every row of arguments that a command takes is offered."""
    assert forms(tags) == expected


def test_it_is_found_by_mdns(served: Served) -> None:
    """A browser on the network finds it by itself, when it was asked to be found."""
    zeroconf = pytest.importorskip("zeroconf")
    with Served(served.session, mdns=True) as own:
        looking = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
        try:
            for kind, port in (
                ("_oscjson._tcp.local.", own.server.port),
                ("_osc._udp.local.", 9100),
            ):
                info = looking.get_service_info(kind, f"StepEdit FX.{kind}", timeout=5000)
                assert info is not None, kind
                assert info.port == port
                assert info.parsed_addresses() == ["127.0.0.1"]
        finally:
            looking.close()


def test_mdns_without_its_library_is_said(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names what to install, and no port stays open."""
    monkeypatch.setitem(__import__("sys").modules, "zeroconf", None)
    with (
        pytest.raises(RequestError, match=r"stepedit-fx\[mdns\]"),
        Served(served.session, mdns=True),
    ):
        pass
