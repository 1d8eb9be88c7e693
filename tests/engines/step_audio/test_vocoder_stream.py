"""Sound while the mel grows: what a listener would notice against the whole mel's sound."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, pairwise

import pytest
import torch
from flow_helpers import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from vocoder_helpers import KINDS, at_once, golden_vocoder, odd_vocoder, random_mel

from stepedit_fx.engines.step_audio import bigvgan
from stepedit_fx.engines.step_audio.hift import Hift
from stepedit_fx.engines.step_audio.vocoder import Vocoder
from stepedit_fx.engines.step_audio.vocoder_network import Network
from stepedit_fx.engines.step_audio.vocoder_stream import HELD_FRAMES
from stepedit_fx.errors import EngineError

FLOW_CHUNKS = (30, 48, 96)  # frames: what the flow's 15, 24 and 48 steps give
SEED = 3


@cache
def long_mel() -> Tensor:
    mel = golden()["mel_10steps"][0]
    return torch.cat([mel, mel.flip(1)[:, :80]], 1)


@cache
def long_whole(kind: str) -> Tensor:
    return at_once(golden_vocoder(kind)._network, long_mel(), SEED)


@cache
def long_parts(kind: str) -> tuple[Tensor, ...]:
    """Streamed in the chunks of the flow."""
    return tuple(streamed(golden_vocoder(kind), long_mel(), FLOW_CHUNKS))


def streamed(vocoder: Vocoder, mel: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Pushed by those sizes, then the rest."""
    stream = vocoder.stream(SEED)
    edges = [0, *accumulate(sizes), mel.shape[1]]
    *spans, (start, stop) = pairwise(edges)
    parts = [stream.push(mel[:, a:b]) for a, b in spans]
    return [*parts, stream.push(mel[:, start:stop], last=True)]


@torch.inference_mode()
def reference_streamed(network: Network, mel: Tensor, sizes: Sequence[int]) -> Tensor:
    """As the reference streams: 8 cached frames before each chunk, Hamming cross-fade.

    BigVGAN's own padding must be off: there the stream pads at the take's ends alone.
    """
    size = network.samples_per_frame
    overlap = HELD_FRAMES * size if isinstance(network, Hift) else (HELD_FRAMES - 6) * size
    window = torch.hamming_window(2 * overlap, periodic=False)
    cached, source, tail, given = mel[:, :0], torch.zeros(0), torch.zeros(0), []
    edges = [0, *accumulate(sizes), mel.shape[1]]
    for start, stop in pairwise(edges):
        last = stop == mel.shape[1]
        chunk = torch.cat([cached, mel[:, start:stop]], 1)
        driving = network.excitation(SEED).under(chunk, 0, last=True)
        if isinstance(network, Hift):
            driving[: len(source)] = source
            source = driving[-overlap:].clone()
        else:
            padding = (3 if start == 0 else 0, 3 if last else 0)
            chunk = functional.pad(chunk[None], padding, mode="reflect")[0]
        sound = network(chunk[None], driving[None])[0].clamp(-network.limit, network.limit)
        if len(tail):
            sound[:overlap] = sound[:overlap] * window[:overlap] + tail * window[overlap:]
        tail = sound[-overlap:].clone()
        cached = mel[:, max(0, stop - HELD_FRAMES) : stop]
        given.append(sound if last else sound[:-overlap])
    return torch.cat(given)


def log_spectral_distance_db(sound: Tensor, wanted: Tensor) -> float:
    def levels(x: Tensor) -> Tensor:
        window = torch.hann_window(512)
        power = torch.stft(x, 512, 128, window=window, return_complex=True).abs() ** 2
        return 10 * torch.log10(power + 1e-8)

    return float((levels(sound) - levels(wanted)).square().mean(0).sqrt().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_is_nearer_to_whole_than_the_reference_s_stream(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, ours = long_whole(kind), torch.cat(long_parts(kind))
    monkeypatch.setattr(bigvgan, "_reflected", lambda mel, _padding: mel)
    theirs = reference_streamed(golden_vocoder(kind)._network, long_mel(), FLOW_CHUNKS)
    assert len(theirs) == len(whole)
    distance = log_spectral_distance_db(ours, whole)
    assert distance < 0.5 * log_spectral_distance_db(theirs, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_is_whole_but_for_the_frames_before_a_join(kind: str) -> None:
    whole, network = long_whole(kind), golden_vocoder(kind)._network
    size, peak = network.samples_per_frame, float(whole.abs().max())
    near_join = torch.zeros(len(whole), dtype=torch.bool)
    for stop in accumulate(FLOW_CHUNKS):
        near_join[max(0, stop - network.context_frames) * size : stop * size] = True
    difference = torch.cat(long_parts(kind)) - whole
    assert float(difference[~near_join].abs().max()) < 1e-5 * peak
    assert float(difference.abs().max()) < 0.05 * peak


@pytest.mark.parametrize("kind", KINDS)
def test_a_join_does_not_click(kind: str) -> None:
    """The sharpest bend of the wave near a join is no sharper than where there is none."""
    bends = torch.diff(torch.cat(long_parts(kind)), n=2).abs()
    allowed = 1.05 * float(torch.diff(long_whole(kind), n=2).abs().max())
    for join in list(accumulate(map(len, long_parts(kind))))[:-1]:
        assert float(bends[join - 480 : join + HELD_FRAMES * 480].max()) <= allowed


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=15)
def test_however_it_is_cut_all_sound_comes_once(kind: str, data: st.DataObject) -> None:
    """Nothing lost or doubled; the first chunk comes when more than is held back is there."""
    vocoder, frames = odd_vocoder(kind), data.draw(st.integers(0, 60))
    sizes = data.draw(st.lists(st.integers(0, 25), max_size=8))
    kept = [size for size, end in zip(sizes, accumulate(sizes), strict=True) if end <= frames]
    parts = streamed(vocoder, random_mel(frames), kept)
    assert sum(map(len, parts)) == frames * vocoder.samples_per_frame
    for part, end in zip(parts[:-1], accumulate(kept), strict=False):
        if end <= HELD_FRAMES:
            assert len(part) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 5, 8, 9, 60])
def test_a_take_in_one_push_is_the_whole_take(kind: str, frames: int) -> None:
    vocoder, mel = odd_vocoder(kind), random_mel(frames)
    sound = vocoder.stream(SEED).push(mel, last=True)
    torch.testing.assert_close(sound, vocoder.wav([mel], [SEED])[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_last_push_gives_what_was_held_back(kind: str) -> None:
    vocoder, mel = odd_vocoder(kind), random_mel(40)
    stream = vocoder.stream(SEED)
    first = stream.push(mel)
    rest = stream.push(mel[:, :0], last=True)
    assert len(rest) == HELD_FRAMES * vocoder.samples_per_frame
    whole = vocoder.wav([mel], [SEED])[0]
    close = len(first) - vocoder._network.context_frames * vocoder.samples_per_frame
    torch.testing.assert_close(first[:close], whole[:close], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_stream_keeps_no_more_than_a_short_one(kind: str) -> None:
    vocoder = odd_vocoder(kind)
    stream = vocoder.stream(SEED)
    held = []
    for _ in range(12):
        stream.push(random_mel(50))
        kept = getattr(stream._excitation, "_kept", torch.empty(0))
        held.append(sum(t.untyped_storage().nbytes() for t in (stream._mel, stream._tail, kept)))
    assert max(held[2:]) == held[2]


def test_a_stream_that_ended_takes_no_more() -> None:
    stream = odd_vocoder("hift").stream(SEED)
    stream.push(random_mel(20), last=True)
    with pytest.raises(EngineError, match="has ended"):
        stream.push(random_mel(20))


def test_a_mel_of_another_model_is_refused() -> None:
    with pytest.raises(EngineError, match=r"\(7, frames\)"):
        odd_vocoder("bigvgan").stream(SEED).push(torch.zeros(80, 5))
