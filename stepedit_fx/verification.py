"""Whether an output can be made again from its provenance, and comes out the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from stepedit_fx.errors import StepEditError
from stepedit_fx.graph.best import seeded
from stepedit_fx.graph.plan import Plan
from stepedit_fx.nodes.output import Output
from stepedit_fx.provenance import (
    Provenance,
    file_digest,
    read_provenance,
    sidecar,
    steps_data,
    versions,
)
from stepedit_fx.store import Store

if TYPE_CHECKING:
    from stepedit_fx.files import Recording

State = Literal["same", "differs", "no provenance", "source missing", "failed"]


@dataclass(frozen=True)
class Verdict:
    """What came of one output. detail: by how much it differs, or why it could not be made."""

    output: Path
    state: State
    detail: str = ""


def verify_output(
    output: Path, *, plugin_folders: Sequence[Path] = (), store: Store | None = None
) -> Verdict:
    """Render an output again from its provenance, and compare the samples.

    store: one in memory, for what several outputs of one recording share; what an earlier run
    kept would prove nothing.
    """
    try:
        if not output.is_file():
            return Verdict(output, "failed", "there is no such file")
        known = read_provenance(output)
        if known is None:
            return Verdict(output, "no provenance", f"there is no {sidecar(output).name} beside it")
        if known.source is not None and not known.source.is_file():
            return Verdict(output, "source missing", f"{known.source} is gone")
        return _rendered_again(output, known, tuple(plugin_folders), store)
    except StepEditError as error:
        return Verdict(output, "failed", str(error))


def _rendered_again(
    output: Path, known: Provenance, plugin_folders: tuple[Path, ...], store: Store | None
) -> Verdict:
    from stepedit_fx.files import scan_recording

    graph = known.graph_source.graph()
    if known.takes:  # the one that was kept is the only one that matters
        graph = seeded(graph, int(known.takes["kept"]))
    if known.node not in graph.nodes or not isinstance(graph.nodes[known.node].node, Output):
        return Verdict(output, "failed", f"its graph has no output '{known.node}'")
    with tempfile.TemporaryDirectory(prefix="stepedit-verify-") as folder:
        result = graph.run(
            known.source,
            out_dir=folder,
            plugin_folders=plugin_folders,
            index=known.index,
            store=store,
        )
        difference = compare(scan_recording(output), scan_recording(result.outputs[known.node]))
    if not difference:
        return Verdict(output, "same")
    return Verdict(output, "differs", f"{difference}. {_what_changed(output, known, result.plan)}")


def compare(there: Recording, again: Recording) -> str:
    """How two recordings differ, in words; empty where every sample is the same."""
    if there.sample_rate != again.sample_rate:
        return f"{there.sample_rate} Hz, rendered again {again.sample_rate} Hz"
    if (there.channels, there.frames) != (again.channels, again.frames):
        shapes = [f"{a.channels} x {a.frames} frames" for a in (there, again)]
        return f"{shapes[0]}, rendered again {shapes[1]}"
    largest, count = 0.0, 0
    for old, new in zip(there.blocks(), again.blocks(), strict=True):
        largest = max(largest, float(np.abs(old - new).max(initial=0.0)))
        count += int(np.count_nonzero(old != new))
    return f"{count} samples differ, by {20 * np.log10(largest):.1f} dBFS at most" if count else ""


def _what_changed(output: Path, known: Provenance, plan: Plan) -> str:
    """The likely reasons, most telling first."""
    reasons = []
    if file_digest(output) != known.sha256:
        reasons.append("the file was changed after it was written")
    steps = steps_data(plan)
    inputs = [id_ for id_, step in steps.items() if step["kind"] == "input"]
    if any(steps[id_]["key"] != known.steps.get(id_, {}).get("key") for id_ in inputs):
        reasons.append("the recording is another one now")
    if plan.graph.digest != known.graph.get("digest"):
        reasons.append("the graph means something else in this version")
    if plan.engine.fingerprint != known.engine.get("fingerprint"):
        reasons.append("the engine is another one now")
    current = versions()
    reasons += [
        f"{name} was {version}, is {current.get(name, 'not installed')}"
        for name, version in known.versions.items()
        if current.get(name) != version
    ]
    return f"Why: {'; '.join(reasons)}." if reasons else "Nothing that is known of has changed."
