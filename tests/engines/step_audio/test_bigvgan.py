"""BigVGAN against the reference's numbers, and what its parts promise."""

from __future__ import annotations

import pytest
import torch
from flow_helpers import CLOSE, difference, golden
from torch.nn import functional
from vocoder_helpers import golden_state, golden_vocoder, odd_network, random_mel

from stepedit_fx.engines.step_audio.bigvgan import Activation, _reflected
from stepedit_fx.engines.step_audio.weights import assign


def test_sound_is_the_reference_s() -> None:
    sound = golden_vocoder("bigvgan").wav([golden()["bigvgan_mel"][0]], [0])[0]
    assert difference(sound, golden()["bigvgan_wav"][0, 0]) < CLOSE


@pytest.mark.parametrize("frames", [4, 5, 40])
def test_the_mel_s_edges_are_mirrored(frames: int) -> None:
    mel = random_mel(frames)[None]
    assert torch.equal(_reflected(mel, 3), functional.pad(mel, (3, 3), mode="reflect"))


def test_a_mel_shorter_than_its_padding_is_mirrored_to_and_fro() -> None:
    index = torch.arange(3.0).reshape(1, 1, 3)
    assert _reflected(index, 3).flatten().tolist() == [1, 2, 1, 0, 1, 2, 1, 0, 1]
    assert _reflected(index[..., :2], 3).flatten().tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert _reflected(index[..., :1], 3).flatten().tolist() == [0] * 7


@torch.inference_mode()
def test_an_activation_does_not_alias() -> None:
    """The second harmonic of a high tone folds down, heard as grit; here at a quarter of that."""
    tensors = golden_state("bigvgan")
    prefix = "activation_post."
    own = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    with torch.device("meta"):
        activation = Activation(1, logscale=True)
    assign(activation, {**own, "act.alpha": torch.zeros(1), "act.beta": torch.zeros(1)})
    cycles = 350 / 1024 * torch.arange(4096.0)  # twice 350 folds down to 324
    sine = torch.sin(2 * torch.pi * cycles)[None, None]

    def folded(x: torch.Tensor) -> float:
        window = torch.hann_window(1024)
        return float(torch.fft.rfft(x[0, 0, 2000:3024] * window).abs()[324])

    naive = activation.act(sine)
    assert folded(activation(sine)) < 0.25 * folded(naive)


@torch.inference_mode()
def test_tanh_at_the_end_is_as_the_config_says() -> None:
    mel = random_mel(20)[None]
    plain = odd_network("bigvgan", use_tanh_at_final=False)(mel, mel.new_empty(1, 0))
    bent = odd_network("bigvgan", use_tanh_at_final=True)(mel, mel.new_empty(1, 0))
    torch.testing.assert_close(bent, torch.tanh(plain))


@torch.inference_mode()
def test_a_sample_depends_on_nothing_beyond_the_context() -> None:
    """Windows and streams drop what lies beyond; if it mattered, every join would be heard."""
    network = odd_network("bigvgan")
    size, context = network.samples_per_frame, network.context_frames
    mel = random_mel(4 * context)[None]
    other = mel.clone()
    other[:, :, : 2 * context] += 1
    before, after = network(mel, mel.new_empty(1, 0)), network(other, mel.new_empty(1, 0))
    kept = 3 * context * size
    torch.testing.assert_close(after[:, kept:], before[:, kept:], rtol=1e-5, atol=1e-6)
    assert difference(after[:, :-kept], before[:, :-kept]) > 0.01
