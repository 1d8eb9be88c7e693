"""The language model from folders: as published, tied by mistake, with code, in few bits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from language_models import EXACT, GOLDEN, relative, tiny
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM, register
from stepedit_fx.engines.step_audio.lm_loading import load_language_model
from stepedit_fx.errors import ReadError, RequestError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "io.safetensors")


def folder_with(tmp_path: Path, **fields: object) -> Path:
    """The golden checkpoint with other fields in its config.json."""
    folder = tmp_path / "lm"
    shutil.copytree(GOLDEN, folder)
    config = json.loads((folder / "config.json").read_text()) | fields
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_checkpoint_that_says_tied_keeps_its_own_lm_head(
    tmp_path: Path, golden: dict[str, Tensor]
) -> None:
    folder = folder_with(tmp_path, tie_word_embeddings=True)
    stored = load_file(GOLDEN / "model.safetensors")
    for asked in ({}, {"tie_word_embeddings": True}):
        model = Step1ForCausalLM.from_pretrained(folder, dtype=torch.float32, **asked)
        model.config.tie_word_embeddings = True
        model.tie_weights()
        model.save_pretrained(tmp_path / "saved")
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)
        assert torch.equal(again.lm_head.weight, stored["lm_head.weight"])
        assert torch.equal(again.get_input_embeddings().weight, stored["model.embed_tokens.weight"])
        written = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert written["tie_word_embeddings"] is False
        with torch.inference_mode():
            assert relative(again(golden["prompt_ids"][None]).logits[0], golden["logits"]) < EXACT


def test_code_in_a_checkpoint_never_runs(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    trap = tmp_path / "it-ran"
    for name in ("modeling_step1", "configuration_step1"):
        (folder / f"{name}.py").write_text(f"open({str(trap)!r}, 'w')\n")
    register()
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(config) is Step1Config
    assert type(model) is Step1ForCausalLM
    assert not trap.exists()


def test_a_saved_model_loads_again_with_the_same_config_and_weights(tmp_path: Path) -> None:
    model = tiny(max_seq_len=77)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.config.max_seq_len == again.config.max_position_embeddings == 77
    assert again.config.num_key_value_heads == 1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@torch.inference_mode()
def test_layers_that_lie_on_disk_are_fetched_as_they_are_needed(
    tmp_path: Path, golden: dict[str, Tensor]
) -> None:
    pytest.importorskip("accelerate")
    places = {"model.embed_tokens": "disk", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.layers.2": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    model = Step1ForCausalLM.from_pretrained(
        GOLDEN, dtype=torch.float32, device_map=places, offload_folder=tmp_path
    )
    assert relative(model(golden["prompt_ids"][None]).logits[0], golden["logits"]) < EXACT


def test_a_device_map_never_cuts_a_layer_in_two() -> None:
    infer = pytest.importorskip("accelerate").infer_auto_device_map
    model = tiny(num_hidden_layers=6)
    half = sum(p.numel() * 4 for p in model.parameters()) // 2
    places = infer(
        model,
        max_memory={0: half, "cpu": 2 * half},
        no_split_module_classes=model._no_split_modules,
    )
    cut = [name for name in places if name.startswith("model.layers.") and name.count(".") > 2]
    assert not cut
    assert len(set(places.values())) == 2


@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns of casts on a CPU
@pytest.mark.parametrize(("bits", "agreement"), [(8, 0.99), (4, 0.75)])
@torch.inference_mode()
def test_bitsandbytes_loads_it_in_few_bits(tmp_path: Path, bits: int, agreement: float) -> None:
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    model = tiny(hidden_size=128, num_attention_heads=4, intermediate_size=192)
    model.save_pretrained(tmp_path)
    quantized = Step1ForCausalLM.from_pretrained(
        tmp_path,
        dtype=torch.bfloat16,
        device_map={"": "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_8bit=bits == 8,
            load_in_4bit=bits == 4,
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_quant_type="nf4",
            llm_int8_skip_modules=["lm_head"],
        ),
    )
    assert type(quantized.model.layers[0].mlp.up_proj).__name__ == f"Linear{bits}bit" + (
        "Lt" if bits == 8 else ""
    )
    ids = torch.arange(40).reshape(2, 20)
    alike = torch.nn.functional.cosine_similarity(
        quantized(ids).logits.float(), model(ids).logits, dim=-1
    )
    assert alike.mean() > agreement  # noise would give 0


def packed(values: Tensor) -> Tensor:
    """4-bit numbers -8..7 along the last axis as int32, eight in each, lowest first."""
    eights = (values + 8).to(torch.int64).unflatten(-1, (-1, 8))
    words = (eights << (4 * torch.arange(8))).sum(-1)
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def awq_folder(folder: Path, *, symmetric: bool, group: int = 32) -> dict[str, Tensor]:
    """The golden checkpoint as llm-compressor stores AWQ; returns what its tensors stand for.

    Source: the format "pack-quantized" of compressed-tensors, and the published quantization
    script (4 bits in groups, all linear layers but lm_head).
    """
    stored, meant = {}, {}
    for name, weight in load_file(GOLDEN / "model.safetensors").items():
        meant[name] = weight
        if "_proj" not in name:
            stored[name] = weight
            continue
        layer = name.removesuffix(".weight")
        parts = weight.unflatten(1, (-1, group))
        low, high = parts.amin(-1).clamp(max=0), parts.amax(-1).clamp(min=0)
        scale = parts.abs().amax(-1) / 7.5 if symmetric else (high - low) / 15
        zero = torch.zeros_like(scale) if symmetric else (-8 - low / scale).round().clamp(-8, 7)
        codes = (parts / scale[..., None] + zero[..., None]).round().clamp(-8, 7)
        meant[name] = ((codes - zero[..., None]) * scale[..., None]).flatten(1)
        stored[f"{layer}.weight_packed"] = packed(codes.flatten(1))
        stored[f"{layer}.weight_scale"] = scale
        stored[f"{layer}.weight_shape"] = torch.tensor(weight.shape)
        if not symmetric:
            stored[f"{layer}.weight_zero_point"] = packed(zero.T).T.contiguous()
    folder.mkdir()
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": group}
    quantization = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head"],
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": {**weights, "symmetric": symmetric}}
        },
    }
    config = json.loads((GOLDEN / "config.json").read_text())
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config))
    return meant


@pytest.mark.parametrize("symmetric", [True, False])
@torch.inference_mode()
def test_an_awq_checkpoint_loads_to_exactly_what_it_stands_for(
    tmp_path: Path, golden: dict[str, Tensor], symmetric: bool
) -> None:
    pytest.importorskip("compressed_tensors")
    meant = awq_folder(tmp_path / "awq", symmetric=symmetric)
    model = load_language_model(tmp_path / "awq", dtype=torch.float32, device=CPU)
    plain = Step1ForCausalLM.from_pretrained(GOLDEN, dtype=torch.float32)
    plain.load_state_dict(meant)
    ids = golden["prompt_ids"][None]
    torch.testing.assert_close(model(ids).logits, plain(ids).logits)
    with pytest.raises(RequestError, match="quantized already"):
        load_language_model(tmp_path / "awq", dtype=torch.float32, device=CPU, quantization="int8")


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (4, r"9 tensors are missing: model\.layers\.3"),
        (2, r"9 tensors are unexpected: model\.layers\.2"),
    ],
)
def test_a_model_with_tensors_missing_or_too_many_is_refused(
    tmp_path: Path, layers: int, told: str
) -> None:
    """transformers would fill what is missing with random numbers, and the result with noise."""
    folder = folder_with(tmp_path, num_hidden_layers=layers)
    with pytest.raises(ReadError, match=told):
        load_language_model(folder, dtype=torch.float32, device=CPU)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="models fetch"):
        load_language_model(folder, dtype=torch.float32, device=CPU)


def test_autoawq_says_what_it_needs(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, quantization_config={"quant_method": "awq"})
    with pytest.raises(RequestError, match="pip install gptqmodel"):
        load_language_model(folder, dtype=torch.float32, device=CPU)
