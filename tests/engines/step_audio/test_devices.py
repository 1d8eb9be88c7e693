"""Where it runs, in which numbers, and how much memory that takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stepedit_fx.engines.step_audio import devices, memory
from stepedit_fx.engines.step_audio.devices import choose_device, choose_dtype, what_fits
from stepedit_fx.engines.step_audio.memory import (
    GB,
    LanguageModelSize,
    free_memory_bytes,
    smallest_card,
)
from stepedit_fx.errors import RequestError

CPU = torch.device("cpu")
PUBLISHED = LanguageModelSize()


def test_the_computed_sizes_are_those_of_the_published_files() -> None:
    """What the documents say about memory rests on this: 7.06 GB, and AWQ's 2.502 GB."""
    assert PUBLISHED.weight_bytes("bfloat16") == pytest.approx(7.06 * GB, rel=1e-3)
    assert PUBLISHED.weight_bytes("awq") == pytest.approx(2_502_127_032, rel=1e-4)
    assert PUBLISHED.cache_bytes(1) == 32 * 2 * 4 * 64 * 2


@pytest.mark.parametrize(
    ("numbers", "card_gb"),
    [("float32", 24), ("bfloat16", 12), ("int8", 8), ("int4", 6), ("awq", 6)],
)
def test_cards_of_the_table_in_the_documents(numbers: str, card_gb: int) -> None:
    assert smallest_card(PUBLISHED.total_bytes(numbers)) == card_gb


def test_what_no_card_holds_is_said() -> None:
    assert smallest_card(10**15) is None


def test_sizes_are_read_off_a_config() -> None:
    config = {
        "num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 48,
        "num_attention_heads": 6, "num_attention_groups": 2, "vocab_size": 100,
    }  # fmt: skip
    size = LanguageModelSize.of(config)
    layer = 2 * 24 * 24 + 2 * 24 * 8 + 3 * 24 * 48 + 2 * 24
    assert size.parameters == 2 * layer + 2 * 100 * 24 + 24
    with pytest.raises(KeyError):
        LanguageModelSize.of({})


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("cpu:0") == CPU
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta", "xpu", "cuda:-1"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="device") as caught:
        choose_device(name)
    assert caught.value.remedy


def test_an_absent_device_is_said_with_a_remedy() -> None:
    """cuda on a machine without one must not end in torch's assertion."""
    count = torch.cuda.device_count()
    with pytest.raises(RequestError, match="there is no device") as caught:
        choose_device(f"cuda:{count}")
    assert "auto" in caught.value.remedy


def test_a_cpu_takes_bfloat16_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the processor, so that a key does not change from one day to the next."""
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: True)
    assert choose_dtype("auto", CPU, size=LanguageModelSize(hidden=48)) == torch.bfloat16
    assert choose_dtype("float32", CPU) == torch.float32


def test_a_cpu_takes_float32_if_it_has_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model runs exactly; one that would not fit is halved rather than swapped."""
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: False)
    assert choose_dtype("auto", CPU, size=LanguageModelSize(hidden=48)) == torch.float32
    assert choose_dtype("auto", CPU, size=LanguageModelSize(layers=10**6)) == torch.bfloat16
    assert choose_dtype("float16", CPU) == torch.float16


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(RequestError, match="bflot16") as caught:
        choose_dtype("bflot16", CPU)
    assert "bfloat16" in caught.value.remedy


def test_free_memory_is_a_sensible_number() -> None:
    free = free_memory_bytes()
    assert free is None or 10**6 < free < 10**14


def test_what_fits_names_figures_and_settings() -> None:
    """Out of memory: the message must say what would fit."""
    told = what_fits(CPU, torch.float32)
    assert "anguage model" not in what_fits(CPU, None)  # a server has it
    assert "14.1 GB as float32" in told
    assert "bfloat16" in told


def test_a_batch_of_takes_is_as_large_as_the_memory() -> None:
    """A small card writes fewer takes side by side, rather than running out of memory."""
    size = LanguageModelSize()
    one = size.cache_bytes(2048)
    rows = [size.rows_in(int(share * one), 2048) for share in (0.5, 2, 20, 200)]
    assert rows[0] == 0
    assert rows == sorted(rows)
    assert 0.7 * 200 < rows[-1] < 0.8 * 200
    assert size.rows_in(20 * one, 4096) < size.rows_in(20 * one, 2048)


@pytest.mark.parametrize(("quota", "cores"), [("150000 100000", 2), ("max 100000", 64), ("", 64)])
def test_a_container_s_quota_is_what_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    """64 threads on two processors' time wait for one another."""
    if quota:
        (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory.os, "sched_getaffinity", lambda pid: range(64), raising=False)
    assert memory.usable_cores() == cores
