"""The address space over real sockets, by UDP and by TCP."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stepedit_fx import __version__
from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.osc import OscService, OscSettings
from stepedit_fx.osc import clients as clients_module
from stepedit_fx.osc.client import OscClient
from stepedit_fx.osc.wire import Message, decode
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session, TransportState
from stepedit_fx.shipped import find_graph
from tests.osc.conftest import Served, wait_for
from tests.peers import free_port, until

STRENGTH = "/stepedit/node/emotion/param/strength"
MOOD = "/stepedit/node/emotion/param/value"
BYPASS = "/stepedit/node/effects.1/bypass"
RATIO = "/stepedit/node/effects.1/param/ratio"
CUTOFF = "/stepedit/node/effects.0/param/cutoff_frequency_hz"


def test_a_ping_is_answered(client: OscClient) -> None:
    """A surface sees that the daemon is there, and its version."""
    answer = client.ask("/stepedit/ping", 7)
    assert answer == Message("/stepedit/reply", ("/stepedit/ping", 7, __version__))


@pytest.mark.parametrize(
    ("address", "value", "stands_at", "answer"),
    [
        (STRENGTH, 0.25, 0.25, 0.25),
        (STRENGTH, 99, 1.0, 1.0),
        (STRENGTH, -1.5, 0.0, 0.0),
        (BYPASS, 1, True, 1),
        (BYPASS, False, False, 0),
        (BYPASS, 0.7, True, 1),
        (MOOD, "sad", "sad", "sad"),
        (STRENGTH + "/norm", 0.5, 0.5, 0.5),
        (RATIO, 1 << 40, 100.0, 100.0),
    ],
)
def test_a_value_is_set_and_read_back_clamped(
    served: Served, client: OscClient, address: str, value: object, stands_at: object, answer: float
) -> None:
    """What a knob sends is what the graph gets, within range, and a query tells it."""
    client.send(address, value)  # type: ignore[arg-type]
    read = client.ask(address)
    assert read.address == address
    assert read.args == (answer,)
    assert served.session.value(address.removesuffix("/norm")) == stands_at


def test_norm_follows_the_curve_of_the_knob(served: Served, client: OscClient) -> None:
    """Half way up a frequency knob is the geometric middle, as on a mixer."""
    client.send(CUTOFF + "/norm", 0.5)
    assert client.ask(CUTOFF).args[0] == pytest.approx((1 * 96_000) ** 0.5, rel=1e-4)
    assert client.ask(CUTOFF + "/norm").args[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("address", "args", "code", "says"),
    [
        (STRENGTH + "x", (1.0,), 404, "Did you mean"),
        ("/stepedit/rende", (1,), 404, "/stepedit/render"),
        ("/elsewhere", (), 404, "no command"),
        (STRENGTH, ("loud",), 400, "number"),
        (STRENGTH, (float("nan"),), 400, "nan"),
        (STRENGTH, (float("inf"),), 400, "inf"),
        (STRENGTH, (1.0, 2.0), 400, "one"),
        (STRENGTH, (b"x",), 400, "one"),
        (STRENGTH, (None,), 400, "one"),
        (STRENGTH + "/norm", ("x",), 400, "0 to 1"),
        (STRENGTH + "/norm", (float("nan"),), 400, "nan"),
        (MOOD, ("hapy",), 400, "happy"),
        ("/stepedit/ping", (1, 2), 400, "takes"),
        ("/stepedit/scene/recall", (9, "none"), 404, "no scene"),
        ("/stepedit/render/cancel", (9,), 404, "no render"),
        ("/stepedit/transport/play", (9,), 404, "live"),
        ("/stepedit/midi/learn", (9, STRENGTH), 404, "--midi"),
        ("/stepedit/session/open", (9, "quickstar"), 404, "quickstart"),
        ("/stepedit/subscribe", (9, "/nothing/*"), 404, "nothing"),
        ("/stepedit/subscribe", (9, "/a[b"), 400, "]"),
        ("/stepedit/unsubscribe", (9, "/a"), 404, "no subscription"),
        ("/stepedit/node/nobody*/bypass", (1,), 404, "no control"),
    ],
)
def test_what_cannot_be_done_is_told(
    served: Served, client: OscClient, address: str, args: tuple[object, ...], code: int, says: str
) -> None:
    """Whoever sends something wrong reads what, with the request's id, and how to right it."""
    hints = served.service._dispatcher._hints  # which other tests may have used up
    until(lambda: hints.wait_s() == 0, "there are hints again")
    answer = client.ask(address, *args)  # type: ignore[arg-type]
    assert answer.address == "/stepedit/error"
    assert answer.args[0] == address
    assert answer.args[1] == (args[0] if args and args[0] == 9 else answer.args[1])
    assert answer.args[2] == code
    assert says.lower() in str(answer.args[3]).lower()


@pytest.mark.parametrize(
    "address", ["/stepedit/error", "/stepedit/reply", "/stepedit/render/done", "#reply"]
)
def test_an_answer_is_not_answered(client: OscClient, address: str) -> None:
    """Two daemons that talk to each other do not shout errors back and forth for ever."""
    client.send(address, "/stepedit/ping", 1, 400, "no")
    assert client.ask("/stepedit/ping", 3).args[1] == 3


def test_a_pattern_sets_all_it_stands_for_as_one_change(served: Served, client: OscClient) -> None:
    """One message bypasses every effect, and one render follows."""
    served.session.set({f"/stepedit/node/effects.{n}/bypass": False for n in range(4)})
    before = served.session.generation
    client.send("/stepedit/node/effects.*/bypass", True)
    answers = [client.ask("/stepedit/node/effects.[0-3]/bypass")]
    answers += [next(client.messages(5.0)) for _ in range(3)]
    assert [m.args for m in answers] == [(1,)] * 4
    assert served.session.generation == before + 1
    client.send("/stepedit/node/effects.*/bypass", False)


def test_the_list_holds_every_control(served: Served, client: OscClient) -> None:
    """A browser of addresses shows what there is, its range and where it stands."""
    client.send("/stepedit/list", 5)
    *items, _ = wait_for(client, "/stepedit/reply", "/stepedit/list", 5)
    assert [item.args[1] for item in items] == list(served.session.controls)
    one = next(item for item in items if item.args[1] == CUTOFF)
    assert one.args[2:6] == ("number", "Hz", 1.0, 96_000.0)


def test_scenes_are_stored_recalled_morphed_and_forgotten(
    served: Served, client: OscClient
) -> None:
    """A surface keeps two sounds and goes from one to the other."""
    for name, value in (("soft", 0.2), ("hard", 0.8)):
        client.send(STRENGTH, value)
        assert client.ask("/stepedit/scene/store", 1, name).args[-1] == name
    client.ask("/stepedit/scene/recall", 2, "soft")
    assert served.session.value(STRENGTH) == 0.2
    client.ask("/stepedit/scene/morph", 3, "soft", "hard", 0.5)
    assert served.session.value(STRENGTH) == pytest.approx(0.5)
    client.send("/stepedit/scene/list", 4)
    names = [m.args[1] for m in wait_for(client, "/stepedit/reply")[:-1]]
    assert names == ["soft", "hard"]
    for name in names:
        assert client.ask("/stepedit/scene/delete", 5, name).address == "/stepedit/reply"
    assert served.session.scenes == ()


# Renders


def test_a_render_tells_how_it_goes_and_where_it_is(served: Served, client: OscClient) -> None:
    """A DAW's script gets a file it can put on a track, and finds its own note in its document."""
    client.send("/stepedit/render", 31, "clip.wav", 0.2, 0.9, "item 5")
    *progress, done = wait_for(client, "/stepedit/render/done", 31)
    assert progress
    assert all(m.address == "/stepedit/render/progress" and m.args[0] == 31 for m in progress)
    path, start_s, _, rate = done.args[1:]
    assert Path(str(path)).is_file()
    assert start_s == pytest.approx(0.2, abs=0.01)
    assert rate == 24_000
    document = json.loads(Path(str(path)).with_name(_job_id(path) + ".json").read_text())
    assert document["note"] == "item 5"


def _job_id(path: object) -> str:
    return Path(str(path)).name.rpartition("-")[0]


def test_renders_of_several_clients_do_not_mix(served: Served) -> None:
    """Two programs that count their renders from 1 each hear of their own."""
    with served.client() as one, served.client(tcp=True) as other:
        one.send("/stepedit/render", 1, "clip.wav", 0.0, 0.4)
        other.send("/stepedit/render", 1, "clip.wav", 0.5, 0.9)
        first = wait_for(one, "/stepedit/render/done", 1)[-1]
        second = wait_for(other, "/stepedit/render/done", 1)[-1]
    assert first.args[1] != second.args[1]
    assert (first.args[2], second.args[2]) == (0.0, pytest.approx(0.5, abs=0.01))


def test_a_render_is_cancelled_and_its_id_is_free_again(client: OscClient) -> None:
    """Whoever changed their mind does not wait; an id that runs is not given twice."""
    client.send("/stepedit/render", 8)
    client.send("/stepedit/render", 8)
    client.send("/stepedit/render/cancel", 8)
    seen = wait_for(client, "/stepedit/render/failed", 8, 499)
    assert any(m.address == "/stepedit/render/failed" and m.args[1] == 409 for m in seen)
    client.send("/stepedit/render", 8, 0.0, 0.3)
    wait_for(client, "/stepedit/render/done", 8)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("../../etc/passwd",), 404),
        (("/etc/passwd",), 404),
        (("clip.wav", 2.0, 1.0), 400),
        ((-1.0, 1.0), 400),
        (("clip.wav", 50.0, 60.0), 400),
    ],
)
def test_a_render_that_cannot_be_fails_with_its_id(
    client: OscClient, args: tuple[str | float, ...], code: int
) -> None:
    """A script waits for no render that will never come."""
    client.send("/stepedit/render", 12, *args)
    failed = wait_for(client, "/stepedit/render/failed", 12)[-1]
    assert failed.args[1] == code
    assert "passwd'" not in str(failed.args[2]) or "no recording" in str(failed.args[2])


def test_further_outputs_are_told_before_the_first(
    short_clip: Path, tmp_path: Path, served: Served
) -> None:
    """Of a graph with two outputs, a script gets both files."""
    graph = tmp_path / "two.yaml"
    graph.write_text(
        "version: 1\nnodes:\n  take: {type: input}\n"
        "  dry: {type: output, from: take, path: '{node}.wav'}\n"
        "  wet: {type: output, from: take, path: '{node}.wav'}\n"
    )
    told = free_port()
    settings = OscSettings(port=0, notify=(("127.0.0.1", told, "/daw/done"),))
    with (
        Session(GraphSource.load(graph), spool=tmp_path / "spool", source=short_clip) as session,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daw,
        OscService(session, settings) as service,
        OscClient("127.0.0.1", service.port) as client,
    ):
        daw.bind(("127.0.0.1", told))
        daw.settimeout(20)
        client.send("/stepedit/render", 2)
        *_, output, done = wait_for(client, "/stepedit/render/done", 2)
        assert output.address == "/stepedit/render/output"
        assert {Path(str(m.args[1])).stem.rpartition("-")[2] for m in (output, done)} == {
            "dry",
            "wet",
        }
        # And REAPER, which is bound to an address, is told the id.
        heard = decode(daw.recv(1000))
        assert heard == Message("/daw/done", (_job_id(done.args[1]),))


# Subscriptions


def test_a_subscriber_hears_the_values_now_and_every_change(
    served: Served, client: OscClient
) -> None:
    """A surface's faders stand right from the start and follow whatever turns the graph."""
    served.session.set({STRENGTH: 0.3, RATIO: 2.0})
    client.send("/stepedit/subscribe", 1, "/stepedit/node/emotion/param/strength*")
    assert wait_for(client, STRENGTH)[-1].args == (pytest.approx(0.3),)
    served.session.set({STRENGTH: 0.6, RATIO: 3.0}, origin="python")
    assert wait_for(client, STRENGTH)[-1].args == (pytest.approx(0.6),)
    client.send(STRENGTH, 7)  # its own, clamped
    assert wait_for(client, STRENGTH)[-1].args == (1.0,)
    client.send("/stepedit/unsubscribe", 2)
    wait_for(client, "/stepedit/reply", "/stepedit/unsubscribe")
    served.session.set({STRENGTH: 0.1})
    assert client.receive(0.2) is None


def test_a_norm_subscriber_hears_places_on_the_knob(served: Served, client: OscClient) -> None:
    """A surface whose faders all go from 0 to 1 need not know ranges."""
    client.send("/stepedit/subscribe", 1, f"{CUTOFF}/norm")
    wait_for(client, f"{CUTOFF}/norm")
    served.session.set({CUTOFF: 96_000})
    assert wait_for(client, f"{CUTOFF}/norm")[-1].args == (1.0,)


def test_a_fast_knob_is_thinned_and_its_last_value_comes(served: Served, client: OscClient) -> None:
    """A sweep does not drown a surface, and where the knob stops is what it shows."""
    client.send("/stepedit/subscribe", 1, STRENGTH)
    wait_for(client, STRENGTH)
    start = time.monotonic()
    for step in range(2000):
        served.session.set({STRENGTH: step / 2000})
    took = time.monotonic() - start
    served.session.set({STRENGTH: 0.123})
    heard = wait_for(client, STRENGTH, also=lambda m: m.args == (pytest.approx(0.123),))
    assert len(heard) <= 100 * took + 20


def test_answers_go_to_the_port_a_client_names(served: Served) -> None:
    """Max and its like listen on a fixed port and send from another."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
        served.client() as client,
    ):
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(5)
        client.send("/stepedit/subscribe", 1, STRENGTH, ear.getsockname()[1])
        addresses = [decode(ear.recv(2000)).address for _ in range(2)]  # type: ignore[union-attr]
        assert addresses == ["/stepedit/reply", STRENGTH]
        assert client.receive(0.1) is None


def test_a_lease_ends_unless_it_is_renewed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tablet that was switched off is forgotten; one that pings is not."""
    monkeypatch.setattr(clients_module, "LEASE_S", 0.6)
    audience = served.service._dispatcher.audience
    with served.client() as quiet, served.client() as pinging:
        quiet_pattern, pinging_pattern = "/*/node/emotion/param/strength", f"{STRENGTH}*"
        for client, pattern in ((quiet, quiet_pattern), (pinging, pinging_pattern)):
            client.send("/stepedit/subscribe", 1, pattern)
            wait_for(client, STRENGTH)

        def listening() -> tuple[int, int]:
            pinging.send("/stepedit/ping", 1)
            kept = [s for c in tuple(audience.clients) for s in c.subscriptions]
            return kept.count(quiet_pattern), kept.count(pinging_pattern)

        until(lambda: listening() == (0, 1), "the lease ends", every_s=0.1)
        served.session.set({STRENGTH: 0.41})
        wait_for(pinging, STRENGTH, also=lambda m: m.args == (pytest.approx(0.41),))


def test_subscriptions_are_bounded(client: OscClient) -> None:
    """One client cannot fill the memory with patterns."""
    for number in range(clients_module.MAX_SUBSCRIPTIONS):
        client.send("/stepedit/subscribe", number, f"{{x{number},}}{STRENGTH}")
    client.send("/stepedit/subscribe", 999, RATIO)
    error = wait_for(client, "/stepedit/error", "/stepedit/subscribe", 999)[-1]
    assert error.args[2] == 429
    client.send("/stepedit/unsubscribe", 1)
    wait_for(client, "/stepedit/reply", "/stepedit/unsubscribe", 1)


def test_events_are_heard_by_who_subscribes(served: Served, client: OscClient) -> None:
    """A surface shows the transport, the scenes and what went wrong."""
    for pattern in ("/stepedit/transport/state", "/stepedit/scene/*"):
        client.ask("/stepedit/subscribe", 1, pattern)
    served.session.store_scene("now")
    wait_for(client, "/stepedit/scene/stored", "now")
    served.session.delete_scene("now")
    wait_for(client, "/stepedit/scene/deleted", "now")
    served.session.tell(TransportState(True, 1.5, 6.0, False, 2))
    assert wait_for(client, "/stepedit/transport/state")[-1].args == (1, 1.5, 6.0, 0, 2)


# Another graph, a transport, a learner


def test_another_graph_is_opened_and_subscribers_are_told(
    served: Served, client: OscClient
) -> None:
    """After a change of graph the old addresses are gone, the new ones there, with values."""
    try:
        client.ask("/stepedit/subscribe", 1, "/stepedit/session/opened")
        client.send("/stepedit/subscribe", 1, "/stepedit/node/*/bypass")
        client.send("/stepedit/session/open", 2, "five-moods")
        opened = wait_for(client, "/stepedit/session/opened", "five-moods")
        seen = opened + wait_for(client, "/stepedit/done", "/stepedit/session/open", 2)
        new = next(a for a in served.session.controls if a.endswith("/bypass"))
        assert any(m.address == new for m in seen) or wait_for(client, new)
        client.send(STRENGTH)
        wait_for(client, "/stepedit/error", STRENGTH)
    finally:
        served.session.open(GraphSource.load(find_graph("quickstart")))


def test_a_graph_that_is_wrong_leaves_the_old_one(served: Served, client: OscClient) -> None:
    """A typing error in a graph file does not silence what is open."""
    (served.root / "bad.yaml").write_text("version: 1\nchain: [{emotin: happy}]\n")
    client.send("/stepedit/session/open", 3, "bad.yaml")
    error = wait_for(client, "/stepedit/error", "/stepedit/session/open", 3)[-1]
    assert error.args[2] == 400
    assert "emotion" in str(error.args[3])
    assert served.session.name == "quickstart"


class FakeTransport:
    """Records what it is asked for; what plays for real is tested in tests/live."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def play(self) -> None:
        self.asked.append("play")

    def stop(self) -> None:
        self.asked.append("stop")

    def locate(self, position_s: float) -> None:
        self.asked.append(position_s)

    def set_loop(self, loop: bool) -> None:
        self.asked.append(loop)


def test_the_transport_is_moved(
    served: Served, client: OscClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Play, stop, locate and loop buttons reach what plays."""
    transport = FakeTransport()
    monkeypatch.setattr(served.session, "transport", transport)
    client.send("/stepedit/transport/play")
    client.send("/stepedit/transport/locate", 2.5)
    client.send("/stepedit/transport/loop", 1)
    assert client.ask("/stepedit/transport/stop", 4).args[1:] == (4, "stopped")
    assert transport.asked == ["play", 2.5, True, "stop"]


class FakeLearner:
    """Answers at once, from another thread's point of view."""

    def __init__(self, answer: str | StepEditError) -> None:
        self.answer = answer

    def learn(self, address: str, done: Callable[[str | StepEditError], None]) -> None:
        done(self.answer)


def test_midi_learn_is_passed_on(
    served: Served, client: OscClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A surface assigns a hardware knob, and hears when nobody moved one."""
    monkeypatch.setattr(served.session, "learner", FakeLearner("cc 74 on channel 1"))
    assert client.ask("/stepedit/midi/learn", 1, STRENGTH).args[-1] == "cc 74 on channel 1"
    learner = FakeLearner(RequestError("nothing was moved for 10 s"))
    monkeypatch.setattr(served.session, "learner", learner)
    assert client.ask("/stepedit/midi/learn", 1, STRENGTH).args[2] == 408


# Start and stop


def test_a_port_in_use_says_by_whom(served: Served) -> None:
    """Whoever starts a second daemon reads why it does not start and what to do."""
    service = OscService(served.session, OscSettings(port=served.service.port))
    with pytest.raises(RequestError, match=r"in use.*--port"):
        service.start()
    service.stop()


def test_stop_and_start_again(served: Served) -> None:
    """A service leaves its port, its threads and the session as it found them."""
    listeners = len(served.session._listeners)
    service = OscService(served.session, OscSettings(port=0))
    for _ in range(3):
        service.start()
        service.start()
        with OscClient("127.0.0.1", service.port, tcp=True) as client:
            client.ask("/stepedit/ping", 1)
            service.stop()
        service.stop()
    assert len(served.session._listeners) == listeners


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.org", "::"])
def test_other_addresses_need_a_token(host: str) -> None:
    """Nobody opens a daemon to the network without meaning to."""
    with pytest.raises(RequestError, match="token"):
        OscSettings(host=host)
    assert OscSettings(host=host, token="secret").token


def test_ipv6_is_listened_on(served: Served) -> None:
    """::1 is loopback too."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with (
        OscService(served.session, OscSettings(host="::1", port=0)) as service,
        OscClient("::1", service.port) as udp,
        OscClient("::1", service.port, tcp=True) as tcp,
    ):
        assert udp.ask("/stepedit/ping", 1).args[1] == 1
        assert tcp.ask("/stepedit/ping", 1).args[1] == 1
