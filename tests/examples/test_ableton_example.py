"""The Ableton Live scripts, with Live's objects in stubs: there is no Live to test against."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepedit_fx.osc.wire import Arg, Message, decode, encode
from tests.examples.serving import Daemon
from tests.peers import free_port, program

EXAMPLES = Path(__file__).parents[2] / "examples" / "ableton"
CLIP = "live_set tracks 3 clip_slots 1 clip"


def audio_clip(**more: object) -> dict[str, Any]:
    clip = {"is_audio_clip": 1, "warping": 0, "file_path": "/music/my take.wav"}
    return {**clip, "loop_start": 1.5, "loop_end": 3.0, **more}


def a_set(clip: dict[str, Any], *, full: bool = False) -> dict[str, Any]:
    """A set whose track 4 has three slots, the clip in the second; the third empty, or none."""
    slots = {
        f"live_set tracks 3 clip_slots {index}": {"has_clip": int(full or index < 2)}
        for index in range(3)
    }
    track = {"live_set tracks 3": {"clip_slots_count": 3}, "live_set": {}}
    return {"live_set view detail_clip": CLIP, CLIP: clip, **slots, **track}


def outcome(live: dict[str, Any], *messages: list[object], **more: object) -> list[list[Any]]:
    """What the script sent out and called."""
    scenario = json.dumps({"live": live, "messages": messages, **more})
    command = [program("node"), str(Path(__file__).with_name("live_stub.js"))]
    command += [str(EXAMPLES / "stepedit.js"), scenario]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def requests(lines: list[list[Any]]) -> list[list[Any]]:
    return [line[2:] for line in lines if line[:3] == ["outlet", 0, "/stepedit/render"]]


def status(lines: list[list[Any]]) -> str:
    return str([line[2] for line in lines if line[:2] == ["outlet", 1]][-1])


def calls(lines: list[list[Any]]) -> list[list[Any]]:
    return [line[1:] for line in lines if line[0] == "call"]


DONE = ["/stepedit/render/done", "ID", "/spool/1.wav", 1.5, 1.5, 48000]


def test_a_clip_goes_out_and_its_result_comes_into_the_next_empty_slot() -> None:
    """Press the button: the clip's part of its file is asked for, and the result is imported."""
    lines = outcome(a_set(audio_clip()), ["start"], ["render"], DONE)
    ((_, number, path, start_s, end_s, _note),) = requests(lines)
    assert 0 < number < 1 << 31
    assert (path, start_s, end_s) == ("/music/my take.wav", 1.5, 3.0)
    slot = "live_set tracks 3 clip_slots 2"
    assert calls(lines) == [[slot, "create_audio_clip", "/spool/1.wav"]]
    assert "next empty slot" in status(lines)
    subscriptions = [line for line in lines if line[2:3] == ["/stepedit/subscribe"]]
    assert all(line[5] == 9102 for line in subscriptions)
    assert ["task", 10_000] in lines


def test_a_full_track_gets_a_new_scene() -> None:
    """Nothing is ever overwritten."""
    new = "live_set tracks 3 clip_slots 3"
    lines = outcome(a_set(audio_clip(), full=True), ["render"], DONE, newSlot=new)
    assert calls(lines) == [
        ["live_set", "create_scene", -1],
        [new, "create_audio_clip", "/spool/1.wav"],
    ]


def test_an_older_live_is_told_where_the_file_lies() -> None:
    """Before 12.0.5 there is no import; the user reads the path instead."""
    lines = outcome(a_set(audio_clip()), ["render"], DONE, isOld=True)
    assert status(lines) == "Drag it in yourself: /spool/1.wav"


def test_a_warped_clip_is_turned_into_seconds() -> None:
    """A warped clip's places are beats; what is rendered is what is heard, also past a marker."""
    places = [(0.0, 0.0), (1.0, 2.0), (4.0, 4.0), (4.1, 4.1)]
    markers = [{"sample_time": seconds, "beat_time": beats} for seconds, beats in places]
    text = json.dumps({"warp_markers": markers})
    clip = audio_clip(warping=1, warp_markers=text, loop_start=1.0, loop_end=3.0)
    ((_, _, _, start_s, end_s, _),) = requests(outcome(a_set(clip), ["render"]))
    assert (start_s, end_s) == pytest.approx((0.5, 2.5))


def test_a_path_of_old_macos_becomes_one() -> None:
    """Live gives "Macintosh HD:/..." in places, which no other program opens."""
    clip = audio_clip(file_path="Macintosh HD:/Users/ada/take.wav")
    ((_, _, path, *_),) = requests(outcome(a_set(clip), ["render"]))
    assert path == "/Users/ada/take.wav"
    clip = audio_clip(file_path="C:/Users/ada/take.wav")
    ((_, _, path, *_),) = requests(outcome(a_set(clip), ["render"]))
    assert path == "C:/Users/ada/take.wav"


@pytest.mark.parametrize(
    ("clip", "why"),
    [
        ({"is_audio_clip": 0}, "MIDI"),
        (audio_clip(loop_end=1.5), "empty"),
        (audio_clip(warping=1, warp_markers="{"), "Turn warping off"),
    ],
)
def test_what_cannot_be_rendered_is_said(clip: dict[str, Any], why: str) -> None:
    """The device says what is wrong with the clip, and sends nothing."""
    lines = outcome(a_set(clip), ["render"])
    assert requests(lines) == []
    assert why in status(lines)


def test_no_selection_is_said() -> None:
    """With nothing selected, Live's API gives the object 0."""
    assert "no clip is selected" in status(outcome({}, ["render"]))


def test_answers_that_nobody_asked_for_do_nothing() -> None:
    """A program that guesses our port cannot bring files into the set."""
    strange = ["/stepedit/render/done", 12345, "/spool/1.wav", 0, 1, 48000]
    script = ["/stepedit/render/done", "ID", "/spool/1.sh", 0, 1, 48000]
    assert calls(outcome(a_set(audio_clip()), ["render"], strange, script)) == []
    assert calls(outcome(a_set(audio_clip()), ["render"], DONE, DONE))[1:] == []


def test_failures_are_shown() -> None:
    """What the daemon refuses is read on the device."""
    failed = ["/stepedit/render/failed", "ID", 406, "no speech in it"]
    error = ["/stepedit/error", "/stepedit/render", "ID", 404, "there is no recording"]
    for answer, text in ((failed, "no speech in it"), (error, "there is no recording")):
        assert status(outcome(a_set(audio_clip()), ["render"], answer)) == f"Failed: {text}"


def test_the_patcher_is_whole() -> None:
    """Max opens a patcher with a broken line without a word, and the button does nothing."""
    patcher = json.loads((EXAMPLES / "StepEdit.maxpat").read_text())["patcher"]
    boxes = {one["box"]["id"]: one["box"] for one in patcher["boxes"]}
    assert len(boxes) == len(patcher["boxes"])
    for line in (one["patchline"] for one in patcher["lines"]):
        (source, outlet), (target, inlet) = line["source"], line["destination"]
        assert 0 <= outlet < boxes[source]["numoutlets"]
        assert 0 <= inlet < boxes[target]["numinlets"]
    for box in boxes.values():
        assert len(box["patching_rect"]) == 4
        assert len(box.get("outlettype", [])) == box["numoutlets"]
    texts = {box.get("text") for box in boxes.values()}
    assert {"js stepedit.js", "udpreceive 9102", "udpsend 127.0.0.1 9100"} <= texts
    shown = {key for key, box in boxes.items() if box.get("presentation")}
    assert {"obj-button", "obj-status"} <= shown
    assert patcher["openinpresentation"] == 1


# AbletonOSC


@contextmanager
def abletonosc(answers: dict[str, tuple[Arg, ...]], answer_port: int) -> Iterator[int]:
    """A peer that answers as AbletonOSC does: to a fixed port, with the question's arguments."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(("127.0.0.1", 0))
        link.settimeout(20)

        def answer() -> None:
            while True:
                try:
                    message = decode(link.recv(65536))
                except OSError:
                    return
                assert isinstance(message, Message)
                if message.address == "/end":
                    return
                if message.address in answers:
                    args = (*message.args, *answers[message.address])
                    data = encode(Message(message.address, args))
                    link.sendto(data, ("127.0.0.1", answer_port))

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield link.getsockname()[1]
        finally:
            link.sendto(encode(Message("/end")), link.getsockname())
            thread.join(5)


def selected_clip(path: Path, **more: tuple[Arg, ...]) -> dict[str, tuple[Arg, ...]]:
    clip: dict[str, tuple[Arg, ...]] = {
        "is_audio_clip": (True,),
        "file_path": (str(path),),
        "warping": (False,),
        "loop_start": (0.25,),
        "loop_end": (1.75,),
        **more,
    }
    return {
        "/live/view/get/selected_clip": (2, 5),
        "/live/clip_slot/get/has_clip": (True,),
        **{f"/live/clip/get/{name}": value for name, value in clip.items()},
    }


def bridge(answers: dict[str, tuple[Arg, ...]], daemon: int) -> subprocess.CompletedProcess[str]:
    answer_port = free_port()
    with abletonosc(answers, answer_port) as live_port:
        command = [sys.executable, str(EXAMPLES / "abletonosc_bridge.py")]
        command += ["--live-port", str(live_port), "--answer-port", str(answer_port)]
        command += ["--daemon-port", str(daemon)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("warping", [False, True])
def test_the_bridge_has_the_selected_clip_rendered(
    warping: bool, daemon: Daemon, recording: Path
) -> None:
    """Without Max, one command renders the selected clip and says where the result lies."""
    done = bridge(selected_clip(recording, warping=(warping,)), daemon.port)
    assert done.returncode == 0, done.stderr
    document = json.loads((daemon.spool / f"{daemon.next_finished()}.json").read_text())
    assert document["span_s"] == (None if warping else pytest.approx([0.25, 1.75]))
    assert document["files"][0]["path"] in done.stdout
    assert "cannot import" in done.stdout


def test_the_bridge_says_what_is_missing(daemon: Daemon, recording: Path) -> None:
    """No Live, no clip, a MIDI clip, no daemon: each has its sentence, and exit code 1."""
    clip = selected_clip(recording)
    cases = {
        "AbletonOSC does not answer": ({}, daemon.port),
        "there is no clip": ({**clip, "/live/clip_slot/get/has_clip": (False,)}, daemon.port),
        "a MIDI clip": (selected_clip(recording, is_audio_clip=(False,)), daemon.port),
        "stepedit-fx does not answer": (clip, free_port()),
        "--root": (selected_clip(Path("/etc/passwd")), daemon.port),
    }
    for why, (answers, port) in cases.items():
        done = bridge(answers, port)
        assert done.returncode == 1
        assert why in done.stderr
        assert "Traceback" not in done.stderr
