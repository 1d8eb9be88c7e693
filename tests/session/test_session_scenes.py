"""Scenes: stored, recalled, morphed between, kept in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepedit_fx.errors import NotFound, ReadError, RequestError
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Event, Scene, Session
from stepedit_fx.shipped import find_graph

STRENGTH = f"{ROOT}/node/emotion/param/strength"
ITERATIONS = f"{ROOT}/node/emotion/param/iterations"
MOOD = f"{ROOT}/node/emotion/param/value"
CUTOFF = f"{ROOT}/node/effects.0/param/cutoff_frequency_hz"
BYPASS = f"{ROOT}/node/effects.3/bypass"

DRY = {STRENGTH: 0.0, ITERATIONS: 1, MOOD: "sad", CUTOFF: 20.0, BYPASS: False}
WILD = {STRENGTH: 1.0, ITERATIONS: 5, MOOD: "happy", CUTOFF: 2000.0, BYPASS: True}


def opened(tmp_path: Path, file: Path | None = None, graph: str = "quickstart") -> Session:
    source = GraphSource.load(find_graph(graph))
    return Session(source, spool=tmp_path / "spool", scenes_file=file)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with opened(tmp_path) as session:
        session.set(DRY)
        session.store_scene("dry")
        session.set(WILD)
        session.store_scene("wild")
        yield session


def standing(session: Session) -> dict[str, object]:
    return {key: session.values[key] for key in DRY}


def test_recall_is_one_change(session: Session) -> None:
    """A scene is heard at once, not knob after knob."""
    heard: list[Event] = []
    session.subscribe(heard.append)
    before = session.generation
    session.recall_scene("dry", origin="midi")
    assert standing(session) == DRY
    (change,) = heard
    assert isinstance(change, Changed)
    assert (change.generation, change.origin) == (before + 1, "midi")


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (0, DRY),
        (1, WILD),
        (0.5, {STRENGTH: 0.5, ITERATIONS: 3, MOOD: "happy", CUTOFF: 200.0, BYPASS: True}),
        (0.25, {STRENGTH: 0.25, ITERATIONS: 2, MOOD: "sad", CUTOFF: 63.245552, BYPASS: False}),
        (-3, DRY),
        (7, WILD),
    ],
)
def test_morph(session: Session, position: float, expected: dict[str, object]) -> None:
    """Half way between 20 and 2000 Hz is 200, as an ear has it; a mood changes in the middle."""
    session.morph("dry", "wild", position)
    assert standing(session) == expected


@pytest.mark.parametrize("position", [math.nan, math.inf, -math.inf])
def test_morph_takes_numbers(session: Session, position: float) -> None:
    """A broken position from a network leaves everything where it was."""
    before = session.values
    with pytest.raises(RequestError):
        session.morph("dry", "wild", position)
    assert session.values == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1))
def test_morph_stays_between(session: Session, position: float) -> None:
    """Morphing between two gentle scenes is never harsher than both."""
    session.morph("dry", "wild", position)
    values = session.values
    for address in (STRENGTH, ITERATIONS, CUTOFF):
        assert DRY[address] <= values[address] <= WILD[address]  # type: ignore[operator]


def test_scenes_are_listed_and_forgotten(session: Session) -> None:
    """A surface shows the scenes there are, in the order of storing."""
    heard: list[Event] = []
    session.subscribe(heard.append)
    assert session.scenes == ("dry", "wild")
    session.store_scene("dry")  # again: in its place
    assert session.scenes == ("dry", "wild")
    session.delete_scene("dry")
    assert session.scenes == ("wild",)
    assert heard == [Scene("dry", stored=True), Scene("dry", stored=False)]
    for attempt in (session.recall_scene, session.delete_scene):
        with pytest.raises(NotFound, match="dry"):
            attempt("dry")
    with pytest.raises(NotFound, match="Did you mean 'wild'"):
        session.morph("wild", "wilt", 0.5)


@pytest.mark.parametrize("name", ["", "a" * 81, "line\nbreak", "nul\0", "\x1b[2J"])
def test_names_are_names(session: Session, name: str) -> None:
    """A scene's name is shown in terminals and kept in files."""
    with pytest.raises(RequestError, match="name"):
        session.store_scene(name)


def test_a_file_keeps_them(tmp_path: Path) -> None:
    """Scenes of yesterday are there today, every kind of value as it was."""
    file = tmp_path / "scenes.json"
    with opened(tmp_path, file) as session:
        session.set(WILD)
        session.store_scene("wild")
        session.store_scene("größer")
    with opened(tmp_path, file) as session:
        assert session.scenes == ("wild", "größer")
        session.recall_scene("wild")
        assert standing(session) == WILD
        assert {k: type(v) for k, v in standing(session).items()} == {
            k: type(v) for k, v in WILD.items()
        }


def test_a_scene_of_another_graph_sets_what_it_can(tmp_path: Path) -> None:
    """Scenes stay when the graph changes; what is not there is passed over."""
    with opened(tmp_path) as session:
        session.set({STRENGTH: 0.1})
        session.store_scene("mine")
        session.open(GraphSource.load(find_graph("dry-wet")))
        before = session.values
        session.recall_scene("mine")
        assert session.values == before
        session.open(GraphSource.load(find_graph("quickstart")))
        session.recall_scene("mine")
        assert session.value(STRENGTH) == 0.1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"version": 2, "scenes": {}}',
        '{"version": 1}',
        '{"version": 1, "scenes": []}',
        '{"version": 1, "scenes": {"a": 3}}',
        '{"version": 1, "scenes": {"a": {"/x": [1]}}}',
        '{"version": 1, "scenes": {"a": {"/x": NaN}}}',
        '{"version": 1, "scenes": {"a": {"/x": null}}}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    """A damaged file is named at the start, and not written over."""
    file = tmp_path / "scenes.json"
    file.write_text(text)
    with pytest.raises(ReadError, match=r"scenes\.json"):
        opened(tmp_path, file)
    assert file.read_text() == text


def test_a_scene_with_a_wrong_value_sets_nothing(tmp_path: Path) -> None:
    """A file edited by hand gives an error that names the control, and no half of a scene."""
    file = tmp_path / "scenes.json"
    scene = {STRENGTH: 0.1, MOOD: "hapy"}
    file.write_text(json.dumps({"version": 1, "scenes": {"odd": scene}}))
    with opened(tmp_path, file) as session:
        before = session.values
        with pytest.raises(RequestError, match=MOOD):
            session.recall_scene("odd")
        assert session.values == before


def test_a_disk_that_cannot_be_written_keeps_the_old_scenes(tmp_path: Path) -> None:
    """What could not be kept is not shown as kept."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with opened(tmp_path, folder / "scenes.json") as session:
        session.store_scene("one")
        (folder / "scenes.json").unlink()
        folder.rmdir()
        folder.write_text("a file now")
        with pytest.raises(Exception, match="gone"):
            session.store_scene("two")
        assert session.scenes == ("one",)
