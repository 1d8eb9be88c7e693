"""Files that a client may name: recordings and graphs inside the folders it was given.

A path is looked at on the disk only when its words lie inside a root, and taken only when what
it really is lies there too; what is outside is not told from what does not exist.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepedit_fx.errors import NotFound, ReadError, RequestError, did_you_mean
from stepedit_fx.files import READABLE_SUFFIXES
from stepedit_fx.graph import Graph
from stepedit_fx.shipped import shipped

GRAPH_SUFFIXES = (".yaml", ".yml")
MAX_GRAPH_BYTES = 1 << 20
_MAX_TEXT = 4096


def find_recording(text: str, roots: Sequence[Path], max_bytes: int) -> Path:
    """The real path of a recording in the roots.

    Raises NotFound for what is not there, ReadError for what is there and cannot be taken.
    """
    path = _inside(text, roots)
    if path is None:
        raise NotFound(
            f"there is no recording '{_shown(text)}' in the folders that clients may use",
            remedy="Allow its folder with --root." if roots else "Allow a folder with --root.",
        )
    _check(path, text, READABLE_SUFFIXES, max_bytes)
    return path


def find_graph_file(text: str, roots: Sequence[Path]) -> Path:
    """A shipped graph or preset by name, or a graph file in the roots. As `find_recording`."""
    known = {**shipped("presets"), **shipped("graphs")}
    if text in known:
        return known[text]
    path = _inside(text, roots)
    if path is None:
        raise NotFound(f"there is no graph '{_shown(text)}'", remedy=did_you_mean(text[:80], known))
    _check(path, text, GRAPH_SUFFIXES, MAX_GRAPH_BYTES)
    return path


def check_reads(graph: Graph, roots: Sequence[Path]) -> None:
    """That a graph of a client's choosing reads no file outside the roots. Raises RequestError."""
    allowed = [Path(os.path.realpath(root)) for root in roots]
    for key, spec in graph.nodes.items():
        for file in spec.node.reads(graph.folder):
            real = Path(os.path.realpath(file))
            if not any(real.is_relative_to(root) for root in allowed):
                raise RequestError(
                    f"it reads '{_shown(str(file))}', outside the folders that clients may use",
                    remedy="Allow its folder with --root.",
                    node=key,
                )


def _inside(text: str, roots: Sequence[Path]) -> Path | None:
    """The real path of an existing file or folder in one of the roots."""
    if not text or len(text) > _MAX_TEXT or "\0" in text:
        return None
    for root, path in _candidates(text, roots):
        try:
            real = Path(os.path.realpath(path, strict=True))
        except (OSError, ValueError):
            continue
        if real.is_relative_to(root):
            return real
    return None


def _candidates(text: str, roots: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Each root's real path, with where in it the text points; nothing that points elsewhere."""
    for root in roots:
        real = Path(os.path.realpath(root))
        for base in (Path(os.path.abspath(root)), real):  # noqa: PTH100  # resolve() would stat
            path = os.path.normpath(base / text)
            if Path(path).is_relative_to(base):
                yield real, path


def _check(path: Path, text: str, suffixes: Sequence[str], max_bytes: int) -> None:
    try:
        info = path.stat()
    except OSError as error:
        raise ReadError.of(_shown(text), error.strerror or "cannot be read") from error
    if not stat.S_ISREG(info.st_mode):
        raise ReadError.of(_shown(text), "is no regular file")
    if path.suffix.lower() not in suffixes:
        raise ReadError.of(_shown(text), f"is none of {' '.join(suffixes)}")
    if info.st_size > max_bytes:
        raise ReadError.of(_shown(text), f"has over {max_bytes} bytes")


def _shown(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
