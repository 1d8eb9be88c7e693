"""Bundles: one change, all or nothing, now or at their time."""

from __future__ import annotations

import time

import pytest

from stepedit_fx.osc import dispatch
from stepedit_fx.osc.client import OscClient
from stepedit_fx.osc.wire import Arg, Bundle, Message, Timetag
from stepedit_fx.session import Changed, Event
from tests.osc.conftest import Served, wait_for

STRENGTH = "/stepedit/node/emotion/param/strength"
RATIO = "/stepedit/node/effects.1/param/ratio"
MOOD = "/stepedit/node/emotion/param/value"


def bundle(*messages: tuple[str, Arg], ahead_s: float | None = None) -> Bundle:
    when = Timetag(1) if ahead_s is None else Timetag.at(time.time() + ahead_s)
    return Bundle(when, tuple(Message(address, (value,)) for address, value in messages))


def test_a_bundle_is_one_change(served: Served, client: OscClient) -> None:
    """A pad that moves two values at once gives one render, never one of half the move."""
    served.session.set({STRENGTH: 0.5, RATIO: 2.0, MOOD: "happy"})
    changes: list[Event] = []
    end = served.session.subscribe(changes.append)
    before = served.session.generation
    inner = bundle((RATIO, 5.0), (MOOD, "sad"))
    client.send_packet(Bundle(items=(*bundle((STRENGTH, 0.11)).items, inner)))
    client.ask(STRENGTH)
    end()
    assert served.session.generation == before + 1
    assert [dict(c.values) for c in changes if isinstance(c, Changed)] == [
        {STRENGTH: 0.11, RATIO: 5.0, MOOD: "sad"}
    ]


@pytest.mark.parametrize(
    ("address", "value", "code"),
    [(RATIO + "x", 1.0, 404), (RATIO, "x", 400), (MOOD, "hapy", 400), ("/stepedit/pong", 1, 404),
     ("/stepedit/scene/store", 1, 400)],
)  # fmt: skip
def test_a_bundle_with_a_fault_changes_nothing(
    served: Served, client: OscClient, address: str, value: Arg, code: int
) -> None:
    """Half a move is worse than none; the error says which message it was."""
    served.session.set({STRENGTH: 0.5})
    client.send_packet(bundle((STRENGTH, 0.9), (address, value), ("/stepedit/render", 3)))
    seen = wait_for(client, "/stepedit/render/failed", 3)
    assert seen[0].args[0] == address
    assert seen[0].args[2] == code
    assert served.session.value(STRENGTH) == 0.5


def test_values_and_a_render_in_a_bundle(served: Served, client: OscClient) -> None:
    """What is rendered has the values that came with it, whatever their order."""
    render = Message("/stepedit/render", (4, 0.0, 0.3))
    client.send_packet(Bundle(items=(render, *bundle((STRENGTH, 0.77)).items)))
    wait_for(client, "/stepedit/render/done", 4)
    assert served.session.jobs[-1].values[STRENGTH] == pytest.approx(0.77)


def test_a_bundle_starts_one_render(client: OscClient) -> None:
    """Two renders of the same moment would be the same twice."""
    client.send_packet(bundle(("/stepedit/render", 5), ("/stepedit/render", 6)))
    seen = wait_for(client, "/stepedit/render/failed", 5)
    assert [m.args[:2] for m in seen] == [(6, 400), (5, 400)]


def test_a_bundle_for_later_waits_for_its_time(served: Served, client: OscClient) -> None:
    """A sequencer that sends ahead is played on time; what is late is done at once."""
    served.session.set({STRENGTH: 0.1})
    client.send_packet(bundle((STRENGTH, 0.2), ahead_s=-5))
    assert client.ask(STRENGTH).args[0] == pytest.approx(0.2)
    sent = time.monotonic()
    client.ask("/stepedit/subscribe", 1, STRENGTH)
    client.send_packet(bundle((STRENGTH, 0.3), ahead_s=0.4))
    assert client.ask(STRENGTH).args[0] == pytest.approx(0.2)
    wait_for(client, STRENGTH, also=lambda m: m.args == (pytest.approx(0.3),))
    assert time.monotonic() - sent > 0.3


def test_bundles_for_later_are_bounded(
    served: Served, client: OscClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody fills the memory with what is to happen next year."""
    client.send_packet(bundle((STRENGTH, 0.9), ahead_s=60))
    assert wait_for(client, "/stepedit/error", STRENGTH)[-1].args[2] == 429
    monkeypatch.setattr(dispatch, "MAX_LATER", 3)
    for _ in range(4):
        client.send_packet(bundle((STRENGTH, 0.9), ahead_s=0.5))
    assert wait_for(client, "/stepedit/error", STRENGTH)[-1].args[2] == 429


def test_an_empty_bundle_is_nothing(client: OscClient) -> None:
    """It changes nothing and ends nothing."""
    client.send_packet(Bundle())
    client.ask("/stepedit/ping", 1)


def test_a_pattern_in_a_bundle(served: Served, client: OscClient) -> None:
    """Later messages of a bundle win over earlier ones, patterns among them."""
    client.send_packet(
        bundle(
            ("/stepedit/node/effects.*/bypass", True), ("/stepedit/node/effects.2/bypass", False)
        )
    )
    client.ask("/stepedit/ping", 1)
    values = [served.session.value(f"/stepedit/node/effects.{n}/bypass") for n in range(4)]
    assert values == [True, True, False, True]
    served.session.set({f"/stepedit/node/effects.{n}/bypass": False for n in range(4)})
