"""The graphs and presets that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.errors import RequestError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.shipped import description, find_graph, find_preset, shipped

ALL = {**shipped("graphs"), **shipped("presets")}


def test_there_are_enough_and_no_two_share_a_name() -> None:
    """`run NAME` must be unambiguous."""
    assert len(shipped("graphs")) >= 6
    assert len(shipped("presets")) >= 8
    assert len(ALL) == len(shipped("graphs")) + len(shipped("presets"))


@pytest.mark.parametrize("name", sorted(ALL))
def test_it_runs_and_sounds_like_something(name: str, short_clip: Path, tmp_path: Path) -> None:
    """Whoever picks it from the list hears an edited voice: not silence, not the take, no clip."""
    graph = Graph.load(ALL[name])
    assert graph.name == name == find_graph(name).stem
    assert description(ALL[name]) == graph.description != ""
    result = graph.run(short_clip, out_dir=tmp_path)
    source = read_audio(short_clip)
    assert result.outputs
    for path in result.outputs.values():
        sound = read_audio(path)
        assert 0.02 < sound.peak < 1.0
        assert sound.sample_rate == source.sample_rate
        assert sound.samples.shape != source.samples.shape or not np.array_equal(
            sound.samples, source.samples
        )


def test_five_moods_are_encoded_once(short_clip: Path) -> None:
    """The graph that shows sharing shares."""
    steps = Graph.load(ALL["five-moods"]).plan(short_clip).steps
    assert sum(step.kind == "encode" for step in steps) == 1
    assert sum(step.kind == "decode" for step in steps) == 5


def test_a_wrong_name_gets_the_nearest(tmp_path: Path) -> None:
    """A typing mistake costs a glance."""
    with pytest.raises(RequestError, match="Did you mean 'quickstart'"):
        find_graph("quikstart")
    with pytest.raises(RequestError, match="Did you mean 'warm-podcast'"):
        find_preset("warm-podcats")
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(RequestError, match=r"Did you mean 'mine\.yaml'"):
        find_graph(str(tmp_path / "mien.yaml"))
    with pytest.raises(RequestError, match="is a folder"):
        find_graph(str(tmp_path))


def test_a_file_goes_before_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One's own `quickstart` in this folder is what one means."""
    monkeypatch.chdir(tmp_path)
    Path("quickstart").write_text("chain: [vad]")
    assert find_graph("quickstart") == Path("quickstart")
