"""A real VST3, built on the spot: `apt install dpf-source g++`; skipped where there is none."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.errors import EffectError

DPF = Path("/usr/share/dpf/distrho")
SOURCE = Path(__file__).parent / "late_gain"
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not DPF.exists() or shutil.which("g++") is None,
    reason="needs Linux, g++ and dpf-source",
)

Run = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Noise through a chain of the plugin: (before, after)."""
    folder = tmp_path_factory.mktemp("plugins")
    bundle = folder / "LateGain.vst3" / "Contents" / f"{platform.machine()}-linux"
    bundle.mkdir(parents=True)
    parts = [str(SOURCE / "LateGain.cpp"), str(DPF / "DistrhoPluginMain.cpp")]
    options = ["-std=gnu++17", "-fPIC", "-shared", "-fvisibility=hidden", "-w"]
    options += ["-DDISTRHO_PLUGIN_TARGET_VST3", f"-I{SOURCE}", f"-I{DPF}", f"-I{DPF / 'src'}"]
    made = str(bundle / "LateGain.so")
    subprocess.run(["g++", *options, *parts, "-o", made, "-lpthread", "-ldl"], check=True)

    def through(channels: int = 2, **params: Any) -> tuple[Any, Any]:
        drawn = np.random.default_rng(0).uniform(-0.2, 0.2, (channels, 3000))
        sound = Audio(drawn.astype(np.float32), 24_000)
        chain = parse_chain([{"VST3": {"path": "LateGain.vst3", **params}}])
        out = render(chain, sound, folder=folder, plugin_folders=[folder])
        return sound.samples, out.samples

    return through


@pytest.mark.parametrize("channels", [1, 2])
def test_a_plugin_plays_in_line(run: Run, channels: int) -> None:
    """Its latency is made good, its parameter set; mono goes through one that knows only stereo."""
    before, after = run(channels, gain=2.0, plugin="LateGain")
    np.testing.assert_allclose(after, 2 * before, atol=1e-6)


def test_a_plugin_plays_on_any_thread(run: Run) -> None:
    """Graphs run on threads of their own, where JUCE refuses to load plugins."""
    with ThreadPoolExecutor(1) as pool:
        before, after = pool.submit(run).result()
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"gian": 1}, "has no parameter 'gian'. Did you mean 'gain'"),
        ({"gain": 9}, "gain cannot be 9"),
        ({"gain": "loud"}, "gain cannot be 'loud'"),
        ({"plugin": "Echo"}, "holds no plugin 'Echo'. Known: LateGain"),
        ({"channels": 3}, "does not support 3-channel"),
    ],
)
def test_what_it_cannot_do_is_said(run: Run, params: dict[str, Any], words: str) -> None:
    with pytest.raises(EffectError, match=words) as caught:
        run(**params)
    assert "LateGain.vst3" in str(caught.value)
    assert caught.value.remedy


def test_a_crash_is_the_plugins_alone(run: Run) -> None:
    with pytest.raises(EffectError, match=r"LateGain\.vst3 crashed"):
        run(crash=1)
