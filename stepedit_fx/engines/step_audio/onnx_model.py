"""ONNX files of the checkpoint: opened safely, checked for what they take, run where asked.

A file must hold its weights itself: onnxruntime would read "external data" from any file that the
model names. No library of custom operators is ever loaded, so a model that needs one is refused.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from stepedit_fx.errors import EngineError, ReadError

logger = logging.getLogger(__name__)

Array = NDArray[Any]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
# Codes are to be the same on every device: no TF32. Lengths differ from call to call: no search
# for the fastest convolution at each new one.
CUDA_OPTIONS: Mapping[str, str] = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}

# onnxruntime's errors have no base of their own.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(
        found
        for found in vars(onnxruntime_pybind11_state).values()
        if isinstance(found, type) and issubclass(found, Exception)
    ),
)


@dataclass(frozen=True)
class Wanted:
    """An input that a model must have: what it is, its element type, its shape (None: any size)."""

    what: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.what} {self.dtype} ({sizes})"

    def fits(self, dtype: str, shape: Sequence[object]) -> bool:
        """Whether a declared input takes it. A size that is no number takes any."""
        sizes = zip(self.shape, shape, strict=False)
        return (
            dtype == f"tensor({self.dtype})"
            and len(shape) == len(self.shape)
            and all(size in (want, None) or not isinstance(size, int) for want, size in sizes)
        )


class OnnxModel:
    """One file, opened. inputs: what `run` is given, in the model's order.

    device: "cuda" takes onnxruntime's CUDA provider where it is installed; all else is the CPU.
    Raises ReadError for a file that is damaged, needs other files or takes other inputs.
    """

    def __init__(
        self, path: Path | str, inputs: Sequence[Wanted], device: torch.device | str = "cpu"
    ) -> None:
        self.path = Path(path)
        _refuse_outside_data(self.path)
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), _options(), providers=_providers(torch.device(device))
            )
        except _ERRORS as error:
            raise ReadError.of(
                self.path, f"is no model that onnxruntime can run ({error})", "Fetch it again."
            ) from error
        self._check(inputs)
        self._names = [found.name for found in self._session.get_inputs()]

    @property
    def provider(self) -> str:
        """What runs it, in onnxruntime's word."""
        return str(self._session.get_providers()[0])

    def _check(self, inputs: Sequence[Wanted]) -> None:
        found = self._session.get_inputs()
        fits = len(found) == len(inputs) and all(
            want.fits(have.type, have.shape) for want, have in zip(inputs, found, strict=True)
        )
        if not fits:
            has = "; ".join(f"{have.name} {have.type} {have.shape}" for have in found)
            raise ReadError.of(
                self.path,
                f"takes ({has}), expected ({'; '.join(map(str, inputs))})",
                remedy="Is it another model's file?",
            )

    def run(self, *arrays: Array) -> Array:
        """The model's first output. Raises EngineError that names the file."""
        feeds = dict(zip(self._names, arrays, strict=True))
        try:
            out = self._session.run(None, feeds)[0]
        except _ERRORS as error:
            raise EngineError(
                f"{self.path.name} failed on input of shape {arrays[0].shape} ({error})",
                remedy="Is memory short, or the file another model's?",
            ) from error
        return np.asarray(out)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised; it need not be printed, too
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers(device: torch.device) -> list[str | tuple[str, dict[str, str]]]:
    if device.type == "cuda" and CUDA in onnxruntime.get_available_providers():
        return [(CUDA, {"device_id": str(device.index or 0), **CUDA_OPTIONS}), CPU]
    if device.type == "cuda":
        logger.info("onnxruntime has no CUDA provider: the tokenizers' ONNX files run on the CPU")
    return [CPU]


# Of onnx.proto: which fields of a message hold messages in which a tensor can be.
_INSIDE: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_DEEPEST = 64  # messages within messages


def _refuse_outside_data(path: Path) -> None:
    """Raise ReadError unless the file is a protobuf message whose tensors are all inside it."""
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            outside = _has_outside_tensor(data, 0, len(data), "model", 0)
    except OSError as error:
        raise ReadError.of(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, IndexError) as error:
        raise ReadError.of(path, "is damaged or no ONNX file", "Fetch it again.") from error
    if outside:
        raise ReadError.of(
            path,
            "keeps tensors in other files",
            remedy="Use a file that holds its weights itself, as the published one does.",
        )


def _has_outside_tensor(data: mmap.mmap, start: int, end: int, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError("messages too deep within one another")
    for number, value, first, last in _fields(data, start, end):
        if kind == "tensor" and (
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
        ):
            return True
        inside = _INSIDE[kind].get(number)
        if inside and _has_outside_tensor(data, first, last, inside, depth + 1):
            return True
    return False


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of a protobuf message: number, value if it is an integer, and where its bytes are.

    Raises ValueError for what is no message. Source: protobuf's encoding specification.
    """
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value = size = 0
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or at + size > end:
            raise ValueError("a field runs over its message")
        yield number, value, at, at + size
        at += size


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number too long")
