"""Chain: numpy in, numpy out, as a Pedalboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pedalboard
import pytest
import soundfile

from stepedit_fx import Chain, Denoise, Emotion, Paralinguistic, Speed, Style
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.errors import EngineError, RenderError, RequestError, TagError

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def speech(short_clip: Any) -> np.ndarray:
    samples, rate = soundfile.read(short_clip, dtype="float32")
    assert rate == RATE_HZ
    return np.asarray(samples)


def counting_engine() -> Any:
    engine: Any = ParametricEngine()  # of its own: those that are opened are shared
    engine.encoded = 0
    inner = engine.encode

    def encode(takes: Any) -> Any:
        engine.encoded += len(takes)
        return inner(takes)

    engine.encode = encode
    return engine


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Emotion("happy", strength=0)],
        [Style("whisper", bypass=True), Speed("faster", strength=0)],
    ],
    ids=["empty", "strength 0", "bypassed"],
)
@pytest.mark.parametrize("channels", [None, 1, 2])
def test_doing_nothing_gives_back_the_very_samples(
    speech: np.ndarray, steps: list[Any], channels: int | None
) -> None:
    """A chain at zero must be inaudible: bit for bit, at any layout."""
    given = (
        speech if channels is None else np.stack([speech * (c + 1) / 2 for c in range(channels)])
    )
    result = Chain(steps)(given, RATE_HZ)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, given)
    assert not np.shares_memory(result, given)
    result[...] = 0  # the caller's own array


def test_edits_and_plugins_in_any_order(speech: np.ndarray) -> None:
    """Plugins before and after edits sound as if run one after another."""
    chain = Chain([pedalboard.Gain(-6), Emotion("happy"), pedalboard.HighpassFilter(200)])
    quiet = pedalboard.Gain(-6)(speech, RATE_HZ)
    happy = Chain([Emotion("happy")])(quiet, RATE_HZ)
    expected = pedalboard.HighpassFilter(200)(happy, RATE_HZ)
    np.testing.assert_allclose(chain(speech, RATE_HZ), expected, atol=1e-6)


def test_plugins_alone_are_a_pedalboard(speech: np.ndarray) -> None:
    """Someone who knows pedalboard gets what they know."""
    plugins = [pedalboard.Compressor(-20, 3), pedalboard.Reverb(0.3)]
    expected = pedalboard.Pedalboard(plugins)(speech, RATE_HZ)
    np.testing.assert_allclose(Chain(plugins)(speech, RATE_HZ), expected, atol=1e-6)


def test_turning_a_knob_encodes_nothing_again(speech: np.ndarray) -> None:
    """A knob in a user interface must answer at once."""
    engine = counting_engine()
    chain = Chain([Emotion("happy", strength=0.2), pedalboard.Gain(0)], engine=engine)
    first = chain(speech, RATE_HZ)
    chain[0] = Emotion("happy", strength=1.0)
    second = chain(speech, RATE_HZ)
    assert engine.encoded == 1
    assert first.shape != second.shape or not np.array_equal(first, second)
    chain(speech[::-1].copy(), RATE_HZ)
    assert engine.encoded == 2


def test_a_run_of_edits_is_encoded_once(speech: np.ndarray) -> None:
    """No generation is lost between two edits."""
    engine = counting_engine()
    Chain([Emotion("sad"), Style("whisper"), Speed("faster")], engine=engine)(speech, RATE_HZ)
    assert engine.encoded == 1


def test_it_is_a_list() -> None:
    """append, insert, del and slices, as on a Pedalboard."""
    chain = Chain([Emotion("happy")])
    chain.append(pedalboard.Gain(1))
    chain.insert(0, Denoise())
    assert [type(step).__name__ for step in chain] == ["Denoise", "Emotion", "Gain"]
    del chain[0]
    chain[0:1] = [Speed("slower")]
    assert len(chain) == 2
    assert isinstance(chain[0], Speed)


def test_a_slower_pace_is_longer(speech: np.ndarray) -> None:
    """Speed changes the length; the layout stays."""
    slower = Chain([Speed("slower")])(np.stack([speech, speech]), RATE_HZ)
    assert slower.shape[0] == 2
    assert slower.shape[1] > 1.05 * len(speech)


def test_a_transcript_places_sounds(speech: np.ndarray) -> None:
    """`transcript=` reaches the engine, which places the sound and makes room for it."""
    chain = Chain([Paralinguistic("Good [Breathing] morning")])
    assert len(chain(speech, RATE_HZ, transcript="Good morning")) > len(speech)
    with pytest.raises(EngineError):
        chain(speech, RATE_HZ, transcript="Something else altogether was said in this recording")


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (np.zeros(100, np.int16), "32768"),
        (np.zeros((1000, 2), np.float32), "Transpose"),
        (np.zeros((1, 2, 3), np.float32), "shape"),
        (np.zeros((1, 0), np.float32), "no samples"),
        (np.full(100, np.nan, np.float32), "NaN"),
    ],
)
def test_samples_of_another_kind_are_refused_with_the_remedy(samples: Any, told: str) -> None:
    """A wrong layout must not come out as noise."""
    with pytest.raises(RequestError, match=told):
        Chain([pedalboard.Gain(0)])(samples, RATE_HZ)


@pytest.mark.parametrize(
    ("step", "told"), [(Emotion, "Write Emotion"), ("happy", "got str"), (None, "got NoneType")]
)
def test_what_is_no_step_is_refused(step: Any, told: str) -> None:
    """The mistake is named where it is made, not at the first call."""
    with pytest.raises(RequestError, match=told):
        Chain([step])


def test_a_tag_nobody_knows_names_the_nearest(speech: np.ndarray) -> None:
    with pytest.raises(TagError, match="Did you mean 'happy'"):
        Chain([Emotion("hapy")])(speech, RATE_HZ)


def test_a_plugin_that_fails_is_named(speech: np.ndarray) -> None:
    """An error from inside pedalboard says which step it was."""

    class Broken:
        def process(self, samples: Any, sample_rate: float, *rest: Any, **named: Any) -> Any:
            raise OSError("licence server away")

    with pytest.raises((RenderError, RequestError), match="Broken"):
        Chain([Broken()])(speech, RATE_HZ)
