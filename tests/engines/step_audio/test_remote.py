"""A language model elsewhere: the answers that it would give here, whatever its server does."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.generation import Generated, Request, generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.remote import MOST_AT_ONCE, RemoteWriter
from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, FIRST_AUDIO_ID, from_lm
from stepedit_fx.errors import Busy, EngineError, RequestError, StepEditError
from tests.engines.step_audio.lm_server import LmServer, serving, writing

GREEDY = Sampling(temperature=0)
ANY = 10**6  # times that a model may break the order of slots


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    """Random weights: it ends often by itself, and knows nothing of groups."""
    torch.manual_seed(5)
    config = Step1Config(
        hidden_size=30,
        intermediate_size=40,
        num_attention_heads=6,
        num_attention_groups=2,
        num_hidden_layers=2,
        initializer_range=0.4,
    )
    made = Step1ForCausalLM(config).double().eval()
    with torch.no_grad():
        made.lm_head.weight[END_OF_TURN_ID] *= 3.5
    return made


@pytest.fixture(scope="module")
def running(model: Step1ForCausalLM) -> Iterator[LmServer]:
    with serving(writing(model, keeps_slots=True)) as server:
        yield server


@pytest.fixture
def trained(running: LmServer) -> LmServer:
    """A server whose model keeps to groups, as a trained one does; of each test as if new."""
    running.faults, running.bodies, running.headers = [], [], []
    running.key, running.model, running.others = "", "step1", []
    running.left.clear()
    running.go_on.clear()
    return running


def request(n: int, groups: int = 4, **more: Any) -> Request:
    return Request(tuple(range(100 + n, 110 + 2 * n)), groups, seed=n, **more)


def same(one: Generated, other: Generated) -> bool:
    return np.array_equal(one.ids, other.ids) and one.stop == other.stop


REQUESTS = [
    request(1, 6, sampling=GREEDY),
    request(2, 6, sampling=GREEDY, min_groups=4),
    request(3, 3, sampling=GREEDY, min_groups=3),
    # A prompt that ends in one id over and over: the rule of repetition counts it too.
    Request((5, *[FIRST_AUDIO_ID + 7] * 10), 5, seed=4, sampling=GREEDY),
    Request((1,), 4, seed=5, sampling=Sampling(temperature=0, repetition_rule=False)),
]


def test_a_model_that_leaves_the_groups_writes_what_it_would_here(model: Step1ForCausalLM) -> None:
    """With every slot, the end and repetition put right by requests that allow only those."""
    with serving(writing(model)) as server:
        found = RemoteWriter(server.settings(), most_breaks=ANY).answer(REQUESTS)
        assert len(server.bodies) > 5 * len(REQUESTS)  # it was put right, and often
    for asked, answer in zip(REQUESTS, found, strict=True):
        assert same(answer, generate(model, [asked])[0])


def test_a_model_that_keeps_the_groups_is_asked_once(
    trained: LmServer, model: Step1ForCausalLM
) -> None:
    """A request for every group would cost each a round trip."""
    asked = [
        request(n, 6, sampling=Sampling(temperature=0, repetition_rule=False), min_groups=1 + n % 3)
        for n in range(6)
    ]
    found = RemoteWriter(trained.settings()).answer(asked)
    assert len(trained.bodies) == len(asked)
    assert {answer.stop for answer in found} <= {"end", "budget"}
    for one, answer in zip(asked, found, strict=True):
        assert same(answer, generate(model, [one])[0])


def test_an_id_that_the_model_loves_does_not_come_again_and_again() -> None:
    loved = FIRST_AUDIO_ID + 2000

    def write(body: dict[str, Any]) -> Iterator[int]:
        """Always the same id where it may come, else the first that may."""
        audio = [id_ for id_ in body["allowed_token_ids"] if id_ != END_OF_TURN_ID]
        yield from [loved if loved in audio else audio[0]] * body["max_tokens"]

    with serving(write) as server:
        (found,) = RemoteWriter(server.settings(), most_breaks=ANY).answer([request(1, 12)])
    tokens = from_lm(found.ids)
    assert len(tokens) == 60
    for at in range(10, 60):
        window = tokens[at - 10 : at]
        assert tokens[at] != window[-1] or (window == window[-1]).sum() < 2


def test_a_seed_gives_the_same_ids_and_another_others(trained: LmServer) -> None:
    writer = RemoteWriter(trained.settings())
    asked = [request(3, 8, min_groups=8), request(3, 8, min_groups=8)]
    first, again = writer.answer(asked)
    (other,) = writer.answer([Request(asked[0].prompt_ids, 8, seed=99, min_groups=8)])
    assert same(first, again)
    assert not same(first, other)
    assert all(0 <= body["seed"] < 2**31 for body in trained.bodies)


def test_everything_that_is_drawn_by_stands_in_the_request(trained: LmServer) -> None:
    """A server's own defaults, from a generation_config.json, must not creep in."""
    sampling = Sampling(temperature=0.5, top_k=30, top_p=0.9, min_p=0.05)
    RemoteWriter(trained.settings()).answer([request(1, 3, min_groups=2, sampling=sampling)])
    body = trained.bodies[0]
    assert (body["temperature"], body["top_k"], body["top_p"], body["min_p"]) == (
        0.5,
        30,
        0.9,
        0.05,
    )
    assert (body["repetition_penalty"], body["stop_token_ids"]) == (1.0, [END_OF_TURN_ID])
    assert (body["max_tokens"], body["min_tokens"]) == (15, 10)
    assert len(body["allowed_token_ids"]) == 5121


def test_many_requests_each_get_their_own_answer(
    trained: LmServer, model: Step1ForCausalLM
) -> None:
    """More than are sent at once; a swapped answer would be another take's words."""
    asked = [request(n, 1 + n % 2, sampling=GREEDY) for n in range(MOST_AT_ONCE + 8)]
    seen: dict[int, list[int]] = {}
    ended: set[int] = set()

    def written(place: int, ids: Any, is_all: bool) -> None:
        assert list(ids)[: len(seen.get(place, []))] == seen.get(place, [])
        seen[place] = list(ids)
        ended.update({place} if is_all else ())

    found = RemoteWriter(trained.settings()).answer(asked, written=written)
    assert ended == set(range(len(asked)))
    for place, (one, answer) in enumerate(zip(asked, found, strict=True)):
        assert same(answer, generate(model, [one])[0])
        assert seen[place] == answer.ids.tolist()


def test_many_askers_each_get_their_own_answer(trained: LmServer, model: Step1ForCausalLM) -> None:
    """The clients of a worker share one writer."""
    writer = RemoteWriter(trained.settings())
    asked = [request(n, 1, sampling=GREEDY) for n in range(16)]
    with ThreadPoolExecutor(len(asked)) as askers:
        found = list(askers.map(lambda one: writer.answer([one])[0], asked))
    for one, answer in zip(asked, found, strict=True):
        assert same(answer, generate(model, [one])[0])


def test_a_call_sends_so_many_requests_at_once_and_no_more() -> None:
    """A long recording has hundreds of segments; a server has a limit of open connections."""
    gate = threading.Event()

    def write(body: dict[str, Any]) -> Iterator[int]:
        gate.wait(60)
        yield from [
            FIRST_AUDIO_ID,
            FIRST_AUDIO_ID + 1,
            *range(FIRST_AUDIO_ID + 2000, FIRST_AUDIO_ID + 2003),
        ]

    asked = [request(n, 1) for n in range(MOST_AT_ONCE + 16)]
    with serving(write) as server, ThreadPoolExecutor(1) as asker:
        found = asker.submit(RemoteWriter(server.settings()).answer, asked)
        _until(lambda: server.open == MOST_AT_ONCE)
        threading.Event().wait(0.1)
        assert len(server.bodies) == MOST_AT_ONCE
        gate.set()
        assert [len(answer.ids) for answer in found.result(60)] == [5] * len(asked)


def test_progress_is_told_of_every_request(trained: LmServer) -> None:
    told: dict[int, int] = {}
    asked = [request(n, 4, min_groups=4) for n in range(3)]
    RemoteWriter(trained.settings()).answer(asked, progress=told.__setitem__)
    assert told == {0: 20, 1: 20, 2: 20}


@settings(deadline=None, max_examples=60)
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
    answers: list[list[int]], faults: list[str]
) -> None:
    """Every slot in its range, or an error in words; never padded, never clamped."""
    turns = iter(answers * 3)
    with serving(lambda body: iter(next(turns, []))) as server:
        server.faults = list(faults)
        try:
            (found,) = RemoteWriter(server.settings()).answer([request(1, 3, min_groups=2)])
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


@settings(deadline=None, max_examples=80)
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
def test_no_bytes_of_a_server_are_more_than_an_error_in_words(stream: bytes) -> None:
    with serving(lambda body: iter(())) as server:
        server.raw = stream + b"\n\n"
        with pytest.raises(StepEditError):
            RemoteWriter(server.settings()).answer([request(1, 400, min_groups=400)])


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
    trained: LmServer, model: Step1ForCausalLM
) -> None:
    asked = request(2, 6, sampling=GREEDY, min_groups=4)
    trained.faults = ["cut"]
    (found,) = RemoteWriter(trained.settings()).answer([asked])
    assert same(found, generate(model, [asked])[0])
    first, second = trained.bodies[:2]
    assert second["prompt"][: len(first["prompt"])] == first["prompt"]
    assert len(second["prompt"]) > len(first["prompt"])


@pytest.mark.parametrize("fault", ["cut", "hang up", "no reason"])
def test_a_stream_that_is_cut_again_is_an_error(trained: LmServer, fault: str) -> None:
    trained.faults = [fault] * 2
    with pytest.raises(EngineError, match="hung up in the middle of an answer, 2 times"):
        RemoteWriter(trained.settings()).answer([request(2, 6, min_groups=6)])


def test_an_end_that_the_server_keeps_to_itself_is_an_end(
    trained: LmServer, model: Step1ForCausalLM
) -> None:
    asked = [request(n, 20, sampling=GREEDY) for n in range(8)]
    trained.faults = ["keeps the end"] * 400
    found = RemoteWriter(trained.settings()).answer(asked)
    assert any(answer.stop == "end" for answer in found)
    for one, answer in zip(asked, found, strict=True):
        assert same(answer, generate(model, [one])[0])


def test_a_busy_server_is_asked_again(trained: LmServer, model: Step1ForCausalLM) -> None:
    trained.faults = ["429", "503", "429"]
    asked = request(1, 3, sampling=Sampling(temperature=0, repetition_rule=False))
    (found,) = RemoteWriter(trained.settings()).answer([asked])
    assert same(found, generate(model, [asked])[0])
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
        _until(lambda: trained.open == 1)
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


def test_status_says_where_and_waits_for_nobody(trained: LmServer) -> None:
    writer = RemoteWriter(trained.settings())
    assert writer.status() == {"server": trained.url, "model": "", "writing": 0}
    writer.answer([request(1)])
    assert writer.status()["model"] == "step1"
    writer.release()
    assert len(writer.answer([request(1)])[0].ids)


def _until(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")
