"""Speech edits and pedalboard plugins in one list, called like a Pedalboard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.base import Engine, check_offered
from stepedit_fx.errors import RenderError, RequestError, StepEditError
from stepedit_fx.nodes.base import Context, EditNode
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.speech import Speech, Transcript
from stepedit_fx.worker.opening import open_engine


@runtime_checkable
class Plugin(Protocol):
    """What a pedalboard plugin looks like from here; also a Pedalboard, a Mix, a VST3."""

    def process(
        self,
        input_array: Any,
        sample_rate: float,
        buffer_size: int = ...,
        reset: bool = ...,
    ) -> Any: ...


SpeechStep = EditNode | Clone
Step = SpeechStep | Plugin


class Chain(MutableSequence[Step]):
    """Edits of speech and pedalboard plugins, applied in order.

    steps: edit nodes (`Emotion`, `Style`, `Speed`, `Denoise`, `Vad`, `Paralinguistic`, `Clone`)
    and pedalboard plugins, mixed as you like; the chain is a list that may be changed between
    calls. engine: what does the speech edits; opened on the first call.

    Sound is encoded once where a run of edits starts and decoded where it ends. The last encoding
    of each run is kept: calling again with the same sound after a change of an edit encodes
    nothing.
    """

    def __init__(self, steps: Iterable[Step] = (), *, engine: Engine | str = "parametric") -> None:
        self._steps = [_checked(step) for step in steps]
        self._engine = engine
        self._encoded: dict[int, tuple[str, Speech]] = {}  # by run: digest of the sound, codes

    def __call__(
        self, samples: ArrayLike, sample_rate: float, *, transcript: str | Transcript = ""
    ) -> Samples:
        """The samples after every step, in the layout in which they came.

        samples: floats at full scale 1.0, (frames,) or (channels, frames). sample_rate: hertz.
        transcript: what is said, for edits that place things by words. Returns float32; a new
        array, of another length where an edit changes the pace. Raises RequestError for samples
        of another shape or type, TagError for an edit that the engine does not offer, EngineError
        or RenderError (naming the step) where one fails.
        """
        given = _floats(samples)
        words = Transcript(transcript) if isinstance(transcript, str) else transcript
        audio = Audio(np.atleast_2d(given), _rate_hz(sample_rate), transcript=words)
        runs = groupby(self._active(), key=lambda step: isinstance(step, SpeechStep))
        for index, (is_speech, steps) in enumerate(runs):
            if is_speech:
                audio = self._edited(audio, [s for s in steps if isinstance(s, SpeechStep)], index)
            else:
                audio = _through(audio, [s for s in steps if isinstance(s, Plugin)])
        result = audio.samples if given.ndim == 2 else audio.samples[0]
        return result.copy()  # an Audio's samples are read-only; the caller's are not

    def _active(self) -> Iterator[Step]:
        return (s for s in self._steps if not (isinstance(s, SpeechStep) and s.bypass))

    def _edited(self, audio: Audio, steps: list[SpeechStep], run: int) -> Audio:
        if isinstance(self._engine, str):
            self._engine = open_engine(self._engine)
        engine = self._engine
        words = _timed(audio) if any(step.names_words for step in steps) else Transcript()
        steps = [step.resolved(words) for step in steps]
        for step in steps:
            check_offered(engine, step.edit())
        digest, speech = self._encoded.get(run, ("", None))
        if speech is None or digest != audio.digest:
            speech = engine.encode([audio])[0]
            self._encoded[run] = (audio.digest, speech)
        context = Context(engine=engine)
        for step in steps:
            with _naming(step.kind):
                speech = step.run([speech], context)
        return engine.decode([speech])[0]

    # A list of steps, as a Pedalboard is.

    def insert(self, index: int, value: Step) -> None:
        self._steps.insert(index, _checked(value))

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | list[Step]:
        return self._steps[index]

    @overload
    def __setitem__(self, index: int, value: Step) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Step]) -> None: ...
    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            self._steps[index] = [_checked(step) for step in value]
        else:
            self._steps[index] = _checked(value)

    def __delitem__(self, index: int | slice) -> None:
        del self._steps[index]

    def __len__(self) -> int:
        return len(self._steps)

    def __repr__(self) -> str:
        return f"Chain({self._steps!r})"


def _checked(step: Any) -> Step:
    if isinstance(step, (EditNode, Clone)) or (
        isinstance(step, Plugin) and not isinstance(step, type)
    ):
        return step
    if isinstance(step, type):
        raise RequestError(
            f"{step.__name__} is a class, not a step", remedy=f"Write {step.__name__}(...)."
        )
    raise RequestError(
        f"a chain takes edit nodes and pedalboard plugins, got {type(step).__name__}",
        remedy='For example Chain([Emotion("happy"), pedalboard.Reverb()]).',
    )


def _floats(samples: ArrayLike) -> NDArray[np.floating[Any]]:
    array = np.asarray(samples)
    if not np.issubdtype(array.dtype, np.floating):
        raise RequestError(
            f"samples must be floats at full scale 1.0, got {array.dtype}",
            remedy="Divide 16-bit integers by 32768.",
        )
    if array.ndim in (1, 2) and not array.size:
        raise RequestError(f"there are no samples in an array of shape {array.shape}")
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] > array.shape[1]):
        raise RequestError(
            f"samples must be (frames,) or (channels, frames), got shape {array.shape}",
            remedy="Transpose an array of (frames, channels).",
        )
    return array.astype(np.float32)


def _rate_hz(sample_rate: float) -> int:
    if not float(sample_rate).is_integer():
        raise RequestError(f"the sample rate must be a whole number of hertz, got {sample_rate}")
    return int(sample_rate)


def _through(audio: Audio, plugins: list[Plugin]) -> Audio:
    from stepedit_fx.effects.plugins import processed

    samples = audio.samples
    for plugin in plugins:
        name = type(plugin).__name__
        with _naming(name):
            samples = processed([plugin], samples, audio.sample_rate, name)
    return audio.with_samples(samples)


def _timed(audio: Audio) -> Transcript:
    """What is said in a sound, each word with its time."""
    from stepedit_fx.transcripts.timing import timed

    if not audio.transcript:
        return audio.transcript
    return timed(audio.transcript, audio.mono(), audio.sample_rate)


@contextmanager
def _naming(step: str) -> Iterator[None]:
    """Errors from inside carry the step's name; those of strangers become a RenderError."""
    try:
        yield
    except StepEditError as error:
        error.node = error.node or step
        raise
    except Exception as error:
        raise RenderError(f"{type(error).__name__}: {error}", node=step) from error
