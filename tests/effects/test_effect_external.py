"""Plugins of others: only from where the user allowed, and never half-loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.effects.files import check_files, files_used
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.errors import EffectError

SOUND = Audio(np.full((1, 100), 0.1, np.float32), 24_000)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The graph's folder and an allowed one, each with a file called fake.vst3."""
    graph, allowed = tmp_path / "graph", tmp_path / "plugins"
    for folder in (graph, allowed):
        folder.mkdir()
        (folder / "fake.vst3").write_text("not a plugin")
    return graph, allowed


def through(path: str, folder: Path, *allowed: Path, form: str = "VST3") -> None:
    render(parse_chain([{form: {"path": path}}]), SOUND, folder=folder, plugin_folders=allowed)


def test_no_plugin_loads_unless_its_folder_was_allowed(folders: tuple[Path, Path]) -> None:
    """A graph from somebody else must not start a program."""
    graph, allowed = folders
    for given in ((), (allowed,)):
        with pytest.raises(EffectError, match="no folder you allowed") as caught:
            through("fake.vst3", graph, *given)
        assert f"--allow-plugins {graph.resolve()}" in str(caught.value)


def test_neither_dots_nor_links_lead_out_of_an_allowed_folder(folders: tuple[Path, Path]) -> None:
    graph, allowed = folders
    link = allowed / "linked.vst3"
    link.symlink_to(graph / "fake.vst3")
    for path in ("linked.vst3", "../graph/fake.vst3", str(allowed / ".." / "graph" / "fake.vst3")):
        with pytest.raises(EffectError, match="no folder you allowed"):
            through(path, allowed, allowed)


def test_a_folder_whose_name_begins_alike_is_not_allowed(folders: tuple[Path, Path]) -> None:
    graph, allowed = folders
    beside = allowed.with_name("plugins-of-others")
    beside.mkdir()
    (beside / "fake.vst3").touch()
    with pytest.raises(EffectError, match="no folder you allowed"):
        through(str(beside / "fake.vst3"), graph, allowed)


def test_what_is_no_plugin_is_an_error_that_names_it(folders: tuple[Path, Path]) -> None:
    graph, allowed = folders
    with pytest.raises(EffectError, match=r"fake\.vst3: .*built for this system"):
        through(str(allowed / "fake.vst3"), graph, allowed)
    with pytest.raises(EffectError, match="no such file"):
        through(str(allowed / "missing.vst3"), graph, allowed)


def test_problems_are_known_before_anything_runs(folders: tuple[Path, Path]) -> None:
    graph, allowed = folders
    chain = parse_chain(
        [
            {"VST3": {"path": "fake.vst3"}},
            {"VST3": {"path": str(allowed / "fake.vst3")}},
            {"VST3": {"path": "fake.vst3"}, "bypass": True},
            {"Convolution": {"impulse_response_filename": "room.wav"}},
        ]
    )
    paths = [p.path for p in check_files(chain, graph, [allowed])]
    assert paths == [(0, "VST3", "path"), (3, "Convolution", "impulse_response_filename")]
    assert len(check_files(chain, graph)) == 3


def test_what_a_plugin_is_made_of_decides_the_result(folders: tuple[Path, Path]) -> None:
    """An updated plugin must not be answered with what the old one made."""
    graph, allowed = folders
    bundle = allowed / "big.vst3"
    inside = bundle / "Contents" / "x86_64-linux" / "big.so"
    inside.parent.mkdir(parents=True)
    inside.touch()
    chain = parse_chain([{"VST3": {"path": str(bundle)}}, {"VST3": {"path": "fake.vst3"}}])
    assert files_used(chain, graph) == [inside, graph / "fake.vst3"]
