"""Takes that come and go in one loop get the codes that they would get alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import writing

from stepedit_fx.engines.step_audio import token_loop
from stepedit_fx.engines.step_audio.generation import Request, generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.token_loop import TokenLoop
from stepedit_fx.engines.step_audio.vocabulary import GROUP


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    return writing(5)


takes = st.builds(
    Request,
    prompt_ids=st.lists(st.integers(5, 60_000), min_size=1, max_size=30).map(tuple),
    max_groups=st.integers(1, 6),
    seed=st.integers(0, 2**40),
    sampling=st.builds(
        Sampling,
        top_k=st.sampled_from([0, 5]),
        repetition_rule=st.booleans(),
        temperature=st.just(1),
    ),
)


def admitted(loop: TokenLoop, request: Request) -> bool:
    return loop.admit(
        list(request.prompt_ids),
        least=request.min_groups * GROUP,
        most=request.max_groups * GROUP,
        seed=request.seed,
        sampling=request.sampling,
        prefix=request.prefix,
    )


@settings(max_examples=25)
@given(requests=st.lists(takes, min_size=2, max_size=7), rows=st.integers(1, 3))
def test_a_waiting_take_has_the_place_of_one_that_ends(
    model: Step1ForCausalLM, requests: list[Request], rows: int
) -> None:
    """A take that comes into a running batch must neither hear nor disturb the others."""
    loop = TokenLoop(model, rows, 64)
    waiting = list(enumerate(requests))
    running: list[int] = []
    answers: dict[int, list[int]] = {}
    with torch.inference_mode():
        while waiting or running:
            while waiting and loop.active < rows:
                number, request = waiting.pop(0)
                assert admitted(loop, request)
                running.append(number)
            loop.advance()
            for row in loop.ended():
                answers[running[row]] = loop.written(row)
                loop.leave(row)
                running[row] = running[-1]
                running.pop()
    for number, request in enumerate(requests):
        assert answers[number] == generate(model, [request])[0].ids.tolist()


def test_a_shared_beginning_is_computed_once_and_changes_no_code(
    model: Step1ForCausalLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system prompt is a fifth of a short edit's prompt."""
    seen: list[int] = []

    def note(_module: Any, args: tuple[Any, ...]) -> None:
        seen.append(args[0].shape[1])

    monkeypatch.setattr(token_loop, "PREFILL_IDS", 8)
    shared = tuple(range(100, 120))
    requests = [Request((*shared, *range(n, n + 9)), 4, seed=n, prefix=20) for n in (200, 300)]
    alone = [generate(model, [request])[0].ids.tolist() for request in requests]
    loop = TokenLoop(model, 1, 64)
    hook = model.model.register_forward_pre_hook(note)
    try:
        again = [generate(model, [r], loop=loop)[0].ids.tolist() for r in requests]
    finally:
        hook.remove()
    assert again == alone
    assert seen == [8, 8, 4, 8, 8]  # three pieces of the prefix, and each its own rest


def test_draws_at_once_are_the_draws_one_by_one() -> None:
    """Else a seed would mean other codes than it did."""
    one, all_ = torch.Generator().manual_seed(7), torch.Generator().manual_seed(7)
    singly = [torch.rand((), generator=one, dtype=torch.float64).item() for _ in range(50)]
    assert torch.rand(50, generator=all_, dtype=torch.float64).tolist() == singly


def test_a_head_that_is_wrapped_gives_the_same_logits(model: Step1ForCausalLM) -> None:
    """LoRA and offloading wrap lm_head; reading rows of its weight would go past them."""
    hidden = torch.randn(2, 30, dtype=torch.float64)
    plain = token_loop.audio_head(model)(hidden)
    hook = model.lm_head.register_forward_hook(lambda _m, _a, out: out * 2)
    try:
        assert torch.allclose(token_loop.audio_head(model)(hidden), plain * 2, rtol=1e-5)
    finally:
        hook.remove()
