"""A language model elsewhere: the answers that it would give here, whatever its server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stepedit_fx.engines.step_audio.generation import Request, generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.remote import MOST_AT_ONCE, RemoteWriter
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.vocabulary import END_OF_TURN_ID, FIRST_AUDIO_ID, from_lm
from tests.engines.step_audio.lm_server import (
    GREEDILY,
    LmServer,
    request,
    same,
    serving,
    until,
    writing,
)

ANY = 10**6  # times that a model may break the order of slots


REQUESTS = [
    request(1, 6, sampling=GREEDILY),
    request(2, 6, sampling=GREEDILY, min_groups=4),
    request(3, 3, sampling=GREEDILY, min_groups=3),
    # A prompt that ends in one id over and over: the rule of repetition counts it too.
    Request((5, *[FIRST_AUDIO_ID + 7] * 10), 5, seed=4, sampling=GREEDILY),
    Request((1,), 4, seed=5, sampling=Sampling(temperature=0, repetition_rule=False)),
]


def test_a_model_that_leaves_the_groups_writes_what_it_would_here(
    served_model: Step1ForCausalLM,
) -> None:
    """With every slot, the end and repetition put right by requests that allow only those."""
    with serving(writing(served_model)) as server:
        found = RemoteWriter(server.settings(), most_breaks=ANY).answer(REQUESTS)
        assert len(server.bodies) > 5 * len(REQUESTS)  # it was put right, and often
    for asked, answer in zip(REQUESTS, found, strict=True):
        assert same(answer, generate(served_model, [asked])[0])


def test_a_model_that_keeps_the_groups_is_asked_once(
    trained: LmServer, served_model: Step1ForCausalLM
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
        assert same(answer, generate(served_model, [one])[0])


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
    trained: LmServer, served_model: Step1ForCausalLM
) -> None:
    """More than are sent at once; a swapped answer would be another take's words."""
    asked = [request(n, 1 + n % 2, sampling=GREEDILY) for n in range(MOST_AT_ONCE + 8)]
    seen: dict[int, list[int]] = {}
    ended: set[int] = set()

    def written(place: int, ids: Any, is_all: bool) -> None:
        assert list(ids)[: len(seen.get(place, []))] == seen.get(place, [])
        seen[place] = list(ids)
        ended.update({place} if is_all else ())

    found = RemoteWriter(trained.settings()).answer(asked, written=written)
    assert ended == set(range(len(asked)))
    for place, (one, answer) in enumerate(zip(asked, found, strict=True)):
        assert same(answer, generate(served_model, [one])[0])
        assert seen[place] == answer.ids.tolist()


def test_many_askers_each_get_their_own_answer(
    trained: LmServer, served_model: Step1ForCausalLM
) -> None:
    """The clients of a worker share one writer."""
    writer = RemoteWriter(trained.settings())
    asked = [request(n, 1, sampling=GREEDILY) for n in range(16)]
    with ThreadPoolExecutor(len(asked)) as askers:
        found = list(askers.map(lambda one: writer.answer([one])[0], asked))
    for one, answer in zip(asked, found, strict=True):
        assert same(answer, generate(served_model, [one])[0])


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
        until(lambda: server.open == MOST_AT_ONCE)
        threading.Event().wait(0.1)
        assert len(server.bodies) == MOST_AT_ONCE
        gate.set()
        assert [len(answer.ids) for answer in found.result(60)] == [5] * len(asked)


def test_progress_is_told_of_every_request(trained: LmServer) -> None:
    told: dict[int, int] = {}
    asked = [request(n, 4, min_groups=4) for n in range(3)]
    RemoteWriter(trained.settings()).answer(asked, progress=told.__setitem__)
    assert told == {0: 20, 1: 20, 2: 20}


def test_status_says_where_and_waits_for_nobody(trained: LmServer) -> None:
    writer = RemoteWriter(trained.settings())
    assert writer.status() == {"server": trained.url, "model": "", "writing": 0}
    writer.answer([request(1)])
    assert writer.status()["model"] == "step1"
    writer.release()
    assert len(writer.answer([request(1)])[0].ids)
