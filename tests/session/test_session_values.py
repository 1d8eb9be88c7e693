"""Values of a session: what is set, how others hear of it, and which values are refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepedit_fx.errors import GraphError, NotFound, RenderError, RequestError
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Event, Opened, Session, Trouble
from stepedit_fx.shipped import find_graph

STRENGTH = f"{ROOT}/node/emotion/param/strength"
MOOD = f"{ROOT}/node/emotion/param/value"
WET = f"{ROOT}/node/effects.2/param/wet_level"
BYPASS = f"{ROOT}/node/effects.3/bypass"


def source(name: str) -> GraphSource:
    return GraphSource.load(find_graph(name))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(source("quickstart"), spool=tmp_path / "spool") as session:
        yield session


@pytest.fixture
def heard(session: Session) -> list[Event]:
    events: list[Event] = []
    session.subscribe(events.append)
    return events


def test_several_are_one_change(session: Session, heard: list[Event]) -> None:
    """Four knobs set together are heard together, and give one render."""
    given = session.set({STRENGTH: 0.25, WET: 0.5, MOOD: "sad", BYPASS: 1}, origin="osc")
    assert given == {STRENGTH: 0.25, WET: 0.5, MOOD: "sad", BYPASS: True}
    assert heard == [Changed(1, given, "osc")]
    assert session.generation == 1
    assert {key: session.values[key] for key in given} == given


@pytest.mark.parametrize(
    "wrong",
    [
        {f"{ROOT}/node/emotion/param/strenth": 0.5},
        {WET: "much"},
        {WET: float("nan")},
        {WET: float("inf")},
        {MOOD: "hapy"},
        {BYPASS: None},
    ],
    ids=str,
)
def test_all_or_nothing(session: Session, heard: list[Event], wrong: dict[str, object]) -> None:
    """A change with one wrong value leaves every knob where it was, and says which was wrong."""
    before = session.values
    (address,) = wrong
    with pytest.raises(RequestError, match=address):
        session.set({STRENGTH: 0.1, **wrong})
    assert session.values == before
    assert session.generation == 0
    assert not heard


def test_out_of_range_is_clamped_and_told(session: Session, heard: list[Event]) -> None:
    """A surface that sends 7 sees its fader go back to 1."""
    assert session.set({STRENGTH: 7}) == {STRENGTH: 1.0}
    assert session.set({STRENGTH: 7}) == {STRENGTH: 1.0}  # nothing new, and told all the same
    assert heard == [Changed(1, {STRENGTH: 1.0}), Changed(1, {STRENGTH: 1.0})]


def test_nothing_is_no_change(session: Session, heard: list[Event]) -> None:
    """An empty bundle does not start a render."""
    assert session.set({}) == {}
    assert not heard
    assert session.generation == 0


def test_a_value_reads_the_same_as_set_by_a_float32(session: Session) -> None:
    """0.3 set by Python, and 0.30000001192 that comes by OSC, are one value."""
    session.set({STRENGTH: 0.3})
    first = session.value(STRENGTH)
    session.set({STRENGTH: 0.30000001192092896})
    assert session.value(STRENGTH) == first == 0.3
    assert session.generation == 1


def test_values_are_of_one_moment(session: Session) -> None:
    """Who reads all values never sees half of somebody's change."""
    stop = threading.Event()

    def turn() -> None:
        for number in range(400):
            session.set({STRENGTH: number % 2, WET: number % 2})
        stop.set()

    turning = threading.Thread(target=turn)
    session.set({STRENGTH: 0, WET: 0})
    turning.start()
    while not stop.is_set():
        values = session.values
        assert values[STRENGTH] == values[WET]
        _, snapshot, _ = session.snapshot()
        assert snapshot[STRENGTH] == snapshot[WET]
    turning.join()


def test_generations_rise_by_one_from_every_thread(session: Session, heard: list[Event]) -> None:
    """Changes from OSC, MIDI and Python at once are all heard, in order, none twice."""

    def turn(address: str) -> None:
        for number in range(100):
            session.set({address: 0.9 if number % 2 else 0.1}, origin=address)

    threads = [threading.Thread(target=turn, args=(key,)) for key in (STRENGTH, WET)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.generation for event in heard if isinstance(event, Changed)] == list(
        range(1, 201)
    )
    assert session.generation == 200


def test_listeners_hear_in_order_and_one_that_fails_stops_nobody(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    """One broken face must not silence the others, and is told of in the log."""
    heard: list[tuple[str, Event]] = []

    def broken(event: Event) -> None:
        raise ValueError("broken face")

    session.subscribe(lambda event: heard.append(("first", event)))
    session.subscribe(broken)
    end = session.subscribe(lambda event: heard.append(("third", event)))
    with caplog.at_level(logging.ERROR):
        session.set({WET: 0.7})
    assert [who for who, _ in heard] == ["first", "third"]
    assert "broken face" in caplog.text
    end()
    end()  # twice does no harm
    session.set({WET: 0.6})
    assert [who for who, _ in heard] == ["first", "third", "first"]


def test_a_listener_may_set_what_it_hears_of(session: Session) -> None:
    """A face that answers a change with one (a MIDI toggle) does not hang the session."""
    generations: list[int] = []

    def follow(event: Event) -> None:
        if isinstance(event, Changed) and event.origin != "follower":
            session.set({WET: 0.1}, origin="follower")
        if isinstance(event, Changed):
            generations.append(event.generation)

    session.subscribe(follow)
    session.set({STRENGTH: 0.2})
    assert sorted(generations) == [1, 2]


def test_tell_reaches_everybody(session: Session, heard: list[Event]) -> None:
    """Trouble with the sound card is seen on every surface."""
    trouble = Trouble(RenderError("the sound card is gone"))
    session.tell(trouble)
    assert heard == [trouble]


def test_another_graph_in_place_of_this_one(session: Session, heard: list[Event]) -> None:
    """Opening a graph gives new controls at their own values, and tells of it."""
    session.set({STRENGTH: 0.2})
    session.open(source("dry-wet"))
    assert heard[-1] == Opened("dry-wet", 2)
    assert session.name == "dry-wet"
    assert session.values == dict(session.controls.initial)
    assert f"{ROOT}/node/blend/param/wet" in session.controls
    with pytest.raises(NotFound):
        session.set({WET: 0.5})
    with pytest.raises(NotFound):
        session.value(WET)


def test_a_broken_graph_leaves_the_old_one(
    session: Session, heard: list[Event], tmp_path: Path
) -> None:
    """A typing error in a graph file does not stop the show."""
    session.set({STRENGTH: 0.2})
    bad = GraphSource("version: 1\nname: x\nchain: [{emotion: hapy}]\n", "x.yaml", tmp_path)
    with pytest.raises(GraphError):
        session.open(bad)
    assert session.name == "quickstart"
    assert session.value(STRENGTH) == 0.2
    assert [type(event) for event in heard] == [Changed]


def test_the_graph_has_the_values(session: Session) -> None:
    """What is saved or drawn is what is heard."""
    session.set({MOOD: "sad"})
    assert session.graph.nodes["emotion"].node.value == "sad"  # type: ignore[attr-defined]
    assert session.graph_source.graph().nodes["emotion"].node.value == "happy"  # type: ignore[attr-defined]


def test_a_text_its_node_refuses_is_not_set(tmp_path: Path) -> None:
    """A tag that does not exist is refused when it is set, not when it is rendered."""
    text = f"{ROOT}/node/paralinguistic/param/text"
    with Session(source("breath-and-sigh"), spool=tmp_path) as session:
        before = session.value(text)
        with pytest.raises(RequestError, match="paralinguistic"):
            session.set({text: "[Sneezle]"})
        assert session.value(text) == before
        session.set({text: "[Laughter] yes"})
        assert session.value(text) == "[Laughter] yes"


def test_a_spool_that_cannot_be_is_said(tmp_path: Path) -> None:
    """A spool below a file is told with its name, and leaves nothing running."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="file"):
        Session(source("quickstart"), spool=tmp_path / "file" / "spool")


def test_close_twice(tmp_path: Path) -> None:
    """Ctrl-C during the end does no harm."""
    session = Session(source("quickstart"), spool=tmp_path)
    session.close()
    session.close()
