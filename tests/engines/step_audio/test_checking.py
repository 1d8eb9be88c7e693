"""`models check` says what is wrong with a folder before anything else does."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from make_tiny_checkpoint import TRACE, make_tiny_checkpoint
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from stepedit_fx.cli.app import app
from stepedit_fx.engines.step_audio.checking import Report, check_models
from stepedit_fx.engines.step_audio.checkpoint import Checkpoint

SHARD = Path("Step-Audio-EditX") / "model-00001.safetensors"


def models_check(*args: Any, code: int) -> Any:
    result = CliRunner().invoke(app, ["models", "check", *(str(arg) for arg in args)])
    assert result.exit_code == code, result.output
    return result


def only_problem(report: Report) -> str:
    assert len(report.problems) == 1, report.problems
    return report.problems[0]


def change_state(path: Path, change: Any) -> None:
    """Write a `.pt` or safetensors file anew with something changed in its tensors."""
    safe = path.suffix == ".safetensors"
    state = load_file(path) if safe else torch.load(path, weights_only=True)
    changed = change({name: tensor.clone() for name, tensor in state.items()})
    path.unlink()
    if safe:
        save_file(changed, path)
    else:
        torch.save(changed, path)


def with_nan(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = next(n for n, t in state.items() if t.is_floating_point() and t.ndim > 1)
    state[name].view(-1)[0] = float("nan")
    return state


def test_a_sound_checkpoint_is_fine(tiny_checkpoint: Path) -> None:
    """Every file is listed with what it holds, every network is built, and no code ran."""
    result = models_check(tiny_checkpoint, "--json", "--hash", "--deep", "-v", code=0)
    told = json.loads(result.stdout)
    assert told["ok"]
    assert not told["problems"]
    assert all(network["problem"] is None for network in told["networks"])
    files = {Path(file["path"]).name: file for file in told["files"]}
    assert all(len(file["sha256"]) == 64 for file in files.values())
    assert files["model-00001.safetensors"]["dtypes"] == {"BF16": 21}
    assert files["flow.pt"]["tensors"]["encoder_proj.weight"] == {"shape": [80, 64], "dtype": "F32"}
    assert [form["form"] for form in told["needs"]["forms"]] == [
        "float32", "bfloat16", "int8", "int4",
    ]  # fmt: skip
    assert not list(tiny_checkpoint.rglob(TRACE))


def test_the_tables_are_for_people(tiny_checkpoint: Path) -> None:
    told = models_check(tiny_checkpoint, "-v", code=0).stdout
    for word in (
        "flow.pt",
        "328 F32",
        "language model",
        "Smallest GPU",
        "Here it runs on",
        "lm_head",
    ):
        assert word in told


def test_a_bigvgan_is_built_too(tmp_path: Path) -> None:
    """Both vocoders stand under the same name; the tensors tell which it is."""
    assert not check_models(make_tiny_checkpoint(tmp_path, vocoder="bigvgan")).problems


def test_other_sizes_are_read_off_the_files(tmp_path: Path) -> None:
    report = check_models(make_tiny_checkpoint(tmp_path, hidden=40, heads=5, groups=1, layers=3))
    assert not report.problems


def test_another_model_is_recognised(own_checkpoint: Path) -> None:
    """Someone who points at a Llama learns that, not that 200 tensors are missing."""
    path = own_checkpoint / "Step-Audio-EditX" / "config.json"
    path.unlink()
    path.write_text('{"model_type": "llama", "hidden_size": 4096}', encoding="utf-8")
    result = models_check(own_checkpoint, code=1)
    assert "'llama', not 'step1'" in result.stderr


def test_a_half_downloaded_shard_is_named(own_checkpoint: Path) -> None:
    shard = own_checkpoint / SHARD
    data = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(data[: len(data) // 2])
    told = only_problem(check_models(own_checkpoint))
    assert "model-00001.safetensors: is half downloaded" in told
    assert "models fetch" in told


def test_missing_files_are_named(own_checkpoint: Path) -> None:
    checkpoint = Checkpoint.find(own_checkpoint)
    checkpoint.config_path.unlink()
    report = check_models(own_checkpoint)
    assert "cosyvoice.yaml: is missing" in report.problems[0]
    wrong = {network.name for network in report.networks if network.problem}
    assert wrong == {"flow", "vocoder"}


def test_missing_and_unexpected_tensors_are_named(own_checkpoint: Path) -> None:
    """Of the language model by name, without loading it."""

    def change(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del state["lm_head.weight"]
        state["model.norm.weight"] = torch.ones(7)
        return {**state, "model.layers.9.mlp.up_proj.weight": torch.ones(2)}

    change_state(own_checkpoint / SHARD, change)
    (own_checkpoint / "Step-Audio-EditX" / "model.safetensors.index.json").unlink()
    (own_checkpoint / SHARD).rename(own_checkpoint / SHARD.with_name("model.safetensors"))
    told = only_problem(check_models(own_checkpoint))
    assert "1 tensors missing: lm_head.weight" in told
    assert "1 tensors not expected: model.layers.9.mlp.up_proj.weight" in told
    assert "model.norm.weight (7,), wanted (24,)" in told


@pytest.mark.parametrize("name", ["flow_path", "vocoder_path", "linguistic_path"])
def test_nan_weights_are_named(own_checkpoint: Path, name: str) -> None:
    """NaN weights would give silence, or noise at full scale."""
    path = getattr(Checkpoint.find(own_checkpoint), name)
    change_state(path, with_nan)
    told = only_problem(check_models(own_checkpoint))
    assert path.name in told
    assert "NaN" in told


def test_nan_in_the_language_model_is_found_when_asked(own_checkpoint: Path) -> None:
    change_state(own_checkpoint / SHARD, with_nan)
    assert not check_models(own_checkpoint).problems
    assert "holds NaN" in only_problem(check_models(own_checkpoint, deep=True))


def test_a_codebook_of_another_size_is_named(own_checkpoint: Path) -> None:
    path = Checkpoint.find(own_checkpoint).centroids_path
    path.unlink()
    np.save(path, np.zeros((512, 64), np.float32))
    assert "codebook of another size: (512, 64)" in only_problem(check_models(own_checkpoint))


def test_a_codebook_of_another_width_is_named(own_checkpoint: Path) -> None:
    path = Checkpoint.find(own_checkpoint).centroids_path
    path.unlink()
    np.save(path, np.zeros((1024, 32), np.float32))
    assert "32" in only_problem(check_models(own_checkpoint))


@pytest.mark.parametrize(
    "name", ["semantic_path", "speaker_path", "text_tokenizer_path", "cmvn_path"]
)
def test_a_damaged_file_is_named(own_checkpoint: Path, name: str) -> None:
    path = getattr(Checkpoint.find(own_checkpoint), name)
    path.unlink()
    path.write_bytes(b"not what it should be")
    assert path.name in only_problem(check_models(own_checkpoint))


def test_an_evil_yaml_is_data(own_checkpoint: Path, tmp_path: Path) -> None:
    """A cosyvoice.yaml with a command in it loads as numbers, and the command does not run."""
    path = Checkpoint.find(own_checkpoint).config_path
    text, trace = path.read_text(encoding="utf-8"), tmp_path / "it-ran"
    path.unlink()
    path.write_text(
        f"evil: !!python/object/apply:os.system ['touch {trace}']\n"
        f"worse: !new:os.system\n  command: touch {trace}\n{text}",
        encoding="utf-8",
    )
    assert not check_models(own_checkpoint).problems
    assert not trace.exists()


def test_a_quantized_model_is_compared_by_its_matrices(own_checkpoint: Path) -> None:
    """The published AWQ folder: one shard, no index, packed matrices with their scales."""
    editx, awq = (own_checkpoint / f"Step-Audio-EditX{end}" for end in ("", "-AWQ-4bit"))
    awq.mkdir()
    config = json.loads((editx / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = {"quant_method": "compressed-tensors"}
    (awq / "config.json").write_text(json.dumps(config), encoding="utf-8")
    state = load_file(own_checkpoint / SHARD)
    name = "model.layers.0.mlp.up_proj"
    del state[f"{name}.weight"]
    packed = {
        f"{name}.weight_packed": torch.zeros((48, 3), dtype=torch.int32),
        f"{name}.weight_scale": torch.ones((48, 1), dtype=torch.bfloat16),
        f"{name}.weight_shape": torch.tensor([48, 24]),
    }
    save_file({**state, **packed}, awq / "model.safetensors")
    assert not check_models(awq).problems
    save_file(state, awq / "model.safetensors")
    assert f"missing: {name}.weight" in only_problem(check_models(awq))


def test_an_empty_folder_lists_everything(tmp_path: Path) -> None:
    result = models_check(tmp_path, code=1)
    for name in ("config.json", "flow.pt", "am.mvn", "tokenizer.model", "speech_tokenizer_v1.onnx"):
        assert f"{name}: is missing" in result.stderr


def test_no_folder_is_one_line(tmp_path: Path) -> None:
    result = models_check(tmp_path / "nowhere", code=1)
    assert "there is no such folder" in result.stderr
    assert "models fetch" in result.stderr


@pytest.mark.parametrize("command", ["check", "fetch"])
def test_a_base_install_says_what_to_install(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Without the extra libraries there is one line, not an ImportError."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = CliRunner().invoke(app, ["models", command, str(tiny_checkpoint)])
    assert result.exit_code == 2
    assert "needs transformers. Run `pip install 'stepedit-fx[step-audio]'`" in result.stderr


def test_the_script_makes_it(tmp_path: Path) -> None:
    """Two seeds give two checkpoints, one seed the same one twice."""
    prints = []
    for number, seed in enumerate((1, 1, 2)):
        folder = make_tiny_checkpoint(tmp_path / str(number), seed=seed)
        prints.append(Checkpoint.find(folder).fingerprint)
        shutil.rmtree(folder)
    assert prints[0] == prints[1] != prints[2]
