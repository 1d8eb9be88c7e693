from __future__ import annotations

import pytest

from stepedit_fx.errors import NotFound, RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.live.split import split
from stepedit_fx.shipped import find_graph


@pytest.mark.parametrize(
    ("name", "above", "live"),
    [
        ("quickstart", "emotion", ("effects",)),
        ("dry-wet", "blend", ()),
        ("breath-and-sigh", "speed", ()),
    ],
)
def test_effects_after_the_last_edit_run_live(name: str, above: str, live: tuple[str, ...]) -> None:
    """Turning an effect would wait for a render, or an edit would be tried in the callback."""
    found = split(Graph.load(find_graph(name)))
    assert (found.above, found.live) == (above, live)


def _graph(*chains: object) -> Graph:
    nodes = ["  take: {type: input}"]
    for number, chain in enumerate(chains):
        source = "take" if number == 0 else f"fx{number - 1}"
        nodes.append(f"  fx{number}: {{type: effects, from: {source}, chain: {chain}}}")
    nodes.append(f"  out: {{type: output, from: fx{len(chains) - 1}}}")
    return Graph.parse("version: 1\nname: t\nnodes:\n" + "\n".join(nodes))


@pytest.mark.parametrize(
    ("chain", "is_live"),
    [
        ("[Reverb]", True),
        ("[{Mix: [[Reverb], [Gain]]}, {Chain: [Delay]}]", True),
        ("[PitchShift]", False),
        ("[{PitchShift: {semitones: 2}, bypass: true}]", False),
        ("[{Mix: [[Gain], [{Chain: [MP3Compressor]}]]}]", False),
        ("[BrickwallLimiter]", False),
        ("[Resample]", False),
        ("[GSMFullRateCompressor]", False),
    ],
)
def test_effects_that_need_the_whole_sound_are_rendered(chain: str, is_live: bool) -> None:
    """A pitch shift in blocks would stutter."""
    found = split(_graph(chain))
    assert found.live == (("fx0",) if is_live else ())


def test_what_follows_a_whole_effect_still_runs_live() -> None:
    """One MP3 effect early on would make all that follows slow to turn."""
    found = split(_graph("[Gain]", "[MP3Compressor]", "[Reverb]", "[Gain]"))
    assert (found.above, found.live) == ("fx1", ("fx2", "fx3"))
    assert "MP3Compressor" in found.why


def test_an_output_is_chosen_by_its_name() -> None:
    """--output would play another branch than the one that was asked for."""
    graph = Graph.load(find_graph("five-moods"))
    assert split(graph).above == "happy"
    assert split(graph, "sad_out").above == "sad"
    with pytest.raises(NotFound, match="sad_out"):
        split(graph, "sad_uot")


def test_an_output_must_be_one() -> None:
    """A node's name given for an output's would end in a traceback."""
    with pytest.raises(RequestError):
        split(Graph.load(find_graph("quickstart")), "emotion")
