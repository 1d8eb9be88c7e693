"""The REAPER scripts, with REAPER's functions in stubs, a real daemon and real files between."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.osc.wire import Message, decode, encode
from tests.examples.reaper_stub import Item, Reaper, Source
from tests.examples.serving import Daemon
from tests.peers import free_port, program

EXAMPLES = Path(__file__).parents[2] / "examples" / "reaper"
GUID = "{A3B0C1D2-0000-1111-2222-333344445555}"


def script(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The sending script, loaded as REAPER would: with its module to import."""
    monkeypatch.setitem(sys.modules, "reaper_python", reaper)
    path = EXAMPLES / "stepedit_send_selection.py"
    spec = importlib.util.spec_from_file_location("stepedit_send_selection", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inserted(context: str, spool: Path, *, length_s: float, rate: float, offset_s: float) -> str:
    """What the inserting script does to an item."""
    command = [program("lua5.4", "lua5.3"), str(Path(__file__).with_name("reaper_stub.lua"))]
    command += [str(EXAMPLES / "stepedit_insert_take.lua"), context, str(spool), GUID]
    command += [repr(length_s), repr(rate), repr(offset_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def context(job_id: str) -> str:
    return f"osc:/stepedit/finished:s={job_id}"


def test_an_item_goes_to_the_daemon_and_comes_back_as_a_take(
    daemon: Daemon, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Select, run the script, and the edited take is in the item: the whole round trip."""
    item = Item(GUID, Source(str(recording), 6.15), length_s=1.0, offset_s=0.5, rate=1.5)
    reaper = Reaper([item])
    module = script(reaper, monkeypatch)
    monkeypatch.setattr(module, "DAEMON", ("127.0.0.1", daemon.port))
    module.main()
    assert reaper.shown == []

    job_id = daemon.next_finished()
    document = json.loads((daemon.spool / f"{job_id}.json").read_text())
    assert document["note"] == GUID
    assert document["span_s"] == pytest.approx([0.5, 2.0])
    assert Path(document["source"]) == recording
    (file,) = document["files"]
    assert file["length_s"] == pytest.approx(1.5, abs=0.2)

    lines = inserted(context(job_id), daemon.spool, length_s=1.0, rate=1.5, offset_s=0.5)
    did = lines.splitlines()
    assert did[0] == "undo begin"
    assert did[1] == "new take\t2"
    assert did[2] == f"source\t{file['path']}"
    assert did[3] == f"name\t{Path(file['path']).name}"
    assert "take\tD_PLAYRATE\t1.500000" in did  # the item's stretch applies to the new take too
    assert "take\tD_STARTOFFS\t0.000000" in did
    assert did[-3:] == ["active\tnew", "update", "undo end\tstepedit-fx: new take"] or (
        did[-2:] == ["update", "undo end\tstepedit-fx: new take"] and "active\tnew" in did
    )


def test_a_section_of_a_file_is_sent_as_its_place_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item made of a section (a glued or cropped source) renders what is heard of it."""
    wav = tmp_path / "take.wav"
    wav.touch()
    whole = Source(str(wav), 10.0)
    section = Source("", 4.0, parent=whole, section=(3.0, 4.0, False))
    item = Item(GUID, section, length_s=2.0, offset_s=0.5)
    module = script(Reaper([item]), monkeypatch)
    item_pointer = module.selected()[0]
    message = decode(module.request(item_pointer))
    assert isinstance(message, Message)
    assert message.address == "/stepedit/render"
    assert message.args[1:] == (str(wav), 3.5, 5.5, GUID)


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (Item(GUID, None, 1.0), "empty"),
        (Item(GUID, Source("take.mid"), 1.0, is_midi=True), "MIDI"),
        (Item(GUID, Source(""), 1.0), "no file yet"),
        (Item(GUID, Source("/nowhere/take.wav", 9.0), 1.0), "offline: there is no /nowhere"),
        (Item(GUID, Source(__file__, 9.0, None, (0.0, 9.0, True)), 1.0), "reversed"),
        (Item(GUID, Source(__file__, 2.0), 5.0, loops=True), "repeats"),
        (Item(GUID, Source(__file__, 2.0), 5.0, offset_s=3.0), "plays nothing"),
    ],
)
def test_what_cannot_be_rendered_is_said(
    item: Item, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message box says what is wrong with the item; nothing is sent, nothing crashes."""
    reaper = Reaper([item])
    script(reaper, monkeypatch).main()
    (text,) = reaper.shown
    assert why in text
    assert "Item 1" in text


def test_nothing_selected_and_nobody_there_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a selection or a daemon, the user learns it at once."""
    reaper = Reaper([])
    script(reaper, monkeypatch).main()
    assert "No item is selected" in reaper.shown[0]

    wav = tmp_path / "take.wav"
    wav.touch()
    reaper = Reaper([Item(GUID, Source(str(wav), 2.0), 1.0)])
    module = script(reaper, monkeypatch)
    monkeypatch.setattr(module, "DAEMON", ("127.0.0.1", free_port()))
    module.main()
    assert "stepedit-fx serve" in reaper.shown[0]


def test_a_refusal_is_shown(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording outside the daemon's folders is refused, and REAPER's user is told so."""
    wav = tmp_path / "private.wav"
    wav.write_bytes(b"RIFF")
    reaper = Reaper([Item(GUID, Source(str(wav), 2.0), 1.0)])
    module = script(reaper, monkeypatch)
    monkeypatch.setattr(module, "DAEMON", ("127.0.0.1", daemon.port))
    module.main()
    assert len(reaper.shown) == 1
    assert "--root" in reaper.shown[0]


@given(
    number=st.integers(-(1 << 31), (1 << 31) - 1),
    text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    seconds=st.floats(allow_nan=False),
)
def test_its_packets_are_ours(number: int, text: str, seconds: float) -> None:
    """The script's own encoder and decoder agree with the daemon's, for any text and number."""
    with pytest.MonkeyPatch.context() as patch:
        module = script(Reaper([]), patch)
    packet = decode(module.message("/a/b", "isd", number, text, seconds))
    assert packet == Message("/a/b", (number, text, seconds))
    whole = struct.unpack(">f", struct.pack(">f", 1.5))[0]
    data = encode(Message("/a/b", (number, text, whole), tags="isf"))
    assert module.read(data) == ("/a/b", [number, text, whole])


@given(st.binary(max_size=64))
def test_what_is_no_packet_is_passed_over(data: bytes) -> None:
    """Whatever arrives at the script's port, REAPER does not get an exception."""
    with pytest.MonkeyPatch.context() as patch:
        module = script(Reaper([]), patch)
    address, values = module.read(data)
    assert isinstance(address, str)
    assert isinstance(values, list)


def test_a_take_stands_where_the_recording_began(tmp_path: Path) -> None:
    """An item that begins before its recording keeps that silence, and its length."""
    sound = tmp_path / "1-2" / "out.wav"
    sound.parent.mkdir()
    sound.write_bytes(b"RIFF")
    written = {"path": str(sound), "length_s": 2.5}
    document = {"state": "done", "note": GUID, "graph": "g", "files": [written]}
    (tmp_path / "1-2.json").write_text(json.dumps(document))
    did = inserted(context("1-2"), tmp_path, length_s=2.0, rate=1.0, offset_s=-0.5)
    assert "take\tD_STARTOFFS\t-0.500000" in did
    assert "item\tD_LENGTH\t3.000000" in did


def test_an_unknown_item_changes_nothing(tmp_path: Path) -> None:
    """A render that somebody else asked for is none of REAPER's business."""
    (tmp_path / "1.json").write_text(json.dumps({"state": "done", "note": "{x}", "files": []}))
    assert inserted(context("1"), tmp_path, length_s=1.0, rate=1.0, offset_s=0.0) == ""


@pytest.mark.parametrize("wrong", ["../secret", "a b", "1/2", "%s", "", "1.json", "ABC", "1]x"])
def test_an_id_that_is_none_opens_no_file(wrong: str, tmp_path: Path) -> None:
    """What comes over the network never chooses a path."""
    did = inserted(context(wrong), tmp_path, length_s=1.0, rate=1.0, offset_s=0.0)
    assert did.startswith("message\tThis script is run by an OSC message")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON"),
        ("{", "no JSON"),
        ("[" * 60, "nested too deeply"),
        ('{"state": "failed", "error": "no speech"}', "The render failed: no speech"),
        ('{"state": "done", "note": "GUID", "files": []}', "wrote no file"),
        ('{"state": "done", "note": "GUID", "files": [{"path": "/etc/x.wav"}]}', "no sound file"),
        ('{"state": "done", "note": "GUID", "files": [{"path": "SPOOL/../x.wav"}]}', "no sound"),
        ('{"state": "done", "note": "GUID", "files": [{"path": "SPOOL/x.sh"}]}', "no sound file"),
        ('{"state": "done", "note": "GUID", "files": [{"path": "SPOOL/x.wav"}]}', "cannot read"),
    ],
)
def test_a_document_that_is_wrong_is_said(text: str, why: str, tmp_path: Path) -> None:
    """A damaged document, or one that points elsewhere, ends in a message and not in a take."""
    text = text.replace("GUID", GUID).replace("SPOOL", str(tmp_path))
    (tmp_path / "1.json").write_text(text)
    did = inserted(context("1"), tmp_path, length_s=1.0, rate=1.0, offset_s=0.0)
    assert did.startswith("message\t")
    assert why in did
    assert "take" not in did.splitlines()[0].split("\t")[0]


def test_names_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Umlauts, quotes, and signs outside the basic plane in a file's name survive the JSON."""
    name = 'Grüße "2" \\ 🎙 é.wav' if sys.platform != "win32" else "Grüße 🎙 é.wav"
    (tmp_path / name).write_bytes(b"RIFF")
    files = [{"path": f"{tmp_path}/{name}", "length_s": 1e0, "odd": [None, True, -0.5e-3, {}]}]
    document = {"files": files, "note": GUID, "state": "done"}
    (tmp_path / "0.json").write_text(json.dumps(document))  # as \u escapes and surrogates
    assert f"source\t{tmp_path}/{name}" in inserted(
        context("0"), tmp_path, length_s=1.0, rate=1.0, offset_s=0.0
    )


def test_the_pattern_file_has_only_keys_that_reaper_knows() -> None:
    """REAPER passes over an unknown key without a word, so a slip would never be noticed."""
    keys = {
        line.split()[0]
        for line in (EXAMPLES / "StepEdit.ReaperOSC").read_text().splitlines()
        if line and not line.startswith("#")
    }
    known = re.compile(
        r"DEVICE_(TRACK|SEND|RECEIVE|FX|FX_PARAM|FX_INST_PARAM|MARKER|REGION)_COUNT"
        r"|REAPER_TRACK_FOLLOWS|DEVICE_(TRACK|TRACK_BANK|FX)_FOLLOWS|DEVICE_EQ"
        r"|DEVICE_ROTARY_CENTER|PLAY|STOP|PAUSE|RECORD|REPEAT|REWIND|FORWARD|GOTO_(MARKER|REGION)"
        r"|TIME|LOOP_(START|END)_TIME|TRACK_(NAME|SELECT)|ACTION"
    )  # of Default.ReaperOSC, REAPER 6
    assert {key for key in keys if not known.fullmatch(key)} == set()
    assert {"PLAY", "TIME", "ACTION", "TRACK_SELECT"} <= keys
