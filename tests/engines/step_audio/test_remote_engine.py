"""The engine with its language model on a server: the same sound, without the weights here."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from stepedit_fx.audio import Audio
from stepedit_fx.cli.app import app
from stepedit_fx.engines.base import asked_for, heard_by, open_engine
from stepedit_fx.engines.step_audio.engine import StepAudioEngine, StepAudioSettings
from stepedit_fx.engines.step_audio.lm_loading import load_language_model
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.errors import Cancelled, EngineError, GraphError, ReadError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.speech import Edit, Transcript
from stepedit_fx.worker import starting
from stepedit_fx.worker.client import WorkerEngine
from stepedit_fx.worker.opening import open_with
from tests.engines.step_audio.lm_server import LmServer, serving, writing

HAPPY = Edit("emotion", "happy", seed=3)
LIKELIEST = {"temperature": 1e-6, "flow_steps": 2}


@pytest.fixture(scope="module")
def server(tiny_checkpoint: Path) -> Iterator[LmServer]:
    folder = tiny_checkpoint / "Step-Audio-EditX"
    model = load_language_model(folder, dtype=torch.float32, device=torch.device("cpu"))
    with serving(writing(model, keeps_slots=True)) as running:
        yield running


@pytest.fixture(scope="module")
def others(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files without the language model's."""
    folder = tmp_path_factory.mktemp("others") / "models"
    shutil.copytree(tiny_checkpoint, folder, copy_function=os.link)
    for pattern in ("*.safetensors", "*.index.json", "config.json"):
        for path in (folder / "Step-Audio-EditX").glob(pattern):
            path.unlink()
    return folder


@pytest.fixture(scope="module")
def clip(short_clip: Path) -> Audio:
    audio = read_audio(short_clip)
    return Audio(audio.samples, audio.sample_rate, 0.0, Transcript("Good morning"))


@pytest.fixture(scope="module")
def engine(others: Path, server: LmServer) -> StepAudioEngine:
    return opened(others, lm={"base_url": server.url})


def opened(models: Path, **more: Any) -> StepAudioEngine:
    made = open_engine("step-audio", models=models, device="cpu", **{**LIKELIEST, **more})
    assert isinstance(made, StepAudioEngine)
    return made


def sound(engine: Any, clip: Audio, edit: Edit = HAPPY) -> Any:
    return engine.decode(engine.edit(engine.encode([clip]), [edit]))[0].samples


def test_an_edit_sounds_as_with_the_model_here(
    engine: StepAudioEngine, tiny_checkpoint: Path, clip: Audio
) -> None:
    here = opened(tiny_checkpoint, dtype="float32")
    assert np.array_equal(sound(engine, clip), sound(here, clip))
    assert "language_model" not in engine.status()["loaded"]
    assert engine.status()["writer"]["model"] == "step1"


def test_an_edit_is_heard_while_the_server_writes_it(engine: StepAudioEngine, clip: Audio) -> None:
    blocks: list[Audio] = []
    take = engine.encode([clip])[0]
    with heard_by(blocks.append):
        edited = engine.edit([take], [HAPPY])[0]
    whole = engine.decode([edited])[0]
    assert sum(block.frames for block in blocks) == pytest.approx(whole.frames, abs=4800)


def test_a_worker_serves_it_like_any_other(
    engine: StepAudioEngine,
    clip: Audio,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    place = tmp_path_factory.mktemp("w")
    place.chmod(0o700)
    worker = WorkerEngine(engine.settings, folder=place)
    pid = worker.status()["pid"]
    try:
        assert worker.fingerprint == engine.fingerprint
        there = worker.edit(worker.encode([clip]), [HAPPY])[0]
        here = engine.edit(engine.encode([clip]), [HAPPY])[0]
        assert np.array_equal(there.codes["tokens"], here.codes["tokens"])
        sounds = [e.decode([t])[0].samples for e, t in ((worker, there), (engine, here))]
        assert np.allclose(*sounds, atol=1e-3)
    finally:
        worker.close()
        os.kill(pid, signal.SIGKILL)
        next(child for child in starting._children if child.pid == pid).wait(10)


def test_a_cancelled_edit_lets_the_server_go(
    engine: StepAudioEngine, server: LmServer, clip: Audio
) -> None:
    take = engine.encode([clip])[0]
    server.faults = ["silent"]
    with (
        asked_for(lambda: bool(server.open), is_urgent=True, progress=lambda tokens: None),
        pytest.raises(Cancelled),
    ):
        engine.edit([take], [HAPPY])
    server.go_on.set()
    server.faults = []


def test_other_models_of_the_server_are_other_engines(
    others: Path, server: LmServer, engine: StepAudioEngine
) -> None:
    """A result of one must never be taken for a result of another."""
    assert "step1 of stepfun-ai/Step-Audio-EditX" in engine.fingerprint
    prints = {engine.fingerprint}
    identities = {engine.settings.identity}
    kept = server.model, server.root
    try:
        for server.model, server.root in (("step1", "elsewhere/EditX"), ("tuned", kept[1])):
            made = opened(others, lm={"base_url": server.url})
            prints.add(made.fingerprint)
            identities.add(made.settings.identity)
    finally:
        server.model, server.root = kept
    assert len(prints) == len(identities) == 3
    patient = opened(others, lm={"base_url": server.url, "timeout_s": 7, "key_variable": "K"})
    assert patient.fingerprint == engine.fingerprint


def test_an_engine_without_a_server_is_known_by_what_it_was(tiny_checkpoint: Path) -> None:
    """Results in the stores of those who have no server stay good."""
    assert "lm " not in opened(tiny_checkpoint).fingerprint


def test_the_key_is_in_nothing_that_is_kept(
    others: Path,
    server: LmServer,
    monkeypatch: pytest.MonkeyPatch,
    short_clip: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    monkeypatch.setattr(server, "key", "sk-secret-123")
    graph = tmp_path / "g.yaml"
    settings = {"kind": "step-audio", "models": str(others), **LIKELIEST}
    told = {"lm": {"kind": "openai", "base_url": server.url}}
    chain = {"version": 1, "engine": {**settings, **told}, "chain": [{"emotion": "sad"}]}
    graph.write_text(yaml.safe_dump(chain), encoding="utf-8")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["run", str(graph), str(short_clip), "-o", str(out)])
    assert done.exit_code == 0, done.output
    open_with.cache_clear()
    checked = CliRunner().invoke(app, ["verify", str(out)])
    assert checked.exit_code == 0, checked.output
    kept = json.loads(next(out.glob("*.json")).read_text("utf-8"))
    assert kept["engine"]["lm"]["base_url"] == server.url
    assert server.url in kept["engine"]["fingerprint"]
    assert "sk-secret" not in done.output + checked.output + json.dumps(kept)


def test_a_graph_names_the_server_and_set_another(server: LmServer) -> None:
    named = f"engine: {{kind: step-audio, lm: {{kind: openai, base_url: '{server.url}'}}}}"
    text = f"version: 1\n{named}\nchain: [{{emotion: happy}}]\n"
    graph = Graph.parse(text, sets=["engine.lm.base_url=https://gpu.example:8443/v1/"])
    assert isinstance(graph.engine, StepAudioSettings)
    assert graph.engine.lm == RemoteModel(base_url="https://gpu.example:8443/v1")
    plain = "version: 1\nengine: step-audio\nchain: [{emotion: happy}]\n"
    graph = Graph.parse(plain, sets=["engine.lm={base_url: http://gpu.example:8000}"])
    assert isinstance(graph.engine, StepAudioSettings)
    assert graph.engine.lm == RemoteModel(base_url="http://gpu.example:8000/v1")


@pytest.mark.parametrize(
    ("lm", "words"),
    [
        ("{base_url: 'ftp://gpu/v1'}", "must be http or https"),
        ("{base_url: 'file:///etc/passwd'}", "must be http or https"),
        ("{base_url: 'gpu:8000'}", "must be http or https"),
        ("{base_url: 'http://[gpu'}", "is no URL"),
        ("{base_url: 'http://gpu:99999/v1'}", "is no URL"),
        ("{base_url: 'http://me:sk-1@gpu/v1'}", "no name or password"),
        ("{base_url: 'http://gpu/v1?key=sk-1'}", "must end with its path"),
        ("{base_url: 'http://gpu/v1', key_variable: sk-1}", "name of an environment variable"),
        ("{base_url: 'http://gpu/v1', api_key: sk-1}", "has no 'lm.api_key'"),
        ("{model: step1}", "needs 'lm.base_url'"),
        ("{kind: grpc, base_url: 'http://gpu/v1'}", "'openai'"),
    ],
)
def test_a_bad_server_is_refused_in_words_and_no_key_is_repeated(lm: str, words: str) -> None:
    text = f"version: 1\nengine: {{kind: step-audio, lm: {lm}}}\nchain: [{{emotion: happy}}]\n"
    with pytest.raises(GraphError, match=words) as caught:
        Graph.parse(text)
    assert "sk-1" not in str(caught.value)
    with pytest.raises(ValidationError) as from_python:
        open_engine("step-audio", lm=yaml.safe_load(lm))
    assert "sk-1" not in str(from_python.value)


def test_numbers_of_a_model_elsewhere_are_not_ours_to_choose(server: LmServer) -> None:
    with pytest.raises(ValidationError, match="the server's own"):
        open_engine("step-audio", lm={"base_url": server.url}, quantization="int8")


def test_without_a_server_the_files_are_missed(others: Path) -> None:
    with pytest.raises(ReadError, match=r"config\.json"):
        opened(others).fingerprint  # noqa: B018 - asking for it is the test


def test_a_server_that_is_gone_is_named(others: Path) -> None:
    with serving(lambda body: iter(())) as server:
        gone = server.url
    with pytest.raises(EngineError, match=f"nobody answers at {gone}"):
        opened(others, lm={"base_url": gone}).fingerprint  # noqa: B018 - asking for it is the test


def test_check_asks_the_server(others: Path, server: LmServer) -> None:
    args = ["models", "check", str(others), "--lm", server.url]
    done = CliRunner().invoke(app, [*args, "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["ok"]) == (0, True), told["problems"]
    assert [form["form"] for form in told["needs"]["forms"]] == ["elsewhere"]
    assert "elsewhere" in CliRunner().invoke(app, args).output
    server.faults = ["text"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 1
    assert "return_token_ids" in done.output
    done = CliRunner().invoke(app, ["models", "check", str(others), "--lm", "gpu"])
    assert "must be http or https" in f"{done.output} {done.exception}"
