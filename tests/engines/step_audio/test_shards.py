"""The language model's shards are checked by name before anything loads them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from stepedit_fx.engines.step_audio.shards import read_header, read_headers, shard_paths
from stepedit_fx.errors import ReadError

WHOLE = save({"a": torch.ones(3, 4, dtype=torch.bfloat16), "b": torch.zeros(5)})


def two_shards(folder: Path) -> dict[str, str]:
    names = {"a": "model-00001.safetensors", "b": "model-00002.safetensors"}
    for tensor, name in names.items():
        save_file({tensor: torch.ones(3)}, folder / name)
    write_index(folder, names)
    return names


def write_index(folder: Path, weight_map: Any) -> None:
    text = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def test_a_header_tells_shapes_and_types(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(WHOLE)
    found = read_header(path)
    assert {name: (info.shape, info.dtype, info.bytes) for name, info in found.items()} == {
        "a": ((3, 4), "BF16", 24),
        "b": ((5,), "F32", 20),
    }


@settings(max_examples=80)
@given(kept=st.integers(0, len(WHOLE) - 1))
def test_every_cut_is_noticed(tmp_path_factory: Any, kept: int) -> None:
    """Wherever a download broke off, the shard is named and the way on told."""
    path = tmp_path_factory.mktemp("cut") / "model-00001.safetensors"
    path.write_bytes(WHOLE[:kept])
    with pytest.raises(ReadError, match=r"model-00001\.safetensors") as caught:
        read_header(path)
    assert "models fetch" in caught.value.remedy


def test_half_a_shard_says_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "model-00001.safetensors"
    path.write_bytes(WHOLE[:-10])
    with pytest.raises(ReadError, match=f"half downloaded: {len(WHOLE) - 10} of {len(WHOLE)}"):
        read_header(path)


@settings(max_examples=80)
@given(header=st.binary(max_size=40), length=st.integers(0, 2**64 - 1) | st.integers(0, 60))
def test_any_header_is_read_or_refused(tmp_path_factory: Any, header: bytes, length: int) -> None:
    """No header makes it allocate what it claims, or end in a traceback."""
    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header)
    with pytest.raises(ReadError):
        read_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]},
        {"dtype": "F32", "shape": [1]},
        {"dtype": "F32", "shape": "one", "data_offsets": [0, 4]},
        [],
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, entry: Any) -> None:
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    with pytest.raises(ReadError, match="header"):
        read_header(path)


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    names = two_shards(tmp_path)
    assert [path.name for path in shard_paths(tmp_path)] == list(names.values())
    assert read_headers(tmp_path).keys() == names.keys()


def test_without_an_index_there_is_one_file(tmp_path: Path) -> None:
    """The published AWQ folder has no index."""
    save_file({"a": torch.ones(2)}, tmp_path / "model.safetensors")
    assert read_headers(tmp_path).keys() == {"a"}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    names = two_shards(tmp_path)
    (tmp_path / names["b"]).unlink()
    with pytest.raises(ReadError, match=names["b"]):
        read_headers(tmp_path)


def test_a_tensor_that_is_not_where_the_index_says_is_named(tmp_path: Path) -> None:
    names = two_shards(tmp_path)
    save_file({"other": torch.ones(2)}, tmp_path / names["b"])
    with pytest.raises(ReadError, match=r"lacks 1 tensors .* as b"):
        read_headers(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..\\b.safetensors", "model.bin",
     "C:b.safetensors", ".safetensors", 3, None],
)  # fmt: skip
def test_an_index_does_not_lead_out_of_its_folder(tmp_path: Path, name: Any) -> None:
    """A stranger's index must not make us open other files."""
    write_index(tmp_path, {"a": name})
    with pytest.raises(ReadError, match="its own folder"):
        shard_paths(tmp_path)


@pytest.mark.parametrize("weight_map", [None, {}, [], "a"])
def test_an_index_without_shards_is_refused(tmp_path: Path, weight_map: Any) -> None:
    write_index(tmp_path, weight_map)
    with pytest.raises(ReadError, match="no tensors"):
        shard_paths(tmp_path)
