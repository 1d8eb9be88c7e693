"""Files that appear whole or not at all."""

from __future__ import annotations

import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stepedit_fx.atomic import atomic_write, write_bytes, write_text
from stepedit_fx.errors import WriteError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and links")


def test_text_arrives_as_it_is_in_folders_that_did_not_exist(tmp_path: Path) -> None:
    """A provenance file beside an output in a new folder would be missing or changed."""
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text(path, "grün\r\nzwei\n")
    assert path.read_bytes() == "grün\r\nzwei\n".encode()


def write_half(path: Path, stop: type[BaseException]) -> None:
    with atomic_write(path) as file:
        file.write(b"today, half")
        raise stop


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError, OSError])
def test_a_stop_half_way_leaves_the_old_file_alone(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    """Ctrl-C during a render would destroy yesterday's output, or litter the folder."""
    path = tmp_path / "out.wav"
    path.write_bytes(b"yesterday")
    expected = WriteError if stop is OSError else stop
    with pytest.raises(expected):
        write_half(path, stop)
    assert [p.name for p in tmp_path.iterdir()] == ["out.wav"]
    assert path.read_bytes() == b"yesterday"


def test_a_new_file_may_be_read_by_those_the_umask_says(tmp_path: Path) -> None:
    """Outputs would be private to their maker, as mkstemp makes them."""
    plain = tmp_path / "plain"
    plain.touch()
    write_bytes(tmp_path / "ours", b"x")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@posix_only
def test_a_link_is_written_through(tmp_path: Path) -> None:
    """A linked output would be cut off from the file that others read."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    """The message would be a bare OSError."""
    (tmp_path / "out").mkdir()
    with pytest.raises(WriteError, match="choose another"):
        write_bytes(tmp_path / "out", b"x")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="A file stands where a folder is needed"):
        write_bytes(tmp_path / "file" / "out", b"x")


def test_a_name_at_the_limit_of_the_file_system_works(tmp_path: Path) -> None:
    """A long name would fail because the temporary one is longer still."""
    path = tmp_path / ("x" * 250)
    write_bytes(path, b"x")
    assert path.read_bytes() == b"x"


@posix_only
@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_a_refusing_disk_leaves_the_old_output(tmp_path: Path, ending: str) -> None:
    """A full disk would cost the earlier output, or pass for success with half the sound."""
    script = """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from stepedit_fx.audio import Audio
        from stepedit_fx.errors import WriteError
        from stepedit_fx.files import write_audio

        path = Path(sys.argv[1])
        path.write_bytes(b"earlier")
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        noise = np.random.default_rng(0).uniform(-1, 1, (1, 96_000)).astype(np.float32)
        try:
            write_audio(path, Audio(noise, 48_000))
        except WriteError as error:
            sys.exit(0 if "write elsewhere" in str(error) else f"no remedy: {error}")
        sys.exit("it claims to have written the file")
    """
    path = tmp_path / f"out.{ending}"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]
