"""What a client may name, and that nothing else is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.errors import NotFound, ReadError, RequestError, StepEditError
from stepedit_fx.graph import Graph
from stepedit_fx.osc.paths import check_reads, find_graph_file, find_recording
from stepedit_fx.shipped import shipped

MAX = 1000


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """inside/ is the root; beside it lies what nobody may name."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "inside" / "deep").mkdir(parents=True)
    (folder / "outside").mkdir()
    for name in ("inside/a.wav", "inside/deep/b.flac", "outside/secret.wav", "inside/notes.txt"):
        (folder / name).write_bytes(b"RIFF")
    (folder / "inside" / "big.wav").write_bytes(bytes(MAX + 1))
    (folder / "inside" / "folder.wav").mkdir()
    (folder / "inside" / "link.wav").symlink_to(folder / "outside" / "secret.wav")
    (folder / "inside" / "way").symlink_to(folder / "outside")
    (folder / "inside" / "own.wav").symlink_to(folder / "inside" / "a.wav")
    (folder / "insider").mkdir()
    (folder / "insider" / "c.wav").write_bytes(b"RIFF")
    os.mkfifo(folder / "inside" / "pipe.wav")
    return folder


@pytest.mark.parametrize(
    ("name", "real"),
    [("a.wav", "a.wav"), ("deep/b.flac", "deep/b.flac"), ("deep/../a.wav", "a.wav"),
     ("own.wav", "a.wav"), ("./a.wav", "a.wav")],
)  # fmt: skip
def test_what_lies_inside_is_found(place: Path, name: str, real: str) -> None:
    """A DAW names its recordings by full path or inside the folder it was given."""
    root = place / "inside"
    assert find_recording(name, (root,), MAX) == root.resolve() / real
    assert find_recording(str(root / name), (root,), MAX) == root.resolve() / real


@pytest.mark.parametrize(
    "name",
    [
        "missing.wav", "../outside/secret.wav", "link.wav", "way/secret.wav", "/etc/passwd",
        "../insider/c.wav", "..", "", "a\0.wav", "x" * 10_000, "~/a.wav", "file:a.wav",
        "way/../../outside/secret.wav", "\\\\host\\share\\a.wav", "deep/../../outside/secret.wav",
    ],
)  # fmt: skip
def test_what_lies_outside_is_as_if_it_were_not(place: Path, name: str) -> None:
    """A client learns nothing of files outside the roots: not even whether they are there."""
    with pytest.raises(NotFound) as caught:
        find_recording(name, (place / "inside",), MAX)
    missing = "missing.wav" if len(name) < 200 else "x" * 10_000
    with pytest.raises(NotFound) as other:
        find_recording(missing, (place / "inside",), MAX)
    assert str(caught.value).replace(name, "") == str(other.value).replace(missing, "")


@pytest.mark.parametrize("name", ["notes.txt", "big.wav", "folder.wav", "pipe.wav", "."])
def test_what_is_no_recording_is_told(place: Path, name: str) -> None:
    """Inside the roots, a client reads why its file is not taken; nothing waits on a pipe."""
    with pytest.raises(ReadError):
        find_recording(name, (place / "inside",), MAX)


def test_without_roots_nothing_is_found(place: Path) -> None:
    """A daemon that was given no folder opens none."""
    with pytest.raises(NotFound):
        find_recording(str(place / "inside" / "a.wav"), (), MAX)


def test_a_root_may_be_a_link(place: Path) -> None:
    """/tmp is a link on macOS; a folder that is named by a link is still that folder."""
    link = place / "link-to-inside"
    link.symlink_to(place / "inside")
    real = (place / "inside" / "a.wav").resolve()
    assert find_recording(str(link / "a.wav"), (link,), MAX) == real
    assert find_recording(str(real), (link,), MAX) == real


@given(st.text(st.sampled_from("./ao~\\\0-"), max_size=20))
def test_no_text_leaves_the_root(place: Path, text: str) -> None:
    """However the dots and slashes lie, nothing outside is opened."""
    root = place / "inside"
    try:
        found = find_recording(text, (root,), MAX)
    except StepEditError:
        return
    assert found.is_relative_to(root.resolve())


def test_graphs_are_shipped_or_inside(place: Path) -> None:
    """A client opens the shipped graphs by name, and files only inside the roots."""
    root = place / "inside"
    (root / "mine.yaml").write_text("version: 1\n")
    assert find_graph_file("quickstart", (root,)).name == "quickstart.yaml"
    assert find_graph_file("mine.yaml", (root,)) == (root / "mine.yaml").resolve()
    with pytest.raises(NotFound, match="Did you mean 'quickstart'"):
        find_graph_file("quickstar", (root,))
    with pytest.raises(ReadError):
        find_graph_file("a.wav", (root,))
    with pytest.raises(NotFound):
        find_graph_file("/etc/hosts.yaml", (root,))


@pytest.mark.parametrize("file", ["{o}/secret.wav", "../outside/secret.wav", "link.wav"])
@pytest.mark.parametrize(
    "node",
    [
        "{{type: input, path: {file}}}, y: {{type: mix, from: [take, x]}}",
        "{{type: effects, from: take, chain: [{{Convolution: "
        "{{impulse_response_filename: {file}}}}}]}}, y: {{type: effects, from: x, chain: [Gain]}}",
    ],
)
def test_a_graph_in_the_roots_reads_nothing_outside(place: Path, file: str, node: str) -> None:
    """Who may put a graph into a shared folder could have any recording of the machine played."""
    inside = place / "inside"
    named = node.format(file=file.format(o=place / "outside"))
    nodes = f"{{take: {{type: input}}, x: {named}, out: {{type: output, from: y}}}}"
    graph = Graph.parse(f"{{version: 1, name: g, nodes: {nodes}}}", folder=inside)
    with pytest.raises(RequestError, match="outside the folders") as caught:
        check_reads(graph, (inside,))
    assert caught.value.node == "x"
    check_reads(graph, (Path("/"),))


@pytest.mark.parametrize("path", [*shipped("graphs").values(), *shipped("presets").values()])
def test_every_shipped_graph_may_be_opened(path: Path) -> None:
    """A client would be refused what is named to it."""
    check_reads(Graph.load(path), (path.parent,))
