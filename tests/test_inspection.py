"""What is said about a recording before it is edited."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.files import read_audio
from stepedit_fx.inspection import findings

SPEECH = Path("/work/shared/speech")
RATE = 24_000


@pytest.fixture(scope="module")
def speech(sample_clip: Path) -> Samples:
    """The shipped clip, (frames,) at RATE."""
    return read_audio(sample_clip).samples[0]


def codes(samples: object, rate: int = RATE) -> list[str]:
    array = np.asarray(samples, np.float32)
    return [found.code for found in findings(Audio(np.atleast_2d(array), rate))]


def at_rate(name: str) -> Samples:
    path = SPEECH / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    audio = read_audio(path)
    return np.asarray(soxr.resample(audio.mono(), audio.sample_rate, RATE), np.float32)


def test_ordinary_speech_gives_nothing(speech: Samples) -> None:
    """Whoever runs good recordings is not to be bothered: the shipped clip and the shared ones."""
    assert codes(speech) == []
    for path in sorted(SPEECH.glob("*.wav")):
        assert findings(read_audio(path)) == (), path.name


@given(gain=st.floats(0.05, 1.0), pad_s=st.floats(0.0, 1.0), rate=st.sampled_from([16000, 48000]))
@settings(max_examples=15)
def test_level_padding_and_rate_raise_no_false_alarm(gain: float, pad_s: float, rate: int) -> None:
    """The same good speech, quieter, with silence around or at another rate, is still good."""
    clip = Path(__file__).parents[1] / "examples" / "audio" / "good-morning.wav"
    moved = np.clip(soxr.resample(read_audio(clip).samples[0] * gain, RATE, rate), -1, 1)
    assert codes(np.pad(moved, round(pad_s * rate)), rate) == []


def test_clipped_sound_is_found_where_it_clips(speech: Samples) -> None:
    """A take recorded too hot must be noticed, also when its level was lowered afterwards."""
    hot = np.concatenate([np.zeros(RATE, np.float32), np.clip(speech * 8, -1, 1)]) * 0.6
    (found,) = findings(Audio(hot[None], RATE))
    assert found.code == "clipped"
    assert found.spans[0][0] >= 1.0
    assert found.spans[-1][1] <= len(hot) / RATE


def test_telephone_sound_is_named(speech: Samples) -> None:
    """8 kHz sound is said to be what it is, also when somebody raised its rate."""
    narrow = soxr.resample(speech, RATE, 8000)
    assert codes(narrow, 8000) == ["narrow-band"]
    assert codes(soxr.resample(narrow, 8000, RATE)) == ["narrow-band"]


def test_what_is_no_voice_is_said_to_be_none(speech: Samples) -> None:
    """An emotion cannot be put on noise, a beep or silence: say so, not a silent nothing."""
    noise = np.random.default_rng(1).normal(0, 0.1, 3 * RATE)
    beep = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * RATE) / RATE)
    assert "no-voice" in codes(noise)
    assert "tone" in codes(beep)
    assert codes(np.zeros(RATE)) == ["silent"]
    assert codes(np.zeros(0)) == ["silent"]
    assert codes(speech[RATE : RATE + 720]) == ["short"]


def note(hz: float, length_s: float) -> Samples:
    """A plucked tone with seven partials."""
    seconds = np.arange(int(length_s * RATE)) / RATE
    partials = sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 8))
    return np.asarray(0.15 * np.exp(-2 * seconds) * partials, np.float32)


def test_music_is_named() -> None:
    """A song dropped into the folder by mistake is said to be music."""
    melody = np.concatenate([note(220 * 2 ** (s / 12), 0.4) for s in (0, 4, 7, 12, 7, 4, 0, 5)])
    chords = [sum(note(220 * 2 ** ((s + k) / 12), 1.0) for k in (0, 4, 7)) for s in (0, 5, 7, 0)]
    assert "music" in codes(melody)
    assert "music" in codes(np.concatenate([np.asarray(c) / 2 for c in chords]))


def test_two_speakers_are_noticed() -> None:
    """An interview in one file: one f0 for both would be wrong for either."""
    low, high = at_rate("en_male_political.wav"), at_rate("noisy.wav")
    pause = np.zeros(RATE // 2, np.float32)
    both = np.concatenate([low, pause, high, pause, low])
    assert "two-speakers" in codes(both)


def test_noise_quiet_offset_and_phase(speech: Samples) -> None:
    """Faults of the recording chain that an edit would only make worse."""
    power = float(np.square(speech).mean())
    noise = np.random.default_rng(2).normal(0, np.sqrt(power / 2), speech.size)
    assert codes(0.5 * (speech + noise)) == ["noisy"]
    assert codes(speech * 0.003) == ["quiet"]
    assert codes(0.5 * speech + 0.1) == ["dc-offset"]
    assert codes(np.stack([speech, -speech])) == ["out-of-phase"]
    assert codes(np.stack([speech, 0 * speech])) == []


@given(
    st.integers(1, 3),
    st.integers(0, 4000),
    st.sampled_from([8000, 16000, 44100, 192000]),
    st.integers(0, 2**31),
)
@settings(max_examples=60)
def test_any_sound_is_looked_at_without_a_crash(
    channels: int, frames: int, rate: int, seed: int
) -> None:
    """A strange file must not stop a batch because somebody wanted to warn about it."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, rng.choice([1e-6, 1e-3, 1.0]), (channels, frames))
    samples[:, rng.random(frames) < 0.3] = 0
    for found in findings(Audio(samples, rate)):
        assert found.words
        assert all(0 <= a <= b <= frames / rate for a, b in found.spans)
