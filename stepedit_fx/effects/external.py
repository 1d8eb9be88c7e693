"""VST3 and AudioUnit effects: only from folders the user allowed, each render in its own process.

A plugin of somebody else may crash, hang or print; JUCE also lets it load on one thread alone,
and graphs run on many. In a process of its own none of that reaches the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import External
from stepedit_fx.effects.files import plugin_path
from stepedit_fx.effects.plugins import checked, longer
from stepedit_fx.errors import EffectError

# A plugin that takes longer than this, and ten times the sound's own length, waits for somebody.
_PATIENCE_S = 60.0


def run_external(
    external: External,
    samples: Samples,
    sample_rate: int,
    folder: Path,
    plugin_folders: Sequence[Path],
) -> Samples:
    """The samples through the plugin, (channels, frames); its latency is made good.

    Raises EffectError where it may not or cannot be loaded, lacks a parameter, crashes or hangs.
    """
    path = plugin_path(external, folder, plugin_folders)
    frames = samples.shape[1]
    if frames == 0:
        return samples
    order = {
        "form": external.form,
        "path": str(path),
        "plugin": external.plugin,
        "params": dict(external.params),
        "sample_rate": sample_rate,
    }
    with TemporaryDirectory(prefix="stepedit-fx-") as name:
        desk = Path(name)
        (desk / "order.json").write_text(json.dumps(order), encoding="utf-8")
        np.save(desk / "in.npy", longer(samples))
        _host(desk, f"{external.form} {path}", _PATIENCE_S + 10 * frames / sample_rate)
        out: Samples = np.load(desk / "out.npy")
    return checked(out[:, :frames], samples, f"{external.form} {path}")


def _host(desk: Path, name: str, patience_s: float) -> None:
    """Runs the host on its desk; raises EffectError with what it, or the system, says."""
    command = [sys.executable, "-m", "stepedit_fx.effects.host", str(desk)]
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(  # noqa: S603 - our own module, and arguments of ours
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EffectError(
            f"{name} did not finish in {patience_s:.0f} s",
            remedy="Open it once in a DAW: it may wait for an answer.",
        ) from error
    refusal = desk / "refusal.json"
    if refusal.exists():
        said = json.loads(refusal.read_text(encoding="utf-8"))
        raise EffectError(f"{name}: {said['cause']}", remedy=said["remedy"])
    if done.returncode != 0 or not (desk / "out.npy").exists():
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
        raise EffectError(
            f"{name} crashed (exit code {done.returncode}) {last[0]}".rstrip(),
            remedy="Leave it out, or try a newer version of it.",
        )
