"""`models fetch`, against a hub on this machine: what it asks for, keeps, resumes and refuses."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stepedit_fx.engines.step_audio.checking import check_models
from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.fetching import LOCK, PINNED
from stepedit_fx.errors import ReadError

COMMITS = {"main": "a" * 40, "v2": "b" * 40}
SHARD = "model-00001.safetensors"


class Hub(ThreadingHTTPServer):
    """As much of a hub as a fetch needs: the list of a commit's files, and their bytes."""

    daemon_threads = True

    def __init__(self, models: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.models = models
        self.asked: list[tuple[str, str]] = []  # path and range of every download
        self.listed: list[str] = []  # revisions
        self.damage = ""  # a file that comes with other bytes than the list states
        self.stop_after: int | None = None  # bytes of the shard, after which the line hangs
        self.hung = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/stepfun-ai/([^/]+)/revision/(\S+)", path):
            self._list(found[1], found[2])
        elif found := re.fullmatch(r"/stepfun-ai/([^/]+)/resolve/(\w{40})/(\S+)", path):
            self._send_file(self.server.models / found[1], found[3])
        else:
            self.send_error(404)

    def _list(self, name: str, revision: str) -> None:
        self.server.listed.append(revision)
        commit = COMMITS.get(revision, revision)
        folder = self.server.models / name
        if not re.fullmatch(r"\w{40}", commit):
            self._answer(b"{}", {"X-Error-Code": "RevisionNotFound"}, code=404)
            return
        files = [_listed(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
        body = {"id": f"stepfun-ai/{name}", "sha": commit, "siblings": files}
        self._answer(json.dumps(body).encode())

    def _send_file(self, folder: Path, name: str) -> None:
        data = (folder / name).read_bytes()
        asked = self.headers.get("Range", "")
        self.server.asked.append((name, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-") or 0)
        if name == self.server.damage:
            data = bytes(len(data))
        if name == SHARD and self.server.stop_after is not None:
            self._hang_after(data, self.server.stop_after)
            return
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if asked else {}
        self._answer(data[start:], extra, code=206 if asked else 200)

    def _hang_after(self, data: bytes, count: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:count])
        self.wfile.flush()
        self.server.hung.set()
        time.sleep(60)

    def _answer(self, body: bytes, headers: dict[str, str] | None = None, code: int = 200) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return  # nothing on the tests' screen


def _listed(folder: Path, path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"rfilename": path.relative_to(folder).as_posix(), "size": len(data), "blobId": git}
    if len(data) > 10_000:
        sha256 = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
    return entry


@pytest.fixture
def hub(own_checkpoint: Path) -> Iterator[Hub]:
    (own_checkpoint / "Step-Audio-EditX" / "README.md").write_text("a page", encoding="utf-8")
    server = Hub(own_checkpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


# The command less its check of the networks, which test_checking sees to.
FETCH = """
import sys
from pathlib import Path
from stepedit_fx.engines.step_audio.fetching import fetch_models
from stepedit_fx.errors import StepEditError
folder, revision = sys.argv[1:]
try:
    fetch_models(Path(folder), revision=revision or None)
except StepEditError as error:
    sys.exit(str(error))
"""


def start(hub: Hub | None, folder: Path, command: list[str], **more: str) -> Any:
    """A process of its own, which knows no other hub."""
    env = {
        **os.environ,
        # Nobody listens on port 9.
        "HF_ENDPOINT": "http://127.0.0.1:9" if hub is None else hub.address,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(folder.parent / "hf"),
        "XDG_CACHE_HOME": str(folder.parent / "cache"),
        "OMP_NUM_THREADS": "1",
        "NO_PROXY": "127.0.0.1",
        **more,
    }
    run = [sys.executable, *command]
    return subprocess.Popen(run, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetch(hub: Hub | None, folder: Path, revision: str = "", *, code: int = 0, **more: str) -> str:
    """What a fetch tells, having ended with this code."""
    process = start(hub, folder, ["-c", FETCH, str(folder), revision], **more)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in err
    return str(out + err)


def test_fetch_gets_data_and_no_code_then_nothing(hub: Hub, tmp_path: Path) -> None:
    """All that is needed at the pinned commits; a second fetch asks for what is gone alone."""
    folder = tmp_path / "fetched"
    fetch(hub, folder)
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"flow.pt", SHARD, "model.pt", "tokenizer.model", LOCK} <= names
    assert not {name for name in names if name.endswith((".py", ".part", ".md"))}
    assert Checkpoint.find(folder).fingerprint == Checkpoint.find(hub.models).fingerprint
    assert set(hub.listed) == {PINNED["Step-Audio-EditX"], PINNED["Step-Audio-Tokenizer"]}
    lock = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    assert lock["folders"]["Step-Audio-EditX"]["revision"] == PINNED["Step-Audio-EditX"]
    hub.asked.clear()
    Checkpoint.find(folder).flow_path.unlink()
    fetch(hub, folder)
    assert [name.rpartition("/")[2] for name, _ in hub.asked] == ["flow.pt"]


def test_the_command_fetches_and_checks(hub: Hub, tmp_path: Path) -> None:
    """One command from nothing to a checked folder; a file of another fetch is then noticed."""
    folder = tmp_path / "fetched"
    process = start(hub, folder, ["-m", "stepedit_fx", "models", "fetch", str(folder)])
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Step-Audio-EditX/CosyVoice-300M-25Hz/flow.pt" in out
    assert "fine" in out
    flow = Checkpoint.find(folder).flow_path
    data = flow.read_bytes()
    flow.write_bytes(data + b" ")
    assert any("flow.pt: is not the file" in told for told in check_models(folder).problems)


def test_without_the_language_model_seven_gigabytes_stay_away(hub: Hub, tmp_path: Path) -> None:
    """For one that a server has: the rest is found complete, and the model is not missed."""
    folder = tmp_path / "fetched"
    command = ["-m", "stepedit_fx", "models", "fetch", str(folder), "--without-lm"]
    process = start(hub, folder, command)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not list(folder.rglob("*.safetensors"))
    assert Checkpoint.find(folder, lm_elsewhere=True).fingerprint
    with pytest.raises(ReadError, match=r"config\.json"):
        Checkpoint.find(folder)


def test_a_stopped_fetch_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    """7 GB come as one file: what was there when the line broke need not come again."""
    (hub.models / "Step-Audio-EditX" / SHARD).unlink()
    (hub.models / "Step-Audio-EditX" / SHARD).write_bytes(os.urandom(12 << 20))
    folder = tmp_path / "fetched"
    hub.stop_after = 11 << 20
    process = start(hub, folder, ["-m", "stepedit_fx", "models", "fetch", str(folder)])
    try:
        assert hub.hung.wait(60)
        part = _grown(folder / "Step-Audio-EditX", 10_000_000)
    finally:
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "goes on where it stopped" in err
    there = part.stat().st_size
    hub.stop_after = None
    hub.asked.clear()
    fetch(hub, folder)
    assert (SHARD, f"bytes={there}-") in hub.asked
    assert not part.exists()


def _grown(folder: Path, size: int) -> Path:
    """The half file, once so much of it is on disk; the hub's library writes 10 MB at a time."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        parts = [p for p in folder.glob(f".{SHARD}.*.part") if p.stat().st_size >= size]
        if parts:
            return parts[0]
        time.sleep(0.05)
    raise AssertionError("the shard did not grow")


def test_other_bytes_than_stated_are_thrown_away(hub: Hub, tmp_path: Path) -> None:
    """A proxy's error page, or worse, must not be taken for weights."""
    hub.damage = "CosyVoice-300M-25Hz/flow.pt"
    folder = tmp_path / "fetched"
    told = fetch(hub, folder, code=1)
    assert "flow.pt: what came is not what the hub states" in told
    assert not list(folder.rglob("*flow.pt*"))
    hub.damage = ""
    fetch(hub, folder)


def test_a_revision_is_resolved_once_and_kept(hub: Hub, tmp_path: Path) -> None:
    """A branch moves; what was fetched stays one commit until another is asked for."""
    folder = tmp_path / "fetched"
    fetch(hub, folder, "v2")
    hub.listed.clear()
    fetch(hub, folder)
    assert hub.listed[0] == COMMITS["v2"]
    told = fetch(hub, folder, "no-such", code=1)
    assert "no such revision" in told


def test_without_a_network_there_is_one_clear_line(tmp_path: Path) -> None:
    """No traceback; the cause, and what to do."""
    folder = tmp_path / "fetched"
    told = fetch(None, folder, code=1)
    assert "the hub cannot be reached" in told
    assert "copy the folder" in told
    told = fetch(None, folder, code=1, HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids" in told
    assert not folder.exists()


def test_a_repository_without_weights_is_said(hub: Hub, tmp_path: Path) -> None:
    (hub.models / "Step-Audio-EditX" / SHARD).unlink()
    told = fetch(hub, tmp_path / "fetched", code=1)
    assert "has no weights as safetensors" in told
    (hub.models / "Step-Audio-EditX" / "config.json").unlink()
    assert "has no config.json" in fetch(hub, tmp_path / "fetched", code=1)
