"""A program whose JACK server ends and comes back under a MIDI service.

A program of its own: what goes wrong with RtMidi there is the end of the process.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import rtmidi

from stepedit_fx.midi.reading import parse_map
from stepedit_fx.midi.service import MidiService, MidiSettings
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session
from stepedit_fx.shipped import find_graph
from tests.peers import jack_server, until

STRENGTH = "/stepedit/node/emotion/param/strength"
MAP = f"""\
version: 1
defaults: {{takeover: jump}}
mappings: [{{source: {{type: cc, number: 74}}, target: {STRENGTH}}}]
"""


def main(folder: Path) -> None:
    logging.basicConfig(level=logging.WARNING)
    source = GraphSource.load(find_graph("quickstart"))
    with Session(source, spool=folder / "spool") as session:
        settings = MidiSettings.of(parse_map(MAP), port="survivor", virtual=True, backend="jack")
        service = MidiService(session, settings)
        with jack_server(folder):
            service.start()
            turn(session, 0)
        until(lambda: not service.is_connected, "its end is noticed")
        with jack_server(folder):
            until(lambda: service.is_connected, "the new one is found")
            turn(session, 127)
        service.stop()  # before it was noticed that this one is gone too
    sys.stdout.write("outlived\n")


def turn(session: Session, value: int) -> None:
    out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, "knobs")
    out.open_port(out.get_ports().index("survivor:midi_in"))
    try:
        until(lambda: turned(out, session, value), "the knob turns", every_s=0.2)
    finally:
        out.close_port()
        out.delete()


def turned(out: rtmidi.MidiOut, session: Session, value: int) -> bool:
    """Send it again and again: a busy machine lets JACK lose a message at times."""
    out.send_message([0xB0, 74, value])
    return float(session.value(STRENGTH)) == value / 127


if __name__ == "__main__":
    main(Path(sys.argv[1]))
