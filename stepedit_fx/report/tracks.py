"""A sound as curves and pictures over time, small enough for a page."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pyloudnorm
from numpy.typing import NDArray

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.loudness import BLOCK_S
from stepedit_fx.measures import SILENCE_DB, Track, track_f0

MAX_COLUMNS = 1500  # more than a screen is wide
SPECTROGRAM_ROWS = 128
SPECTROGRAM_TOP_HZ = 12_000.0
SPECTROGRAM_RANGE_DB = 70.0
WINDOW_S, LEAST_HOP_S = 0.03, 0.005
MOMENTARY_STEP_S = 0.1  # 75 % overlap of the 400 ms blocks (EBU Tech 3341)


@dataclass(frozen=True)
class Tracks:
    """What a page draws of one sound.

    peaks: least and largest sample of each column, (columns, 2), full scale 127. f0: hertz every
    10 ms, 0 unvoiced. loudness_lufs: momentary, every 100 ms, its first value at 0.2 s.
    spectrogram: a grey PNG, time to the right, mel-spaced frequency upwards.
    """

    peaks: NDArray[np.int8]
    f0: Track
    loudness_lufs: Track
    spectrogram: bytes


def tracks_of(audio: Audio, *, top_hz: float, top_db: float) -> Tracks:
    """The tracks of one sound. top_hz, top_db: of the spectrogram; the same for all of a take."""
    mono = audio.mono()
    return Tracks(
        peaks_of(mono),
        track_f0(mono, audio.sample_rate),
        momentary_lufs(audio.samples, audio.sample_rate),
        grey_png(spectrogram(mono, audio.sample_rate, top_hz=top_hz, top_db=top_db)),
    )


def peaks_of(mono: Samples) -> NDArray[np.int8]:
    """Least and largest of each of at most `MAX_COLUMNS` columns, (columns, 2), -127 to 127."""
    columns = min(MAX_COLUMNS, len(mono))
    if not columns:
        return np.zeros((0, 2), np.int8)
    starts = np.arange(columns) * len(mono) // columns
    both = np.stack([np.minimum.reduceat(mono, starts), np.maximum.reduceat(mono, starts)], axis=1)
    scaled: NDArray[np.int8] = np.rint(np.clip(both, -1, 1) * 127).astype(np.int8)
    return scaled


def momentary_lufs(samples: Samples, rate: int) -> Track:
    """Loudness of each 400 ms (EBU Tech 3341), every 100 ms; none for a shorter sound."""
    if samples.shape[1] <= BLOCK_S * rate + 1:
        return np.zeros(0)
    meter = pyloudnorm.Meter(rate)
    with np.errstate(divide="ignore"):
        meter.integrated_loudness(samples[:3].T.astype(np.float64))
    blocks: Track = np.maximum(np.asarray(meter.blockwise_loudness, np.float64), SILENCE_DB)
    return blocks


def mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Hertz on the mel scale (O'Shaughnessy 1987)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hz, np.float64) / 700.0)


def level_spectrum_db(mono: Samples, rate: int) -> tuple[NDArray[np.float64], float]:
    """Magnitudes in dB, (bins, columns), a full-scale sine at 0 dB; and the width of a bin, Hz."""
    size = max(64, int(WINDOW_S * rate))
    hop = max(round(LEAST_HOP_S * rate), int(np.ceil(len(mono) / MAX_COLUMNS)), 1)
    padded = np.pad(mono, (size // 2, size))
    count = max(1, -(-len(mono) // hop))
    window = np.hanning(size).astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(padded, size)[: count * hop : hop]
    level = np.abs(np.fft.rfft(views * window, axis=1)).T * (2 / window.sum())
    return 20 * np.log10(np.maximum(level, 1e-7)), rate / size


def spectrogram(mono: Samples, rate: int, *, top_hz: float, top_db: float) -> NDArray[np.uint8]:
    """(rows, columns) of grey, the highest frequency first; 255 at top_db, 0 at 70 dB under it.

    Rows above the sound's own band stay 0.
    """
    level_db, bin_hz = level_spectrum_db(mono, rate)
    edges = np.linspace(0, float(mel(top_hz)), SPECTROGRAM_ROWS + 1)
    hz = 700.0 * (10 ** (edges / 2595.0) - 1.0)
    first = np.floor(hz[:-1] / bin_hz).astype(int)
    end = np.maximum(first + 1, np.ceil(hz[1:] / bin_hz).astype(int))
    rows = np.full((SPECTROGRAM_ROWS, level_db.shape[1]), -np.inf)
    for row, (a, b) in enumerate(zip(first, end, strict=True)):
        if a < len(level_db):
            rows[row] = level_db[a:b].max(axis=0)
    share = (rows - top_db) / SPECTROGRAM_RANGE_DB + 1
    grey: NDArray[np.uint8] = (np.clip(share, 0, 1) * 255).astype(np.uint8)[::-1]
    return grey


def grey_png(grey: NDArray[np.uint8]) -> bytes:
    """A PNG of (rows, columns) 8-bit grey (W3C PNG, colour type 0)."""
    rows, columns = grey.shape
    # Each row as its difference from the one above: a third smaller for these pictures.
    differences = np.diff(grey, axis=0, prepend=np.zeros((1, columns), np.uint8))
    lines = np.concatenate([np.full((rows, 1), 2, np.uint8), differences], axis=1)
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
