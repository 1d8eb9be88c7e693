"""Weight files: what is sound is read, what is not is named, and nothing in them runs."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stepedit_fx.engines.step_audio.readers import read_codebook, read_pt
from stepedit_fx.errors import ReadError

STATE = OrderedDict(
    {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2, dtype=torch.half)}
)


class Evil:
    """Pickles as a call of os.system that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.command = f"touch {trace}"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model", "generator"])
def test_tensors_come_by_name(tmp_path: Path, zipped: bool, wrap: str | None) -> None:
    """Old and new formats, plain and nested, give the same tensors; counters are left out."""
    path = tmp_path / "flow.pt"
    state = STATE if wrap is None else {wrap: STATE, "epoch": 3, "name": "tiny", "lr": 0.1}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    found = read_pt(path)
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)


def test_tensors_stay_on_disk(tmp_path: Path) -> None:
    """Opening a file of several GB must not read it into memory."""
    path = tmp_path / "big.pt"
    torch.save({"weight": torch.zeros(1 << 22)}, path)
    before = _resident_bytes()
    tensor = read_pt(path)["weight"]
    assert _resident_bytes() - before < tensor.numel() * 4 / 2


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("this system does not say what is resident")
    fields = statm.read_text(encoding="ascii").split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")  # less what is mapped


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_named_and_does_not_run(
    tmp_path: Path, zipped: bool, protocol: int
) -> None:
    """A doctored flow.pt must not run a command, and the user must learn why it is refused."""
    path, trace = tmp_path / "flow.pt", tmp_path / "it-ran"
    torch.save(
        {**STATE, **{f"more.{n}": torch.ones(1) for n in range(60)}, "evil": Evil(trace)},
        path,
        _use_new_zipfile_serialization=zipped,
        pickle_protocol=protocol,
    )
    with pytest.raises(ReadError, match=r"holds code \(\w+\.system\); refused") as caught:
        read_pt(path)
    assert "flow.pt" in str(caught.value)
    assert not trace.exists()


def test_a_bare_pickle_is_named_and_does_not_run(tmp_path: Path) -> None:
    """A file that was never torch's is no way in either."""
    path, trace = tmp_path / "flow.pt", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps(Evil(trace)))
    with pytest.raises(ReadError, match=r"holds code \(\w+\.system\); refused"):
        read_pt(path)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_named(tmp_path: Path, zipped: bool, share: float) -> None:
    """A download that broke off says so, and how to go on."""
    path = tmp_path / "hift.pt"
    torch.save({"weight": torch.randn(500, 10)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ReadError, match=r"hift\.pt: .*(cut short|damaged)") as caught:
        read_pt(path)
    assert "models fetch" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git-lfs pointer"),
        (b"<html>not found</html>", "no file of tensors"),
        (b"PK\x03\x04 and so on", "cut short"),
        (b"\x80\x02}", "no file of tensors"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "flow.pt"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=told):
        read_pt(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="No such file"):
        read_pt(tmp_path / "flow.pt")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([torch.ones(2)], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
        ({"weight": [1, 2]}, "holds a list under 'weight'"),
        ({"epoch": 3}, "no tensors"),
        ({"sparse": torch.eye(3).to_sparse()}, "of a kind"),
        ({"vast": torch.ones(1).expand(10**12)}, "claims more values"),
    ],
)
def test_anything_but_plain_tensors_is_refused(tmp_path: Path, value: Any, told: str) -> None:
    """A file of a few bytes must not ask for terabytes once its tensors are used."""
    path = tmp_path / "flow.pt"
    torch.save(value, path)
    with pytest.raises(ReadError, match=told):
        read_pt(path)


def test_a_zip_with_swapped_storage_is_refused(tmp_path: Path) -> None:
    """Fewer bytes than the header claims is a damaged file, not a crash."""
    path, doctored = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save({"weight": torch.ones(1000)}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(doctored, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:8] if "/data/" in name else data)
    with pytest.raises(ReadError, match=r"b\.pt"):
        read_pt(doctored)


def test_the_codebook_is_read(tmp_path: Path) -> None:
    path = tmp_path / "linguistic_tokenizer.npy"
    book = np.random.default_rng(0).normal(size=(1024, 20))
    np.save(path, book)
    found = read_codebook(path)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, book, rtol=1e-6)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((1000, 20)), "another size"),
        (np.zeros((1024, 20, 2)), "another size"),
        (np.zeros((1024, 0)), "another size"),
        (np.zeros((1024, 20), np.int32), "floating-point"),
        (np.full((1024, 20), np.nan), "NaN"),
        (np.array([{"a": 1}], dtype=object), "no array of numbers"),
    ],
)
def test_another_codebook_is_refused(tmp_path: Path, array: Any, told: str) -> None:
    """A codebook of another tokenizer would give codes that mean nothing."""
    path = tmp_path / "linguistic_tokenizer.npy"
    np.save(path, array)
    with pytest.raises(ReadError, match=told):
        read_codebook(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00v\x00{", b"PK\x03\x04", b"hello there"]
)
def test_a_broken_codebook_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "linguistic_tokenizer.npy"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"linguistic_tokenizer\.npy"):
        read_codebook(path)


def test_a_truncated_codebook_is_named(tmp_path: Path) -> None:
    path = tmp_path / "linguistic_tokenizer.npy"
    np.save(path, np.zeros((1024, 20), np.float32))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ReadError, match="damaged"):
        read_codebook(path)


def test_an_npy_header_cannot_claim_terabytes(tmp_path: Path) -> None:
    """The header is the stranger's word; the file's length is not."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1024, 1000000000), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    path = tmp_path / "linguistic_tokenizer.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 64)
    with pytest.raises(ReadError, match="damaged"):
        read_codebook(path)
