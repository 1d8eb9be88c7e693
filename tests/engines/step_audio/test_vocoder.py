"""Mels of any number and length to sound, and which files are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from flow_helpers import CLOSE, difference, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from vocoder_helpers import (
    KINDS,
    at_once,
    golden_config,
    golden_state,
    golden_vocoder,
    odd_network,
    odd_vocoder,
    random_mel,
)

from stepedit_fx.engines.step_audio import vocoder_network
from stepedit_fx.engines.step_audio.vocoder import Vocoder, open_vocoder
from stepedit_fx.engines.step_audio.vocoder_network import windows
from stepedit_fx.engines.step_audio.weights import fold_weight_norm
from stepedit_fx.errors import EngineError, ReadError

RAGGED = (33, 1, 250, 33, 100, 251, 7)  # frames


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("windows_at_once", [1, 3])
def test_a_batch_of_unequal_mels_is_each_alone(
    kind: str, windows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that changed with its neighbours would make every batch another rendering.

    In float64: random weights drive the sound into its limit, where float32 kernels, which differ
    from one processor and one batch size to another, are told apart by more than their rounding.
    """
    monkeypatch.setattr(vocoder_network, "WINDOWS_AT_ONCE", {"cpu": windows_at_once})
    network = odd_network(kind)
    monkeypatch.setattr(network, "window_frames", 40)
    mels = [random_mel(frames, seed=n) for n, frames in enumerate(RAGGED)]
    with torch.inference_mode():
        drives = [network.excitation(n).under(mel, 0, last=True) for n, mel in enumerate(mels)]
    network.double()
    mels, drives = [mel.double() for mel in mels], [drive.double() for drive in drives]
    with torch.inference_mode():
        sounds = vocoder_network.render(network, mels, drives)
        for mel, drive, sound in zip(mels, drives, sounds, strict=True):
            alone = network(mel[None], drive[None])[0].clamp(-network.limit, network.limit)
            assert difference(sound, alone) < 1e-6  # the result is written as float32


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_mel_in_windows_is_the_mel_in_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocoder = golden_vocoder(kind)
    monkeypatch.setattr(vocoder._network, "window_frames", 0)  # the shortest there are
    mel = golden()["mel_10steps"][0].repeat(1, 2)[:, :190]
    assert difference(vocoder.wav([mel], [4])[0], at_once(vocoder._network, mel, 4)) < 1e-5


@given(
    frames=st.integers(0, 300),
    context=st.integers(1, 20),
    room=st.integers(1, 50),
    even=st.booleans(),
)
@settings(max_examples=150)
def test_windows_give_every_frame_once_with_its_context(
    frames: int, context: int, room: int, even: bool
) -> None:
    length = 2 * context + room
    made = list(windows(frames, length, context, even))
    kept = [frame for w in made for frame in range(w.kept_from, w.kept_to)]
    assert kept == list(range(frames))
    for w in made:
        assert w.start <= max(0, w.kept_from - context)
        assert w.stop >= min(frames, w.kept_to + context)
        assert w.stop - w.start <= length
        assert not even or w.stop - w.start == min(length, frames)


@pytest.mark.parametrize("kind", KINDS)
def test_the_shortest_mels_have_sound(kind: str) -> None:
    mels = [golden()["mel_10steps"][0][:, :frames] for frames in range(11)]
    sounds = golden_vocoder(kind).wav(mels, [0] * 11)
    assert [len(sound) for sound in sounds] == [frames * 480 for frames in range(11)]
    assert all(sound.abs().max() > 0 for sound in sounds[1:])


def test_nothing_is_nothing() -> None:
    assert golden_vocoder("hift").wav([], []) == []


def test_the_same_seed_gives_the_same_sound_and_another_one_another() -> None:
    vocoder, mel = golden_vocoder("hift"), golden()["mel_10steps"][0][:, :30]
    first, again, other = vocoder.wav([mel] * 3, [1, 1, 2])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rate_and_hop_are_the_config_s() -> None:
    for kind in KINDS:
        vocoder = golden_vocoder(kind)
        assert (vocoder.sample_rate, vocoder.samples_per_frame) == (24000, 480)


def test_sound_stays_within_the_limit() -> None:
    network = odd_network("hift")
    network.conv_post.bias[:5] = 20.0  # log magnitudes
    sound = Vocoder(network, "cpu").wav([random_mel(20)], [0])[0]
    assert float(sound.abs().max()) == pytest.approx(0.9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_mel_is_an_error_not_silence(kind: str) -> None:
    mel = random_mel(20)
    mel[3, 10] = torch.nan
    with pytest.raises(EngineError, match="NaN"):
        odd_vocoder(kind).wav([mel], [0])


def test_a_mel_of_another_model_is_refused() -> None:
    with pytest.raises(EngineError, match=r"\(7, frames\), got \(80, 5\)"):
        odd_vocoder("hift").wav([torch.zeros(80, 5)], [0])


def test_the_other_spelling_of_a_file_is_read_too() -> None:
    """Weights that are not normed, under the prefix of an older trainer."""
    plain = {f"generator.{k}": t for k, t in fold_weight_norm(golden_state("hift")).items()}
    vocoder = open_vocoder(plain, golden_config(), source="hift.pt")
    mel = golden()["mel_10steps"][0][:, :40]
    expected = golden_vocoder("hift").wav([mel], [0])[0]
    assert difference(vocoder.wav([mel], [0])[0], expected) < CLOSE


def test_bigvgan_in_hift_pt_is_seen_by_its_tensors() -> None:
    config = golden_config()
    config["hift"] = {"h": config.pop("bigvgan")}
    vocoder = open_vocoder(golden_state("bigvgan"), config, source="hift.pt")
    sound = vocoder.wav([golden()["bigvgan_mel"][0]], [0])[0]
    assert difference(sound, golden()["bigvgan_wav"][0, 0]) < CLOSE


def test_a_file_that_lacks_tensors_is_named() -> None:
    state = golden_state("hift")
    del state["conv_post.bias"]
    with pytest.raises(ReadError, match=r"folder/hift\.pt: 1 tensors missing: conv_post\.bias"):
        open_vocoder(state, golden_config(), source="folder/hift.pt")


def changed(section: str, **values: object) -> dict[str, Any]:
    config = golden_config()
    config[section] |= values
    return config


@pytest.mark.parametrize(
    ("kind", "config", "cause"),
    [
        ("hift", changed("hift", sampling_rate="!ref"), r"cosyvoice\.yaml: hift\.sampling_rate"),
        ("hift", changed("hift", upsample_rates=[8, 5]), "differ in length"),
        ("hift", changed("hift", source_resblock_kernel_sizes=[7]), "differ in length"),
        ("hift", changed("mel_conf", hop_size=256), "480, mel_conf 256"),
        ("hift", changed("mel_conf", sampling_rate=22050), "24000, mel_conf 22050"),
        ("hift", changed("mel_conf", num_mels=100), "80, mel_conf 100"),
        ("bigvgan", changed("bigvgan", activation="snake"), r"bigvgan\.activation"),
        ("bigvgan", changed("bigvgan", resblock="2"), r"bigvgan\.resblock"),
        ("bigvgan", changed("bigvgan", upsample_rates=[5]), "differ in length"),
        ("bigvgan", changed("bigvgan", resblock_kernel_sizes=[5]), "differ in length"),
        ("hift", {"mel_conf": golden_config()["mel_conf"]}, "hift: "),
        ("hift", {"hift": golden_config()["hift"]}, "mel_conf: "),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    kind: str, config: dict[str, Any], cause: str
) -> None:
    with pytest.raises(ReadError, match=cause):
        open_vocoder(golden_state(kind), config, source="hift.pt")
