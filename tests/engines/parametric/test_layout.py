"""Pieces have no gap and no overlap, in the source or in the output, whatever is asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.layout import Insert, lay_out, time_map, total_length
from stepedit_fx.timeline import at

RATE = 8000


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    frames = draw(st.integers(2, 4000))
    edges = sorted(draw(st.sets(st.integers(0, frames - 1), max_size=8)))
    pauses = tuple(zip(edges[::2], edges[1::2], strict=False))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Analysis(
        samples=np.zeros((1, (frames - 1) * RATE // 100), np.float32),
        rate=RATE,
        f0=np.zeros(frames),
        level_db=rng.uniform(-60, 0, frames),
        pauses=pauses,
        nuclei=(),
    )


@st.composite
def jobs(draw: st.DrawFn):
    analysis = draw(analyses())
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    curves = {}
    if draw(st.booleans()):
        curves["stretch_ln"] = rng.uniform(-1, 1, analysis.frames).astype(np.float32)
    inserts = [
        Insert(frame, np.ones(draw(st.integers(1, 3000))), 100)
        for frame in draw(st.lists(st.integers(0, analysis.frames - 1), max_size=4))
    ]
    return analysis, curves, inserts


@given(jobs())
@settings(max_examples=150)
def test_pieces_cover_source_and_output_once(job) -> None:
    analysis, curves, inserts = job
    pieces = lay_out(analysis, curves, inserts)
    assert pieces[0].first == 0
    assert pieces[0].at == 0
    assert pieces[-1].end == analysis.samples.shape[1]
    for left, right in pairwise(pieces):
        assert left.end == right.first
        assert left.at + left.length == right.at
    assert [p.insert for p in pieces if p.insert] == sorted(inserts, key=lambda i: i.frame)
    for piece in pieces:
        assert piece.length >= 0
        assert piece.end - piece.first <= 16 * RATE or piece.pause
        if piece.insert is not None:
            assert 0 <= piece.insert_at <= piece.length - len(piece.insert.samples)


@given(analyses())
@settings(max_examples=50)
def test_nothing_asked_means_every_piece_keeps_its_length(analysis) -> None:
    pieces = lay_out(analysis, {}, [])
    assert all(p.length == p.end - p.first and p.at == p.first for p in pieces)


@given(jobs())
@settings(max_examples=50)
def test_time_runs_forward_from_start_to_end(job) -> None:
    analysis, curves, inserts = job
    pieces = lay_out(analysis, curves, inserts)
    end_s = analysis.samples.shape[1] / RATE
    moves = time_map(pieces, curves, analysis)
    heard = [at(moves, s) for s in np.linspace(0, end_s, 30)]
    assert all(a <= b + 1e-9 for a, b in pairwise(heard))
    assert heard[-1] <= total_length(pieces) / RATE + 1e-9
