"""One report that several tests look at."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stepedit_fx.batch import Summary, run_batch
from stepedit_fx.provenance import GraphSource
from stepedit_fx.report import write_report
from stepedit_fx.store import Store
from stepedit_fx.takes import Take, find_takes

GRAPH = """
name: judge
nodes:
  take: {type: input}
  clean: {type: denoise, from: take}
  mood: {type: emotion, from: clean, value: happy}
  voice: {type: decode, from: mood}
  rack: {type: effects, from: voice, chain: [{Gain: {gain_db: -18}}]}
  out: {type: output, from: rack}
"""
HOSTILE = "<img src=x onerror=alert(1)>.wav"
HOSTILE_WORDS = "</script><script>alert(2)</script> & <b>good</b> morning"


@dataclass(frozen=True)
class Made:
    """A report, and what it was made from."""

    path: Path
    graph_source: GraphSource
    takes: list[Take]
    summary: Summary
    out_dir: Path
    store: Store


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, sample_clip: Path, short_clip: Path) -> Made:
    """Three takes: one with a hostile name and transcript, one of 3 s, and a broken file."""
    folder = tmp_path_factory.mktemp("report")
    takes_folder = folder / "takes"
    takes_folder.mkdir()
    shutil.copy(short_clip, takes_folder / HOSTILE)
    (takes_folder / HOSTILE).with_suffix(".txt").write_text(HOSTILE_WORDS)
    samples, rate = soundfile.read(sample_clip, frames=72_000, dtype="int16")
    soundfile.write(takes_folder / "long.wav", np.asarray(samples), rate, subtype="PCM_16")
    (takes_folder / "zz-broken.wav").write_text("no sound")
    graph_source = GraphSource(text=GRAPH, file="judge.yaml", folder=folder)
    takes, out_dir, store = find_takes([str(takes_folder)]), folder / "out", Store.in_memory()
    summary = run_batch(graph_source, takes, out_dir=out_dir, store=store, jobs=1)
    found = Made(folder / "report.html", graph_source, takes, summary, out_dir, store)
    write_report(found.path, graph_source, takes, summary.items, out_dir=out_dir, store=store)
    return found
