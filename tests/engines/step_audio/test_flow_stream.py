"""Mel comes while tokens come, sounds as the whole does, and memory does not grow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from flow_helpers import (
    CLOSE,
    ODD_ENCODER,
    ODD_ESTIMATOR,
    difference,
    golden,
    golden_flow,
    golden_noise,
    golden_voice,
    odd_flow,
    random_state,
    random_tokens,
    random_voice,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import stepedit_fx.engines.step_audio.flow_stream as stream_module
from stepedit_fx.engines.step_audio.flow import Flow, seeded_noise
from stepedit_fx.engines.step_audio.flow_stream import FlowStream
from stepedit_fx.errors import EngineError

FRAMES_PER_GROUP = 6


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_a_stream_is_the_references_chunk_by_chunk():
    stream = FlowStream(golden_flow(), golden_voice(), 0, noise=golden_noise)
    tokens = golden()["mixed_tokens"].numpy()
    chunks = [stream.push(group) for group in tokens.reshape(-1, 5)]
    chunks.append(stream.push(tokens[:0], last=True))
    given = [chunk.shape[1] for chunk in chunks if chunk.shape[1]]
    assert given == golden()["mel_stream_chunk_frames"].tolist()
    assert difference(torch.cat(chunks, dim=1), golden()["mel_stream"][0]) < CLOSE


@given(st.lists(st.integers(0, 100), max_size=5), st.integers(0, 21), st.integers(0, 3))
@settings(max_examples=12)
def test_how_the_tokens_are_cut_is_not_heard(cuts, groups, seed):
    rng = np.random.default_rng(seed)
    flow = odd_flow()
    tokens, voice = random_tokens(groups, rng), random_voice(flow, 2, rng)
    whole = FlowStream(flow, voice, 1, steps=1).push(tokens, last=True)
    assert whole.shape == (flow.mels, groups * FRAMES_PER_GROUP)
    stream = FlowStream(flow, voice, 1, steps=1)
    pieces = np.split(tokens, sorted(min(cut, len(tokens)) for cut in cuts))
    mels = [stream.push(piece) for piece in pieces[:-1]] + [stream.push(pieces[-1], last=True)]
    assert torch.equal(torch.cat(mels, dim=1), whole)


def test_a_chunk_comes_as_soon_as_its_look_ahead_is_there():
    """The first sound would come late."""
    rng = np.random.default_rng(1)
    flow = golden_flow()
    stream = FlowStream(flow, random_voice(flow, 2, rng), 0, steps=1)
    frames = [stream.push(random_tokens(1, rng)).shape[1] for _ in range(32)]
    # 15 + 3 steps are 6 groups; 24 steps are 8 more, 48 are 16 more.
    assert {i + 1: n for i, n in enumerate(frames) if n} == {6: 30, 14: 48, 30: 96}


@pytest.fixture(scope="module")
def long_clip() -> dict[str, Tensor]:
    """30 s streamed, streamed with caches that are never cut, and whole."""
    rng = np.random.default_rng(2)
    flow, tokens = golden_flow(), random_tokens(250, rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "ESTIMATOR_WINDOW_S", 100.0)
        patch.setattr(stream_module, "ENCODER_WINDOW_S", 100.0)
        endless = FlowStream(flow, golden_voice(), 3, steps=4)
    return {
        "streamed": FlowStream(flow, golden_voice(), 3, steps=4).push(tokens, last=True),
        "uncut": endless.push(tokens, last=True),
        "whole": flow.mel([(tokens, golden_voice(), 3)], steps=4)[0],
    }


def test_a_long_stream_stays_as_near_to_the_whole_as_the_references_does(long_clip):
    """The sound would drift, or turn to noise once the caches are cut, as the reference's does.

    The reference's stream has the caches uncut at first: that is its distance from the whole.
    """
    streamed, uncut, whole = (long_clip[name] for name in ("streamed", "uncut", "whole"))
    assert difference(streamed, whole) < 1.05 * difference(uncut, whole)
    assert rms(streamed - whole) < 0.03 * rms(whole)
    assert rms((streamed - whole)[:, -300:]) < 0.03 * rms(whole)


def test_memory_is_the_prompts_and_the_windows_however_long_the_clip():
    rng = np.random.default_rng(3)
    flow = odd_flow()
    voice = random_voice(flow, 3, rng)
    stream = FlowStream(flow, voice, 0, steps=2)
    sizes = []
    for _ in range(12):
        stream.push(random_tokens(16, rng))
        sizes.append(stream.remembered_bytes)
    # 2 s of frames fill the estimator's window, 10 s the encoder's: 6 pushes of 16 groups.
    assert sizes[6:] == [sizes[-1]] * 6
    heads = ODD_ESTIMATOR.heads * ODD_ESTIMATOR.head_size
    frames = 3 * FRAMES_PER_GROUP + 100
    estimator = 2 * ODD_ESTIMATOR.depth * 2 * 2 * frames * heads * 4  # steps, guidance, keys/values
    encoder = (3 * 3 + 250) * (2 + 2 * 2) * 2 * ODD_ENCODER.width * 4
    convolutions = sizes[-1] - estimator - encoder
    assert 0 < convolutions < 20_000


def test_noise_goes_on_by_absolute_frame():
    """The reference repeats its noise once its cache is cut, which is heard as a pattern."""
    asked = []

    def counting(seed: int):
        draw = seeded_noise(seed, 7)

        def count(frames: int) -> Tensor:
            asked.append(frames)
            return draw(frames)

        return count

    rng = np.random.default_rng(4)
    flow = odd_flow()
    stream = FlowStream(flow, random_voice(flow, 2, rng), 0, steps=1, noise=counting)
    stream.push(random_tokens(70, rng), last=True)
    assert asked[0] == 2 * FRAMES_PER_GROUP  # the prompt's own
    assert sum(asked) == (2 + 70) * FRAMES_PER_GROUP


def test_a_clip_shorter_than_the_look_ahead_is_decoded_whole():
    rng = np.random.default_rng(5)
    state = random_state(replace(ODD_ENCODER, look_ahead=4), ODD_ESTIMATOR)
    flow = Flow.from_state(state, {})
    item = (random_tokens(1, rng), random_voice(flow, 2, rng), 9)
    stream = FlowStream(flow, item[1], 9, steps=2)
    assert torch.equal(stream.push(item[0], last=True), flow.mel([item], steps=2)[0])


def test_malformed_tokens_are_refused_and_do_no_harm():
    rng = np.random.default_rng(6)
    flow = odd_flow()
    tokens, voice = random_tokens(7, rng), random_voice(flow, 2, rng)
    stream = FlowStream(flow, voice, 0, steps=1)
    stream.push(tokens[:3])
    with pytest.raises(EngineError, match="slot"):
        stream.push(np.array([9, 9, 9]))
    with pytest.raises(EngineError, match="not whole groups"):
        stream.push(tokens[:0], last=True)
    rest = stream.push(tokens[3:], last=True)
    assert torch.equal(rest, FlowStream(flow, voice, 0, steps=1).push(tokens, last=True))
    with pytest.raises(EngineError, match="after the last"):
        stream.push(tokens)


def test_a_stream_without_tokens_is_empty():
    stream = FlowStream(golden_flow(), golden_voice(), 0)
    assert stream.push(np.zeros(0, np.int64), last=True).shape == (80, 0)
