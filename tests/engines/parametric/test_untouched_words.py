"""What an edit of pauses leaves alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from stepedit_fx.speech import Edit


def test_vad_leaves_words_as_they_were_to_the_sample(clip, render) -> None:
    """A cut pause must not take the phrase beside it through the time-stretcher."""
    wet = render(Edit("vad"))
    rate = clip.sample_rate
    assert wet.time_map
    for (there, here), (there_end, here_end) in pairwise(wet.time_map):
        length_s = here_end - here
        assert length_s == pytest.approx(0) or length_s == pytest.approx(there_end - there)
        first, length = round(there * rate), round(length_s * rate)
        inner = slice(300, max(length - 300, 300))  # the rest is cross-fades
        words = clip.samples[:, first : first + length][:, inner]
        moved = wet.samples[:, round(here * rate) :][:, :length][:, inner]
        np.testing.assert_allclose(moved, words, atol=1e-6)
