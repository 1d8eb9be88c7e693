"""A JACK server as a device; while it is away, the sound goes on by a clock of our own."""

from __future__ import annotations

import contextlib
import logging
import threading
from types import ModuleType
from typing import Any

import numpy as np

from stepedit_fx.errors import RequestError
from stepedit_fx.live.devices import STOP_S, Callback, NullDevice

logger = logging.getLogger(__name__)

# Not a name that a server has: JACK then opens a client that never runs.
CLIENT = "stepedit-fx-live"
RETRY_S = 1.0


class JackDevice:
    """Two output ports of a JACK client, connected to the first playback ports there are.

    server: its name, None for the default. A server that goes away is waited for; one that comes
    back with another rate is not used, because what is played has the old one. Raises
    RequestError without the library, and where no server runs.
    """

    name = "jack"
    channels = 2

    def __init__(self, server: str | None = None) -> None:
        self._server = server
        self._jack = _library()
        self._client: Any = self._opened()
        self.sample_rate = int(self._client.samplerate)
        self.block_frames = int(self._client.blocksize)
        self._callback: Callback | None = None
        self._xruns = 0
        self._gone = threading.Event()
        self._stopping = threading.Event()
        self._stand_in: NullDevice | None = None
        self._watch: threading.Thread | None = None

    @property
    def xruns(self) -> int:
        return self._xruns

    @property
    def is_connected(self) -> bool:
        """Whether a server has the sound now."""
        return self._client is not None and not self._gone.is_set()

    def start(self, callback: Callback) -> None:
        self._callback = callback
        if self._client is None:
            self._client = self._opened()
        self._begin(self._client)
        self._stopping.clear()
        self._watch = threading.Thread(target=self._look_after, name="jack", daemon=True)
        self._watch.start()

    def stop(self) -> None:
        self._stopping.set()
        self._gone.set()  # wakes who waits for it
        watch, self._watch = self._watch, None
        if watch is not None and watch is not threading.current_thread():
            watch.join(STOP_S + RETRY_S)
        self._end_stand_in()
        self._close()

    def _opened(self) -> Any:
        try:
            return self._jack.Client(CLIENT, no_start_server=True, servername=self._server)
        except self._jack.JackOpenError as error:
            raise RequestError(
                "no JACK server answers",
                remedy="Start one (docs/live.md says how), or use --device null.",
            ) from error

    def _begin(self, client: Any) -> None:
        """Ports and callbacks, and on."""
        callback = self._callback
        assert callback is not None
        ports = [client.outports.register(f"out_{n + 1}") for n in range(self.channels)]
        block = np.zeros((self.channels, max(self.block_frames, 8_192)), np.float32)
        gone = self._gone = threading.Event()

        def process(frames: int) -> None:
            made = block[:, :frames]
            if gone.is_set():  # another asks for the sound now
                made.fill(0.0)
            else:
                callback(made)
            for port, row in zip(ports, made, strict=True):
                port.get_array()[:] = row

        def xrun(delayed_us: float) -> None:
            self._xruns += 1

        def shutdown(status: Any, reason: str) -> None:
            gone.set()  # and nothing else: JACK's own thread

        client.set_process_callback(process)
        client.set_xrun_callback(xrun)
        client.set_shutdown_callback(shutdown)
        client.activate()
        playback = client.get_ports(is_audio=True, is_input=True, is_physical=True)
        for port, target in zip(ports, playback, strict=False):
            with contextlib.suppress(self._jack.JackError):  # it went, or somebody was quicker
                client.connect(port, target)

    def _look_after(self) -> None:
        """While the server is away: play on by a clock, and look for it."""
        while True:
            self._gone.wait()
            if self._stopping.is_set():
                return
            if self._client is not None:
                logger.warning("the JACK server went away; the sound goes on without it")
                self._xruns += 1
                self._begin_stand_in()
                self._close()
            if self._stopping.wait(RETRY_S):
                return
            self._come_back()

    def _come_back(self) -> None:
        try:
            client = self._opened()
        except RequestError:
            return
        if int(client.samplerate) != self.sample_rate:
            logger.warning(
                "the JACK server is back at %d Hz; what is played has %d Hz",
                client.samplerate,
                self.sample_rate,
            )
            client.close()
            return
        self._end_stand_in()
        try:
            self._begin(client)
        except self._jack.JackError as error:  # it went again
            logger.warning("the JACK server went away again: %s", error)
            self._client = client
            self._gone.set()
            self._begin_stand_in()
            self._close()
            return
        self._client = client
        logger.warning("the JACK server is back")

    def _begin_stand_in(self) -> None:
        assert self._callback is not None
        self._stand_in = NullDevice(self.sample_rate, self.block_frames, self.channels)
        self._stand_in.start(self._callback)

    def _end_stand_in(self) -> None:
        stand_in, self._stand_in = self._stand_in, None
        if stand_in is not None:
            stand_in.stop()

    def _close(self) -> None:
        """Let go of the client; libjack may wait for a dead server, so nobody waits for libjack."""
        client, self._client = self._client, None
        if client is not None:
            closing = threading.Thread(target=self._closed, args=(client,), daemon=True)
            closing.start()
            closing.join(STOP_S)

    def _closed(self, client: Any) -> None:
        with contextlib.suppress(self._jack.JackError):
            client.deactivate()
        with contextlib.suppress(self._jack.JackError):
            client.close()


def _library() -> ModuleType:
    try:
        import jack
    except ImportError as error:
        raise RequestError(
            "JACK needs the library JACK-Client", remedy="pip install 'stepedit-fx[live]'"
        ) from error
    except OSError as error:  # JACK-Client is there, libjack is not
        raise RequestError(
            "the JACK library is not installed",
            remedy="Install JACK: 'apt install jackd2', or https://jackaudio.org.",
        ) from error
    # It prints every attempt on standard error; what matters comes as an exception.
    jack.set_error_function(lambda text: logger.debug("jack: %s", text))
    jack.set_info_function(lambda text: logger.debug("jack: %s", text))
    library: ModuleType = jack
    return library
