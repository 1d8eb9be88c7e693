"""Damage, crowds and full disks: the store serves what was put in, or nothing."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.speech import Place, Speech, Voice
from stepedit_fx.store import Store, digest

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def result(number: int, frames: int = 2000) -> Audio:
    """The one right result for a number, as every process would make it."""
    noise = np.random.default_rng(number).uniform(-1, 1, (1, frames))
    return Audio(noise.astype(np.float32), 24_000, start_s=float(number))


# The same for a process of its own; `result` must stay as it is here.
PRELUDE = """
import logging, random, sys, time
from pathlib import Path
import numpy as np
from stepedit_fx.audio import Audio
from stepedit_fx.store import Store, digest

def result(number, frames=2000):
    noise = np.random.default_rng(number).uniform(-1, 1, (1, frames))
    return Audio(noise.astype(np.float32), 24_000, start_s=float(number))

folder = Path(sys.argv[1])
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only_file(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key[2:]}.safetensors"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an audio, a speech and its voice, by key."""
    folder = tmp_path_factory.mktemp("whole")
    store = Store(folder)
    voice = Voice("parametric", {"f0_hz": np.arange(20.0)})
    store.put(digest("audio"), result(0, 50))
    store.put(digest("speech"), Speech({"gain_db": np.arange(9)}, voice, Place(8000, 1, 50)))
    keys = (digest("audio"), digest("speech"), voice.digest)
    return {key: only_file(folder, key).read_bytes() for key in keys}


def lay_out(folder: Path, entries: dict[str, bytes]) -> None:
    for key, data in entries.items():
        only_file(folder, key).parent.mkdir(exist_ok=True)
        only_file(folder, key).write_bytes(data)


@settings(max_examples=120)
@given(st.integers(0, 2), st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True))
def test_a_flipped_bit_is_never_served(
    tmp_path_factory: pytest.TempPathFactory,
    entries: dict[str, bytes],
    which: int,
    bits: list[int],
) -> None:
    """A failing disk would put a click, or another take, into the output."""
    folder = tmp_path_factory.mktemp("flipped")
    key = list(entries)[which]
    data = bytearray(entries[key])
    for bit in {bit % (len(data) * 8) for bit in bits}:
        data[bit // 8] ^= 1 << bit % 8
    lay_out(folder, {**entries, key: bytes(data)})
    store = Store(folder)
    served = {name: store.get(digest(name)) is not None for name in ("audio", "speech")}
    assert served == {"audio": which != 0, "speech": which == 0}
    assert not only_file(folder, key).exists()


@settings(max_examples=40)
@given(st.integers(0, 2), st.integers(0, 10**6), st.binary(max_size=20))
def test_a_cut_or_lengthened_file_is_never_served(
    tmp_path_factory: pytest.TempPathFactory,
    entries: dict[str, bytes],
    which: int,
    cut: int,
    more: bytes,
) -> None:
    """A power cut would leave half a result, and half would be played."""
    folder = tmp_path_factory.mktemp("cut")
    key = list(entries)[which]
    changed = entries[key][: cut % len(entries[key])] + more
    if changed == entries[key]:
        return
    lay_out(folder, {**entries, key: changed})
    store = Store(folder)
    assert store.get(digest("audio" if which == 0 else "speech")) is None


def test_a_file_under_another_key_is_not_served(
    tmp_path: Path, entries: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A file that someone renamed would be played in place of the right one."""
    other = digest("other")
    lay_out(tmp_path, {other: entries[digest("audio")], digest("audio"): b'{"json": true}'})
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert store.get(other) is None
        assert store.get(digest("audio")) is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "another key" in caplog.text
    assert store.info().entries == 0


def test_an_entry_that_cannot_be_read_is_a_miss(tmp_path: Path) -> None:
    """A folder in the way would stop the run."""
    only_file(tmp_path, digest(1)).mkdir(parents=True)
    store = Store(tmp_path)
    assert store.get(digest(1)) is None
    store.put(digest(1), result(1))
    assert store.get(digest(1)) is not None


HAMMER = """
    logging.basicConfig()
    limit, seed, seconds = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    pick, hits = random.Random(seed), 0
    store = Store(folder, max_bytes=limit, memory_bytes=0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number = pick.randrange(40)
        found = store.get(digest(number))
        if found is None:
            store.put(digest(number), result(number))
            continue
        hits += 1
        if found.digest != result(number).digest:
            sys.exit(f"served something else for {number}")
    print(hits)
"""


def test_processes_share_a_folder_while_it_is_evicted(tmp_path: Path) -> None:
    """Two renders at once would read each other's half-written files, or crash on evicted ones."""
    limit = 20 * 8500  # room for half of what they ask for
    running = [start(HAMMER, tmp_path, limit, seed, 2.0) for seed in range(2)]
    for process in running:
        hits, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert int(hits) > 10
    store = Store(tmp_path, max_bytes=limit)
    assert store.verify() == []
    assert store.info().bytes <= limit * 1.5
    assert list(tmp_path.rglob("*.tmp")) == []


def test_threads_share_a_store(tmp_path: Path) -> None:
    """The parallel branches of a graph would get each other's results."""
    store = Store(tmp_path, max_bytes=20 * 8500, memory_bytes=10 * 8000)
    wrong: list[int] = []

    def hammer(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(150):
            number = pick.randrange(40)
            found = store.get(digest(number))
            if found is None:
                store.put(digest(number), result(number))
            elif found.start_s != number:  # type: ignore[union-attr]
                wrong.append(number)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.verify() == []
    assert store.info().memory_bytes <= 10 * 8000


@posix_only
def test_a_killed_process_leaves_nothing_that_is_served(tmp_path: Path) -> None:
    """A crash during a render would poison the next one."""
    script = """
        store = Store(folder, memory_bytes=0)
        print("ready", flush=True)
        number = 0
        while True:
            store.put(digest(number), result(number, 400_000))
            number += 1
    """
    for delay_s in (0.02, 0.05, 0.11):
        process = start(script, tmp_path)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
        store = Store(tmp_path, memory_bytes=0)
        assert store.verify() == []
        found = store.get(digest(0))
        assert found is None or found.start_s == 0  # type: ignore[union-attr]
        store.clear()


def test_what_a_killed_process_left_is_tidied_up(tmp_path: Path) -> None:
    """Temporary files of every crash would pile up, outside of the limit."""
    shard = tmp_path / "ab"
    shard.mkdir()
    old, new = shard / ".stepedit-1.tmp", shard / ".stepedit-2.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    Store(tmp_path).info()
    assert not old.exists()
    assert new.exists()  # somebody may be writing it


FULL = """
    logging.basicConfig(format="%(levelname)s %(message)s")
    if len(sys.argv) > 2:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    store = Store(folder)
    store.put(digest("small"), result(0, 100))
    for number in range(4):
        store.put(digest(number), result(number, 500_000))
    for number in range(4):
        assert store.get(digest(number)).start_s == number
    again = Store(folder)
    assert again.get(digest("small")) is not None
    assert again.verify() == []
    assert not list(folder.rglob("*.tmp"))
    print(again.info().entries)
"""


def check_full(process: subprocess.Popen[str], remedy: str) -> None:
    entries, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert errors.count("\n") == 1, errors
    assert errors.startswith("WARNING results are no longer kept on disk")
    assert remedy in errors
    assert int(entries) < 5


@posix_only
def test_a_disk_that_refuses_costs_one_warning(tmp_path: Path) -> None:
    """A quota would stop a render that needs no store at all, or warn for every node."""
    check_full(start(FULL, tmp_path, 1_000_000), "write elsewhere")


@posix_only
def test_a_full_disk_costs_one_warning(tmp_path: Path) -> None:
    """A full disk would stop the render."""
    if shutil.which("unshare") is None:
        pytest.skip("needs a small file system of its own")
    mount = f"mount -t tmpfs -o size=5m none '{tmp_path}' && exec \"$@\""
    outer = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*outer, "true"], capture_output=True).returncode:
        pytest.skip("may not mount a small file system here")
    process = subprocess.Popen(
        [*outer, sys.executable, "-c", PRELUDE + textwrap.dedent(FULL), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    check_full(process, "The disk is full")
