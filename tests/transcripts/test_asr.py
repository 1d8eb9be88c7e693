"""Words by a Whisper folder: the model is tiny and random, so its words are nonsense."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.input import Input
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts.asr import FOLDER_VARIABLE, model_folder, transcribe
from tests.transcripts.tiny_whisper import save_tiny_whisper

pytest.importorskip("torch")
pytest.importorskip("transformers")
# transformers warns of what a model this small does to its own arithmetic.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """40 s of stereo noise at 24 kHz: over what Whisper takes at once."""
    return 0.1 * np.random.default_rng(0).standard_normal((2, 24000 * 40)).astype(np.float32)


def test_a_recording_of_any_length_gets_words_with_times(folder, sound) -> None:
    """Whisper takes 30 s: without cutting, the rest of a recording would have no words."""
    found = transcribe([sound[:, :500_000], sound[:, 500_000:]], 24000, model_folder(folder))
    assert found.language in ("en", "zh", "de")
    assert [w.text for w in found.words] == split_words(found.text)
    assert found.words[-1].end_s > 30
    assert found.words[-1].end_s < 40.1
    assert all(a.start_s <= b.start_s for a, b in pairwise(found.words))
    again = transcribe([sound], 24000, model_folder(folder), language=found.language)
    assert again == found


def test_silence_has_no_words(folder) -> None:
    """Whisper makes up words for silence."""
    assert not transcribe([np.zeros((1, 16000), np.float32)], 16000, folder)
    assert not transcribe([], 16000, folder)


def test_an_input_listens_where_it_is_asked_to(folder, sample_clip, monkeypatch) -> None:
    """`transcript: asr` needs no sidecar, and takes its model from the node or the environment."""
    named = Input(transcript="asr", asr_model=str(folder)).read(sample_clip)
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    assert named.transcript == Input(transcript="asr").read(sample_clip).transcript
    assert named.transcript
    monkeypatch.delenv(FOLDER_VARIABLE)
    with pytest.raises(RequestError, match=r"no Whisper folder.*STEPEDIT_ASR"):
        Input(transcript="asr").read(sample_clip)


def test_a_folder_that_is_no_whisper_is_refused(folder, tmp_path) -> None:
    """Nothing is fetched in its place, and no pickled weights are opened."""
    with pytest.raises(RequestError, match="no folder of a Whisper model"):
        model_folder(tmp_path)
    other = tmp_path / "bert"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(RequestError, match="type 'bert'"):
        model_folder(other)
    broken = tmp_path / "pickled"
    shutil.copytree(folder, broken)
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(RequestError, match=r"safetensors"):
        transcribe([np.ones((1, 16000), np.float32)], 16000, model_folder(broken))
