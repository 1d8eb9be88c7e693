"""What bad input gets: a message that names the file and the remedy, the right exit code, nothing
left behind, and earlier outputs as they were."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from stepedit_fx.cli.app import app

RATE_HZ = 24_000
EARLIER = b"an earlier output"


def write(path: Path, samples: np.ndarray, subtype: str = "PCM_16", rate: int = RATE_HZ) -> None:
    soundfile.write(path, samples, rate, subtype=subtype)


def noise(frames: int = RATE_HZ) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.2, 0.2, frames)


def truncated(path: Path) -> None:
    write(path, noise())
    path.write_bytes(path.read_bytes()[:20_000])


def with_nan(path: Path) -> None:
    samples = noise()
    samples[500] = np.nan
    write(path, samples, "FLOAT")


def five_hours(path: Path) -> None:
    frames = 5 * 3600 * 8000
    head = b"RIFF" + struct.pack("<I", 36 + 2 * frames) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
    with path.open("wb") as file:
        file.write(head + b"data" + struct.pack("<I", 2 * frames))
        file.truncate(44 + 2 * frames)  # a hole: takes no room


BAD_AUDIO: dict[str, tuple[Callable[[Path], object], str]] = {
    "no bytes": (lambda p: p.write_bytes(b""), "empty"),
    "truncated": (truncated, "frames"),
    "no frames": (lambda p: write(p, np.zeros(0)), "no "),
    "NaN": (with_nan, "NaN"),
    "five hours": (five_hours, "5 h 00 min"),
    "a text": (lambda p: p.write_text("Dear diary, " * 50), "not "),
    "another ending": (lambda p: p.write_bytes(bytes(range(256)) * 20), ""),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of work, with the output of an earlier run in it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "take.quickstart.wav").write_bytes(EARLIER)
    return tmp_path


def told(*args: object, code: int) -> str:
    """What a command that fails says on stderr."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


def untouched(folder: Path) -> bool:
    left = {p.name: p.read_bytes() for p in (folder / "out").iterdir()}
    return left == {"take.quickstart.wav": EARLIER}


@pytest.mark.parametrize("case", BAD_AUDIO)
def test_bad_audio_fails_with_its_name_and_leaves_things_alone(case: str, folder: Path) -> None:
    """Someone with a broken recording learns which it is, what is wrong and what to do."""
    make, words = BAD_AUDIO[case]
    take = folder / "take.wav"
    make(take)
    message = told("run", "quickstart", take, "-o", folder / "out", code=1)
    assert str(take) in message
    assert words in message
    assert untouched(folder)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("silent", np.zeros(RATE_HZ)),
        ("10 ms", noise(RATE_HZ // 100)),
        ("clipped", np.sign(noise())),
        ("8 channels", np.tile(noise()[:, None], 8)),
    ],
)
def test_odd_audio_is_rendered(name: str, samples: np.ndarray, folder: Path) -> None:
    """These are sound, if odd, and come out as sound."""
    write(folder / "odd.wav", samples)
    result = CliRunner().invoke(
        app, ["run", "five-moods", str(folder / "odd.wav"), "-o", str(folder / "new")]
    )
    assert result.exit_code == 0, result.output
    for path in (folder / "new").glob("*.wav"):
        out, _ = soundfile.read(path)
        assert out.shape[1:] == samples.shape[1:]
        assert np.isfinite(out).all()


def bombs(levels: int = 9) -> str:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, levels):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    return text


BAD_GRAPHS = {
    "empty": ("", "empty"),
    "only a comment": ("# nothing\n", "empty"),
    "not a mapping": ("- a\n- b\n", "mapping"),
    "cyclic": (
        "nodes:\n"
        "  a: {type: emotion, value: happy, from: b}\n"
        "  b: {type: emotion, value: sad, from: a}\n"
        "  o: {type: output, from: b}\n",
        "a -> b -> a",
    ),
    "10 MB": ("x: y\n" * 2_000_000, "MiB"),
    "anchors that multiply": (bombs(), "more than"),
    "tabs": ("nodes:\n\ttake: {type: input}\n", "tab"),
    "duplicate keys": ("chain: [vad]\nchain: [denoise]\n", "duplicate key 'chain'"),
    "python object": ("chain: !!python/object/apply:os.system ['true']\n", "python"),
    "unknown node": ("chain: [{emotoin: happy}]\n", "Did you mean 'emotion'"),
    "unknown tag": ("chain: [{emotion: hapy}]\n", "Did you mean 'happy'"),
    "unknown effect": ("chain: [{effects: [Revreb]}]\n", "Did you mean 'Reverb'"),
    "out of range": ("chain: [{emotion: {value: happy, strength: 3}}]\n", "at most 1"),
    "unused": (
        "nodes:\n  take: {type: input}\n  a: {type: vad, from: take}\n"
        "  o: {type: output, from: take}\n",
        "nothing uses 'a'",
    ),
    "no such file": ("chain: [{input: nowhere.wav}, vad]\n", "nowhere.wav"),
    "not UTF-8": (b"name: \xff\xfe\n", "UTF-8"),
}


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_a_bad_graph_is_refused_before_anything_runs(
    case: str, command: str, folder: Path, short_clip: Path
) -> None:
    """Someone with a typing mistake learns file, line and the right word."""
    text, words = BAD_GRAPHS[case]
    graph = folder / "quickstart.yaml"
    graph.write_bytes(text if isinstance(text, bytes) else text.encode())
    take = Path(shutil.copy(short_clip, folder / "take.wav"))
    rest = (take, "-o", folder / "out") if command == "run" else ()
    message = told(command, graph, *rest, code=2)
    assert str(graph) in message
    assert words in message
    assert untouched(folder)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "no-such-graph", "TAKE"], "no such graph"),
        (["run", "quikstart", "TAKE"], "Did you mean 'quickstart'"),
        (["run", "quickstart", "tak.wav"], "there is no such file"),
        (["run", "quickstart"], "needs a recording"),
        (["run", "quickstart", "TAKE", "--var", "mood=sad"], "no variable 'mood'"),
        (["run", "quickstart", "TAKE", "--var", "mood"], "NAME=VALUE"),
        (["run", "quickstart", "TAKE", "--set", "emotion.strenght=1"], "strength"),
        (["run", "quickstart", "TAKE", "--set", "emotion.strength=7"], "at most 1"),
        (["run", "quickstart", "TAKE", "--jobs", "0"], "jobs"),
        (["run", "quickstart", "TAKE", "--store", "x", "--no-store"], "exclude"),
        (["run", "quickstart", "TAKE", "--allow-plugins", "nowhere"], "no such folder"),
        (["rn"], "rn"),
        (["edit", "TAKE", "out.xyz", "--vad"], ".xyz"),
        (["edit", "TAKE", "out.wav", "--emotion", "happy:loud"], "must be a number"),
        (["edit", "TAKE", "out.wav", "--emotion", "happy:2"], "at most 1"),
        (["edit", "TAKE", "out.wav", "--effect", "Reverb:room_size"], "PARAM=VALUE"),
        (["edit", "TAKE", "out.wav", "--effect", "Reverb:room_size=9"], "room_size"),
        (["edit", "TAKE", "out.wav", "--preset", "warm-podcats"], "warm-podcast"),
        (["edit", "TAKE", "out.wav", "--preset", "TAKE"], "take.wav:1"),
        (["edit", "TAKE", "out.wav", "--emotion", "hapy"], "Error: unknown emotion 'hapy'. Did"),
        (["edit", "TAKE", ".", "--vad"], "no file name"),
        (["edit", ".", "out.wav", "--vad"], "one recording"),
        (["edit", "TAKE", "TAKE", "--vad"], "is the input"),
        (["plan", "quickstart", "."], "one recording"),
        (["plan", "quickstart", "tak.wav"], "there is no such file"),
        (["run", "quickstart", "TAKE", "-o", "TAKE"], "a file stands"),
        (["run", "quickstart", "TAKE", "--set", "effects.chain.9.x=1"], "4 items"),
        (["verify", "EMPTY"], "no output with provenance"),
    ],
)
def test_bad_arguments_exit_2_with_the_remedy(
    args: list[str], words: str, folder: Path, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script can tell a wrong call (2) from a render that failed (1)."""
    monkeypatch.chdir(folder)
    shutil.copy(short_clip, "take.wav")
    Path("empty").mkdir()
    before = Path("take.wav").read_bytes()
    message = told(*(a.replace("TAKE", "take.wav").replace("EMPTY", "empty") for a in args), code=2)
    assert words in message
    assert untouched(folder)
    assert Path("take.wav").read_bytes() == before
    assert {p.name for p in folder.iterdir()} == {"out", "take.wav", "empty"}


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_an_output_that_is_the_input_is_refused(link: str, folder: Path, short_clip: Path) -> None:
    """Nobody loses a recording, whatever name it goes by."""
    take = Path(shutil.copy(short_clip, folder / "take.wav"))
    before = take.read_bytes()
    target = folder / "other.wav"
    if link == "same":
        target = take
    elif link == "symbolic":
        target.symlink_to(take)
    else:
        target.hardlink_to(take)
    message = told("edit", take, target, "--vad", code=2)
    assert "is the input" in message
    assert take.read_bytes() == target.read_bytes() == before


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from stepedit_fx.cli.app import main
sys.argv = ["stepedit-fx", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits there")
def test_a_disk_that_takes_no_more_leaves_the_earlier_output(
    folder: Path, short_clip: Path
) -> None:
    """A full disk costs the new output, never the old one. (A limit on file size stands in.)"""
    take = shutil.copy(short_clip, folder / "take.wav")
    out = folder / "out"
    command = [sys.executable, "-c", LIMITED, "run", "quickstart", str(take), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert str(out / "take.quickstart.wav") in done.stderr.replace("\n", "")
    assert "write elsewhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert untouched(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full there")
def test_a_full_disk_under_what_is_printed_is_told_in_a_line() -> None:
    """`stepedit-fx schema > file` on a full disk."""
    command = [sys.executable, "-m", "stepedit_fx", "schema"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "No space left" in done.stderr


def test_a_name_too_long_for_the_system_is_told_in_a_line(folder: Path) -> None:
    """A pasted text in place of a file's name."""
    message = told("run", "quickstart", "word " * 200, code=1)
    assert "too long" in message


def test_debug_shows_the_traceback(folder: Path) -> None:
    """Whoever reports a fault can say where it happened."""
    command = [sys.executable, "-m", "stepedit_fx", "--debug", "run", "quickstart", "nowhere.wav"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert "Traceback" in done.stderr
    assert done.returncode != 0
