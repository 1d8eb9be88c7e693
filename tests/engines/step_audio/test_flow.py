"""Codes become the mel they are trained to become, alone or in any batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from flow_helpers import (
    CLOSE,
    ODD_ENCODER,
    ODD_ESTIMATOR,
    difference,
    golden,
    golden_config,
    golden_flow,
    golden_noise,
    golden_state,
    golden_voice,
    odd_flow,
    random_state,
    random_tokens,
    random_voice,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import stepedit_fx.engines.step_audio.flow as flow_module
from stepedit_fx.engines.step_audio.dit import EstimatorSizes
from stepedit_fx.engines.step_audio.flow import Conditioning, Flow, align_mel, seeded_noise
from stepedit_fx.engines.step_audio.flow_encoder import EncoderSizes
from stepedit_fx.engines.step_audio.weights import within
from stepedit_fx.errors import EngineError, ReadError, RequestError

ROUNDING = 1e-5  # between batches, where sums are done in another order


def test_the_prompts_mel_is_stretched_as_in_training():
    aligned = align_mel(golden_voice().mel, golden()["dual_prompt_tokens"].shape[1])
    assert torch.equal(aligned, golden()["prompt_feat_aligned"][0])


@pytest.mark.parametrize("steps", [4, 10])
def test_codes_become_the_references_mel(steps):
    tokens = golden()["mixed_tokens"].numpy()
    (mel,) = golden_flow().mel([(tokens, golden_voice(), 0)], steps=steps, noise=golden_noise)
    assert difference(mel, golden()[f"mel_{steps}steps"][0]) < CLOSE


def test_mu_is_the_references():
    rows = torch.cat([golden()["dual_prompt_tokens"], golden()["dual_tokens"]], dim=1)
    with torch.inference_mode():
        assert difference(golden_flow().encode(rows), golden()["mu"]) < CLOSE


@pytest.mark.parametrize("network", [golden_flow, odd_flow])
def test_a_batch_gives_what_its_clips_give_alone(network):
    """One clip's sound would change with what else is in the batch."""
    rng = np.random.default_rng(5)
    flow = network()
    groups = [(3, 4), (1, 9), (6, 1), (2, 2)]  # of prompt and target
    items = [
        (random_tokens(target, rng), random_voice(flow, prompt, rng), seed)
        for seed, (prompt, target) in enumerate(groups)
    ]
    together = flow.mel(items, steps=3)
    for (_, target), item, mel in zip(groups, items, together, strict=True):
        (alone,) = flow.mel([item], steps=3)
        assert mel.shape == (flow.mels, 6 * target)
        assert difference(mel, alone) < ROUNDING


def test_clips_of_one_length_go_without_a_mask_and_come_out_the_same():
    rng = np.random.default_rng(6)
    flow = odd_flow()
    items = [(random_tokens(4, rng), random_voice(flow, 2, rng), seed) for seed in (1, 2)]
    for mel, item in zip(flow.mel(items, steps=2), items, strict=True):
        assert difference(mel, flow.mel([item], steps=2)[0]) < ROUNDING


def test_a_long_list_is_cut_into_batches_and_keeps_its_order(monkeypatch):
    """Clips would come back as each other's sound, or a long list would fill the memory."""
    rng = np.random.default_rng(7)
    flow = odd_flow()
    items = [
        (random_tokens(target, rng), random_voice(flow, 1, rng), 0) for target in (5, 1, 3, 5, 2)
    ]
    together = flow.mel(items, steps=1)
    monkeypatch.setattr(flow_module, "BATCH_FRAMES", 40)
    for mel, expected in zip(flow.mel(items, steps=1), together, strict=True):
        assert difference(mel, expected) < ROUNDING


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 120))
@settings(max_examples=60)
def test_batches_hold_every_clip_once_and_stay_in_bounds(lengths, most):
    batches = list(flow_module._batches(lengths, most))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= most


def test_no_items_and_no_tokens_give_no_frames():
    assert golden_flow().mel([]) == []
    (mel,) = golden_flow().mel([(np.zeros(0, np.int64), golden_voice(), 0)], steps=1)
    assert mel.shape == (80, 0)


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(0, 130), min_size=1, max_size=6),
)
@settings(max_examples=30)
def test_noise_of_a_frame_is_the_same_however_it_is_asked_for(seed, counts):
    """A stream would sound different from a whole decode, or from another cutting."""
    draw = seeded_noise(seed, 5)
    pieces = torch.cat([draw(count) for count in counts])
    assert torch.equal(pieces, seeded_noise(seed, 5)(sum(counts)))
    assert torch.equal(pieces, seeded_noise(seed, 5)(sum(counts) + 77)[: len(pieces)])


def test_noise_goes_on_past_the_references_buffer_and_does_not_repeat():
    noise = seeded_noise(1, 2)(30100)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    assert len(noise.unique(dim=0)) == len(noise)


def test_a_seed_is_heard_and_the_same_seed_is_the_same_sound():
    tokens = golden()["mixed_tokens"].numpy()[:20]
    first, again, other = (
        golden_flow().mel([(tokens, golden_voice(), seed)], steps=2)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert difference(other, first) > 0.1


def test_euler_times_start_small_and_end_at_one():
    times = flow_module._times(10)
    gaps = [float(b - a) for a, b in pairwise(times)]
    assert times[0] == 0
    assert float(times[-1]) == pytest.approx(1)
    assert gaps == sorted(gaps)
    with pytest.raises(RequestError, match="0 flow steps"):
        flow_module._times(0)


def test_every_size_is_read_off_the_tensors():
    state = random_state(ODD_ENCODER, ODD_ESTIMATOR)
    assert EncoderSizes.of(within(state, "encoder."), "flow.pt") == ODD_ENCODER
    assert EstimatorSizes.of(within(state, "decoder.estimator."), "flow.pt") == ODD_ESTIMATOR


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encoder.embed.out.0.weight", "embed.out.0.weight is missing"),
        ("encoder.after_norm.bias", "1 tensors missing: encoder.after_norm.bias"),
        ("decoder.estimator.blocks.0.attn.q_norm.weight", "q_norm.weight is missing"),
    ],
)
def test_a_file_without_a_tensor_is_refused_by_name(name, message):
    state = golden_state()
    del state[name]
    with pytest.raises(ReadError, match=f"my/flow.pt: .*{message}"):
        Flow.from_state(state, golden_config(), source="my/flow.pt")


def test_a_tensor_of_another_shape_is_refused():
    state = golden_state()
    state["encoder.embed.out.0.weight"] = torch.zeros(64)
    with pytest.raises(ReadError, match=r"embed.out.0.weight has shape \(64,\)"):
        Flow.from_state(state, golden_config())


def test_a_codebook_of_another_size_is_refused():
    """Codes would be read as other codes, or end in an error of the device."""
    state = golden_state()
    state["input_embedding.embedding.weight"] = state["input_embedding.embedding.weight"][:4097]
    with pytest.raises(ReadError, match="4097 rows"):
        Flow.from_state(state, golden_config())


def test_an_estimator_with_other_inputs_is_refused():
    state = random_state(ODD_ENCODER, replace(ODD_ESTIMATOR, inputs=21))
    with pytest.raises(ReadError, match="takes 21 numbers a frame and gives 7"):
        Flow.from_state(state, {})


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("encoder", "attention_heads", 8),
        ("encoder", "pos_enc_layer_type", "rope"),
        ("encoder", "normalize_before", False),
        ("estimator", "depth", 16),
    ],
)
def test_a_config_of_another_model_is_refused(part, name, value):
    """The network would run and speak nonsense."""
    config = golden_config()
    owner = config if part == "encoder" else config["decoder"]
    changed = {**owner, part: {**owner[part], name: value}}
    whole = changed if part == "encoder" else {**config, "decoder": changed}
    with pytest.raises(ReadError, match=f"says {name} {value!r}"):
        Flow.from_state(golden_state(), whole)


def test_guidance_is_the_configs_or_the_published_one():
    state = golden_state()
    nested = {"decoder": {"cfm_params": {"content": {"inference_cfg_rate": 0.25}}}}
    assert Flow.from_state(state, nested).guidance == 0.25
    assert Flow.from_state(state, {"decoder": {"inference_cfg_rate": 1}}).guidance == 1
    assert Flow.from_state(state, {}).guidance == 0.7
    with pytest.raises(ReadError, match="inference_cfg_rate must be a number"):
        Flow.from_state(state, {"decoder": {"inference_cfg_rate": "!ref <rate>"}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokens": np.zeros(0, np.int64)}, "at least one group"),
        ({"tokens": np.arange(5)}, "slot 2"),
        ({"mel": np.zeros((0, 80), np.float32)}, "mel must have 2 axes"),
        ({"mel": np.full((6, 80), np.nan, np.float32)}, "mel holds NaN"),
        ({"speaker": np.zeros((1, 192), np.float32)}, "speaker embedding must have 1 axes"),
    ],
)
def test_a_malformed_voice_is_refused(change, message):
    good = golden_voice()
    parts = {"tokens": good.tokens, "mel": good.mel, "speaker": good.speaker}
    with pytest.raises(EngineError, match=message):
        Conditioning(**{**parts, **change})


def test_a_voice_of_another_model_is_refused():
    voice = Conditioning(golden_voice().tokens, golden_voice().mel[:, :40], golden_voice().speaker)
    with pytest.raises(EngineError, match=r"40 mel bands .* takes 80 and 192"):
        golden_flow().mel([(golden()["mixed_tokens"].numpy(), voice, 0)])


def test_malformed_tokens_are_refused_with_their_place():
    tokens = golden()["mixed_tokens"].numpy().copy()
    tokens[7] = 3
    with pytest.raises(EngineError, match=r"token 3 at position 7 \(slot 2\)"):
        golden_flow().mel([(tokens, golden_voice(), 0)])
    with pytest.raises(EngineError, match="not whole groups"):
        golden_flow().mel([(tokens[:7], golden_voice(), 0)])


def test_a_mel_that_is_not_finite_is_an_error_and_not_noise():
    """Damaged weights would be heard as a burst of noise."""
    state = golden_state()
    state["decoder.estimator.final_layer.linear.weight"] *= 1e38
    flow = Flow.from_state(state, golden_config())
    with pytest.raises(EngineError, match="NaN or infinity"):
        flow.mel([(golden()["mixed_tokens"].numpy(), golden_voice(), 0)], steps=2)
