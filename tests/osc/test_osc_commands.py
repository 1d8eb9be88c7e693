"""The table of commands: what it says is what is done."""

from __future__ import annotations

import math

import pytest

from stepedit_fx.errors import RequestError
from stepedit_fx.osc.commands import ANSWERS, COMMANDS, command
from stepedit_fx.osc.desk import HANDLERS
from stepedit_fx.osc.wire import Arg, Message


def test_every_command_is_done() -> None:
    """Nothing is in the documentation that the daemon does not know, nor the other way."""
    assert set(COMMANDS) == set(HANDLERS)
    assert not set(COMMANDS) & set(ANSWERS)


@pytest.mark.parametrize("address", COMMANDS)
def test_every_command_says_what_it_takes(address: str) -> None:
    """Each argument has a name, and each command a help and an answer."""
    about = COMMANDS[address]
    assert len(about.all_tags) == len(about.args)
    assert set(about.all_tags) <= set("ifsT")
    assert about.help.endswith(".")
    assert about.answer


@pytest.mark.parametrize(
    ("address", "args", "values"),
    [
        ("ping", (), (None,)),
        ("ping", (3,), (3,)),
        ("ping", (3.0,), (3,)),
        ("render", (1,), (1, None, None, None, None)),
        ("render", (1, "a.wav"), (1, "a.wav", None, None, None)),
        ("render", (1, 0, 2.5), (1, None, 0.0, 2.5, None)),
        ("render", (1, "a", 0, 1), (1, "a", 0.0, 1.0, None)),
        ("render", (1, "a", 0, 1, "n"), (1, "a", 0.0, 1.0, "n")),
        ("render", (1, "a", "n"), (1, "a", None, None, "n")),
        ("subscribe", (1, "/a", 9000), (1, "/a", 9000)),
        ("transport/locate", (1.5,), (None, 1.5)),
        ("transport/locate", (7, 1.5), (7, 1.5)),
        ("transport/loop", (True,), (None, True)),
        ("transport/loop", (2, 0), (2, False)),
    ],
)
def test_arguments_may_be_left_out(
    address: str, args: tuple[Arg, ...], values: tuple[object, ...]
) -> None:
    """A surface that sends fewer arguments, or floats for numbers, is understood."""
    assert command(f"/stepedit/{address}").read(Message(f"/stepedit/{address}", args)) == values


@pytest.mark.parametrize(
    ("address", "args"),
    [
        ("ping", ("a",)),
        ("ping", (1, 2)),
        ("ping", (1.5,)),
        ("ping", (math.nan,)),
        ("ping", (1 << 40,)),
        ("ping", (True,)),
        ("ping", (None,)),
        ("ping", (1e30,)),
        ("render", ()),
        ("render", (1, 0.0)),
        ("render", (1, 0.0, math.inf)),
        ("scene/store", (1, b"blob")),
        ("scene/morph", (1, "a", 0.5, "b")),
        ("transport/locate", ()),
        ("transport/loop", ((1,),)),
    ],
)
def test_wrong_arguments_are_refused(address: str, args: tuple[Arg, ...]) -> None:
    """Arguments that do not fit are told, and never taken for others."""
    with pytest.raises(RequestError):
        command(f"/stepedit/{address}").read(Message(f"/stepedit/{address}", args))
