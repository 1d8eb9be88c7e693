"""What is said, by a Whisper model in a local folder (extra `[asr]`); nothing is downloaded.

The folder is one in the form of transformers (config.json, model.safetensors, tokenizer, ...): only
safetensors are read, and no code of the folder's runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.errors import EngineError, RequestError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts.cues import join_texts
from stepedit_fx.transcripts.cutting import RATE, quiet_cut, resampled
from stepedit_fx.transcripts.timing import timed

FOLDER_VARIABLE = "STEPEDIT_ASR"
WINDOW_S = 30.0  # of sound that Whisper takes at once


def model_folder(named: Path | str = "") -> Path:
    """The folder that is named, else that of $STEPEDIT_ASR. Raises RequestError for none."""
    chosen = str(named) or os.environ.get(FOLDER_VARIABLE, "")
    if not chosen:
        raise RequestError(
            "no Whisper folder was named",
            remedy=f"Name one (asr_model, --model), or set ${FOLDER_VARIABLE}; "
            "nothing is downloaded.",
        )
    folder = Path(chosen).expanduser()
    try:
        kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise RequestError(
            f"{folder}: is no folder of a Whisper model ({error})",
            remedy="It holds config.json, model.safetensors and the tokenizer's files.",
        ) from error
    if kind != "whisper":
        raise RequestError(f"{folder}: holds a model of type '{kind}', not Whisper")
    return folder.resolve()


def transcribe(
    parts: Iterable[Samples], rate: int, folder: Path, *, language: str = ""
) -> Transcript:
    """What is said in a recording of any length, with the seconds of each word.

    parts: all of it in order, (channels, frames) at `rate`. folder: as `model_folder` gives it.
    language: ISO 639-1; "" lets the model tell. Words get their times from the model where its
    files name alignment heads, else in proportion to their syllables. The same sound and folder
    give the same words. Raises RequestError for a folder that cannot be used and without the
    libraries, EngineError where the model fails.
    """
    recognizer = _opened(folder, (folder / "config.json").stat().st_mtime_ns)
    text = ""
    words: list[Word] = []
    for first_s, piece in _pieces(parts, rate):
        if not np.any(np.abs(piece) > 1e-5):
            continue  # Whisper is known to make words up for silence
        language = language or recognizer.language_of(piece)
        said = recognizer.said(piece, language)
        text = join_texts(text, said.text)
        words += [Word(w.text, first_s + w.start_s, first_s + w.end_s) for w in said.words]
    has_times = [w.text for w in words] == split_words(text)
    return Transcript(text, language, tuple(words) if has_times else ())


def _pieces(parts: Iterable[Samples], rate: int) -> Iterator[tuple[float, Samples]]:
    """Mono sound at RATE in runs of at most WINDOW_S, each with its second."""
    window, at = round(WINDOW_S * RATE), 0
    held = np.zeros(0, np.float32)
    for part in resampled(parts, rate):
        held = np.concatenate([held, part])
        while len(held) > window:
            cut = quiet_cut(held[:window])
            yield at / RATE, held[:cut]
            held, at = held[cut:], at + cut
    if len(held):
        yield at / RATE, held


class _Recognizer:
    """A Whisper model with what belongs to it."""

    def __init__(self, folder: Path) -> None:
        try:
            import torch
            from transformers import WhisperForConditionalGeneration, WhisperProcessor
            from transformers.pipelines.automatic_speech_recognition import (
                AutomaticSpeechRecognitionPipeline,
            )
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise RequestError(
                "recognizing speech needs torch and transformers",
                remedy="pip install 'stepedit-fx[asr]'",
            ) from error
        disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            # A folder of the user's own, never the hub: there is no revision to pin.
            processor = WhisperProcessor.from_pretrained(  # nosec B615
                folder, local_files_only=True
            )
            self._model: Any = WhisperForConditionalGeneration.from_pretrained(  # nosec B615
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise RequestError(
                f"{folder}: cannot be opened as a Whisper model: {str(error).splitlines()[0]}",
                remedy="It needs model.safetensors and the files of its tokenizer.",
            ) from error
        self._processor: Any = processor
        self._pipeline: Any = AutomaticSpeechRecognitionPipeline(
            model=self._model,
            tokenizer=processor.tokenizer,
            feature_extractor=processor.feature_extractor,
            device=torch.device("cpu"),
        )
        self._config: Any = self._model.generation_config

    def language_of(self, piece: Samples) -> str:
        """ISO 639-1 of what is spoken; "en" for a model that knows no other."""
        if not getattr(self._config, "is_multilingual", False):
            return "en"
        features = self._processor.feature_extractor(
            piece, sampling_rate=RATE, return_tensors="pt"
        ).input_features
        token = int(self._model.detect_language(features)[0])
        return str(self._processor.tokenizer.decode([token])).strip("<|>")

    def said(self, piece: Samples, language: str) -> Transcript:
        """The words of at most WINDOW_S, timed from its start."""
        options: dict[str, Any] = {"do_sample": False, "num_beams": 1}
        if getattr(self._config, "is_multilingual", False):
            options |= {"language": language, "task": "transcribe"}
        has_heads = bool(getattr(self._config, "alignment_heads", None))
        try:
            found = self._pipeline(
                {"raw": piece, "sampling_rate": RATE},
                return_timestamps="word" if has_heads else True,
                generate_kwargs=options,
            )
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise EngineError(f"the Whisper model failed: {error}") from error
        text = " ".join(str(found["text"]).split())
        words = _timed_words(found["chunks"], len(piece) / RATE) if has_heads else []
        if [word.text for word in words] == split_words(text):
            return Transcript(text, language, tuple(words))
        return timed(Transcript(text, language), piece, RATE)


def _timed_words(chunks: Iterable[dict[str, Any]], total_s: float) -> list[Word]:
    """Words of a pipeline's chunks, in order and inside; those of one chunk share its time."""
    words: list[Word] = []
    at = 0.0
    for chunk in chunks:
        inside = split_words(chunk["text"])
        start_s, end_s = (total_s if t is None else float(t) for t in chunk["timestamp"])
        start_s = min(max(start_s, at), total_s)
        at = min(max(end_s, start_s), total_s)
        edges = start_s + (at - start_s) * np.cumsum([0, *map(len, inside)]) / max(
            1, sum(map(len, inside))
        )
        words += [
            Word(w, float(a), float(b)) for w, (a, b) in zip(inside, pairwise(edges), strict=True)
        ]
    return words


@lru_cache(maxsize=1)
def _opened(folder: Path, stamp: int) -> _Recognizer:
    """The model of a folder, held: a batch transcribes many recordings with one."""
    return _Recognizer(folder)
