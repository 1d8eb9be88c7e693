"""Where live sound goes: what a device is, and the one that is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.errors import RequestError, did_you_mean

logger = logging.getLogger(__name__)

# Fills a block, float32 (channels, frames), full scale at 1.0. It neither raises nor waits.
Callback = Callable[[Samples], None]

DEFAULT_RATE = 48_000
DEFAULT_BLOCK = 256
STOP_S = 2.0
RATES_HZ = (8_000, 192_000)
BLOCK_FRAMES = (16, 8_192)


class Device(Protocol):
    """Asks a callback for block after block, in a thread of its own.

    block_frames: of a block, as a rule; the callback takes any number. xruns: how often the
    device says that sound came too late or was lost; ours are counted by the callback.
    """

    name: str
    sample_rate: int
    block_frames: int
    channels: int

    @property
    def xruns(self) -> int: ...

    def start(self, callback: Callback) -> None:
        """Begin. Raises RequestError where the device cannot be used."""
        ...

    def stop(self) -> None:
        """End; the callback is not called any more. Stopping twice does nothing."""
        ...


class NullDevice:
    """Plays to nobody, by the machine's clock; or as fast as asked, for tests.

    clock: whether there is a thread that asks for a block each time one is due. Without it
    `pump` does. lateness_s: by how much it woke too late, at most; what the machine's scheduling
    did is not the callback's fault. xruns: how often that was more than a block.
    """

    name = "null"

    def __init__(
        self,
        sample_rate: int = DEFAULT_RATE,
        block_frames: int = DEFAULT_BLOCK,
        channels: int = 2,
        *,
        clock: bool = True,
    ) -> None:
        self.sample_rate, self.block_frames = checked(sample_rate, block_frames)
        self.channels = channels
        self.lateness_s = 0.0
        self._has_clock = clock
        self._late = 0
        self._callback: Callback | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def xruns(self) -> int:
        return self._late

    def start(self, callback: Callback) -> None:
        self.stop()
        self._callback = callback
        if self._has_clock:
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(callback, self._stopping), name="null device", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_S)

    def pump(self, blocks: int) -> Samples:
        """The next blocks, at once, (channels, frames). Only without a clock."""
        assert self._callback is not None, "start it first"
        assert not self._has_clock, "its clock asks for blocks"
        out = np.empty((self.channels, blocks * self.block_frames), np.float32)
        for index in range(blocks):
            block = np.zeros((self.channels, self.block_frames), np.float32)
            self._callback(block)
            out[:, index * self.block_frames : (index + 1) * self.block_frames] = block
        return out

    def _run(self, callback: Callback, stopping: threading.Event) -> None:
        block = np.zeros((self.channels, self.block_frames), np.float32)
        period_s = self.block_frames / self.sample_rate
        due_s = time.monotonic()
        while not stopping.is_set():
            callback(block)
            due_s += period_s
            left_s = due_s - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)
                self._woke(time.monotonic() - due_s, period_s)
            elif left_s < -1.0:  # the machine slept: go on from now
                due_s = time.monotonic()

    def _woke(self, late_s: float, period_s: float) -> None:
        self.lateness_s = max(self.lateness_s, late_s)
        self._late += late_s > period_s


def checked(sample_rate: int, block_frames: int) -> tuple[int, int]:
    """Both, if a device can have them. Raises RequestError."""
    for what, value, (low, high) in (
        ("sample rate", sample_rate, RATES_HZ),
        ("block", block_frames, BLOCK_FRAMES),
    ):
        if not low <= value <= high:
            unit = "Hz" if what == "sample rate" else "frames"
            raise RequestError(f"the {what} must be {low} to {high} {unit}, got {value}")
    return sample_rate, block_frames


def open_device(
    spec: str, *, sample_rate: int | None = None, block_frames: int | None = None
) -> Device:
    """The device that a text names: ``null``, ``jack`` or ``sounddevice[:NAME]``.

    sample_rate, block_frames: None for the device's own. JACK has its own only. Raises
    RequestError for a name that is none, a missing library, a device that is not there.
    """
    kind, _, name = spec.partition(":")
    if kind == "null" and not name:
        return NullDevice(
            DEFAULT_RATE if sample_rate is None else sample_rate,
            DEFAULT_BLOCK if block_frames is None else block_frames,
        )
    if kind == "jack" and not name:
        from stepedit_fx.live.jack_device import JackDevice

        device = JackDevice()
        _check_is_own("sample rate", sample_rate, device.sample_rate)
        _check_is_own("block", block_frames, device.block_frames)
        return device
    if kind == "sounddevice":
        from stepedit_fx.live.sound_device import SoundDevice

        return SoundDevice(name or None, sample_rate=sample_rate, block_frames=block_frames)
    remedy = did_you_mean(kind, ("null", "jack", "sounddevice")) if not name or kind else ""
    raise RequestError(f"there is no device '{spec}'", remedy=remedy)


def _check_is_own(what: str, asked: int | None, own: int) -> None:
    if asked is not None and asked != own:
        raise RequestError(
            f"the JACK server has a {what} of {own}, not {asked}",
            remedy="Leave the option out, or start the server with it.",
        )
