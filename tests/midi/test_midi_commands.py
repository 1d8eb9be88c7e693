"""`stepedit-fx midi`, as somebody with a new controller uses it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from stepedit_fx.cli.midi import app
from stepedit_fx.errors import GraphError, NotFound, RequestError
from stepedit_fx.midi.reading import load_map
from tests.conftest import REPO
from tests.midi.test_midi_service import Knobs

pytestmark = pytest.mark.alone  # JACK

MAP = REPO / "examples" / "midi" / "eight-knobs.yaml"


def cli(*args: Any) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_check_lists_what_turns_what() -> None:
    """The list has units, and JSON for programs."""
    assert "40 to 2000 Hz" in cli("check", MAP, "--graph", "dry-wet").output
    found = json.loads(cli("check", MAP, "--graph", "dry-wet", "--json").stdout)
    assert len(found["mappings"]) == 13
    assert isinstance(cli("check", MAP, "--graph", "quickstart").exception, GraphError)
    assert isinstance(cli("check", "nowhere.yaml").exception, RequestError)


def test_ports_and_monitor(jackd: str) -> None:
    """What is plugged in is listed, and what it sends is shown as a map names it."""
    with closing(Knobs("My Knobs")) as knobs:
        found = {
            listing["backend"]: listing for listing in json.loads(cli("ports", "--json").stdout)
        }
        assert "My Knobs:out" in found["jack"]["inputs"]
        ask = ("monitor", "--backend", "jack", "--port", "my knobs", "--seconds", "0.6")
        turning = threading.Timer(0.3, lambda: [knobs.send(0xB2, 74, 3) for _ in range(3)])
        turning.start()
        assert "cc channel 3 number 74: 3" in cli(*ask).output
        turning.join()
        missing = cli("monitor", "--backend", "jack", "--port", "nobody's")
        assert isinstance(missing.exception, NotFound)
        assert "My Knobs:out" in str(missing.exception)


def test_learn_makes_a_map(jackd: str, tmp_path: Path) -> None:
    """The first map is made by moving a knob."""
    path, address = tmp_path / "mine.yaml", "/stepedit/node/mood/param/strength"
    with closing(Knobs("My Knobs")) as knobs:
        turning = threading.Event()

        def turn() -> None:
            while not turning.is_set():
                for value in (3, 5, 4):
                    knobs.send(0xB0, 74, value)
                time.sleep(0.1)

        thread = threading.Thread(target=turn)
        thread.start()
        try:
            ask = ("--graph", "dry-wet", "--backend", "jack", "--port", "knobs")
            told = cli("learn", path, address, *ask)
        finally:
            turning.set()
            thread.join()
    assert "cc 74 on channel 1 turns" in told.output
    (entry,) = load_map(path).entries
    assert (entry.target, entry.source.number) == (address, 74)


@pytest.mark.parametrize("address", ["/stepedit/node/nobody/bypass", "bypass"])
def test_learn_wants_an_address_of_the_graph(address: str, tmp_path: Path) -> None:
    """A mistyped address is told before anybody turns a knob."""
    told = cli("learn", tmp_path / "map.yaml", address, "--graph", "dry-wet")
    assert isinstance(told.exception, NotFound)
    assert not (tmp_path / "map.yaml").exists()
