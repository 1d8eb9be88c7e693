from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.effects import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.graph.controls import ROOT
from stepedit_fx.nodes.effects import Effects
from tests.live.conftest import BLOCK, GENTLE, RATE, largest_step, noise, rack_of, sine, through

IN_BLOCKS = [name for name, spec in EFFECTS.items() if not spec.whole and name != "Convolution"]
SAME = 1e-6  # of full scale: -120 dB


def rendered(chain: list[Any], samples: Any) -> Any:
    return render(parse_chain(chain), Audio(samples, RATE)).samples


def param(place: str, name: str) -> str:
    return f"{ROOT}/node/rack.{place}/param/{name}"


@pytest.mark.parametrize("name", IN_BLOCKS)
@pytest.mark.parametrize("channels", [1, 2])
def test_at_rest_it_sounds_as_the_render_does(name: str, channels: int) -> None:
    """What is heard while turning would not be what the file holds in the end."""
    samples = noise(0.3, channels=channels)
    live = through(rack_of([name], channels=channels), samples)
    assert np.abs(live - rendered([name], samples)).max() <= SAME


def test_a_convolution_sounds_as_the_render_does(tmp_path: Path) -> None:
    """A room's response would be another live."""
    path = tmp_path / "room.wav"
    soundfile.write(path, noise(0.05)[0] * np.linspace(1, 0, round(0.05 * RATE)), RATE)
    chain = [{"Convolution": {"impulse_response_filename": str(path), "mix": 0.5}}]
    samples = noise(0.3)
    assert np.abs(through(rack_of(chain), samples) - rendered(chain, samples)).max() <= SAME


def test_inner_chains_and_mixes_sound_as_the_render_does() -> None:
    """Parallel branches would be summed wrongly, or bypassed effects would sound."""
    chain: list[Any] = [
        {"Mix": [["Reverb"], [{"Gain": {"gain_db": -6}}, "Chorus"], []]},
        {"Chain": [{"Distortion": {"drive_db": 6}}], "bypass": True},
        {"Gain": {"gain_db": 20}, "bypass": True},
        {"Chain": ["Compressor"]},
    ]
    samples = noise(0.3)
    assert np.abs(through(rack_of(chain), samples) - rendered(chain, samples)).max() <= SAME


@settings(max_examples=25)
@given(st.lists(st.integers(2, 700), min_size=1, max_size=40))
def test_any_lengths_of_blocks_give_the_same(lengths: list[int]) -> None:
    """A JACK server with blocks of another size would change the sound."""
    samples = noise(sum(lengths) / RATE)
    rack, at, done = rack_of(GENTLE), 0, []
    for length in lengths:
        done.append(rack.process(samples[:, at : at + length], at, True))
        at += length
    live = np.concatenate(done, axis=1)
    assert np.abs(live - rendered(GENTLE, samples)[:, : live.shape[1]]).max() <= SAME


@pytest.mark.parametrize(
    ("effect", "name", "value"),
    [
        ({"Gain": {"gain_db": 0}}, "gain_db", -60.0),
        ({"Gain": {"gain_db": -40}}, "gain_db", 0.0),
        ({"LowpassFilter": {"cutoff_frequency_hz": 20000}}, "cutoff_frequency_hz", 100.0),
        ({"PeakFilter": {"cutoff_frequency_hz": 330, "gain_db": -20}}, "gain_db", 0.0),
        ({"Reverb": {"dry_level": 0.4, "wet_level": 0.0}}, "wet_level", 0.5),
        ({"Compressor": {"threshold_db": 0, "ratio": 8}}, "threshold_db", -40.0),
    ],
)
def test_a_parameter_that_is_turned_glides(effect: dict[str, Any], name: str, value: float) -> None:
    """A fader pulled down would crackle."""
    samples = sine(1.0)
    rack = rack_of([effect])
    half = 94 * BLOCK
    before = through(rack, samples[:, :half])
    assert rack.turn(param("0", name), value, 1)
    after = through(rack, samples[:, half:], start=half)
    heard = np.concatenate([before, after], axis=1)
    own = max(largest_step(before[:, half // 2 :]), largest_step(after[:, half // 2 :]))
    assert largest_step(heard[:, half - BLOCK :]) <= 1.5 * own
    still = through(rack_of([effect]), samples)
    assert np.abs(heard - still)[:, half : half + 5 * BLOCK].max() > 1e-3  # within 27 ms


def test_a_glide_ends_at_the_very_value() -> None:
    """Faders that went there and back would leave the sound a little off for good."""
    rack = rack_of([{"Gain": {"gain_db": 0}}])
    samples = sine(0.2)
    rack.turn(param("0", "gain_db"), -7.3, 1)
    through(rack, samples)
    expected = rendered([{"Gain": {"gain_db": -7.3}}], samples)
    assert np.array_equal(through(rack, samples), expected)


def test_the_newest_value_wins_whoever_comes_last() -> None:
    """A slow thread would turn a knob back to where it was a moment ago."""
    rack = rack_of(["Gain"])
    address = param("0", "gain_db")
    assert rack.turn(address, -6.0, 5)
    assert rack.turn(address, 3.0, 4)
    assert rack.knobs[address].target == -6.0
    assert not rack.turn(param("0", "nothing"), 0.0, 6)


def follow(rack: Any, chain: list[Any], *, bypass: bool = False) -> None:
    rack.follow({"rack": Effects(chain, bypass=bypass)})


def test_bypass_fades_over_to_the_very_sound() -> None:
    """Bypass would click, or leave a trace of the effect."""
    samples = sine(1.0)
    rack = rack_of(GENTLE)
    before = through(rack, samples)
    follow(rack, [{**effect, "bypass": True} for effect in GENTLE])
    after = through(rack, samples)
    assert np.array_equal(after[:, 2_000:], samples[:, 2_000:])
    heard = np.concatenate([before[:, -RATE // 2 :], after], axis=1)
    assert largest_step(heard) <= 1.5 * largest_step(samples)


def test_an_effect_comes_back_from_bypass_as_it_was() -> None:
    """Switching an effect off and on would leave it off, or with the echo of long ago."""
    samples = noise(0.5)
    rack = rack_of([{"Gain": {"gain_db": -20}, "bypass": True}])
    assert np.array_equal(through(rack, samples), samples)
    rack.turn(param("0", "gain_db"), -6.0, 1)  # turned while nobody hears it
    follow(rack, [{"Gain": {"gain_db": -6}}])
    after = through(rack, samples)
    expected = rendered([{"Gain": {"gain_db": -6}}], samples)
    assert np.abs(after - expected)[:, 1_000:].max() <= SAME


def test_a_whole_node_is_bypassed_and_back() -> None:
    """The node's own bypass would do nothing while it plays."""
    samples = noise(0.5)
    rack = rack_of(GENTLE)
    follow(rack, GENTLE, bypass=True)
    through(rack, samples[:, :2_048])
    assert np.array_equal(through(rack, samples), samples)
    follow(rack, GENTLE)
    assert not np.allclose(through(rack, samples)[:, 2_048:], samples[:, 2_048:], atol=1e-3)


def test_a_choice_is_changed_without_a_click() -> None:
    """A filter's mode would click, or not change before the graph is opened again."""
    samples = sine(1.0)
    low: list[Any] = [{"LadderFilter": {"mode": "LPF24", "cutoff_hz": 2000}}]
    high: list[Any] = [{"LadderFilter": {"mode": "HPF24", "cutoff_hz": 2000}}]
    rack = rack_of(low)
    before = through(rack, samples)
    follow(rack, high)
    after = through(rack, samples)
    heard = np.concatenate([before[:, RATE // 2 :], after], axis=1)
    assert largest_step(heard) <= 1.5 * largest_step(before[:, RATE // 2 :])
    assert np.abs(after[:, RATE // 2 :]).max() < 0.01  # 330 Hz, far under the highpass


def test_a_delay_time_is_changed_without_a_click() -> None:
    """Turning the time of an echo would crackle."""
    samples = sine(1.0)
    rack = rack_of([{"Delay": {"delay_seconds": 0.1, "mix": 0.5}}])
    before = through(rack, samples)
    follow(rack, [{"Delay": {"delay_seconds": 0.22, "mix": 0.5}}])
    after = through(rack, samples)
    heard = np.concatenate([before[:, RATE // 2 :], after], axis=1)
    assert largest_step(heard) <= 1.5 * max(largest_step(before), largest_step(after[:, -9_000:]))


def test_frequencies_stay_below_what_the_device_holds() -> None:
    """A graph made at 48 kHz would scream, or fail, on a device at 16 kHz."""
    rack = rack_of([{"PeakFilter": {"cutoff_frequency_hz": 15_000, "gain_db": 12}}], rate=16_000)
    samples = noise(0.2)
    assert np.abs(through(rack, samples)).max() < 4
    rack.turn(param("0", "cutoff_frequency_hz"), 90_000.0, 1)
    assert np.abs(through(rack, samples)).max() < 4


FADING = [{"Gain": {"gain_db": {"keyframes": [[0, 0], [1, -40]]}}}]


def test_keyframes_follow_the_place_in_the_sound() -> None:
    """A fade written into the graph would be heard in the file alone."""
    samples = sine(1.2)
    live = through(rack_of_curves(FADING), samples)
    assert np.abs(live - rendered(FADING, samples)).max() < 2e-3
    late = rack_of_curves(FADING)
    through(late, samples[:, :BLOCK])
    there = through(late, samples[:, : RATE // 10], start=RATE)  # located to its end
    assert np.abs(there[:, RATE // 20 :]).max() == pytest.approx(0.003, rel=0.02)


def test_a_turned_knob_takes_over_from_its_curve_until_it_is_turned_back() -> None:
    """A parameter with keyframes could not be turned, or its keyframes were lost for good."""
    samples = sine(0.2)
    rack = rack_of_curves(FADING)
    rack.turn(param("0", "gain_db"), -20.0, 1)
    through(rack, samples)
    assert np.abs(through(rack, samples)).max() == pytest.approx(0.03, rel=1e-3)
    rack.turn(param("0", "gain_db"), 0.0, 2)  # what the control stands at in the file
    through(rack, samples, start=RATE)
    assert np.abs(through(rack, samples, start=RATE)).max() == pytest.approx(0.003, rel=0.02)


def rack_of_curves(chain: list[Any]) -> Any:
    rack = rack_of(chain)
    rack.cover(2 * RATE)
    return rack
