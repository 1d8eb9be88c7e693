"""A sound card, through PortAudio (python-sounddevice)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from stepedit_fx.errors import RequestError
from stepedit_fx.live.devices import DEFAULT_BLOCK, Callback, checked


class SoundDevice:
    """An output of the machine's sound card.

    device: its name, a part of it, or its number; None for the machine's default. sample_rate:
    None for the device's own. Raises RequestError without the library and without the device.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        sample_rate: int | None = None,
        block_frames: int | None = None,
    ) -> None:
        self._library = _library()
        self._device: str | int | None = (
            int(device) if device is not None and device.isdecimal() else device
        )
        found = self._found()
        self.name = f"sounddevice:{found['name']}"
        self.channels = min(int(found["max_output_channels"]), 2)
        self.sample_rate, self.block_frames = checked(
            int(found["default_samplerate"]) if sample_rate is None else sample_rate,
            DEFAULT_BLOCK if block_frames is None else block_frames,
        )
        self._stream: Any = None
        self._xruns = 0

    @property
    def xruns(self) -> int:
        return self._xruns

    def start(self, callback: Callback) -> None:
        self.stop()
        block = np.zeros((self.channels, max(self.block_frames, 8_192)), np.float32)

        def fill(out: Any, frames: int, time: Any, status: Any) -> None:
            self._xruns += bool(status.output_underflow)
            made = block[:, :frames]
            callback(made)
            out[:] = made.T

        try:
            self._stream = self._library.OutputStream(
                samplerate=self.sample_rate,
                blocksize=self.block_frames,
                device=self._device,
                channels=self.channels,
                dtype="float32",
                latency="low",
                callback=fill,
            )
            self._stream.start()
        except (self._library.PortAudioError, ValueError) as error:
            self.stop()
            raise RequestError(
                f"{self.name} cannot play at {self.sample_rate} Hz: {error}",
                remedy="Try another --rate, or another device.",
            ) from error

    def stop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)

    def _found(self) -> dict[str, Any]:
        library = self._library
        try:
            found: dict[str, Any] = dict(library.query_devices(self._device, "output"))
        except (library.PortAudioError, ValueError) as error:
            names = [d["name"] for d in library.query_devices() if d["max_output_channels"]]
            there = (
                f"There are: {', '.join(names)}."
                if names
                else "Without a sound card, take jack or null."
            )
            what = "no default output" if self._device is None else f"no output '{self._device}'"
            raise RequestError(f"sounddevice has {what}", remedy=there) from error
        return found


def _library() -> ModuleType:
    try:
        import sounddevice
    except ImportError as error:
        raise RequestError(
            "a sound card needs the library sounddevice", remedy="pip install 'stepedit-fx[live]'"
        ) from error
    except OSError as error:  # the library is there, PortAudio is not
        raise RequestError(
            "PortAudio is not installed", remedy="Install it: 'apt install libportaudio2'."
        ) from error
    library: ModuleType = sounddevice
    return library
