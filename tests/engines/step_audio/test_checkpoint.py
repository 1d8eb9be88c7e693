"""Finding the published files, and knowing them again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stepedit_fx.engines.step_audio import hashes
from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
from stepedit_fx.engines.step_audio.layout import EDITX, EDITX_AWQ, ENVIRONMENT, default_folder
from stepedit_fx.errors import ReadError


def replace(path: Path, content: bytes) -> None:
    """New content under a name that is a link to the shared checkpoint's file."""
    path.unlink()
    path.write_bytes(content)


def test_found_by_either_folder(tiny_checkpoint: Path) -> None:
    """Pointing at the models folder and at Step-Audio-EditX in it are the same."""
    assert Checkpoint.find(tiny_checkpoint) == Checkpoint.find(tiny_checkpoint / EDITX)
    assert Checkpoint.find(str(tiny_checkpoint)).flow_path.is_file()


def test_found_by_the_environment(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tiny_checkpoint))
    assert Checkpoint.find() == Checkpoint.find(tiny_checkpoint)
    monkeypatch.delenv(ENVIRONMENT)
    assert default_folder().name == "models"


def test_what_is_missing_is_listed(own_checkpoint: Path) -> None:
    """Everything that is missing comes at once, with the command that gets it."""
    checkpoint = Checkpoint.find(own_checkpoint)
    gone = (checkpoint.flow_path, checkpoint.cmvn_path)
    for path in gone:
        path.unlink()
    with pytest.raises(ReadError) as caught:
        Checkpoint.find(own_checkpoint)
    assert all(str(path) in str(caught.value) for path in gone)
    assert "models fetch" in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_no_folder_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(ReadError, match=name) as caught:
        Checkpoint.find(tmp_path / name)
    assert ENVIRONMENT in caught.value.remedy


def test_no_weights_is_said(own_checkpoint: Path) -> None:
    """A config.json alone is no language model."""
    (own_checkpoint / EDITX / "model.safetensors.index.json").unlink()
    with pytest.raises(ReadError, match=r"model\.safetensors\.index\.json"):
        Checkpoint.find(own_checkpoint)


def test_the_4_bit_folder_stands_in(own_checkpoint: Path) -> None:
    """With --awq only, or pointed at, the AWQ folder is the language model; the rest is shared."""
    awq = own_checkpoint / EDITX_AWQ
    awq.mkdir()
    shutil.copy(own_checkpoint / EDITX / "config.json", awq)
    shutil.copy(own_checkpoint / EDITX / "model-00001.safetensors", awq / "model.safetensors")
    assert Checkpoint.find(own_checkpoint).language_model_folder == own_checkpoint / EDITX
    pointed = Checkpoint.find(awq)
    assert pointed.language_model_folder == awq
    assert pointed.text_tokenizer_path.parent == own_checkpoint / EDITX
    assert pointed.flow_path == Checkpoint.find(own_checkpoint).flow_path
    (own_checkpoint / EDITX / "config.json").unlink()
    assert Checkpoint.find(own_checkpoint) == pointed


def test_a_model_of_another_type_is_recognised(own_checkpoint: Path) -> None:
    path = own_checkpoint / EDITX / "config.json"
    replace(path, json.dumps({"model_type": "llama"}).encode())
    with pytest.raises(ReadError, match="type 'llama', not 'step1'"):
        Checkpoint.find(own_checkpoint).language_model_config()


def test_the_fingerprint_is_of_the_content(own_checkpoint: Path, tmp_path: Path) -> None:
    """Another place gives the same results, another byte in any needed file does not."""
    first = Checkpoint.find(own_checkpoint).fingerprint
    moved = tmp_path / "elsewhere"
    own_checkpoint.rename(moved)
    checkpoint = Checkpoint.find(moved)
    assert checkpoint.fingerprint == first
    seen = {first}
    for path, file in checkpoint.folders.files():
        if file.needed:
            before = path.read_bytes()
            replace(path, before + b" ")
            seen.add(Checkpoint.find(moved).fingerprint)
            replace(path, before)
    shard = moved / EDITX / "model-00001.safetensors"
    replace(shard, shard.read_bytes() + b" ")
    seen.add(Checkpoint.find(moved).fingerprint)
    assert len(seen) == 2 + sum(file.needed for _, file in checkpoint.folders.files())


def test_a_fingerprint_needs_no_torch(tiny_checkpoint: Path) -> None:
    """`run` on finished outputs looks at the fingerprint, and should not wait for torch."""
    code = (
        "import sys; from stepedit_fx.engines.step_audio import checkpoint as c;"
        f"c.Checkpoint.find({str(tiny_checkpoint)!r}).fingerprint;"
        "assert not {'torch', 'transformers', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_hashes_are_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start does not read 9 GB again; a changed file is read again."""
    monkeypatch.setattr(hashes, "SMALL_BYTES", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    past = time.time_ns() - 10 * hashes.SETTLED_NS
    os.utime(path, ns=(past, past))
    first = hashes.sha256(path)
    notes = list(hashes.cache_folder().glob("*.json"))
    note = next(n for n in notes if json.loads(n.read_text())["file"] == str(path))
    note.write_text(note.read_text().replace(first, "remembered"), encoding="utf-8")
    assert hashes.sha256(path) == "remembered"
    os.utime(path, ns=(past + 1, past + 1))
    assert hashes.sha256(path) == first
    note.write_text("{damaged", encoding="utf-8")
    assert hashes.sha256(path) == first


def test_a_hash_of_this_moment_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written twice within a tick of the clock must not keep its first hash."""
    monkeypatch.setattr(hashes, "SMALL_BYTES", 0)
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first, state = hashes.sha256(path), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(state.st_mtime_ns, state.st_mtime_ns))
    assert hashes.sha256(path) != first


def test_config_and_codebook_are_read(tiny_checkpoint: Path) -> None:
    checkpoint = Checkpoint.find(tiny_checkpoint)
    assert checkpoint.acoustic_config()["mel_conf"]["sampling_rate"] == 24000
    assert checkpoint.linguistic_config()["encoder_conf"]["input_size"] == 560
    assert checkpoint.centroids().shape == (1024, 64)
    assert len(checkpoint.language_model_tensors()) == 21


def test_a_config_without_its_sections_is_refused(own_checkpoint: Path) -> None:
    checkpoint = Checkpoint.find(own_checkpoint)
    replace(checkpoint.config_path, b"flow: {}\n")
    with pytest.raises(ReadError, match="no section mel_conf"):
        checkpoint.acoustic_config()
