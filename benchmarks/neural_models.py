"""Networks of the published sizes with random weights, made on the device that is to run them.

`small` ones keep the shape and have fewer layers, so that two CPU cores are through in minutes.
Nothing is written to disk but a tiny checkpoint (text tokenizer, configs, speaker model) and the
semantic tokenizer, which onnxruntime reads from a file.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from rows import REPOSITORY
from step_audio_tokenizer import published_size as published_linguistic
from step_audio_vocoder import published_size as published_vocoder
from torch import Tensor, nn

from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.dit import EstimatorSizes
from stepedit_fx.engines.step_audio.engine import StepAudioEngine
from stepedit_fx.engines.step_audio.flow import Flow
from stepedit_fx.engines.step_audio.flow_config import GUIDANCE
from stepedit_fx.engines.step_audio.flow_encoder import EncoderSizes
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.linear import with_fast_rows
from stepedit_fx.engines.step_audio.memory import LanguageModelSize
from stepedit_fx.engines.step_audio.semantic import SemanticTokenizer
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, FLOW_ROWS

sys.path.insert(0, str(REPOSITORY / "tests"))
from make_tiny_checkpoint import make_tiny_checkpoint

SEMANTIC_CODES = 4096


@dataclass(frozen=True)
class Sizes:
    """Layers of everything. semantic: of the published one (CosyVoice's S3 v1), whisper's width."""

    language_model: LanguageModelSize
    flow_depth: int
    semantic_layers: int
    semantic_width: int = 1280
    semantic_heads: int = 20


PUBLISHED = Sizes(LanguageModelSize(), flow_depth=16, semantic_layers=6)
SMALL = Sizes(
    LanguageModelSize(layers=8, hidden=1024, intermediate=2752, heads=16, groups=4),
    flow_depth=2,
    semantic_layers=1,
)


def language_model(size: LanguageModelSize, device: str, dtype: torch.dtype) -> Step1ForCausalLM:
    """Weights as wide as a trained model's; no turn ends by itself, so that lengths are known."""
    config = Step1Config(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_attention_groups=size.groups,
        max_seq_len=32768,
    )
    torch.manual_seed(0)
    with torch.device("meta"):
        model = Step1ForCausalLM(config)
    model = model.to(dtype).to_empty(device=device)
    _fill(model)
    with torch.no_grad():
        model.lm_head.weight[END_OF_TURN_ID] = 0
    if device == "cpu" and dtype == torch.bfloat16:
        with_fast_rows(model.model.layers)  # as the loader does
    return model.eval().requires_grad_(False)


def flow(depth: int, device: str) -> Flow:
    """As in the facts of the published checkpoint."""
    encoder = EncoderSizes(inputs=512, width=512, heads=8, hidden=2048, layers=6, up_layers=4)
    estimator = EstimatorSizes(
        inputs=320, outputs=80, width=512, heads=8, head_size=64, hidden=2048, depth=depth
    )
    torch.manual_seed(0)
    made = Flow(encoder, estimator, rows=FLOW_ROWS, speaker=192, guidance=GUIDANCE).to(device)
    _fill(made)
    return made.eval().requires_grad_(False)


def _fill(network: nn.Module) -> None:
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=weight[0].numel() ** -0.5)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)


def semantic_tokenizer(sizes: Sizes, path: Path) -> None:
    """An encoder of whisper's kind at 25 Hz, as ONNX: two convolutions, then layers."""
    graph = _Onnx(np.random.default_rng(0))
    width = sizes.semantic_width
    x = graph.node("Slice", "feats", "zero", "feats_length", "time")
    for inputs in (128, width):
        kernel = graph.weight(width, inputs, 3)
        x = graph.node("Conv", x, kernel, kernel_shape=[3], strides=[2], pads=[1, 1])
        x = graph.gelu(x)
    x = graph.node("Transpose", x, perm=[0, 2, 1])  # (1, T, width)
    for _ in range(sizes.semantic_layers):
        x = graph.node("Add", x, graph.attention(graph.norm(x, width), width, sizes.semantic_heads))
        hidden = graph.gelu(graph.matmul(graph.norm(x, width), width, 4 * width))
        x = graph.node("Add", x, graph.matmul(hidden, 4 * width, width))
    x = graph.node("ArgMax", graph.matmul(x, width, SEMANTIC_CODES), axis=2, keepdims=0)
    graph.node("Cast", x, to=TensorProto.INT32, out="indices")
    graph.save(path)


class _Onnx:
    """Nodes and weights as they come."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._nodes: list[Any] = []
        self._tensors = {
            "zero": np.array([0], np.int32),
            "time": np.array([2], np.int32),
            "root2": np.array(2**-0.5, np.float32),
            "half": np.array(0.5, np.float32),
            "one": np.array(1.0, np.float32),
        }

    def weight(self, *shape: int) -> str:
        name = f"w{len(self._tensors)}"
        values = self._random.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[:-1]))
        self._tensors[name] = values.astype(np.float32)
        return name

    def node(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"x{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def matmul(self, x: str, inputs: int, outputs: int) -> str:
        return self.node("MatMul", x, self.weight(inputs, outputs))

    def gelu(self, x: str) -> str:
        bent = self.node("Erf", self.node("Mul", x, "root2"))
        return self.node("Mul", self.node("Mul", x, "half"), self.node("Add", bent, "one"))

    def norm(self, x: str, width: int) -> str:
        scale = f"n{len(self._tensors)}"
        self._tensors[scale] = np.ones(width, np.float32)
        return self.node("LayerNormalization", x, scale, axis=-1)

    def attention(self, x: str, width: int, heads: int) -> str:
        shape = f"s{len(self._tensors)}"
        self._tensors[shape] = np.array([1, -1, heads, width // heads], np.int64)
        flat = f"f{len(self._tensors)}"
        self._tensors[flat] = np.array([1, -1, width], np.int64)
        split = [self.node("Reshape", self.matmul(x, width, width), shape) for _ in range(3)]
        query, value = (self.node("Transpose", split[n], perm=[0, 2, 1, 3]) for n in (0, 2))
        key = self.node("Transpose", split[1], perm=[0, 2, 3, 1])
        shares = self.node("Softmax", self.node("MatMul", query, key), axis=-1)
        mixed = self.node("Transpose", self.node("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self.matmul(self.node("Reshape", mixed, flat), width, width)

    def save(self, path: Path) -> None:
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            [
                info("feats", TensorProto.FLOAT, [1, 128, "T"]),
                info("feats_length", TensorProto.INT32, [1]),
            ],
            [info("indices", TensorProto.INT32, [1, "N"])],
            [numpy_helper.from_array(array, name) for name, array in self._tensors.items()],
        )
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def engine(
    sizes: Sizes, folder: Path, model: Step1ForCausalLM, device: str, dtype: str
) -> StepAudioEngine:
    """The engine with these networks in it, in this process."""
    made = open_engine(
        "step-audio", models=make_tiny_checkpoint(folder), device=device, dtype=dtype
    )
    assert isinstance(made, StepAudioEngine)
    semantic_path = folder / "semantic.onnx"
    semantic_tokenizer(sizes, semantic_path)
    vars(made.networks).update(
        size=sizes.language_model,
        language_model=model,
        linguistic=published_linguistic().to(device),
        semantic=SemanticTokenizer(semantic_path, device),
        flow=flow(sizes.flow_depth, device),
        vocoder=published_vocoder("hift", device),
    )
    return made


def weight_bytes(model: Step1ForCausalLM) -> int:
    """What one step of the loop reads: every layer, and the rows of the head that are audio's."""
    from stepedit_fx.engines.step_audio.sampling import COLUMNS

    def size(tensor: Tensor) -> int:
        return tensor.numel() * tensor.element_size()

    layers = sum(size(weight) for weight in model.model.layers.parameters())
    head = model.lm_head.weight
    return layers + COLUMNS * head.shape[1] * head.element_size()
