"""Weights out of files that may be truncated, of another model, or made to do harm.

Nothing here runs code that a file holds. Tensors stay on disk, mapped into memory, until they
are used.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stepedit_fx.engines.step_audio.layout import FETCH
from stepedit_fx.errors import ReadError

CODES = 1024  # rows of the linguistic codebook
MAX_CODEBOOK_BYTES = 64 << 20  # the published one has 2 MiB

_NESTED_UNDER = ("state_dict", "model", "generator")
_POINTER = b"version https://git-lfs"
_ZIP = b"PK"
_MAX_INSTRUCTIONS = 4 << 20  # bytes; a state of 1000 tensors has 100 kB
_MAX_NAMED = 3
# How module and name stand in a file: as lines, or since 2013 as two texts with their lengths.
_LOOK_UP = re.compile(rb"(?<![\w.])[ci]([A-Za-z_][\w.]*)\n([A-Za-z_][\w.]*)\n")
_STACKED_LOOK_UP = re.compile(rb"\x8c.([A-Za-z_][\w.]*)\x94?\x8c.([A-Za-z_][\w.]*)\x94?\x93", re.S)
_TOLD = re.compile(r"GLOBAL ([A-Za-z_][\w.]*)")  # in torch's own message
# What a tensor in a file consists of, and the containers around it.
_OF_TENSORS = re.compile(
    r"torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_\w+|(storage\.)?\w*Storage|Size|device"
    r"|b?float\d*|u?int\d+|bool|double|half|nn\.parameter\.Parameter|Tensor)"
    r"|collections\.(OrderedDict|defaultdict|Counter)|_codecs\.encode"
)


def read_pt(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.pt`` file by name, memory-mapped where its format allows.

    A state under "state_dict", "model" or "generator" is taken out of there; numbers and texts
    beside the tensors (epoch, step) are left out. Raises ReadError for a file that is truncated,
    holds code (nothing of it has run) or anything but tensors.
    """
    start = _start(path)
    zipped = start.startswith(_ZIP)
    if zipped and not zipfile.is_zipfile(path):
        raise ReadError.of(path, "is cut short: the end of the file is missing", remedy=FETCH)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # a doctored file can fail in any way
        raise _refusal(path, zipped, error) from error
    return _tensors(path, loaded)


def _refusal(path: Path, zipped: bool, error: Exception) -> ReadError:
    names = sorted({*_TOLD.findall(str(error)), *_globals(path, zipped)})
    code = [name for name in names if not _OF_TENSORS.fullmatch(name)]
    if code:
        shown = ", ".join(code[:_MAX_NAMED]) + (", ..." if len(code) > _MAX_NAMED else "")
        return ReadError(
            f"{path}: holds code ({shown}); refused, and nothing of it was run",
            remedy="Do not use this file: fetch the published one.",
        )
    first = str(error).strip().partition("\n")[0]
    return ReadError(f"{path}: is no file of tensors, or a damaged one ({first})", remedy=FETCH)


def _globals(path: Path, zipped: bool) -> Iterator[str]:
    """The module.name pairs that a file would look up, as far as they stand there in full."""
    for data in _instructions(path, zipped):
        for module, name in (*_LOOK_UP.findall(data), *_STACKED_LOOK_UP.findall(data)):
            yield f"{module.decode()}.{name.decode()}"


def _instructions(path: Path, zipped: bool) -> Iterator[bytes]:
    """The parts of a file that say how to build its objects; values lie in other parts."""
    try:
        if not zipped:
            with path.open("rb") as file:
                yield file.read(_MAX_INSTRUCTIONS)
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as part:
                        yield part.read(_MAX_INSTRUCTIONS)
    # Refused all the same; this only looks for the reason.
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return


def _start(path: Path) -> bytes:
    """The first bytes of a file. Raises ReadError for one that stands in for the real one."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error), remedy=FETCH) from error
    if start == _POINTER:
        raise ReadError.of(path, "is a git-lfs pointer, not the file itself", remedy=FETCH)
    if not start:
        raise ReadError.of(path, "is empty", remedy=FETCH)
    return start


def _tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    state = loaded
    for name in _NESTED_UNDER:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping):
        cause = f"holds a {type(state).__name__}, not tensors by name"
        raise ReadError.of(path, cause, remedy=FETCH)
    found = {}
    for name, value in state.items():
        if isinstance(value, Tensor) and isinstance(name, str):
            found[name] = _checked(path, name, value)
        elif not isinstance(value, int | float | str | None):
            cause = f"holds a {type(value).__name__} under {str(name)[:80]!r}, not a tensor"
            raise ReadError.of(path, cause, remedy=FETCH)
    if not found:
        raise ReadError.of(path, "holds no tensors", remedy=FETCH)
    return found


def _checked(path: Path, name: str, tensor: Tensor) -> Tensor:
    """The tensor, if it is a plain one whose values are all in the file."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized
    if not plain or tensor.device.type != "cpu":
        raise ReadError.of(path, f"tensor {name} is of a kind we do not read", remedy=FETCH)
    # A stride of 0 makes a file of a few bytes fill the memory once its tensor is copied.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ReadError.of(path, f"tensor {name} claims more values than it has", remedy=FETCH)
    return tensor.detach()


def read_codebook(path: Path) -> NDArray[np.float32]:
    """The linguistic codebook of an ``.npy`` file, (1024, width), float32.

    Raises ReadError for Python objects, another size, or values that are not finite.
    """
    _start(path)
    try:
        if path.stat().st_size > MAX_CODEBOOK_BYTES:
            raise ReadError.of(path, f"is larger than {MAX_CODEBOOK_BYTES >> 20} MiB", remedy=FETCH)
        loaded: Any = np.lib.format.open_memmap(path, mode="r")  # no zip, no pickle
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        first = str(error).strip().partition("\n")[0]
        cause = f"is no array of numbers, or a damaged one ({first})"
        raise ReadError.of(path, cause, remedy=FETCH) from error
    if loaded.dtype.kind != "f":
        raise ReadError.of(path, "is no array of floating-point numbers", remedy=FETCH)
    if loaded.ndim != 2 or len(loaded) != CODES or not loaded.shape[1]:
        raise ReadError.of(
            path,
            f"is a codebook of another size: {loaded.shape}, wanted ({CODES}, width)",
            remedy="It belongs to another tokenizer. " + FETCH,
        )
    codebook = np.array(loaded, dtype=np.float32)
    if not np.isfinite(codebook).all():
        raise ReadError.of(path, "holds NaN or infinity", remedy=FETCH)
    return codebook
