"""What an edit must not do: touch what it was not asked to, raise peaks, click."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyloudnorm
import soundfile
from numpy.typing import NDArray
from rows import SPEECH, Row, print_table, speech_clips

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.graph import Graph
from stepedit_fx.speech import Edit, Speech, Transcript

BAR_STEP_TIMES = 2.0
SUBTYPES = ("PCM_16", "PCM_24", "FLOAT")
RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000)
CHANNELS = (1, 2, 6, 8)
PASS_S = 0.4
# Three ways to ask for nothing.
PASSES = {
    "no edit": "nodes: {take: {type: input}, out: {type: output, from: take}}",
    "encode and decode": "chain: [decode]",
    "edits at strength 0": "chain: [{emotion: {value: angry, strength: 0}}, {denoise: 0}]",
}


def fidelity(small: bool) -> list[Row]:
    """The unedited pass bit for bit; peaks and steps of every tag on every clip."""
    return [*_unedited(small), *_peaks_and_steps(small)]


def _unedited(small: bool) -> list[Row]:
    rates, channels = (RATES_HZ[::4], CHANNELS[:2]) if small else (RATES_HZ, CHANNELS)
    cases = [(rate, count, subtype) for rate in rates for count in channels for subtype in SUBTYPES]
    wrong: dict[str, list[str]] = {name: [] for name in PASSES}
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            source = Path(folder) / "take.wav"
            _write_noise(source, *case)
            for name, body in PASSES.items():
                text = f"version: 1\nname: pass\n{body}\n"
                written = Graph.parse(text).run(source, out_dir=folder).outputs
                if not _is_same(source, next(iter(written.values())), case[2]):
                    wrong[name].append(" ".join(map(str, case)))
    told = f"{len(rates)} rates, {len(channels)} channel counts, {', '.join(SUBTYPES)}"
    return [
        Row(
            f"unedited pass, {name} ({told})",
            "the source, bit for bit",
            f"{len(cases) - len(bad)} of {len(cases)} the same"
            + "".join(f"; not {b}" for b in bad),
            not bad,
            "fidelity",
        )
        for name, bad in wrong.items()
    ]


def _write_noise(path: Path, rate: int, channels: int, subtype: str) -> None:
    """Every bit in use, full scale included; floats past full scale too, and a negative zero."""
    random = np.random.default_rng(rate * channels)
    frames = round(PASS_S * rate)
    if subtype == "FLOAT":
        samples = random.uniform(-1.5, 1.5, (frames, channels)).astype(np.float32)
        samples[:2] = [[-0.0], [np.float32(1e-30)]]
    else:
        bits = int(subtype[4:])
        values = random.integers(-(1 << bits - 1), 1 << bits - 1, (frames, channels), np.int64)
        values[:2] = [[-(1 << bits - 1)], [(1 << bits - 1) - 1]]
        samples = (values << (32 - bits)).astype(np.int32)
    soundfile.write(path, samples, rate, subtype=subtype)


def _is_same(source: Path, output: Path, subtype: str) -> bool:
    """Whether both hold the same samples, at the same rate, length and channel count."""
    read_as = "float32" if subtype == "FLOAT" else "int32"
    one, rate = soundfile.read(source, dtype=read_as, always_2d=True)
    other, other_rate = soundfile.read(output, dtype=read_as, always_2d=True)
    same = one.shape == other.shape and rate == other_rate
    return same and np.array_equal(one.view(np.int32), other.view(np.int32))


def _peaks_and_steps(small: bool) -> list[Row]:
    engine, clips = ParametricEngine(), _worded_clips()
    if small:
        clips = dict(sorted(clips.items(), key=lambda item: item[1].duration_s)[:2])
    peaks: dict[str, dict[str, float]] = {}
    steps: dict[str, dict[str, float]] = {}
    for name, clip in clips.items():
        speech = engine.encode([clip])[0]
        for tag, edit in _every_edit(engine, speech):
            edited = engine.decode(engine.edit([speech], [edit]))[0]
            peaks.setdefault(tag, {})[name] = _db(edited.peak / clip.peak)
            steps.setdefault(tag, {})[name] = _step_times(clip, edited)
    print_table(
        ("edit", "peak (dB re the source's)", *(f"step, {name}" for name in clips)),
        (
            [tag, f"{max(peaks[tag].values()):+.2f}", *(f"{t:.2f}" for t in by_clip.values())]
            for tag, by_clip in steps.items()
        ),
        "Highest peak of any clip; largest step, loudness matched, in times the source's:",
    )
    over = [tag for tag, by_clip in peaks.items() if max(by_clip.values()) > 0]
    every = {(tag, n): t for tag, by_clip in steps.items() for n, t in by_clip.items()}
    worst = max(every, key=lambda case: every[case])
    clicks = sorted((c for c in every if every[c] > BAR_STEP_TIMES), key=lambda c: -every[c])
    return [
        Row(
            f"peaks, {len(peaks)} edits on {len(clips)} clips",
            "at or under the source's",
            f"{len(peaks) - len(over)} of {len(peaks)} edits" + "".join(f"; not {t}" for t in over),
            not over,
            "fidelity",
        ),
        Row(
            "largest step between samples, loudness matched",
            f"at most {BAR_STEP_TIMES:g} times the source's",
            f"{every[worst]:.2f} times ({' on '.join(worst)}); {len(clicks)} of {len(every)} over",
            not clicks,
            "fidelity",
        ),
    ]


def _worded_clips() -> dict[str, Audio]:
    """The clips with their words, which say where a sound goes."""
    table = SPEECH / "transcripts.tsv"
    rows = table.read_text().splitlines() if table.is_file() else []
    words = {Path(r["file"]).stem: r["transcript"] for r in csv.DictReader(rows, delimiter="\t")}
    return {
        name: Audio(clip.samples, clip.sample_rate, transcript=Transcript(words.get(name, "")))
        for name, clip in speech_clips().items()
    }


def _every_edit(engine: ParametricEngine, speech: Speech) -> Iterator[tuple[str, Edit]]:
    """Every tag at full strength; sounds in the middle of what is said."""
    offers: Mapping[str, object] = engine.offers
    for kind, tags in offers.items():
        for tag in tags:
            if kind != "paralinguistic":
                yield f"{kind} {tag}".strip(), Edit(kind, tag)
            elif tag:
                text = speech.transcript.text
                at = min((i for i in map(text.find, ",，") if i > 0), default=0) + bool(text)
                yield f"[{tag}]", Edit(kind, text=f"{text[:at]} [{tag}] {text[at:]}")


def _step_times(source: Audio, edited: Audio) -> float:
    """The largest step of the edited sound, brought to the source's loudness, in the source's."""
    gain_db = _loudness(source) - _loudness(edited)
    return float(10 ** (gain_db / 20) * _step(edited.samples) / _step(source.samples))


def _loudness(audio: Audio) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4)."""
    return float(pyloudnorm.Meter(audio.sample_rate).integrated_loudness(audio.samples.T))


def _step(samples: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(samples, axis=1)).max())


def _db(ratio: float) -> float:
    return float(20 * np.log10(ratio))
