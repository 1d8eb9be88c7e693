"""A server that misbehaves: whole groups of what it writes, or an error in words."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.step_audio.generation import generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.remote import RemoteWriter
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, FIRST_AUDIO_ID, from_lm
from stepedit_fx.errors import Busy, EngineError, RequestError, StepEditError
from tests.engines.step_audio.lm_server import GREEDILY, LmServer, request, same, serving, until


@pytest.fixture(scope="module")
def odd() -> Iterator[LmServer]:
    """A server that writes what each example wants."""
    with serving(lambda body: iter(())) as server:
        yield server


@settings(max_examples=60)
@given(
    answers=st.lists(
        st.lists(
            st.one_of(
                st.sampled_from([END_OF_TURN_ID, FIRST_AUDIO_ID, FIRST_AUDIO_ID + 5119]),
                st.integers(FIRST_AUDIO_ID, FIRST_AUDIO_ID + 5119),
                st.integers(0, 80000),
            ),
            max_size=12,
        ),
        min_size=1,
        max_size=6,
    ),
    faults=st.lists(st.sampled_from(["", "cut", "no reason", "keeps the end", "hang up"])),
)
def test_whatever_a_server_writes_an_answer_is_whole_groups(
    odd: LmServer, answers: list[list[int]], faults: list[str]
) -> None:
    """Every slot in its range, or an error in words; never padded, never clamped."""
    turns = iter(answers * 3)
    odd.write, odd.faults, odd.raw = lambda body: iter(next(turns, [])), list(faults), b""
    try:
        (found,) = RemoteWriter(odd.settings()).answer([request(1, 3, min_groups=2)])
    except EngineError:
        return
    tokens = from_lm(found.ids)  # raises for what is no whole groups
    assert 10 <= len(tokens) <= 15
    assert found.stop == ("budget" if len(tokens) == 15 else "end")


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["choices", "token_ids", "finish_reason", "error", "object", "text"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=80)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            VALUES.map(lambda value: b"data: " + json.dumps(value).encode()),
        ),
        min_size=1,
        max_size=4,
    ).map(b"\n\n".join)
)
def test_no_bytes_of_a_server_are_more_than_an_error_in_words(odd: LmServer, stream: bytes) -> None:
    odd.raw, odd.faults = stream + b"\n\n", []
    with pytest.raises(StepEditError):
        RemoteWriter(odd.settings()).answer([request(1, 400, min_groups=400)])


@given(
    st.one_of(st.text(), st.text().map("http://{}".format), st.text().map("https://a/{}".format))
)
def test_any_text_is_a_plain_address_or_refused_in_words(text: str) -> None:
    try:
        url = RemoteModel.of(text).base_url
    except RequestError:
        return
    assert RemoteModel.of(url).base_url == url
    assert re.fullmatch(r"https?://[^@?#\s]+/[^?#\s]*[^/?#\s]", url)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("text", EngineError, "gives text and no ids.*return_token_ids"),
        ("words", EngineError, "ids that are no numbers"),
        ("garbage", EngineError, "what is no JSON"),
        ("page", EngineError, "no stream of events"),
        ("failure", EngineError, "failed. It says: CUDA error"),
        ("400", EngineError, r"refuses \(400\). It says: not now"),
        ("302", EngineError, r"refuses \(302\)"),
        ("500", EngineError, r"refuses \(500\)"),
    ],
)
def test_a_server_that_makes_no_sense_is_named(
    trained: LmServer, fault: str, kind: type[StepEditError], words: str
) -> None:
    trained.faults = [fault]
    with pytest.raises(kind, match=words) as caught:
        RemoteWriter(trained.settings()).answer([request(2, 4, min_groups=4)])
    assert trained.url in str(caught.value)
    assert len(trained.bodies) == 1  # and is not asked again


def test_a_server_that_ignores_what_is_allowed_is_named() -> None:
    with (
        serving(lambda body: iter([17] * body["max_tokens"])) as server,
        pytest.raises(EngineError, match="id 17, which it had not been allowed"),
    ):
        RemoteWriter(server.settings()).answer([request(1)])


def test_a_model_that_was_never_trained_on_groups_is_told_apart() -> None:
    """It is put right some times, and not for a whole recording, a request for every id."""

    def write(body: dict[str, Any]) -> Iterator[int]:
        audio = [id_ for id_ in body["allowed_token_ids"] if id_ != END_OF_TURN_ID]
        yield from audio[: body["max_tokens"]]  # of a long run, all in the first slots' range

    with (
        serving(write) as server,
        pytest.raises(EngineError, match=r"broke the order.* 21 times.*hold Step-Audio-EditX"),
    ):
        RemoteWriter(server.settings()).answer([request(1, 60, min_groups=60)])


def test_a_stream_that_is_cut_goes_on_from_what_is_there(
    trained: LmServer, served_model: Step1ForCausalLM
) -> None:
    asked = request(2, 6, sampling=GREEDILY, min_groups=4)
    trained.faults = ["cut"]
    (found,) = RemoteWriter(trained.settings()).answer([asked])
    assert same(found, generate(served_model, [asked])[0])
    first, second = trained.bodies[:2]
    assert second["prompt"][: len(first["prompt"])] == first["prompt"]
    assert len(second["prompt"]) > len(first["prompt"])


@pytest.mark.parametrize("fault", ["cut", "hang up", "no reason"])
def test_a_stream_that_is_cut_again_is_an_error(trained: LmServer, fault: str) -> None:
    trained.faults = [fault] * 2
    with pytest.raises(EngineError, match="hung up in the middle of an answer, 2 times"):
        RemoteWriter(trained.settings()).answer([request(2, 6, min_groups=6)])


def test_an_end_that_the_server_keeps_to_itself_is_an_end(
    trained: LmServer, served_model: Step1ForCausalLM
) -> None:
    asked = [request(n, 20, sampling=GREEDILY) for n in range(8)]
    trained.faults = ["keeps the end"] * 400
    found = RemoteWriter(trained.settings()).answer(asked)
    assert any(answer.stop == "end" for answer in found)
    for one, answer in zip(asked, found, strict=True):
        assert same(answer, generate(served_model, [one])[0])


def test_a_busy_server_is_asked_again(trained: LmServer, served_model: Step1ForCausalLM) -> None:
    trained.faults = ["429", "503", "429"]
    asked = request(1, 3, sampling=Sampling(temperature=0, repetition_rule=False))
    (found,) = RemoteWriter(trained.settings()).answer([asked])
    assert same(found, generate(served_model, [asked])[0])
    assert len(trained.bodies) == 4


def test_a_server_that_stays_busy_is_left_alone(trained: LmServer) -> None:
    trained.faults = ["503"] * 9
    with pytest.raises(Busy, match=r"too busy \(503\), 5 times.*not now"):
        RemoteWriter(trained.settings()).answer([request(1)])
    assert len(trained.bodies) == 5


def test_a_silent_server_is_given_up(trained: LmServer) -> None:
    trained.faults = ["silent"]
    with pytest.raises(EngineError, match=r"said nothing for 0.2 s.*lm.timeout_s"):
        RemoteWriter(trained.settings(timeout_s=0.2)).answer([request(1)])


def test_nobody_there_is_said_with_the_address() -> None:
    with serving(lambda body: iter(())) as server:
        gone = server.settings()
    with pytest.raises(EngineError, match=f"nobody answers at {gone.base_url}.*Start the server"):
        RemoteWriter(gone).answer([request(1)])


def test_a_server_without_tls_is_told_apart_from_none(trained: LmServer) -> None:
    chosen = RemoteModel(base_url=trained.url.replace("http:", "https:"))
    with pytest.raises(EngineError, match=r"no secure connection to https.*Is it http\?"):
        RemoteWriter(chosen).answer([request(1)])


def test_what_is_not_wanted_any_more_hangs_up(trained: LmServer) -> None:
    """The server sees it at once and stops writing; what came is kept in whole groups."""
    trained.faults = ["silent"]
    wanted = threading.Event()
    with ThreadPoolExecutor(1) as asker:
        answer = RemoteWriter(trained.settings()).answer
        asked = asker.submit(answer, [request(1)], cancelled=wanted.is_set)
        until(lambda: trained.open == 1)
        wanted.set()
        (found,) = asked.result(10)
    assert (found.stop, len(found.ids)) == ("cancelled", 0)
    trained.go_on.set()
    assert trained.left.wait(10)  # writing on failed: nobody listened


def test_the_first_that_fails_ends_all(trained: LmServer) -> None:
    trained.faults = ["silent", "garbage"]
    with pytest.raises(EngineError, match="no JSON"):
        RemoteWriter(trained.settings()).answer([request(n, min_groups=4) for n in (1, 2)])


def test_a_prompt_too_long_is_refused_before_it_is_sent(trained: LmServer) -> None:
    trained.places = 40
    try:
        with pytest.raises(RequestError, match="longer than the 40 that the model takes"):
            RemoteWriter(trained.settings()).answer([request(5, 9, min_groups=9)])
    finally:
        trained.places = 8192
    assert not trained.bodies


def test_a_model_that_is_not_served_is_told_with_those_that_are(trained: LmServer) -> None:
    trained.others = ["other"]
    for wanted in ({"model": "step2"}, {}):
        with pytest.raises(RequestError, match=r"lm.model may be: other, step1"):
            RemoteWriter(trained.settings(**wanted)).answer([request(1)])
    assert len(RemoteWriter(trained.settings(model="step1")).answer([request(1)])[0].ids)


def test_a_model_that_is_served_no_more_is_told(trained: LmServer) -> None:
    writer = RemoteWriter(trained.settings(model="step1"))
    writer.answer([request(1)])
    trained.model = "step1.5"
    with pytest.raises(RequestError, match=r"no model 'step1'.*may be: step1.5"):
        writer.answer([request(1)])


def test_the_key_goes_to_the_server_and_nowhere_else(
    trained: LmServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    trained.key = "sk-secret-123"
    monkeypatch.setenv("STEP_KEY", "sk-wrong-456")
    chosen = trained.settings(key_variable="STEP_KEY")
    with pytest.raises(
        RequestError, match=r"let us in \(401\). Put its key in \$STEP_KEY"
    ) as caught:
        RemoteWriter(chosen).answer([request(1)])
    monkeypatch.setenv("STEP_KEY", trained.key)
    writer = RemoteWriter(chosen)
    assert len(writer.answer([request(1)])[0].ids)
    assert trained.headers[-1]["Authorization"] == "Bearer sk-secret-123"
    told = f"{caplog.text} {caught.value!r} {writer.status()} {chosen!r} {chosen.model_dump()}"
    assert "sk-" not in told
