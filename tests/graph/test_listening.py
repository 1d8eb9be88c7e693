"""A run that is heard before it is done: the last edit as it comes, else the result at its end."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.store import Store


def heard(graph: str, take: Path, folder: Path, store: Store | None = None) -> list[Audio]:
    blocks: list[Audio] = []
    Graph.parse(graph).run(take, out_dir=folder / "out", store=store, hear=blocks.append)
    return blocks


def joined(blocks: list[Audio]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks], axis=1)


CHAIN = "{engine: toy, chain: [{emotion: happy}, {style: whisper}, %s]}"


def test_the_last_edit_is_heard_while_it_is_made_and_through_the_effects(
    take: Path, tmp_path: Path, calls: list[str]
) -> None:
    """Not the first edit, of which nobody wants to hear; and not dry."""
    chain = CHAIN % "{decode: {loudness: free}}, {effects: [{Gain: {gain_db: -6}}]}"
    blocks = heard(chain, take, tmp_path)
    assert calls == ["encode", "happy", "whisper", "heard", "heard", "heard", "decode"]
    result = Graph.parse(chain).run(take, out_dir=None).values["output"]
    np.testing.assert_allclose(joined(blocks), result.read(0, result.frames), atol=1e-6)
    assert [round(block.start_s * 8000) for block in blocks] == np.cumsum(
        [0, *(block.frames for block in blocks)]
    )[:-1].tolist()


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("{effects: [{Mix: [[Reverb], []]}]}", "Mix in "),
        ("{effects: [{Reverb: {wet_level: {keyframes: [[0, 0.0], [1, 0.5]]}}}]}", "a curve of"),
    ],
)
def test_what_needs_the_whole_is_heard_when_it_is_there(
    take: Path,
    tmp_path: Path,
    calls: list[str],
    rest: str,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And why it came so late is said."""
    with caplog.at_level(logging.WARNING):
        blocks = heard(CHAIN % rest, take, tmp_path)
    assert "heard" not in calls
    result = Graph.parse(CHAIN % rest).run(take, out_dir=None).values["output"]
    np.testing.assert_array_equal(joined(blocks), result.read(0, result.frames))
    assert why in caplog.text


def test_what_is_known_already_is_heard_too(take: Path, tmp_path: Path, calls: list[str]) -> None:
    store = Store.in_memory()
    chain = CHAIN % "decode"
    heard(chain, take, tmp_path, store)
    calls.clear()
    assert joined(heard(chain, take, tmp_path, store)).shape == (1, 400)
    assert calls == []


def test_an_engine_that_cannot_be_heard_early_is_heard_in_the_end(
    take: Path, tmp_path: Path
) -> None:
    chain = "{engine: parametric, chain: [{speed: faster}]}"
    result = Graph.parse(chain).run(take, out_dir=None).values["output"]
    heard_all = joined(heard(chain, take, tmp_path))
    np.testing.assert_array_equal(heard_all, result.read(0, result.frames))


def test_one_sound_at_a_time(take: Path, tmp_path: Path) -> None:
    two = """\
engine: toy
nodes:
  take: {type: input}
  a: {type: emotion, from: take, value: happy}
  x: {type: output, from: a, path: "a.wav"}
  y: {type: output, from: take, path: "b.wav"}
"""
    with pytest.raises(RequestError, match="2 outputs"):
        heard(two, take, tmp_path)
    with pytest.raises(RequestError, match="3 takes"):
        heard("{engine: toy, takes: 3, chain: [{emotion: happy}]}", take, tmp_path)
