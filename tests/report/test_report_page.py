"""The page as a file: whole, alone, and nothing but text in its texts."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from stepedit_fx.audio import Audio
from stepedit_fx.batch import run_batch
from stepedit_fx.cli.app import app
from stepedit_fx.files import read_audio
from stepedit_fx.graph.best import seeded
from stepedit_fx.provenance import GraphSource
from stepedit_fx.report import write_report
from stepedit_fx.report.checks import Listener
from stepedit_fx.report.collect import TakeView, view_stages
from stepedit_fx.report.excerpt import start_of
from stepedit_fx.report.page import Page, flac_of
from stepedit_fx.report.stages import Stage, render_stages
from stepedit_fx.report.tracks import peaks_of
from stepedit_fx.store import Store
from stepedit_fx.takes import find_takes
from tests.report.conftest import HOSTILE, HOSTILE_WORDS, Made


def block(page: str, name: str) -> Any:
    """The data of one JSON block of a page."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    assert found
    return json.loads(found.group(1))


def test_every_take_is_in_it_with_its_stages(made: Made) -> None:
    """Somebody who judges a batch must find each take, also the one that failed, and why."""
    page = made.path.read_text("utf-8")
    index = block(page, "index")
    assert [take["state"] for take in index["takes"]] == ["done", "done", "failed"]
    assert "zz-broken.wav" in block(page, "take-2")["error"]
    stages = block(page, "take-1")["stages"]
    assert [stage["id"] for stage in stages] == ["take", "clean", "mood", "rack"]
    assert stages[-1]["writes"] == [str(made.out_dir / "long.judge.wav")]
    gained = stages[-1]["figures"]["loudness_lufs"] - stages[-2]["figures"]["loudness_lufs"]
    assert gained == pytest.approx(-18, abs=0.1)
    assert stages[2]["figures"]["f0_median_hz"] > stages[0]["figures"]["f0_median_hz"]


def test_its_last_stage_is_what_was_written(made: Made) -> None:
    """Judging another sound than the file's would be worse than judging none."""
    graph = made.graph_source.graph()
    stages = render_stages(
        graph, made.takes[1].path, store=made.store, engine=graph.open_engine(), index=2
    )
    there = read_audio(made.out_dir / "long.judge.wav")
    np.testing.assert_allclose(stages[-1].audio.samples, there.samples, atol=2**-23)


def test_equal_runs_give_equal_pages(made: Made, tmp_path: Path) -> None:
    """A page that is kept under version control changes when the sound does, and only then."""
    again = tmp_path / "again.html"
    write_report(
        again,
        made.graph_source,
        made.takes,
        made.summary.items,
        out_dir=made.out_dir,
        store=Store.in_memory(),
    )
    assert again.read_bytes() == made.path.read_bytes()


def test_a_full_page_says_what_it_left_out(made: Made, tmp_path: Path) -> None:
    """A report on a thousand takes must open, and not pretend to hold all of their sound."""
    path = tmp_path / "small.html"
    written = write_report(
        path,
        made.graph_source,
        made.takes,
        made.summary.items,
        out_dir=made.out_dir,
        store=made.store,
        max_sound_bytes=made.path.stat().st_size // 3,
    )
    page = path.read_text("utf-8")
    assert written.without_sound == 1
    assert block(page, "index")["leftOut"] == 1
    assert [block(page, f"take-{n}")["hasSound"] for n in (0, 1)] == [True, False]
    assert written.size == path.stat().st_size < made.path.stat().st_size


def test_an_interrupted_report_leaves_the_old_one(made: Made, tmp_path: Path) -> None:
    """Ctrl-C in the middle of the second report must not cost the first one."""
    path = tmp_path / "report.html"
    path.write_text("the old one")

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(
            path,
            made.graph_source,
            made.takes,
            made.summary.items,
            out_dir=made.out_dir,
            store=made.store,
            progress=interrupt,
        )
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_bypassed_and_equal_stages(made: Made, sample_clip: Path) -> None:
    """What does nothing is not offered as a stage; a graph's branches all are."""
    text = """
name: g
nodes:
  take: {type: input}
  plain: {type: style, from: take, value: whisper, bypass: true}
  sad: {type: emotion, from: plain, value: sad}
  wet: {type: effects, from: sad, chain: [{Reverb: {}}]}
  blend: {type: mix, from: [take, wet], wet: 0.5}
  a: {type: output, from: sad, path: "{stem}.a.wav"}
  b: {type: output, from: blend, path: "{stem}.b.wav"}
"""
    graph = GraphSource(text=text, file="g.yaml", folder=Path()).graph()
    stages = render_stages(graph, sample_clip, store=made.store, engine=graph.open_engine())
    assert [(s.id, s.before, s.writes) for s in stages] == [
        ("take", "", ()),
        ("sad", "take", ("a",)),
        ("wet", "sad", ()),
        ("blend", "take", ("b",)),
    ]


class Elements(HTMLParser):
    """Which elements, attributes and comments a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"{tag} {sorted(name for name, _ in attrs)}")

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def page_of(text: str, stages: tuple[Any, ...] = ()) -> str:
    file = BytesIO()
    page = Page(file, text)
    page.begin()
    take = TakeView(
        text, Path("x") / "y", "failed", text, (text,), {"out": Path("z")}, text, stages
    )
    page.add(take)
    page.end()
    return file.getvalue().decode("utf-8")


PLAIN = Elements(page_of("plain")).found
HOSTILE_TEXTS = st.one_of(
    st.text(),
    st.sampled_from(
        [
            HOSTILE,
            HOSTILE_WORDS,
            "<!--<script>",
            "]]>",
            "\u2028</title><svg onload=alert(1)>",
            "'\"><style>*{}</style>",
            "\udcff\ud800",
            "\x00&lt;/script&gt;",
        ]
    ),
)


@given(HOSTILE_TEXTS)
@settings(max_examples=200)
def test_no_text_becomes_markup(text: str) -> None:
    """A file's name or a subtitle must not run script in the browser of whoever judges it."""
    page = page_of(text)
    assert Elements(page).found == PLAIN
    shown = text.encode("utf-8", "replace").decode("utf-8")
    take = block(page, "take-0")
    assert take["transcript"] == take["error"] == take["warnings"][0] == shown


@given(HOSTILE_TEXTS)
@settings(max_examples=20)
def test_no_label_becomes_markup(text: str) -> None:
    """Ids, values and texts of a graph that came by mail are texts too."""
    audio = Audio(np.zeros((1, 2400), np.float32), 24_000)
    stage = Stage(text, "input", text, "", (), audio, 0.1)
    views = view_stages([stage], Listener(0))
    plain = view_stages([Stage("a", "input", "a", "", (), audio, 0.1)], Listener(0))
    assert Elements(page_of(text, views)).found == Elements(page_of("plain", plain)).found


def test_it_allows_no_network_and_no_script_but_its_own(made: Made) -> None:
    """A page that is mailed around must not phone home, whatever is written in it."""
    page = made.path.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src 'none'" in policy.group(1)
    assert "unsafe" not in policy.group(1)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)


@given(st.integers(1, 5), st.integers(1, 3000), st.sampled_from([8000, 24000, 48000]))
@settings(max_examples=20)
def test_sounds_keep_their_samples(channels: int, frames: int, rate: int) -> None:
    """What the browser plays is the take to 16 bits; over full scale it is held, not wrapped."""
    import soundfile

    samples = np.random.default_rng(frames).uniform(-1.2, 1.2, (channels, frames))
    audio = Audio(samples, rate)
    there, its_rate = soundfile.read(BytesIO(flac_of(audio)), dtype="float32", always_2d=True)
    kept = audio.samples if channels <= 2 else audio.mono()[None]
    assert its_rate == rate
    np.testing.assert_allclose(there.T, np.clip(kept, -1, 1), atol=2**-15)


def test_a_name_that_is_no_page_is_refused_before_the_run(tmp_path: Path, short_clip: Path) -> None:
    """Nobody wants to hear after an hour of rendering that the report has a wrong name."""
    (tmp_path / "folder.html").mkdir()
    for name in ("report.pdf", "folder.html"):
        args = ["run", "quickstart", str(short_clip), "-o", str(tmp_path / "out")]
        result = CliRunner().invoke(app, [*args, "--report", str(tmp_path / name)])
        assert result.exit_code == 2
        assert "--report" in result.output
    assert not (tmp_path / "out").exists()


def test_the_command_writes_it_also_when_takes_failed(tmp_path: Path, short_clip: Path) -> None:
    """The report is most wanted when something went wrong; the exit code still says so."""
    (tmp_path / "broken.wav").write_text("no sound")
    report = tmp_path / "new" / "report.html"
    args = ["run", "quickstart", str(short_clip), str(tmp_path / "broken.wav"), "--no-store"]
    args += ["-o", str(tmp_path / "out"), "--report", str(report)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 1
    assert f"Report: {report}" in result.output
    states = [take["state"] for take in block(report.read_text("utf-8"), "index")["takes"]]
    assert states == ["done", "failed"]


@given(
    st.lists(st.floats(0.1, 5.0), min_size=1, max_size=6),
    st.lists(st.floats(0.5, 2.0), min_size=6, max_size=6),
    st.floats(0.05, 30.0),
)
@settings(max_examples=50)
def test_the_start_of_a_long_take_is_the_same_moment_in_every_stage(
    lengths: list[float], paces: list[float], until_s: float
) -> None:
    """Of an hour the page holds two minutes: those of the recording, at whatever pace they run."""
    knots = [(0.0, 0.0)]
    for length, pace in zip(lengths, paces, strict=False):
        knots.append((knots[-1][0] + length, knots[-1][1] + length * pace))
    frames = round(knots[-1][1] * 1000)
    audio = Audio(np.zeros((1, frames)), 1000, time_map=tuple(knots))
    start = start_of(audio, until_s)
    sources, heard = np.array(knots).T
    assert start.duration_s == pytest.approx(np.interp(until_s, sources, heard), abs=2e-3)
    assert start.time_map[-1][0] == pytest.approx(min(until_s, sources[-1]))
    assert start.time_map[-1][1] == pytest.approx(start.duration_s, abs=2e-3)


def test_of_several_takes_the_kept_one_is_shown(tmp_path: Path, short_clip: Path) -> None:
    """The stages must be those of the file that was written, and the others be told."""
    text = "name: t\ntakes: 3\nchain: [{style: whisper}]\n"
    graph_source = GraphSource(text=text, file="t.yaml", folder=tmp_path)
    takes, store = find_takes([str(short_clip)]), Store.in_memory()
    summary = run_batch(graph_source, takes, out_dir=tmp_path, store=store, jobs=1)
    (item,) = summary.items
    report = tmp_path / "report.html"
    write_report(report, graph_source, takes, summary.items, out_dir=tmp_path, store=store)
    take = block(report.read_text("utf-8"), "take-0")
    assert [trial["number"] for trial in take["tried"]] == [trial["take"] for trial in item.tried]
    kept = seeded(graph_source.graph(), item.tried[0]["take"])
    stages = render_stages(kept, short_clip, store=store, engine=kept.open_engine())
    there = read_audio(item.outputs[0])
    np.testing.assert_allclose(stages[-1].audio.samples, there.samples, atol=2**-23)
    assert take["stages"][-1]["peaks"] == base64.b64encode(peaks_of(there.mono())).decode()
