"""Many askers, one batch: each gets its own answer, and nobody waits for somebody slower."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from language_models import writing

from stepedit_fx.engines.step_audio.configuration import Step1Config
from stepedit_fx.engines.step_audio.generation import Request, generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.networks import is_out_of_memory
from stepedit_fx.engines.step_audio.token_service import TokenService
from stepedit_fx.errors import EngineError, RequestError


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    return writing(5)


def service(model: Any, rows: int = 4) -> TokenService:
    return TokenService(lambda: model, lambda places: rows, _out_of_memory)


def _out_of_memory(error: BaseException) -> EngineError | None:
    return EngineError("out of memory") if is_out_of_memory(error) else None


def request(n: int, groups: int = 3) -> Request:
    return Request(tuple(range(100 + n, 110 + 2 * n)), groups, seed=n)


def test_sixty_four_askers_each_get_their_own_answer(model: Step1ForCausalLM) -> None:
    """A swapped answer would put another take's words into this one's mouth."""
    shared = service(model)
    with ThreadPoolExecutor(64) as pool:
        found = list(pool.map(lambda n: shared.answer([request(n)])[0], range(64)))
    for n, answer in enumerate(found):
        assert np.array_equal(answer.ids, generate(model, [request(n)])[0].ids)


def test_a_longer_take_finds_room_beside_shorter_ones(model: Step1ForCausalLM) -> None:
    """The batch grows while it runs; what is in it must not notice."""
    shared = service(model)
    mixed = [request(1, 30), Request(tuple(range(5, 1500)), 2, seed=8), request(2, 8), request(3)]
    together = shared.answer(mixed)
    for asked, answer in zip(mixed, together, strict=True):
        assert np.array_equal(answer.ids, generate(model, [asked])[0].ids)


def test_the_urgent_go_before_the_rest(model: Step1ForCausalLM) -> None:
    """What someone is listening to does not stand behind a night's batch."""
    shared = service(model, rows=1)
    ended: list[str] = []

    def ask(name: str, n: int, urgent: bool) -> None:
        shared.answer([request(n, 4)], is_urgent=urgent)
        ended.append(name)

    gate = _held(shared)
    threads = [
        threading.Thread(target=ask, args=(name, n, name == "urgent"))
        for n, name in enumerate(["batch", "batch", "batch", "urgent"])
    ]
    for thread in threads:
        thread.start()
    _until(lambda: shared.status()["waiting"] >= 3)  # and one is on its way in
    gate.set()
    for thread in threads:
        thread.join(60)
    assert "urgent" in ended[:2]  # at most the one that had begun comes before it


def test_two_askers_with_many_takes_go_in_turn(model: Step1ForCausalLM) -> None:
    """The second of two batches must not wait for all of the first."""
    shared = service(model, rows=1)
    order: list[int] = []

    def ask(asker: int) -> None:
        def told(_place: int, _ids: int) -> None:
            order.append(asker)

        takes = [Request((asker, 5 + n), 3, seed=n, min_groups=3) for n in range(6)]
        shared.answer(takes, progress=told)

    gate = _held(shared)
    threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    _until(lambda: shared.status()["waiting"] >= 11)
    gate.set()
    for thread in threads:
        thread.join(60)
    assert (shared.status()["waiting"], shared.status()["writing"]) == (0, 0)
    ends = [i for i, asker in enumerate(order) if asker == order[0]]
    # The first did not end before the second began.
    assert max(ends) > order.index(3 - order[0]), order


def test_what_is_not_wanted_any_more_stops(model: Step1ForCausalLM) -> None:
    shared = service(model)
    long = Request((5, 6), 1500, seed=1, min_groups=1500)
    (answer,) = shared.answer([long], cancelled=lambda: True)
    assert answer.stop == "cancelled"
    assert len(answer.ids) < 1500 * 5
    assert shared.answer([request(3)])[0].stop in {"end", "budget"}


def test_one_bad_request_fails_alone(model: Step1ForCausalLM) -> None:
    shared = service(model)
    with ThreadPoolExecutor(2) as pool:
        bad = pool.submit(shared.answer, [Request((), 3, seed=0)])
        good = pool.submit(shared.answer, [request(1)])
        with pytest.raises(RequestError, match="must hold ids"):
            bad.result(60)
        assert len(good.result(60)[0].ids)


def test_damaged_weights_are_an_error_and_the_service_goes_on() -> None:
    torch.manual_seed(5)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 4, "num_attention_groups": 2}
    broken = Step1ForCausalLM(Step1Config(**sizes, **heads)).eval()  # type: ignore[arg-type]
    kept = broken.model.norm.weight.clone()
    shared = service(broken)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    with pytest.raises(EngineError, match="NaN"):
        shared.answer([request(1)])
    with torch.no_grad():
        broken.model.norm.weight.copy_(kept)
    assert len(shared.answer([request(1)])[0].ids)


def test_out_of_memory_makes_the_batch_smaller_and_loses_nothing(
    model: Step1ForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four takes that do not fit together are written two by two, with the same codes."""
    from stepedit_fx.engines.step_audio.token_loop import TokenLoop

    real, sizes = TokenLoop.advance, []

    def short_of_memory(self: TokenLoop, steps: int = 1) -> None:
        sizes.append(self.active)
        if self.active > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        real(self, steps)

    monkeypatch.setattr(TokenLoop, "advance", short_of_memory)
    found = service(model).answer([request(n) for n in range(4)])
    monkeypatch.undo()
    for n, answer in enumerate(found):
        assert np.array_equal(answer.ids, generate(model, [request(n)])[0].ids)
    assert max(sizes[1:]) <= 2


def _held(shared: TokenService) -> threading.Event:
    """An event that the service's model waits for, so that a queue can form."""
    gate = threading.Event()
    real = shared._model

    def later() -> Any:
        gate.wait(60)
        return real()

    shared._model = later
    return gate


def _until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_who_cannot_listen_costs_nobody_else_their_answer(model: Step1ForCausalLM) -> None:
    """A progress bar that breaks must not end the edits of other programs."""
    shared = service(model)

    def broken(_place: int, _ids: int) -> None:
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(shared.answer, [request(1, 8)], progress=broken)
        other = pool.submit(shared.answer, [request(2, 8)])
        with pytest.raises(ZeroDivisionError):
            mine.result(60)
        assert np.array_equal(other.result(60)[0].ids, generate(model, [request(2, 8)])[0].ids)
