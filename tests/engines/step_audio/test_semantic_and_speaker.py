"""If these fail, a damaged or foreign ONNX file runs, or codes do not keep to their 25 a second."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file

from stepedit_fx.engines.step_audio.features import whisper_log_mel
from stepedit_fx.engines.step_audio.onnx_model import OnnxModel, Wanted
from stepedit_fx.engines.step_audio.semantic import LONGEST, SemanticTokenizer, pieces_at_pauses
from stepedit_fx.engines.step_audio.speaker import SpeakerEncoder, speaker_features
from stepedit_fx.errors import EngineError, ReadError

GOLDEN = Path(__file__).parent / "golden" / "tokenizer"
OPSET, IR_VERSION = 17, 8

Build = Callable[[Path], Path]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    weights: dict[str, Any],
    **options: Any,
) -> Path:
    output = helper.make_empty_tensor_value_info("out")
    constants = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), [output], constants)
    domains = sorted({node.domain for node in nodes})
    opsets = [helper.make_opsetid(domain, 1 if domain else OPSET) for domain in {"", *domains}]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.save(model, path, **options)
    return path


MEL = helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"])
LENGTH = helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1])
FBANK = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["B", "T", 80])


def semantic_file(path: Path, scale: float = 1.0, dtype: int = TensorProto.INT64) -> Path:
    """Codes that say what was heard: scale * the loudest band of every fourth frame."""
    nodes = [
        helper.make_node("Slice", ["feats", "zero", "feats_length", "axis", "four"], ["fourth"]),
        helper.make_node("ArgMax", ["fourth"], ["band"], axis=1, keepdims=0),
        helper.make_node("Cast", ["band"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "scale"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["out"], to=dtype),
    ]
    weights = {
        "zero": np.array([0], np.int32),
        "axis": np.array([2], np.int32),
        "four": np.array([4], np.int32),
        "scale": np.float32(scale),
    }
    return save(path, nodes, [MEL, LENGTH], weights)


def speaker_file(path: Path, width: int = 192, **options: Any) -> Path:
    """The mean of all squared frames, projected."""
    weight = np.random.default_rng(0).standard_normal((80, width)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["input", "input"], ["square"]),
        helper.make_node("ReduceMean", ["square"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["out"]),
    ]
    return save(path, nodes, [FBANK], {"weight": weight}, **options)


def tone(seconds: float) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(round(seconds * 16000)) / 16000)


# --- semantic codes ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT])
def test_codes_are_the_models_whatever_integers_it_gives(tmp_path: Path, dtype: int) -> None:
    tokenizer = SemanticTokenizer(semantic_file(tmp_path / "s.onnx", dtype=dtype))
    assert tokenizer.model.provider == "CPUExecutionProvider"
    clip = load_file(GOLDEN / "io.safetensors")["en.trimmed"]
    (codes,) = tokenizer.codes([clip])
    assert codes.dtype == np.int64
    assert codes.tolist() == whisper_log_mel(clip)[:, ::4].argmax(dim=0).tolist()
    assert abs(len(codes) - len(clip) / 640) <= 2


def test_each_clip_is_tokenized_by_itself(tmp_path: Path) -> None:
    tokenizer = SemanticTokenizer(semantic_file(tmp_path / "s.onnx"))
    clips = [tone(0.5), tone(1.31), torch.zeros(479), torch.zeros(0)]
    together = tokenizer.codes(clips)
    assert [len(codes) for codes in together] == [13, 33, 0, 0]
    for clip, codes in zip(clips, together, strict=True):
        assert codes.tolist() == tokenizer.codes([clip])[0].tolist()


def test_over_thirty_seconds_is_cut_in_the_pause(tmp_path: Path) -> None:
    """A hard cut at 30 s would split the word that is spoken there."""
    clip = tone(40)
    clip[round(27.2 * 16000) : round(27.6 * 16000)] = 0
    first, second = pieces_at_pauses(clip)
    assert 27.2 < len(first) / 16000 < 27.6
    assert torch.equal(torch.cat([first, second]), clip)
    (codes,) = SemanticTokenizer(semantic_file(tmp_path / "s.onnx")).codes([clip])
    assert abs(len(codes) - 1000) <= 2


@settings(max_examples=20)
@given(samples=st.integers(0, 3 * LONGEST), seed=st.integers(0, 99))
def test_pieces_are_the_clip_and_none_is_too_long(samples: int, seed: int) -> None:
    clip = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    pieces = pieces_at_pauses(clip)
    joined = torch.cat([*pieces, clip[:0]])
    assert torch.equal(joined, clip[: len(joined)])
    assert samples - len(joined) < 480
    assert all(480 <= len(piece) <= LONGEST for piece in pieces)
    assert all(len(piece) % 640 == 0 and len(piece) > LONGEST * 0.8 for piece in pieces[:-1])


def test_in_silence_pieces_are_as_long_as_they_may_be() -> None:
    assert [len(piece) for piece in pieces_at_pauses(torch.zeros(LONGEST + 5000))] == [
        LONGEST - 640,
        5640,
    ]


@pytest.mark.parametrize("scale", [-1.0, 1000.0, 0.3, math.nan])
def test_what_is_no_code_is_refused(tmp_path: Path, scale: float) -> None:
    """A code out of range would be read as another kind of token further on."""
    path = semantic_file(tmp_path / "s.onnx", scale, TensorProto.FLOAT)
    with pytest.raises(EngineError, match=r"s\.onnx gave what is no code"):
        SemanticTokenizer(path).codes([tone(1) + 0.1 * torch.randn(16000)])


def test_another_rate_of_codes_is_refused(tmp_path: Path) -> None:
    """A 50 Hz tokenizer would shift everything against the linguistic codes."""
    nodes = [
        helper.make_node("ArgMax", ["feats"], ["band"], axis=1, keepdims=0),
        helper.make_node("Mul", ["band", "one"], ["out"]),
        helper.make_node("Identity", ["feats_length"], ["unused"]),
    ]
    path = save(tmp_path / "s.onnx", nodes, [MEL, LENGTH], {"one": np.int64(1)})
    with pytest.raises(EngineError, match=r"gave 100 codes for 1\.00 s, expected about 25"):
        SemanticTokenizer(path).codes([tone(1)])


# --- the voice ----------------------------------------------------------------------------------


def test_a_voice_is_192_numbers_of_the_normalised_frames(tmp_path: Path) -> None:
    encoder = SpeakerEncoder(speaker_file(tmp_path / "campplus.onnx"))
    clip = load_file(GOLDEN / "io.safetensors")["zh.wav16k"]
    voice = encoder.embed(clip)
    weight = np.random.default_rng(0).standard_normal((80, 192)).astype(np.float32)
    wanted = speaker_features(clip).square().mean(dim=0).numpy() @ weight
    assert voice.dtype == np.float32
    np.testing.assert_allclose(voice, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_too_little_for_a_voice_and_another_encoder_are_refused(tmp_path: Path) -> None:
    encoder = SpeakerEncoder(speaker_file(tmp_path / "campplus.onnx", width=512))
    with pytest.raises(EngineError, match="too few") as caught:
        encoder.embed(torch.zeros(399))
    assert caught.value.remedy
    with pytest.raises(EngineError, match="gave 512 numbers for a voice, expected 192"):
        encoder.embed(tone(0.5))


# --- files ----------------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ReadError, match="cannot be read") as caught:
            SpeakerEncoder(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_half_downloaded_file_is_named(tmp_path: Path, kept: float) -> None:
    path = speaker_file(tmp_path / "campplus.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ReadError, match=r"campplus\.onnx: is damaged or no ONNX file"):
        SpeakerEncoder(path)


def test_another_models_file_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    voice = speaker_file(tmp_path / "campplus.onnx")
    codes = semantic_file(tmp_path / "speech_tokenizer_v1.onnx")
    with pytest.raises(ReadError, match=r"takes \(input .*expected \(log-mel float \(1, 128, any"):
        SemanticTokenizer(voice)
    with pytest.raises(ReadError, match=r"takes \(feats .*expected \(fbank float \(1, any, 80\)"):
        SpeakerEncoder(codes)


def test_weights_in_other_files_are_refused_before_any_is_read(tmp_path: Path) -> None:
    """onnxruntime would take them from whatever file the model names."""
    outside = {"save_as_external_data": True, "location": "secret.bin", "size_threshold": 0}
    path = speaker_file(tmp_path / "campplus.onnx", **outside)
    with pytest.raises(ReadError, match="keeps tensors in other files"):
        SpeakerEncoder(path)
    (tmp_path / "secret.bin").unlink()
    with pytest.raises(ReadError, match="keeps tensors in other files"):
        SpeakerEncoder(path)


def test_weights_in_other_files_are_found_inside_a_branch(tmp_path: Path) -> None:
    """A tensor can hide in a constant of a graph that only a condition runs."""
    hidden = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="/etc/passwd")
    constant = helper.make_node("Constant", [], ["c"], value=hidden)
    info = helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])
    branch = helper.make_graph([constant], "branch", [], [info])
    node = helper.make_node("If", ["yes"], ["out"], then_branch=branch, else_branch=branch)
    path = save(tmp_path / "campplus.onnx", [node], [FBANK], {"yes": np.array(True)})
    with pytest.raises(ReadError, match="keeps tensors in other files"):
        SpeakerEncoder(path)


def test_custom_operators_are_refused_by_name(tmp_path: Path) -> None:
    node = helper.make_node("Evil", ["input"], ["out"], domain="somebody.else")
    path = save(tmp_path / "campplus.onnx", [node], [FBANK], {})
    with pytest.raises(ReadError, match=r"somebody\.else:Evil"):
        SpeakerEncoder(path)


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    """Message within message within message must not exhaust the stack."""
    data = b""
    for field in [6, 5, 1] * 200:  # attribute.g, node.attribute, graph.node
        data = bytes([field << 3 | 2]) + varint(len(data)) + data
    path = tmp_path / "deep.onnx"
    path.write_bytes(bytes([7 << 3 | 2]) + varint(len(data)) + data)
    with pytest.raises(ReadError, match="damaged"):
        SpeakerEncoder(path)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_brings_down_more_than_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Any bytes, or a model with any bytes changed: it opens, or ReadError names it."""
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(speaker_file(folder / "whole.onnx").read_bytes())
    if data.draw(st.booleans(), "random bytes"):
        content = bytearray(data.draw(st.binary(max_size=200), "bytes"))
    else:
        for _ in range(data.draw(st.integers(1, 4), "changes")):
            at = data.draw(st.integers(0, 300), "at")  # the structure; weights come after it
            content[at] = data.draw(st.integers(0, 255), "byte")
    path = folder / "damaged.onnx"
    path.write_bytes(bytes(content))
    told = path.name
    try:
        OnnxModel(path, [Wanted("fbank", "float", (1, None, 80))])
    except ReadError as error:
        told = str(error)
    assert path.name in told


def test_cuda_without_its_provider_runs_on_the_cpu_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The plain onnxruntime wheel beside a GPU build of torch is a common installation."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has a CUDA provider")
    caplog.set_level("INFO")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = SpeakerEncoder(speaker_file(tmp_path / "campplus.onnx"), "cuda:0")
    assert encoder.model.provider == "CPUExecutionProvider"
    assert "no CUDA provider" in caplog.text
    assert encoder.embed(tone(0.5)).shape == (192,)
