"""A controller for tests: a JACK client with one MIDI port each way."""

from __future__ import annotations

from queue import SimpleQueue

from tests.peers import library


class Knobs:
    """A controller: a JACK client that turns, and hears what comes back.

    Not made of RtMidi ports: those are opened with Python's lock held, and JACK waits a second
    for the other clients of this process.
    """

    def __init__(self, name: str = "knobs") -> None:
        self.heard: list[list[int]] = []
        self._going: SimpleQueue[bytes] = SimpleQueue()
        self._client = library("jack").Client(name, no_start_server=True)
        self._out = self._client.midi_outports.register("out")
        self._in = self._client.midi_inports.register("in")
        self._client.set_process_callback(self._process)
        self._client.activate()

    def _process(self, frames: int) -> None:
        self._out.clear_buffer()
        while not self._going.empty():
            self._out.write_midi_event(0, self._going.get())
        self.heard += [list(bytes(data)) for _, data in self._in.incoming_midi_events()]

    def plug_into(self, service: str) -> None:
        """Connect to our virtual ports."""
        self._client.connect(self._out, f"{service}:midi_in")
        self._client.connect(f"{service}:midi_out", self._in)

    def send(self, *data: int) -> None:
        self._going.put(bytes(data))

    def close(self) -> None:
        self._client.deactivate()
        self._client.close()
