"""The Ardour scripts with a real Ardour: without a window, and in one under Xvfb."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stepedit_fx.errors import ReadError, RequestError
from tests.peers import missing, program, running, until

pytestmark = pytest.mark.alone  # JACK

INSIDE = Path(__file__).with_name("ardour_inside.py")
EXAMPLES = Path(__file__).parents[2] / "examples" / "ardour"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


def seen(mode: str, folder: Path, source: Path) -> dict[str, Any]:
    """What one round trip in its own network saw."""
    program("jackd")
    program("ip")
    unshare = program("unshare")
    if not list(Path("/usr/lib").glob("ardour[0-9]/hardour-*")):
        missing("ardour is not installed")
    if subprocess.run([unshare, "-n", "true"], capture_output=True, check=False).returncode:
        missing("no right to a network namespace")
    command = [unshare, "-n", sys.executable, str(INSIDE), mode, str(folder), str(source)]
    log = folder / f"{mode}.log"
    with running(command, log=log, env={"OMP_NUM_THREADS": "1"}) as process:
        until(lambda: process.poll() is not None, f"Ardour, {mode}", patience_s=150, every_s=0.2)
    assert process.returncode == 0, log.read_text()
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session, the spool and the logs are."""
    return tmp_path_factory.mktemp("ardour")


@pytest.fixture(scope="module")
def trip(folder: Path, sample_clip: Path) -> dict[str, Any]:
    """What hardour and our bridge did: record, mark, render between the markers, announce."""
    return seen("headless", folder, sample_clip)


def test_a_range_between_markers_is_rendered_and_announced(trip: dict[str, Any]) -> None:
    """Ardour records, the bridge renders from marker to marker, and a marker names the result."""
    code, said, errors = trip["render"]
    assert code == 0, errors
    document = trip["document"]
    assert document["state"] == "done"
    assert document["span_s"] == pytest.approx([0.75, 2.25])
    assert Path(document["source"]).parent.name == "audiofiles"
    (file,) = document["files"]
    assert file["start_s"] == pytest.approx(0.75)
    assert file["path"] in said
    samples, rate = soundfile.read(file["path"])
    assert len(samples) / rate == pytest.approx(file["length_s"])
    assert np.abs(samples).max() > 0.01  # it was speech that was recorded
    assert [f"stepedit: {Path(file['path']).name}", 0.75] in trip["markers"]
    assert trip["playhead"] == 48_000  # where it was


def test_the_bridge_says_what_is_missing(trip: dict[str, Any]) -> None:
    """Without markers, or with a wrong name, the user reads what there is and what to do."""
    code, errors = trip["before"]
    assert code == 1
    assert "not between two markers" in errors
    code, errors = trip["unknown"]
    assert code == 1
    assert "no marker 'nowhere'" in errors
    assert "from, " in errors


def test_ardour_itself_sends_a_region_and_imports_the_result(
    trip: dict[str, Any], folder: Path
) -> None:
    """Two actions in Ardour's own window: the region goes out, the result comes onto a track."""
    program("Xvfb")
    found = seen("screen", folder, Path(trip["session"]))
    ((position_s, length_s),) = found["regions"]
    before, after = found["old"]
    assert before == after  # the recording's track is as it was
    assert position_s == pytest.approx(0.0, abs=0.001)
    assert length_s == pytest.approx(before[0], abs=0.2)
    assert any(name.startswith("stepedit: ") and place == 0 for name, place in found["markers"])


def session_file(folder: Path, **text: str) -> Path:
    """A session as Ardour 7 writes it, with two markers and one region on a track."""
    path = folder / "s" / "s.ardour"
    path.parent.mkdir(exist_ok=True)
    second = 282_240_000
    position = text.get("length", f"a{2 * second}@a{second}")
    markers = "".join(
        f'<Location name="{name}" start="a{round(place * second)}" flags="IsMark"/>'
        for name, place in [("a", 1.5), ("b", 2.5)]
    )
    path.write_text(
        f"""<Session name="s" sample-rate="48000">{text.get("more", "")}
        <Sources><Source name="x.wav" type="audio" id="5"/></Sources>
        <Locations>{markers}<Location name="session" start="a0" flags="IsSessionRange"/></Locations>
        <Routes><Route name="voice" audio-playlist="7"/><Route name="Master"/></Routes>
        <Playlists><Playlist id="7"><Region name="r" source-0="5" start="a{second // 4}"
        length="{position}" muted="0"/></Playlist></Playlists></Session>"""
    )
    return path


def test_a_region_is_found_between_markers(tmp_path: Path) -> None:
    """What is rendered is what is heard between the markers, wherever the region lies."""
    from ardour_session import between, read_session, recording

    session = read_session(session_file(tmp_path))
    assert between(session, 2.0, None) == (1.5, 2.5)
    region, start_s, end_s = recording(session, "voice", 1.5, 2.5)
    assert region.path == tmp_path / "s" / "interchange" / "s" / "audiofiles" / "x.wav"
    assert (start_s, end_s) == (0.75, 1.75)
    _, start_s, end_s = recording(session, "voice", 0.0, 9.0)  # as far as there is any
    assert (start_s, end_s) == (0.25, 2.25)
    with pytest.raises(RequestError, match="no recording from"):
        recording(session, "voice", 5.0, 6.0)
    with pytest.raises(RequestError, match="There are: voice"):
        recording(session, "vioce", 1.5, 2.5)
    with pytest.raises(RequestError, match="not between two markers"):
        between(session, 0.5, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ({"length": "96000"}, "Ardour 6"),
        ({"length": "b3840@b0"}, "Ardour 6"),
        ({"more": "<"}, "no session"),
        ({"more": "<!ENTITY a 'b'>"}, "document type"),
    ],
)
def test_a_session_that_is_none_is_said(text: dict[str, str], why: str, tmp_path: Path) -> None:
    """A damaged or older session file ends in a message with its name."""
    from ardour_session import read_session

    with pytest.raises(ReadError, match=why):
        read_session(session_file(tmp_path, **text))


@pytest.mark.parametrize("wrong", ["../x", "", "a/b", "x" * 9, "0" * 65, "1.json"])
def test_an_id_that_is_none_opens_no_file(wrong: str, tmp_path: Path) -> None:
    """What comes over the network never chooses a path."""
    from stepedit_ardour import job

    with pytest.raises(RequestError, match="no id of a render"):
        job(tmp_path, wrong)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 1}', "\u00e9"])
def test_a_document_that_is_none_is_said(text: str, tmp_path: Path) -> None:
    """A damaged document does not end the listening bridge."""
    from stepedit_ardour import job

    (tmp_path / "1.json").write_text(text, encoding="latin-1")
    with pytest.raises(ReadError, match=r"1\.json"):
        job(tmp_path, "1")


def test_only_files_of_the_spool_are_announced(tmp_path: Path) -> None:
    """A document that points out of the spool, also by a link, brings nothing into the session."""
    from stepedit_ardour import inside

    spool = tmp_path / "spool"
    spool.mkdir()
    (tmp_path / "x.wav").touch()
    (spool / "x.wav").touch()
    assert inside(spool, spool / "x.wav") == spool / "x.wav"
    (spool / "link.wav").symlink_to(tmp_path / "x.wav")
    for path in (tmp_path / "x.wav", spool / ".." / "x.wav", spool / "link.wav", spool / "no.wav"):
        with pytest.raises(RequestError, match="no file in"):
            inside(spool, path)


def test_the_lua_scripts_compile() -> None:
    """A slip of the pen in a script would only be noticed in Ardour, as an action that is gone."""
    lua = program("lua5.4", "lua5.3")
    for script in EXAMPLES.glob("*.lua"):
        check = f"assert(loadfile('{script}', 't'))"
        subprocess.run([lua, "-e", check], check=True, timeout=10)
