"""Prompts that come again: what is known of them is used, and held within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import writing

from stepedit_fx.engines.step_audio.generation import Request, generate
from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.lm_cache import Layer
from stepedit_fx.engines.step_audio.prompt_states import PromptStates
from stepedit_fx.engines.step_audio.token_service import TokenService

PROMPT = tuple(range(100, 140))


@pytest.fixture(scope="module")
def model() -> Step1ForCausalLM:
    return writing(6, ending=1.0)


def layers(count: int) -> list[Layer]:
    """What is known of so many ids: 16 bytes for each."""
    return [(torch.zeros(1, count, 2), torch.zeros(1, count, 2))]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=30))
def test_memory_never_passes_its_bound(asked: list[tuple[int, int]]) -> None:
    """Whatever prompts come; and what is given back was put there for these very ids."""
    states = PromptStates(most_bytes=160)
    for first, length in asked:
        prompt = tuple(range(first, first + length))
        known, found = states.longest(prompt, length // 2)
        assert known in (0, length // 2, length)
        if known:
            assert found[0][0].shape[1] == known
        states.put(prompt, layers(length))
        held = states.status()
        assert held["bytes"] <= 160
        assert held["held"] * 16 <= held["bytes"]
    told = states.status()
    assert told["whole"] + told["beginnings"] + told["misses"] == len(asked)
    states.clear()
    assert (states.status()["held"], states.status()["bytes"]) == (0, 0)


def test_another_take_of_an_edit_reads_nothing_again(model: Step1ForCausalLM) -> None:
    """`takes: 8` has eight seeds and one prompt; it must not be read eight times."""
    seen: list[int] = []

    def note(_module: Any, args: tuple[Any, ...]) -> None:
        seen.append(args[0].shape[1])

    service = TokenService(lambda: model, lambda places: 4, _no_memory())
    takes = [Request(PROMPT, 3, seed=seed, prefix=20) for seed in range(4)]
    alone = [generate(model, [take])[0].ids.tolist() for take in takes]
    hook = model.model.register_forward_pre_hook(note)
    try:
        found = [service.answer([take])[0].ids.tolist() for take in takes]
    finally:
        hook.remove()
    assert found == alone
    assert sum(seen) == len(PROMPT) - 1
    told = service.status()["prompts"]
    assert (told["whole"], told["misses"]) == (3, 1)


def test_what_is_released_is_read_again(model: Step1ForCausalLM) -> None:
    service = TokenService(lambda: model, lambda places: 4, _no_memory())
    take = Request(PROMPT, 3, seed=1)
    first = service.answer([take])[0].ids.tolist()
    service.release()
    assert service.answer([take])[0].ids.tolist() == first


def _no_memory() -> Callable[[Exception], None]:
    return lambda error: None
