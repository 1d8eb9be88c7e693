"""Several takes of one graph, each with other seeds: scored, and the best one kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from stepedit_fx.audio import Audio, Sound, held
from stepedit_fx.graph.scoring import VERSION, Judge, Score
from stepedit_fx.graph.spec import Graph
from stepedit_fx.nodes.base import EditNode
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.ladder import Ladder
from stepedit_fx.speech import Edit

if TYPE_CHECKING:
    from stepedit_fx.files import Recording

logger = logging.getLogger(__name__)

# From one take's seeds to the next one's: a prime, so that seeds of a graph do not meet.
SEED_STEP = 1_000_003
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Trial:
    """One take. number: from 1; take 1 is what the graph gives without takes. seeds: by node.

    outputs: the score of each, by node. total: their mean.
    """

    number: int
    seeds: dict[str, int]
    outputs: dict[str, Score]

    @property
    def total(self) -> float:
        return round(sum(s.total for s in self.outputs.values()) / max(len(self.outputs), 1), 4)

    @property
    def missing(self) -> tuple[str, ...]:
        """Words that went missing, as far as anybody listened."""
        lost = (word for score in self.outputs.values() for word in score.missing or ())
        return tuple(dict.fromkeys(lost))

    def data(self) -> dict[str, Any]:
        """As provenance and --json have it."""
        outputs = {
            node: {"score": score.total, **score.parts} for node, score in self.outputs.items()
        }
        return {
            "take": self.number,
            "score": self.total,
            "missing_words": list(self.missing),
            "seeds": self.seeds,
            "outputs": outputs,
        }


def seeded(graph: Graph, number: int) -> Graph:
    """The graph as its take of this number: every seed moved on, and one take only."""
    nodes = dict(graph.nodes)
    for node_id, seed in _seeds(graph, number).items():
        spec = nodes[node_id]
        nodes[node_id] = replace(spec, node=spec.node.model_copy(update={"seed": seed}))
    return replace(graph, nodes=MappingProxyType(nodes), takes=1)


def _seeds(graph: Graph, number: int) -> dict[str, int]:
    return {
        spec.id: (spec.node.seed + (number - 1) * SEED_STEP) % (MAX_SEED + 1)  # type: ignore[attr-defined]
        for spec in graph.nodes.values()
        if "seed" in type(spec.node).model_fields
    }


def try_takes(
    graph: Graph,
    recordings: Mapping[str, Audio | Recording],
    render: Callable[[Graph], Mapping[str, Sound]],
) -> tuple[Trial, ...]:
    """Every take of a graph, the best first; of equal ones the earlier.

    recordings: by input. render: gives a graph's sounds, by output.
    """
    trials = []
    heard: set[tuple[str, ...]] = set()
    judges: dict[str, Judge] = {}
    for number in range(1, graph.takes + 1):
        scores = {}
        sounds: list[str] = []
        for node_id, sound in render(seeded(graph, number)).items():
            if node_id not in judges:
                judges[node_id] = _judge(graph, node_id, recordings)
            whole = held(sound)
            sounds.append(whole.digest)
            scores[node_id] = judges[node_id].score(whole)
        heard.add(tuple(sounds))
        trials.append(Trial(number, _seeds(graph, number), scores))
        logger.debug("take %d of %d: %.3f", number, graph.takes, trials[-1].total)
    if len(heard) == 1 and graph.takes > 1:
        logger.warning(
            "all %d takes are the same: nothing in this graph is drawn by its seed here",
            graph.takes,
        )
    trials.sort(key=lambda trial: (-trial.total, trial.number))
    if trials[0].missing:
        logger.warning(
            "in the best of %d takes not all words are understood any more: %s",
            graph.takes,
            ", ".join(trials[0].missing),
        )
    return tuple(trials)


def takes_data(trials: tuple[Trial, ...]) -> dict[str, Any]:
    """What provenance says of takes: which was kept, and all of them, the best first."""
    if not trials:
        return {}
    return {
        "kept": trials[0].number,
        "count": len(trials),
        "scoring": VERSION,
        "all": [trial.data() for trial in trials],
    }


def kept_take(data: Mapping[str, Any], graph: Graph) -> int:
    """Which take an earlier run of this graph kept, 0 where that must be found out anew."""
    told = (data.get("count"), data.get("scoring"))
    kept = data.get("kept")
    is_known = told == (graph.takes, VERSION) and isinstance(kept, int)
    return kept if is_known and isinstance(kept, int) and 1 <= kept <= graph.takes else 0


def _judge(graph: Graph, output: str, recordings: Mapping[str, Audio | Recording]) -> Judge:
    """Who scores an output: against its recording, by the edits on the way from there."""
    edits: list[Edit] = []
    at = output
    while graph.nodes[at].sources:
        node = graph.nodes[at].node
        if isinstance(node, EditNode | Clone) and not node.bypass:
            edits.append(node.edit())
        elif isinstance(node, Ladder) and not node.bypass:
            edits.append(replace(node.edit.edit(), strength=min(node.position, 1.0)))
        at = graph.nodes[at].sources[0]
    return Judge(_whole(recordings[at]), edits[::-1])


def _whole(recording: Audio | Recording) -> Audio:
    if isinstance(recording, Audio):
        return recording
    samples = np.concatenate(list(recording.blocks()), axis=1)
    return Audio(samples, recording.sample_rate, recording.start_s, recording.transcript)
