"""Files, folders and globs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stepedit_fx.errors import RequestError
from stepedit_fx.takes import find_takes


@pytest.fixture
def folder(tmp_path: Path, short_clip: Path) -> Path:
    for name in ("b.wav", "a.wav", "deep/er/a.wav", ".hidden.wav", "out/a.happy.wav"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(short_clip, target)
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "out/a.happy.wav.json").write_text("{}")
    return tmp_path


def test_a_folder_gives_its_recordings_in_order_with_where_they_lay(folder: Path) -> None:
    """A folder of takes comes out as a folder of takes; earlier outputs are not taken as takes."""
    takes = find_takes([str(folder)])
    assert [(t.path, t.folder, t.index) for t in takes] == [
        (folder / "a.wav", Path(), 1),
        (folder / "b.wav", Path(), 2),
        (folder / "deep/er/a.wav", Path("deep/er"), 3),
    ]


def test_globs_work_where_the_shell_does_not_expand_them(folder: Path) -> None:
    """Quoted globs, and Windows."""
    found = find_takes([str(folder / "**/a.wav")])
    assert [(t.path, t.folder) for t in found] == [
        (folder / "a.wav", Path()),
        (folder / "deep/er/a.wav", Path("deep/er")),
    ]
    assert [t.path for t in find_takes([str(folder / "*")])] == [folder / "a.wav", folder / "b.wav"]


def test_a_recording_named_twice_is_taken_once(folder: Path) -> None:
    """`run g takes/a.wav takes` must not render a.wav twice."""
    takes = find_takes([str(folder / "b.wav"), str(folder)])
    assert [t.path.name for t in takes if t.path] == ["b.wav", "a.wav", "a.wav"]
    assert [t.index for t in takes] == [1, 2, 3]


def test_a_file_named_by_itself_is_taken_whatever_it_is_called(folder: Path) -> None:
    """An output may be edited again when someone says so."""
    assert len(find_takes([str(folder / "out/a.happy.wav"), str(folder / ".hidden.wav")])) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [("c.wav", "Did you mean 'b.wav'"), ("*.mp3", "no recording matches"), ("empty", "no rec")],
)
def test_a_name_that_finds_nothing_is_refused(folder: Path, name: str, told: str) -> None:
    """A typing mistake must not run half of what was meant."""
    (folder / "empty").mkdir()
    with pytest.raises(RequestError, match=told):
        find_takes([str(folder / name)])
