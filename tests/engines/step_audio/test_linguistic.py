"""If these fail, the words that the language model is told were said are not those of the clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from stepedit_fx.engines.step_audio import linguistic
from stepedit_fx.engines.step_audio.features import read_cmvn
from stepedit_fx.engines.step_audio.linguistic import LinguisticTokenizer, code_count, read_heads
from stepedit_fx.engines.step_audio.linguistic_stream import LinguisticStream
from stepedit_fx.errors import EngineError, ReadError

GOLDEN = Path(__file__).parent / "golden" / "tokenizer"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / "config.json").read_text())
    return found


@pytest.fixture(scope="module")
def golden() -> State:
    return load_file(GOLDEN / "io.safetensors")


@pytest.fixture(scope="module")
def state() -> State:
    found: State = torch.load(GOLDEN / "model.pt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def tokenizer(config: dict[str, Any], state: State) -> LinguisticTokenizer:
    return LinguisticTokenizer.from_state(
        state,
        read_cmvn(GOLDEN / "am.mvn"),
        torch.from_numpy(np.load(GOLDEN / "linguistic_tokenizer.npy")),
        read_heads(config, "config.yaml"),
    )


def noise(samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def streamed(tokenizer: LinguisticTokenizer, pieces: Sequence[Tensor]) -> list[int]:
    stream = LinguisticStream(tokenizer)
    parts = [stream.push(piece) for piece in pieces]
    return np.concatenate([*parts, stream.finish()]).tolist()


@pytest.mark.parametrize("clip", ["en", "zh"])
def test_frames_and_codes_are_the_reference_networks(
    tokenizer: LinguisticTokenizer, golden: State, clip: str
) -> None:
    frames = tokenizer.encode([golden[f"{clip}.trimmed"]])[0]
    reference = golden[f"{clip}.encoder_out"]
    assert frames.shape == reference.shape
    assert float((frames - reference).abs().max() / reference.abs().max()) < 1e-4
    codes = tokenizer.codes([golden[f"{clip}.trimmed"]])[0]
    assert codes.tolist() == golden[f"{clip}.vq02"].tolist()


# --- the encoder, as plain as it can be said: one chunk after another, in float64 ---------------


def plain_encoder(state: State, features: Tensor, heads: int) -> Tensor:
    """The chunk-by-chunk loop over (frames, size) features; (frames, width)."""
    state = {name: tensor.double() for name, tensor in state.items()}
    width = state["after_norm.weight"].numel()
    rows = features.double() * width**0.5 + sinusoids(*features.shape)
    layers = ["encoders0.0", *sorted({n[: n.index(".", 9)] for n in state if "encoders." in n})]
    kept: dict[str, list[Tensor]] = {name: [] for name in layers}
    before = torch.zeros(5, features.shape[1], dtype=torch.float64)
    out = []
    for at in range(0, len(rows), 4):
        new = rows[at : at + 4]
        x = torch.cat([before, new])
        before = x[-5:]
        for name in layers:
            x = plain_layer(state, name, x, kept[name], heads)
        x = F.layer_norm(x, [width], state["after_norm.weight"], state["after_norm.bias"], 1e-12)
        out.append(x[-len(new) :])
    return torch.cat(out)


def plain_layer(state: State, name: str, x: Tensor, kept: list[Tensor], heads: int) -> Tensor:
    def linear(part: str, rows: Tensor) -> Tensor:
        return rows @ state[f"{name}.{part}.weight"].T + state[f"{name}.{part}.bias"]

    def norm(part: str, rows: Tensor) -> Tensor:
        weight, bias = state[f"{name}.{part}.weight"], state[f"{name}.{part}.bias"]
        return F.layer_norm(rows, [len(weight)], weight, bias, 1e-12)

    taps = state[f"{name}.self_attn.fsmn_block.weight"][:, 0]
    width, kernel = taps.shape
    q, k, v = linear("self_attn.linear_q_k_v", norm("norm1", x)).split(width, dim=1)
    both = torch.cat([*kept[-16:], torch.cat([k, v], dim=1)])
    kept += list(torch.cat([k, v], dim=1)[:-5].split(1))
    heard = []
    size = width // heads
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        scores = q[:, own] @ both[:, :width][:, own].T / size**0.5
        heard.append(scores.softmax(dim=1) @ both[:, width:][:, own])
    memory = torch.zeros_like(v)
    for to in range(len(v)):
        for tap in range(kernel):
            source = to + tap - (kernel - 1) // 2
            if 0 <= source < len(v):
                memory[to] += taps[:, tap] * v[source]
    attended = linear("self_attn.linear_out", torch.cat(heard, dim=1)) + v + memory
    x = attended + x if x.shape[1] == width else attended
    return x + linear("feed_forward.w_2", linear("feed_forward.w_1", norm("norm2", x)).relu())


def sinusoids(frames: int, size: int) -> Tensor:
    half = size // 2
    rate = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / (half - 1))
    angles = torch.arange(1, frames + 1)[:, None] * rate
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def random_state(width: int, hidden: int, kernel: int, layers: int) -> State:
    """Weights of an encoder of any size, under the published names."""
    random = torch.Generator().manual_seed(width)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random) / shape[-1] ** 0.5

    state = {}
    for number in range(layers):
        inputs = width if number else 560
        name = f"encoders.{number - 1}" if number else "encoders0.0"
        for part, shape in {
            "self_attn.linear_q_k_v": (3 * width, inputs),
            "self_attn.linear_out": (width, width),
            "feed_forward.w_1": (hidden, width),
            "feed_forward.w_2": (width, hidden),
        }.items():
            state[f"{name}.{part}.weight"] = draw(*shape)
            state[f"{name}.{part}.bias"] = 0.1 * draw(shape[0])
        state[f"{name}.self_attn.fsmn_block.weight"] = draw(width, 1, kernel)
        for part, size in {"norm1": inputs, "norm2": width}.items():
            state[f"{name}.{part}.weight"] = 1 + 0.1 * draw(size)
            state[f"{name}.{part}.bias"] = 0.1 * draw(size)
    state["after_norm.weight"] = 1 + 0.1 * draw(width)
    state["after_norm.bias"] = 0.1 * draw(width)
    return state


CMVN = torch.stack([torch.full((560,), -8.0), torch.full((560,), 0.2)])


def other_tokenizer(
    width: int, hidden: int, kernel: int, layers: int, heads: int
) -> tuple[LinguisticTokenizer, State]:
    state = random_state(width, hidden, kernel, layers)
    centroids = torch.randn(33, width, generator=torch.Generator().manual_seed(3))
    whole = {f"encoder.{name}": tensor for name, tensor in state.items()}
    return LinguisticTokenizer.from_state(whole, CMVN, centroids, heads), state


@pytest.mark.parametrize(
    ("width", "hidden", "kernel", "layers", "heads"),
    [(24, 40, 11, 3, 3), (30, 16, 6, 2, 5), (560, 20, 3, 2, 7), (8, 8, 25, 1, 1)],
)
def test_side_by_side_is_one_after_another_at_any_size(
    width: int, hidden: int, kernel: int, layers: int, heads: int
) -> None:
    """Heads no power of two, even kernels, kernels wider than a window, one layer."""
    tokenizer, state = other_tokenizer(width, hidden, kernel, layers, heads)
    for samples in (900, 3840, 30000, 3840 * 9 + 1500):
        clip = noise(samples, samples)
        count = code_count(samples)
        # Undo what the tokenizer puts on top of the features: scale and positions.
        scaled = tokenizer.features(clip, count, 0).double() - sinusoids(count, 560)
        wanted = plain_encoder(state, scaled / width**0.5, heads)
        found = tokenizer.encode([clip])[0]
        assert found.shape == wanted.shape
        assert float((found - wanted).abs().max() / wanted.abs().max()) < 1e-4


# --- clips together, in groups, in pieces ---------------------------------------------------------


def test_clips_of_unequal_length_come_out_as_each_alone(tokenizer: LinguisticTokenizer) -> None:
    clips = [noise(n, n) for n in (20000, 100, 3840, 50000, 0, 4720, 879)]
    together = tokenizer.encode(clips)
    for clip, found, codes in zip(clips, together, tokenizer.codes(clips), strict=True):
        torch.testing.assert_close(found, tokenizer.encode([clip])[0], rtol=1e-4, atol=1e-5)
        assert len(codes) == code_count(len(clip))
    assert [c.tolist() for c in tokenizer.codes(clips)] == [
        tokenizer.codes([clip])[0].tolist() for clip in clips
    ]


def test_a_long_clip_goes_in_groups_without_a_seam(
    tokenizer: LinguisticTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes must not take ten minutes' memory, and a group must hear the one before."""
    clips = [noise(45000), noise(30000)]
    wanted = tokenizer.encode(clips)
    for size in (1, 3, 7):
        monkeypatch.setattr(linguistic, "GROUP_CHUNKS", size)
        for found, whole in zip(tokenizer.encode(clips), wanted, strict=True):
            torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)


@settings(max_examples=25)
@given(data=st.data())
def test_codes_of_a_stream_are_those_of_the_whole(
    tokenizer: LinguisticTokenizer, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, 25000), "samples")
    clip = noise(length, length)
    cuts = sorted(data.draw(st.lists(st.integers(0, length), max_size=8), "cuts"))
    pieces = [clip[a:b] for a, b in zip([0, *cuts], [*cuts, length], strict=True)]
    assert streamed(tokenizer, pieces) == tokenizer.codes([clip])[0].tolist()


def test_a_stream_gives_codes_as_soon_as_a_chunk_is_there(tokenizer: LinguisticTokenizer) -> None:
    """Live use hears nothing late: 4 codes with the last sample of each 240 ms, none before."""
    stream = LinguisticStream(tokenizer)
    clip = noise(3 * 3840)
    got = [len(stream.push(piece)) for piece in clip.split(960)]
    assert got == [0, 0, 0, 4] * 3
    held = sum(t.numel() for t in [stream._samples, stream._before, *stream._kept])
    stream.push(noise(20 * 3840))
    assert held == sum(t.numel() for t in [stream._samples, stream._before, *stream._kept])
    stream.finish()
    with pytest.raises(EngineError, match="finished"):
        stream.push(clip)


def test_the_golden_clip_streams_in_odd_pieces(
    tokenizer: LinguisticTokenizer, golden: State
) -> None:
    pieces = list(golden["en.trimmed"].split(1777))
    assert streamed(tokenizer, pieces) == golden["en.vq02"].tolist()


@given(samples=st.integers(0, 100_000))
def test_counts_are_the_reference_frontends(samples: int) -> None:
    """Against its caches, played through: 240 ms at a time, what is over at the end as `final`."""
    have, cached, codes = 0, 3, 0  # samples not framed, stacked frames waiting, codes
    starts = list(range(0, samples + 1, 3840))
    for at in starts:
        have += min(3840, samples - at)
        new = max(0, (have - 400) // 160 + 1)
        have -= new * 160
        final = at == starts[-1]
        if new == 0 or new + cached < 7:
            cached += new
            continue  # the reference gives nothing here, at the end too
        cached += new
        made = -(-(cached - 3) // 6) if final else (cached - 7) // 6 + 1
        codes += made
        cached -= 6 * made
    assert code_count(samples) == codes


# --- what bad input gets --------------------------------------------------------------------------


def test_no_sound_gives_no_codes(tokenizer: LinguisticTokenizer) -> None:
    assert tokenizer.codes([]) == []
    assert [len(codes) for codes in tokenizer.codes([torch.zeros(0), torch.zeros(500)])] == [0, 0]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("encoder_conf", "normalize_before", False),
        ("encoder_conf", "sanm_shfit", 5),
        ("frontend_conf", "window", "povey"),
        ("frontend_conf", "lfr_n", 4),
    ],
)
def test_a_config_of_another_network_is_refused_by_its_key(
    config: dict[str, Any], section: str, key: str, value: object
) -> None:
    changed = {**config, section: {**config[section], key: value}}
    with pytest.raises(ReadError, match=rf"{section}\.{key} is {value!r}"):
        read_heads(changed, "config.yaml")


def test_chunk_sizes_of_a_config_do_not_matter(config: dict[str, Any]) -> None:
    """The reference sets its own: the published file must not be refused over what it says."""
    assert read_heads({**config, "chunk_size": [0, 10, 5]}, "config.yaml") == 4


@pytest.mark.parametrize("found", [{}, {"encoder_conf": None}, {"encoder_conf": "sanm"}])
def test_a_config_without_heads_is_refused(found: dict[str, Any]) -> None:
    with pytest.raises(ReadError, match="attention_heads"):
        read_heads(found, "config.yaml")


def test_tensors_of_another_network_are_refused_by_name(state: State) -> None:
    centroids = torch.zeros(95, 64)

    def load(changed: State, centroids: Tensor = centroids, heads: int = 4) -> None:
        LinguisticTokenizer.from_state(
            changed, torch.ones(2, 560), centroids, heads, source="here/model.pt"
        )

    with pytest.raises(ReadError, match=r"here/model\.pt.*linear_q_k_v"):
        load({"decoder.weight": torch.zeros(3)})
    with pytest.raises(ReadError, match="linguistic codebook"):
        load(state, torch.zeros(4096, 64))
    with pytest.raises(ReadError, match="centroids"):
        load(state, torch.zeros(95, 32))
    with pytest.raises(ReadError, match="3 attention heads"):
        load(state, heads=3)
    with pytest.raises(ReadError, match=r"encoder\.encoders\.1\.norm2\.bias"):
        load({k: v for k, v in state.items() if k != "encoder.encoders.1.norm2.bias"})
    with pytest.raises(ReadError, match=r"after_norm\.weight holds NaN"):
        load({**state, "encoder.after_norm.weight": torch.full((64,), torch.nan)})
