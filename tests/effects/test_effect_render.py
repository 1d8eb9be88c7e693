"""Effects on sound: same length, in line, every channel, every rate, the same every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile

from stepedit_fx.audio import Audio
from stepedit_fx.effects.plugins import processed, resampled
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import EffectError, ReadError
from stepedit_fx.files import read_audio

RATE = 24_000
# Settings with which each effect changes the test sound, without a sound change of its own
# being taken for a delay.
AUDIBLE: dict[str, dict[str, Any]] = {
    "HighpassFilter": {"cutoff_frequency_hz": 200},
    "LowpassFilter": {"cutoff_frequency_hz": 3000},
    "PeakFilter": {"gain_db": 6},
    "LowShelfFilter": {"gain_db": 6},
    "HighShelfFilter": {"gain_db": 6},
    "LadderFilter": {"cutoff_hz": 3000},
    "Compressor": {"threshold_db": -12, "ratio": 2},
    "NoiseGate": {"threshold_db": -20, "ratio": 2},
    "Limiter": {"threshold_db": -3},
    "BrickwallLimiter": {"ceiling_db": -12},
    "Clipping": {"threshold_db": -12},
    "Chorus": {"mix": 0.1},
    "Phaser": {"mix": 0.2},
    "Delay": {"delay_seconds": 0.3, "mix": 0.1},
    "Reverb": {"wet_level": 0.05},
    "PitchShift": {"semitones": 3},
}
NAMES = [name for name in EFFECTS if name != "Convolution"]


def noise(channels: int = 1, frames: int = 6000, rate: int = RATE, seed: int = 0) -> Audio:
    drawn = np.random.default_rng(seed).uniform(-0.6, 0.6, (channels, frames))
    return Audio(drawn.astype(np.float32), rate)


def one(name: str) -> Any:
    return parse_chain([{name: AUDIBLE.get(name, {})}])


@pytest.fixture(scope="module")
def speech(sample_clip: Path) -> dict[int, Audio]:
    """Some speech at three rates."""
    clip = read_audio(sample_clip)
    rates = (8000, RATE, 44_100)
    return {rate: Audio(resampled(clip.samples, clip.sample_rate, rate), rate) for rate in rates}


def lag_s(before: Audio, after: Audio) -> float:
    """How much later sound came out than it went in: the shift at which loudness agrees best."""
    width = round(0.01 * before.sample_rate)
    curves = [
        np.log(np.convolve(np.abs(sound.samples[0]), np.ones(width) / width, "same") + 1e-3)
        for sound in (before, after)
    ]
    size = 2 * before.frames
    went, came = (np.fft.rfft(curve - curve.mean(), size) for curve in curves)
    shift = int(np.fft.irfft(came * np.conj(went), size).argmax())
    return (shift if shift < before.frames else shift - size) / before.sample_rate


@pytest.mark.parametrize("rate", [8000, RATE, 44_100])
@pytest.mark.parametrize("name", NAMES)
def test_comes_out_when_it_went_in(name: str, rate: int, speech: dict[int, Audio]) -> None:
    """An effect in a rack does not push words off the picture or smear dry against wet."""
    assert abs(lag_s(speech[rate], render(one(name), speech[rate]))) < 0.0025


@pytest.mark.parametrize("rate", [8000, RATE, 44_100])
@pytest.mark.parametrize("semitones", [-24, -12, -5, 4, 7, 12, 24])
def test_pitch_shift_is_in_line(semitones: int, rate: int, speech: dict[int, Audio]) -> None:
    """By itself pedalboard's is up to 8 ms early; two octaves down at 8 kHz it is 80 ms late."""
    chain = parse_chain([{"PitchShift": {"semitones": semitones}}])
    off_s = lag_s(speech[rate], render(chain, speech[rate]))
    assert abs(off_s) < (0.01 if rate == 8000 else 0.005)


@pytest.mark.parametrize("channels", [2, 3, 8])
@pytest.mark.parametrize("name", NAMES)
def test_works_on_every_channel(name: str, channels: int) -> None:
    sound = noise(channels)
    out = render(one(name), sound)
    assert out.samples.shape == sound.samples.shape
    for before, after in zip(sound.samples, out.samples, strict=True):
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"BrickwallLimiter", "PitchShift"}))
def test_above_two_channels_each_is_as_if_alone(name: str) -> None:
    """The two left out move or place channels together, so that the image stays whole."""
    sound = noise(4)
    out = render(one(name), sound)
    for channel in range(4):
        alone = render(one(name), Audio(sound.samples[channel : channel + 1], RATE))
        np.testing.assert_array_equal(out.samples[channel], alone.samples[0])


@pytest.mark.parametrize("rate", [8000, 11_025, 37_800, 96_000, 192_000])
@pytest.mark.parametrize("name", NAMES)
def test_works_at_every_rate(name: str, rate: int) -> None:
    sound = noise(frames=rate // 20, rate=rate)
    out = render(one(name), sound)
    assert out.frames == sound.frames
    assert 1e-3 < out.peak < 4


@pytest.mark.parametrize("frames", [0, 1, 2, 5, 240])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_takes_the_shortest_sounds(frames: int, channels: int) -> None:
    """Shapes such as (2, 2) and (8, 5) are no reason to fail, or to swap channels with time."""
    sound = noise(channels, frames)
    chain = parse_chain([*NAMES, {"Gain": {"gain_db": {"keyframes": [[0, 0], [1, 9]]}}}])
    assert render(chain, sound).samples.shape == (channels, frames)
    inverted = render(parse_chain(["Invert"]), sound)
    np.testing.assert_array_equal(inverted.samples, -sound.samples)


@pytest.mark.parametrize("name", NAMES)
def test_same_sound_gives_the_same_whatever_went_before(name: str) -> None:
    sound = noise(2, 3000)
    first = render(one(name), sound)
    render(one(name), noise(2, 5000, seed=1))
    np.testing.assert_array_equal(render(one(name), sound).samples, first.samples)


def test_nothing_to_do_gives_back_the_very_samples() -> None:
    sound = noise()
    for data in ([], [{"Reverb": {}, "bypass": True}], [{"Reverb": {"bypass": True}}]):
        assert render(parse_chain(data), sound) is sound
    inside = parse_chain([{"Chain": ["Reverb"], "bypass": True}, {"Mix": [[]], "bypass": True}])
    assert render(inside, sound) is sound


def test_a_chain_is_what_pedalboard_makes_of_it() -> None:
    sound = noise(2)
    data = [{"HighpassFilter": {"cutoff_frequency_hz": 120}}, "Compressor", {"Reverb": {}}]
    board = pedalboard.Pedalboard(
        [pedalboard.HighpassFilter(120), pedalboard.Compressor(), pedalboard.Reverb()]
    )
    ours = render(parse_chain(data), sound).samples
    np.testing.assert_array_equal(ours, board(sound.samples, RATE))


def test_phaser_sweeps_about_the_frequency_it_was_given() -> None:
    """At 24 kHz pedalboard's own sits at 943 Hz when told 1300, until told a second time."""
    still = {"rate_hz": 0, "depth": 0, "mix": 1, "centre_frequency_hz": 1300}
    click = np.zeros((1, RATE), np.float32)
    click[0, 0] = 1.0

    def phases(rate: int) -> Any:
        response = render(parse_chain([{"Phaser": still}]), Audio(click, rate)).samples[0]
        hertz = np.array([700, 1000, 1300, 1700])
        turns = np.exp(-2j * np.pi * hertz[:, None] / rate * np.arange(RATE))
        return np.angle(turns @ response)

    np.testing.assert_allclose(phases(RATE), phases(48_000), atol=0.1)


def test_branches_are_summed_and_an_empty_one_is_dry() -> None:
    sound = noise()
    doubled = render(parse_chain([{"Mix": [[], []]}]), sound)
    np.testing.assert_array_equal(doubled.samples, sound.samples * 2)


@pytest.mark.parametrize(
    "held",
    [
        {"BrickwallLimiter": {"ceiling_db": 0, "lookahead_ms": 20}},
        {"PitchShift": {"semitones": 0}},
        {"Chain": [{"BrickwallLimiter": {"ceiling_db": 0}}, {"Delay": {"mix": 0}}]},
    ],
)
def test_dry_against_wet_leaves_silence(held: dict[str, Any]) -> None:
    """A branch with latency stays in line with a dry one: turned over, they cancel."""
    left = render(parse_chain([{"Mix": [[held], ["Invert"]]}]), noise())
    assert left.peak < 1e-6


def test_tail_rings_on_after_the_end() -> None:
    sound = noise()
    chain = parse_chain([{"Reverb": {"room_size": 0.9}}])
    short, long = render(chain, sound), render(chain, sound, tail_s=0.5)
    assert (short.frames, long.frames) == (sound.frames, sound.frames + RATE // 2)
    np.testing.assert_array_equal(long.samples[:, : sound.frames], short.samples)
    assert np.abs(long.samples[:, -1000:]).max() > 1e-4


def test_frequency_above_nyquist_is_refused() -> None:
    """pedalboard lets it through and the filter does something else."""
    chain = parse_chain([{"Mix": [[{"LowpassFilter": {"cutoff_frequency_hz": 9000}}], []]}])
    with pytest.raises(EffectError) as caught:
        render(chain, noise(rate=16_000))
    for word in ("LowpassFilter", "cutoff_frequency_hz", "9000 Hz", "8000 Hz", "Lower it"):
        assert word in str(caught.value)
    sweep = {"keyframes": [[0, 100], [1, 9000]]}
    with pytest.raises(EffectError, match="9000 Hz"):
        render(parse_chain([{"LadderFilter": {"cutoff_hz": sweep}}]), noise(rate=16_000))
    assert render(chain, noise(rate=RATE)).peak > 0


def test_sound_that_runs_away_is_an_error_not_a_file() -> None:
    wild = pedalboard.Phaser(feedback=1.5)  # past the table's range
    with pytest.raises(EffectError, match="Phaser: the sound ran away"):
        processed([wild], noise(frames=48_000).samples, RATE, "Phaser")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """An impulse response: the sound itself, and half of it 50 ms later."""
    response = np.zeros((2400, 1))
    response[0], response[1200] = 1.0, 0.5
    soundfile.write(tmp_path / "room.wav", response, RATE, subtype="FLOAT")
    return tmp_path


@pytest.mark.parametrize("rate", [8000, RATE, 48_000, 96_000])
def test_convolution_is_in_line_at_every_rate(room: Path, rate: int) -> None:
    click = np.zeros((1, rate // 4), np.float32)
    click[0, 1000] = 1.0
    chain = parse_chain([{"Convolution": {"impulse_response_filename": "room.wav"}}])
    out = np.abs(render(chain, Audio(click, rate), folder=room).samples[0])
    assert out.argmax() == 1000
    echo = 1000 + rate // 20
    assert out[echo - 5 : echo + 6].max() == pytest.approx(out[1000] / 2, rel=0.05)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_convolution_reaches_every_channel(room: Path, channels: int) -> None:
    chain = parse_chain([{"Convolution": {"impulse_response_filename": "room.wav"}}])
    sound = noise(channels)
    out = render(chain, sound, folder=room).samples
    for channel in range(channels):
        row = sound.samples[channel].astype(float)
        wanted = row + 0.5 * np.concatenate([np.zeros(1200), row[:-1200]])
        assert np.corrcoef(out[channel], wanted)[0, 1] > 0.999


def test_convolution_can_fade_in(room: Path) -> None:
    def through(mix: Any) -> Any:
        params = {"impulse_response_filename": "room.wav", "mix": mix}
        return render(parse_chain([{"Convolution": params}]), sound, folder=room).samples

    sound = noise(3, RATE)
    moved = through({"keyframes": [[0, 0], [0.2, 0], [0.6, 1]]})
    np.testing.assert_allclose(moved[:, : RATE // 6], sound.samples[:, : RATE // 6], atol=1e-6)
    np.testing.assert_allclose(moved[:, -RATE // 4 :], through(1.0)[:, -RATE // 4 :], atol=1e-6)


def test_convolution_takes_only_sound(room: Path) -> None:
    """pedalboard takes a text file for an impulse response without a word."""

    def through(name: str) -> None:
        chain = parse_chain([{"Convolution": {"impulse_response_filename": name}}])
        render(chain, noise(), folder=room)

    (room / "notes.wav").write_text("not a sound")
    soundfile.write(room / "silent.wav", np.zeros(100), RATE)
    soundfile.write(room / "quad.wav", np.ones((100, 4)), RATE)
    for name in ("notes.wav", "missing.wav"):
        with pytest.raises(ReadError, match=name):
            through(name)
    with pytest.raises(EffectError, match=r"silent\.wav is silent"):
        through("silent.wav")
    with pytest.raises(EffectError, match=r"quad\.wav has 4 channels"):
        through("quad.wav")
