"""Ids a second: transformers' `generate` and the engine's loop, of one model and length."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from neural_models import Sizes, language_model, weight_bytes
from rows import Row, print_table
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from stepedit_fx.engines.step_audio.sampling import Sampling
from stepedit_fx.engines.step_audio.token_loop import TokenLoop
from stepedit_fx.engines.step_audio.vocabulary import GROUP

BATCHES = (1, 8, 32)
RUNS = 3
BAR_SHARE, BAR_CUDA, BAR_BATCH, BAR_CPU = 0.60, 5.0, 12.0, 1.5


def loop_rows(model: Step1ForCausalLM, *, is_small: bool) -> list[Row]:
    """The table of all batches, and the bars of this device."""
    device = model.device
    is_cuda = device.type == "cuda"
    groups = 40 if is_cuda else 6
    prompt_ids = 64 if is_small else 512  # 512: an edit of four seconds of speech
    table, ours, theirs = [], {}, {}
    for batch in BATCHES:
        pairs = [
            (
                _generate(model, batch, GROUP * groups, prompt_ids),
                _ours(model, batch, groups, prompt_ids),
            )
            for _ in range(RUNS)
        ]
        theirs[batch], ours[batch] = (statistics.median(p[n] for p in pairs) for n in (0, 1))
        ratio = statistics.median(b / a for a, b in pairs)
        table.append(
            (str(batch), f"{theirs[batch]:.1f}", f"{ours[batch]:.1f}", f"{ratio:.2f} times")
        )
        if batch == 1:
            alone = ratio
    print_table(
        ("batch", "(a) generate, ids/s", "(b) our loop, ids/s", "(b) over (a)"),
        table,
        f"Prompts of {prompt_ids} ids, {groups * GROUP} ids a row, medians of {RUNS}:",
    )
    bandwidth = _copy_bandwidth(device)
    share = ours[1] * weight_bytes(model) / bandwidth
    told = (
        f"{100 * share:.0f} % ({weight_bytes(model) / 1e9:.2f} GB an id, "
        f"copies at {bandwidth / 1e9:.0f} GB/s)"
    )
    growth = ours[32] / ours[1]
    cuda = is_cuda and not is_small
    return [
        Row(
            "our loop against `generate`, batch 1",
            f"at least {BAR_CUDA if cuda else BAR_CPU:g} times",
            f"{alone:.2f} times ({ours[1]:.1f} ids/s)",
            alone >= (BAR_CUDA if cuda else BAR_CPU),
            "loop",
        ),
        Row(
            "our loop, share of the memory's bandwidth, batch 1",
            f"at least {100 * BAR_SHARE:.0f} %" if cuda else "-",
            told,
            share >= BAR_SHARE if cuda else None,
            "loop",
        ),
        Row(
            "our loop, batch 32 against batch 1",
            f"at least {BAR_BATCH:g} times" if cuda else "-",
            f"{growth:.1f} times",
            growth >= BAR_BATCH if cuda else None,
            "loop",
        ),
    ]


def numbers_rows(sizes: Sizes) -> list[Row]:
    """The loop in float32 and in bfloat16 on this CPU, by turns."""
    models = {
        name: language_model(sizes.language_model, "cpu", dtype)
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    found = {
        (name, batch): statistics.median(_ours(model, batch, 4, 64) for _ in range(RUNS))
        for batch in (1, 8)
        for name, model in models.items()
    }
    return [
        Row(
            f"our loop in bfloat16 against float32, batch {batch}",
            "-",
            f"{found['bfloat16', batch] / found['float32', batch]:.2f} times "
            f"({found['float32', batch]:.1f}, {found['bfloat16', batch]:.1f} ids/s)",
            None,
            "numbers",
        )
        for batch in (1, 8)
    ]


def _ours(model: Step1ForCausalLM, batch: int, groups: int, prompt_ids: int) -> float:
    """Ids a second, all rows together, as the engine runs it: a look at who ended twice a group."""
    loop = TokenLoop(model, batch, prompt_ids + (groups + 3) * GROUP)
    most = (groups + 2) * GROUP
    with torch.inference_mode():
        for row in range(batch):
            loop.admit(_prompt(prompt_ids), least=most, most=most, seed=row, sampling=Sampling())
        _groups(loop, 1)  # libraries choose, graphs are captured

        def work() -> None:
            _groups(loop, groups)

        return batch * groups * GROUP / _seconds(work, model.device)


def _groups(loop: TokenLoop, count: int) -> None:
    for _ in range(count):
        loop.advance()
        loop.ended()
        loop.advance(GROUP - 1)
        loop.ended()


def _generate(model: Step1ForCausalLM, batch: int, ids: int, prompt_ids: int) -> float:
    """Ids a second from the third on, so that reading the prompt does not count."""
    prompts = torch.tensor([_prompt(prompt_ids)] * batch, device=model.device)
    clock = _Clock(model.device)
    with torch.inference_mode():
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=ids + 2,
            min_new_tokens=ids + 2,
            do_sample=True,
            temperature=0.7,
            top_k=0,
            pad_token_id=0,
            stopping_criteria=StoppingCriteriaList([clock]),
        )
    return batch * ids / (clock.times[-1] - clock.times[1])


class _Clock(StoppingCriteria):  # type: ignore[misc]
    """Never stops; notes when it was asked, which is once an id."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def __call__(self, ids: Tensor, _scores: Tensor, **_: object) -> Tensor:
        _wait(self.device)
        self.times.append(time.perf_counter())
        return torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)


def _prompt(ids: int) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    drawn: list[int] = torch.randint(5, 60_000, (ids,), generator=generator).tolist()
    return drawn


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written a second by a copy that no cache holds."""
    size = (8 << 30) if device.type == "cuda" else (1 << 30)
    source = torch.zeros(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    seconds = [_seconds(lambda: target.copy_(source), device) for _ in range(5)]
    return 2 * size / min(seconds)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
