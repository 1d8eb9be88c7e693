"""Write a complete checkpoint in the published layout, a thousandth of its size.

    python tests/make_tiny_checkpoint.py DIR [--seed N] [--vocoder hift|bigvgan]

Every published file is there, with random weights, and loads through exactly the code that the
real ones go through. The sizes of flow, vocoder and linguistic tokenizer are those of the golden
numbers beside the tests.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID

GOLDEN = Path(__file__).parent / "engines" / "step_audio" / "golden"
PARAFORMER = "dengcunqin/speech_paraformer-large_asr_nat-zh-cantonese-en-16k-vocab8501-online"

LM_VOCABULARY = 74752
FIRST_AUDIO_ID = 65536
AUDIO_TOKENS = 5120
SHARD = "model-00001.safetensors"
SEMANTIC_CODES = 4096
OPSET, IR_VERSION = 17, 8  # old enough for every onnxruntime that the package takes

# What the remote code of the real checkpoint would do if somebody ran it: something to be seen.
TRACE = "REMOTE-CODE-HAS-RUN"
REMOTE_CODE = f"""
from pathlib import Path

Path(__file__).with_name("{TRACE}").write_text("a checkpoint's own code was run")
raise RuntimeError("a checkpoint's own code was run")
"""

Vocoder = Literal["hift", "bigvgan"]


def make_tiny_checkpoint(
    folder: Path,
    *,
    seed: int = 0,
    vocoder: Vocoder = "hift",
    hidden: int = 24,
    layers: int = 2,
    heads: int = 6,
    groups: int = 2,
    lm_vocab: int = LM_VOCABULARY,
) -> Path:
    """Write every published file under a folder, which may exist; give the folder back."""
    editx, tokenizer = folder / "Step-Audio-EditX", folder / "Step-Audio-Tokenizer"
    random = torch.Generator().manual_seed(seed)
    for made in (editx / "CosyVoice-300M-25Hz", tokenizer / PARAFORMER):
        made.mkdir(parents=True, exist_ok=True)
    _write_language_model(editx, random, hidden, layers, heads, groups, lm_vocab)
    _write_text_tokenizer(editx, lm_vocab)
    _write_acoustics(editx / "CosyVoice-300M-25Hz", random, vocoder)
    _write_linguistic(tokenizer, random)
    _write_semantic(tokenizer / "speech_tokenizer_v1.onnx", random)
    return folder


def _write_language_model(
    folder: Path,
    random: torch.Generator,
    hidden: int,
    layers: int,
    heads: int,
    groups: int,
    vocab: int,
) -> None:
    config = {
        "architectures": ["Step1ForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_step1.Step1Config",
            "AutoModelForCausalLM": "modeling_step1.Step1ForCausalLM",
        },
        "model_type": "step1",
        "bos_token_id": 1,
        "pad_token_id": 0,
        "eos_token_id": 3,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "max_seq_len": 32768,
        "num_attention_groups": groups,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "rms_norm_eps": 1e-05,
        "torch_dtype": "bfloat16",
        "vocab_size": vocab,
    }
    _write_json(folder / "config.json", config)
    for name in ("configuration_step1.py", "modeling_step1.py"):
        (folder / name).write_text(REMOTE_CODE, encoding="utf-8")
    tensors = _language_model_tensors(random, hidden, layers, heads, groups, vocab)
    save_file(tensors, folder / SHARD, metadata={"format": "pt"})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict.fromkeys(tensors, SHARD)}
    _write_json(folder / "model.safetensors.index.json", index)


def _language_model_tensors(
    random: torch.Generator, hidden: int, layers: int, heads: int, groups: int, vocab: int
) -> dict[str, torch.Tensor]:
    keys = groups * (hidden // heads)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for number in range(layers):
        layer = f"model.layers.{number}"
        shapes |= {
            f"{layer}.self_attn.q_proj.weight": (hidden, hidden),
            f"{layer}.self_attn.k_proj.weight": (keys, hidden),
            f"{layer}.self_attn.v_proj.weight": (keys, hidden),
            f"{layer}.self_attn.o_proj.weight": (hidden, hidden),
            f"{layer}.mlp.gate_proj.weight": (2 * hidden, hidden),
            f"{layer}.mlp.up_proj.weight": (2 * hidden, hidden),
            f"{layer}.mlp.down_proj.weight": (hidden, 2 * hidden),
            f"{layer}.input_layernorm.weight": (hidden,),
            f"{layer}.post_attention_layernorm.weight": (hidden,),
        }
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (vocab, hidden)}
    tensors = {name: _weight(random, shape) for name, shape in shapes.items()}
    # Every id has something in common that reads as "the end", so that a turn ends by itself after
    # a second or two rather than at its budget.
    tensors["model.embed_tokens.weight"][:, 0] = 1.0
    tensors["lm_head.weight"][END_OF_TURN_ID] = 0.0
    tensors["lm_head.weight"][END_OF_TURN_ID, 0] = 3.5
    return {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}


def _weight(random: torch.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    values = torch.randn(shape, generator=random)
    return 1 + 0.1 * values if len(shape) == 1 else values / math.sqrt(shape[-1])


def _write_text_tokenizer(folder: Path, vocab: int) -> None:
    """A SentencePiece unigram model whose special pieces have the published ids."""
    from sentencepiece import sentencepiece_model_pb2 as protobuf

    kinds = protobuf.ModelProto.SentencePiece.Type
    special = {
        0: ("<unk>", kinds.UNKNOWN),
        1: ("<s>", kinds.CONTROL),
        2: ("</s>", kinds.CONTROL),
        3: ("<|EOT|>", kinds.USER_DEFINED),
        4: ("<|BOT|>", kinds.USER_DEFINED),
        **{5 + n: (f"<0x{n:02X}>", kinds.BYTE) for n in range(256)},
        **{FIRST_AUDIO_ID + n: (f"<audio_{n}>", kinds.USER_DEFINED) for n in range(AUDIO_TOKENS)},
    }
    words = iter(_scored_words())
    model = protobuf.ModelProto()
    for number in range(vocab):
        piece = model.pieces.add()
        if number in special:
            piece.piece, piece.type = special[number]
            piece.score = 0.0
            continue
        word, score = next(words, ("", 0.0)) if number < FIRST_AUDIO_ID else ("", 0.0)
        piece.piece = word or f"<unused_{number}>"
        piece.type = kinds.NORMAL if word else kinds.UNUSED
        piece.score = score
    trainer = model.trainer_spec
    trainer.model_type = protobuf.TrainerSpec.ModelType.UNIGRAM
    trainer.byte_fallback = True
    trainer.vocab_size = vocab
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    normalizer = model.normalizer_spec
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = True
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = True
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    _write_json(
        folder / "tokenizer_config.json",
        {"bos_token": "<s>", "eos_token": "<|EOT|>", "tokenizer_class": "LlamaTokenizer"},
    )


def _scored_words() -> list[tuple[str, float]]:
    """The words and characters of the prompts, as pieces with their log probabilities."""
    prompts = json.loads((GOLDEN / "prompts.json").read_text(encoding="utf-8"))
    text = " ".join(_texts(prompts)) + " the and of to you in it is 你好今天我们很高兴请说"
    words = Counter("▁" + word for word in re.findall(r"[A-Za-z]+", text) if len(word) > 1)
    characters = Counter(c for c in text if c.isprintable() and c != " ")
    characters.update("▁" * text.count(" "))
    characters.update(chr(code) for code in range(33, 127))
    counts = words + characters
    total = sum(counts.values())
    return [(word, math.log(count / total)) for word, count in sorted(counts.items())]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [str(value)]


def _write_acoustics(folder: Path, random: torch.Generator, vocoder: Vocoder) -> None:
    config = json.loads((GOLDEN / "acoustic" / "config.json").read_text(encoding="utf-8"))
    (folder / "cosyvoice.yaml").write_text(_cosyvoice_yaml(config, vocoder), encoding="utf-8")
    for name, source in (("flow.pt", "flow.pt"), ("hift.pt", f"{vocoder}.pt")):
        state = torch.load(GOLDEN / "acoustic" / source, weights_only=True)
        torch.save(_varied(state, random), folder / name)
    _write_speaker(folder / "campplus.onnx", random)


def _varied(state: dict[str, torch.Tensor], random: torch.Generator) -> dict[str, torch.Tensor]:
    """The tensors, each value a little off; an anti-aliasing filter stays what it is."""
    return {
        name: tensor
        if name.endswith("filter")
        else tensor + 0.02 * tensor.std(correction=0) * torch.randn(tensor.shape, generator=random)
        for name, tensor in state.items()
    }


# Which class the published file names at each place; a safe reader takes no notice.
_CLASSES = {
    "flow": "stepvocoder.cosyvoice2.flow.flow.CausalMaskedDiffWithXvec",
    "input_embedding": "stepvocoder.cosyvoice2.flow.flow.DualEmbedding",
    "encoder": "stepvocoder.cosyvoice2.transformer.upsample_encoder_v2.UpsampleConformerEncoderV2",
    "decoder": "stepvocoder.cosyvoice2.flow.flow_matching.CausalConditionalCFM",
    "estimator": "stepvocoder.cosyvoice2.flow.decoder_dit.DiT",
    "hift": "stepvocoder.cosyvoice2.hifigan.generator.HiFTGenerator",
    "f0_predictor": "stepvocoder.cosyvoice2.hifigan.f0_predictor.ConvRNNF0Predictor",
    "bigvgan": "stepvocoder.cosyvoice2.bigvgan.bigvgan.BigVGAN",
}


def _cosyvoice_yaml(config: dict[str, Any], vocoder: Vocoder) -> str:
    """The configuration as HyperPyYAML, with tags that build objects and a reference."""
    lines = ["# tiny", "__set_seed: !apply:random.seed [1986]", "sample_rate: 24000", ""]
    sections = {"flow": config["flow"], "hift": config[vocoder], "mel_conf": config["mel_conf"]}
    classes = _CLASSES if vocoder == "hift" else {**_CLASSES, "hift": _CLASSES["bigvgan"]}
    for name, section in sections.items():
        lines += _yaml_section(name, section, classes, 0)
    text = "\n".join(lines) + "\n"
    return text.replace("sampling_rate: 24000", "sampling_rate: !ref <sample_rate>")


def _yaml_section(
    name: str, section: dict[str, Any], classes: dict[str, str], depth: int
) -> list[str]:
    indent = "    " * depth
    lines = [f"{indent}{name}: !new:{classes[name]}" if name in classes else f"{indent}{name}:"]
    for key, value in section.items():
        if isinstance(value, dict):
            lines += _yaml_section(key, value, classes, depth + 1)
        else:
            lines.append(f"{indent}    {key}: {json.dumps(value)}")
    return lines


def _write_linguistic(folder: Path, random: torch.Generator) -> None:
    golden = GOLDEN / "tokenizer"
    state = torch.load(golden / "model.pt", weights_only=True)
    torch.save(_varied(state, random), folder / PARAFORMER / "model.pt")
    shutil.copyfile(golden / "am.mvn", folder / PARAFORMER / "am.mvn")
    config = json.loads((golden / "config.json").read_text(encoding="utf-8"))
    text = json.dumps(config, indent=2)  # JSON is YAML
    (folder / PARAFORMER / "config.yaml").write_text(text, encoding="utf-8")
    # The golden codebook is a short one; a whole one is needed here.
    few = torch.from_numpy(np.load(golden / "linguistic_tokenizer.npy"))
    picked = torch.randint(len(few), (1024,), generator=random)
    spread = few.std() * torch.randn((1024, few.shape[1]), generator=random)
    np.save(folder / "linguistic_tokenizer.npy", (few[picked] + spread).numpy())


def _write_speaker(path: Path, random: torch.Generator) -> None:
    """(1, T, 80) features to 192 numbers: a bent projection, averaged over time."""
    project = 0.2 * torch.randn((80, 64), generator=random)
    out = 0.3 * torch.randn((64, 192), generator=random)
    nodes = [
        helper.make_node("MatMul", ["input", "project"], ["projected"]),
        helper.make_node("Relu", ["projected"], ["bent"]),  # the features have a mean of 0
        helper.make_node("ReduceMean", ["bent"], ["pooled"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["pooled", "out"], ["output"]),
    ]
    _write_onnx(
        path,
        nodes,
        inputs=[helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", "T", 80])],
        output=helper.make_tensor_value_info("output", TensorProto.FLOAT, ["B", 192]),
        weights={"project": project, "out": out},
    )


def _write_semantic(path: Path, random: torch.Generator) -> None:
    """(1, 128, T) log-mel and T to codes: the nearest of 4096 directions for every 4 frames."""
    conv = torch.randn((16, 128, 4), generator=random) / math.sqrt(512)
    codes = torch.randn((16, SEMANTIC_CODES), generator=random)
    nodes = [
        helper.make_node("Slice", ["feats", "zero", "feats_length", "time"], ["cut"]),
        helper.make_node(
            "Conv", ["cut", "conv"], ["low"], kernel_shape=[4], strides=[4], pads=[0, 3]
        ),
        helper.make_node("Transpose", ["low"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["rows", "codes"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=2, keepdims=0),
        helper.make_node("Cast", ["best"], ["indices"], to=TensorProto.INT32),
    ]
    _write_onnx(
        path,
        nodes,
        inputs=[
            helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"]),
            helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
        ],
        output=helper.make_tensor_value_info("indices", TensorProto.INT32, [1, "N"]),
        weights={
            "conv": conv,
            "codes": codes,
            "zero": torch.tensor([0], dtype=torch.int32),
            "time": torch.tensor([2], dtype=torch.int32),
        },
    )


def _write_onnx(
    path: Path, nodes: list[Any], *, inputs: list[Any], output: Any, weights: dict[str, Any]
) -> None:
    tensors = [numpy_helper.from_array(t.numpy(), name) for name, t in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, [output], tensors)
    opset = helper.make_opsetid("", OPSET)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION), path)


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a tiny complete checkpoint.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocoder", choices=("hift", "bigvgan"), default="hift")
    args = parser.parse_args()
    make_tiny_checkpoint(args.folder, seed=args.seed, vocoder=args.vocoder)
    sys.stdout.write(f"{args.folder}: a checkpoint with random weights\n")


if __name__ == "__main__":
    main()
