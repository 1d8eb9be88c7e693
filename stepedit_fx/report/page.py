"""A report as one file: no network, no script but our own, every text a text."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import ArrayLike

from stepedit_fx.audio import Audio
from stepedit_fx.report.collect import StageView, TakeView, top_hz_of
from stepedit_fx.report.figures import FIGURES

# One script, in this order.
SCRIPTS = ("player.js", "take.js", "figures.js", "pictures.js", "controls.js")
MAX_CHANNELS = 2
# Browsers open a page of this size in some seconds, and hold it in memory as text.
MAX_SOUND_BYTES = 200 << 20


@dataclass
class Page:
    """Writes a report piece by piece, so that memory holds one take at a time.

    left_out: how many takes are there without their sound, because the page was full.
    """

    file: BinaryIO
    title: str
    max_sound_bytes: int = MAX_SOUND_BYTES
    left_out: int = 0
    _sound_bytes: int = 0
    _index: list[dict[str, Any]] = field(default_factory=list)

    def begin(self) -> None:
        """The head: what may run and load, and how it looks."""
        csp = (
            "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
            f"script-src {_hash(_script())}; style-src {_hash(_asset('report.css'))}"
        )
        self._put(
            "<!doctype html>\n"
            f'<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{csp}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(_plain(self.title))}</title>\n"
            f"<style>{_asset('report.css')}</style></head>\n"
            f"<body>{_asset('report.html')}\n"
        )

    def add(self, take: TakeView) -> None:
        """One take, with its sounds while there is room."""
        number = len(self._index)
        sounds = dict(_sounds(take))
        size = sum(len(data) for data in sounds.values())
        has_sound = self._sound_bytes + size <= self.max_sound_bytes
        if has_sound:
            self._sound_bytes += size
            for name, data in sounds.items():
                self._put(
                    f'<script type="application/octet-stream" id="sound-{number}-{name}">'
                    f"{data.decode('ascii')}</script>\n"
                )
        elif sounds:
            self.left_out += 1
        self._put_json(f"take-{number}", _take_data(take, has_sound=has_sound))
        self._index.append(_row(take))

    def end(self) -> None:
        """The list of takes, and what makes the page work."""
        figures = {
            name: {
                "name": f.name, "unit": f.unit, "digits": f.digits, "help": f.help,
                "step": f.step, "isRatio": f.is_ratio,
            }
            for name, f in FIGURES.items()
        }  # fmt: skip
        data = {
            "title": _plain(self.title),
            "takes": self._index,
            "figures": figures,
            "leftOut": self.left_out,
        }
        self._put_json("index", data)
        self._put(f"<script>{_script()}</script>\n</body></html>\n")

    def _put(self, text: str) -> None:
        self.file.write(text.encode("utf-8"))

    def _put_json(self, name: str, data: object) -> None:
        self._put(f'<script type="application/json" id="{name}">{json_text(data)}</script>\n')


def json_text(data: object) -> str:
    """JSON that nothing can be closed or opened with inside a script element: ASCII, no ``<``."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(text: object) -> str:
    """A text that can be shown: file names may hold bytes that are no text at all."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8").strip()


def _script() -> str:
    return "\n\n".join(_asset(name) for name in SCRIPTS)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _row(take: TakeView) -> dict[str, Any]:
    """A take in the list: what it can be sorted by."""
    last = next((v for v in reversed(take.stages) if v.stage.writes), None)
    source = next((v for v in take.stages if last and v.stage.id == last.source), None)
    return {
        "name": _plain(take.name),
        "state": take.state,
        "change": _number(take.change, 2),
        "warnings": len(take.warnings) + sum(len(v.warnings) for v in take.stages),
        "figures": _figures(last.figures) if last else {},
        "before": _figures(source.figures) if source else {},
    }


def _take_data(take: TakeView, *, has_sound: bool) -> dict[str, Any]:
    return {
        "name": _plain(take.name),
        "path": _plain(take.source or ""),
        "state": take.state,
        "error": _plain(take.error),
        "warnings": [_plain(text) for text in take.warnings],
        "transcript": _plain(take.transcript),
        "topHz": top_hz_of(take.stages),
        "hasSound": has_sound,
        "tried": [_tried(trial) for trial in take.tried],
        "stages": [_stage_data(view, take) for view in take.stages],
    }


def _tried(trial: Mapping[str, Any]) -> dict[str, Any]:
    missing = [_plain(word) for word in trial.get("missing_words", ())]
    return {"number": trial["take"], "score": trial["score"], "missing": missing}


def _stage_data(view: StageView, take: TakeView) -> dict[str, Any]:
    stage, audio, tracks = view.stage, view.stage.audio, view.tracks
    paths = [take.written[node] for node in stage.writes if node in take.written]
    delta = view.delta
    return {
        "id": _plain(stage.id),
        "label": _plain(stage.label),
        "before": _plain(stage.before),
        "source": _plain(view.source),
        "writes": [_plain(path) for path in paths],
        "length": audio.duration_s,
        "wholeLength": stage.whole_s,
        "map": [list(knot) for knot in audio.time_map],
        "figures": _figures(view.figures),
        "change": _number(view.change, 2),
        "warnings": [_plain(text) for text in view.warnings],
        "peaks": _base64(tracks.peaks),
        "f0": _base64(np.rint(tracks.f0 * 10).astype("<u2")),
        "loudness": _base64(np.rint(tracks.loudness_lufs * 10).astype("<i2")),
        "spectrogram": base64.b64encode(tracks.spectrogram).decode("ascii"),
        "deltaWhy": view.delta_why,
        "delta": None
        if delta is None
        else {
            "length": delta.audio.duration_s,
            "map": [list(knot) for knot in delta.audio.time_map],
            "gain": _number(delta.gain_db, 1),
            "share": _number(delta.share, 3),
            "level": _number(delta.level_dbfs, 1),
        },
    }


def _figures(values: Any) -> dict[str, float | None]:
    return {name: _number(values[name], FIGURES[name].digits + 1) for name in FIGURES}


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _base64(array: ArrayLike) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _sounds(take: TakeView) -> Iterator[tuple[str, bytes]]:
    """The sounds of a take as text, by the names under which the page looks for them."""
    for number, view in enumerate(take.stages):
        yield f"{number}", base64.b64encode(flac_of(view.stage.audio))
        if view.delta is not None:
            yield f"{number}-delta", base64.b64encode(flac_of(view.delta.audio))


def flac_of(audio: Audio) -> bytes:
    """A sound as browsers play it: 16-bit FLAC, at most two channels, held inside full scale."""
    samples = audio.samples if audio.channels <= MAX_CHANNELS else audio.mono()[None]
    integers = np.rint(np.clip(samples.T, -1, 1 - 2**-15) * 32768).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, integers, audio.sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
