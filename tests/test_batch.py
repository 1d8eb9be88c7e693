"""Many recordings through one graph."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stepedit_fx.batch import Event, Summary, jobs_for, run_batch
from stepedit_fx.errors import RequestError
from stepedit_fx.provenance import GraphSource, read_provenance, sidecar
from stepedit_fx.store import Store
from stepedit_fx.takes import find_takes
from stepedit_fx.warned import caught_warnings

GRAPH = "name: g\nchain: [{emotion: happy}]\n"


@pytest.fixture
def takes(tmp_path: Path, short_clip: Path) -> Path:
    """Four short takes, each another sound, in a folder."""
    folder = tmp_path / "takes"
    folder.mkdir()
    samples, rate = soundfile.read(short_clip, dtype="float32")
    for index in range(4):
        soundfile.write(folder / f"{index}.wav", samples * (1 - index / 8), rate)
    return folder


def batch(
    takes: Path, out: Path, *, text: str = GRAPH, store: Store | None = None, **options: Any
) -> Summary:
    graph_source = GraphSource(text=text, file="g.yaml", folder=takes.parent)
    found = find_takes([str(takes)])
    chosen = store or Store.in_memory()
    return run_batch(graph_source, found, out_dir=out, store=chosen, **{"jobs": 1, **options})


def states(summary: Summary) -> list[str]:
    return [item.state for item in summary.items]


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_bad_file_does_not_stop_the_rest(takes: Path, tmp_path: Path, jobs: int) -> None:
    """199 good files must come out although one is broken; the message names it."""
    (takes / "1.wav").write_text("this is no sound")
    summary = batch(takes, tmp_path / "out", jobs=jobs)
    assert states(summary) == ["done", "failed", "done", "done"]
    assert "1.wav" in summary.failed[0].error
    assert sorted(p.name for p in (tmp_path / "out").glob("*.wav")) == [
        "0.g.wav", "2.g.wav", "3.g.wav"
    ]  # fmt: skip


def test_processes_give_what_one_process_gives(takes: Path, tmp_path: Path) -> None:
    """--jobs changes the time it takes and nothing else."""
    batch(takes, tmp_path / "one", jobs=1)
    batch(takes, tmp_path / "two", jobs=2)
    for index in range(4):
        name = f"{index}.g.wav"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_killed_workers_cost_their_takes_only(takes: Path, tmp_path: Path) -> None:
    """When the system kills processes for their memory, the other takes still come out."""
    killed: list[int] = []

    def kill_all(event: Event) -> None:
        if not killed and event.item is None and event.index == 1:
            for process in active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    summary = batch(takes, tmp_path / "out", jobs=2, on_event=kill_all)
    assert 1 <= len(summary.failed) <= 2
    assert all("was killed (signal 9)" in item.error for item in summary.failed)
    assert states(summary).count("done") == 4 - len(summary.failed)
    assert not active_children()


def test_it_resumes_where_it_stopped(takes: Path, tmp_path: Path) -> None:
    """The second run of a long batch does only what is missing, damaged or changed."""
    out = tmp_path / "out"
    batch(takes, out)
    assert states(batch(takes, out)) == ["up to date"] * 4
    (out / "0.g.wav").unlink()
    with (out / "1.g.wav").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\1")
    sidecar(out / "2.g.wav").write_text("{")
    assert states(batch(takes, out)) == ["done", "done", "done", "up to date"]
    assert states(batch(takes, out)) == ["up to date"] * 4
    shutil.copy(takes / "0.wav", takes / "3.wav")
    assert states(batch(takes, out)) == ["up to date"] * 3 + ["done"]
    stronger = GRAPH.replace("happy", "{value: happy, strength: 0.5}")
    assert states(batch(takes, out, text=stronger)) == ["done"] * 4
    assert states(batch(takes, out, text=stronger, force=True)) == ["done"] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_name_that_is_not_utf_8_is_rendered_and_known_again(takes: Path, tmp_path: Path) -> None:
    """Recordings from an old disk have such names."""
    (takes / "0.wav").rename(os.fsdecode(os.fsencode(takes) + b"/caf\xe9.wav"))
    assert states(batch(takes, tmp_path / "out")) == ["done"] * 4
    assert states(batch(takes, tmp_path / "out")) == ["up to date"] * 4


def test_a_renamed_graph_file_or_moved_take_renders_nothing(takes: Path, tmp_path: Path) -> None:
    """A name is not what a sound was made from."""
    store = Store(tmp_path / "store")
    batch(takes, tmp_path / "out", store=store)
    takes.rename(tmp_path / "moved")
    summary = batch(tmp_path / "moved", tmp_path / "out2", store=store)
    assert all(set(item.ran) == {"output"} for item in summary.items)


def test_workers_share_the_store(takes: Path, tmp_path: Path) -> None:
    """What one process rendered the next finds."""
    store = Store(tmp_path / "store")
    batch(takes, tmp_path / "out", store=store, jobs=2)
    again = batch(takes, tmp_path / "out2", store=store, jobs=1)
    assert all(set(item.ran) == {"output"} for item in again.items)


def test_two_takes_for_one_output_are_refused_before_anything_runs(
    takes: Path, tmp_path: Path
) -> None:
    """Nobody wants to find one of two recordings overwritten."""
    text = 'name: g\nchain: [vad, {output: "same.wav"}]\n'
    with pytest.raises(RequestError, match=r"'.*0\.wav'.*same\.wav.*\{index\}"):
        batch(takes, tmp_path / "out", text=text)
    assert not (tmp_path / "out").exists()


def test_an_output_never_goes_over_any_take(takes: Path) -> None:
    """Take 1's output must not be take 2 itself."""
    text = 'name: g\nchain: [vad, {output: "{stem}.wav"}]\n'
    before = {path: path.read_bytes() for path in takes.iterdir()}
    with pytest.raises(RequestError, match="is the input"):
        batch(takes, takes, text=text)
    assert {path: path.read_bytes() for path in takes.iterdir()} == before


def test_subfolders_come_out_as_subfolders(takes: Path, tmp_path: Path) -> None:
    """a/1.wav and b/1.wav are two recordings."""
    (takes / "b").mkdir()
    shutil.copy(takes / "1.wav", takes / "b" / "0.wav")
    assert states(batch(takes, tmp_path / "out")) == ["done"] * 5
    assert (tmp_path / "out" / "b" / "0.g.wav").is_file()


def test_events_tell_what_happens(takes: Path, tmp_path: Path) -> None:
    """A progress bar needs every start, every step and every end."""
    events: list[Event] = []
    batch(takes, tmp_path / "out", on_event=events.append)
    assert [e.index for e in events if e.item] == [0, 1, 2, 3]
    steps = [e.step for e in events if e.index == 2 and e.step]
    assert ("emotion", "done") in steps
    assert [e.index for e in events if not e.item and not e.step] == [0, 1, 2, 3]


def test_warnings_come_with_their_take(
    takes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A clipped output is told in the summary, under its recording, and not in between."""
    text = "name: g\nchain: [{effects: [{Gain: {gain_db: 40}}]}]\n"
    with caplog.at_level(logging.WARNING):
        summary = batch(takes, tmp_path / "out", text=text)
    assert all("full scale" in " ".join(item.warnings) for item in summary.items)


def test_provenance_says_what_it_was_made_from(takes: Path, tmp_path: Path) -> None:
    """Next year one wants to know graph, engine, seed and versions of a file."""
    out = tmp_path / "out"
    batch(takes, out, text="name: g\nseed: 5\nchain: [{emotion: happy}]\n")
    data = json.loads(sidecar(out / "0.g.wav").read_text())
    assert data["graph"]["name"] == "g"
    assert data["engine"]["kind"] == "parametric"
    assert data["engine"]["fingerprint"]
    assert data["steps"]["emotion"]["fields"]["seed"] == 5
    assert {"stepedit_fx", "python", "numpy", "pedalboard", "praat-parselmouth"} <= set(
        data["versions"]
    )
    known = read_provenance(out / "0.g.wav")
    assert known is not None
    assert known.source is not None
    assert known.source.samefile(takes / "0.wav")
    assert known.graph_source.graph().digest == data["graph"]["digest"]


def test_a_json_file_of_somebody_else_is_not_written_over(takes: Path, tmp_path: Path) -> None:
    """Another program's `0.g.wav.json` is not ours to replace."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "0.g.wav.json").write_text('{"speaker": "Ann"}')
    summary = batch(takes, out)
    assert states(summary) == ["failed", "done", "done", "done"]
    assert "0.g.wav.json" in summary.failed[0].error
    assert (out / "0.g.wav.json").read_text() == '{"speaker": "Ann"}'
    assert not (out / "0.g.wav").exists()


def test_a_graph_that_brings_its_recording_needs_none(takes: Path, tmp_path: Path) -> None:
    """`run GRAPH` without inputs works where the graph names its own, and says so where not."""
    graph_source = GraphSource(
        text="name: g\nchain: [{input: takes/0.wav}, vad]\n", file="g", folder=tmp_path
    )
    store = Store.in_memory()
    summary = run_batch(graph_source, [], out_dir=tmp_path / "out", store=store, jobs=1)
    assert summary.items[0].outputs == (tmp_path / "out" / "0.g.wav",)
    with pytest.raises(RequestError, match="takes none"):
        run_batch(graph_source, find_takes([str(takes)]), out_dir=tmp_path, store=store)
    with pytest.raises(RequestError, match="needs a recording"):
        run_batch(GraphSource(GRAPH, "g", tmp_path), [], out_dir=tmp_path, store=store)


def test_few_takes_start_no_processes() -> None:
    """One clip must not wait for processes to start."""
    assert jobs_for(1) == jobs_for(2) == 1
    assert jobs_for(10_000) >= 1


def test_a_take_without_words_and_silence_come_out(tmp_path: Path) -> None:
    """Silence, 10 ms, full-scale square waves and eight channels are sound, too."""
    folder = tmp_path / "odd"
    folder.mkdir()
    rng = np.random.default_rng(1)
    square = np.sign(np.sin(np.arange(12_000) * 0.05))
    odd = {
        "silent": np.zeros(12_000),
        "short": rng.uniform(-0.1, 0.1, 240),
        "clipped": square,
        "eight": rng.uniform(-0.1, 0.1, (12_000, 8)),
    }
    for name, samples in odd.items():
        soundfile.write(folder / f"{name}.wav", samples, 24_000, subtype="PCM_16")
    summary = batch(folder, tmp_path / "out", text="name: g\nchain: [{style: whisper}, vad]\n")
    assert [item.error for item in summary.items] == [""] * 4
    assert soundfile.info(tmp_path / "out" / "eight.g.wav").channels == 8


def test_an_interrupt_that_comes_out_as_something_else_still_stops_the_batch(
    takes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C would cost one take, called broken, and the night's batch would go on."""

    def interrupted(*args: Any, **more: Any) -> None:
        try:
            raise KeyboardInterrupt
        finally:  # as a lock does that was caught in its own code
            raise RuntimeError("release unlocked lock")

    monkeypatch.setattr("stepedit_fx.batch.run_plan", interrupted)
    with pytest.raises(KeyboardInterrupt):
        batch(takes, tmp_path / "out", jobs=1)


def test_what_every_segment_says_is_told_once() -> None:
    """An hour of telephone sound would fill the screen with one warning."""
    log = logging.getLogger("stepedit_fx.test")
    with caught_warnings() as found:
        for share in (5.1, 6.2, 7.3):
            log.warning("stretched by %.1f %%", share)
        log.warning("no voice")
    assert found == ["stretched by 5.1 % (and 2 more like it)", "no voice"]
