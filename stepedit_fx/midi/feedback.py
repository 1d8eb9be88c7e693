"""A parameter's value back to the control that turns it: motor faders, LED rings, lit pads."""

from __future__ import annotations

from typing import Any

import mido

from stepedit_fx.midi.sources import (
    DATA_LSB,
    DATA_MSB,
    LSB_OFFSET,
    NRPN_LSB,
    NRPN_MSB,
    NULL_NUMBER,
    RPN_LSB,
    RPN_MSB,
    Source,
)

# What cannot show anything: no controller takes these back.
SILENT = ("program_change", "channel_pressure", "poly_pressure")


def messages(source: Source, position: float, channel: int) -> list[Any]:
    """The mido messages that put a control at a position, 0 to 1, on a channel from 1.

    An endless encoder's ring takes the position as a plain controller; a key or pad is lit by a
    note with the position as its velocity.
    """
    at = channel - 1
    number = source.number or 0
    if source.type in SILENT:
        return []
    if source.type in ("cc", "cc_relative"):
        return [_control(at, number, round(position * 127))]
    if source.type == "note":
        velocity = round(position * 127)
        return [mido.Message("note_on", channel=at, note=number, velocity=velocity)]
    fine = round(position * source.spec.top)
    if source.type == "pitchbend":
        return [mido.Message("pitchwheel", channel=at, pitch=fine - 8192)]
    if source.type == "cc14":
        return _pair(at, (number, number + LSB_OFFSET), fine)
    select = (NRPN_MSB, NRPN_LSB) if source.type == "nrpn" else (RPN_MSB, RPN_LSB)
    # Deselected at the end, so that a stray data entry changes nothing.
    return [
        *_pair(at, select, number),
        *_pair(at, (DATA_MSB, DATA_LSB), fine),
        *_pair(at, select, NULL_NUMBER),
    ]


def _control(channel: int, control: int, value: int) -> Any:
    return mido.Message("control_change", channel=channel, control=control, value=value)


def _pair(channel: int, controls: tuple[int, int], value: int) -> list[Any]:
    coarse, fine = controls
    return [_control(channel, coarse, value >> 7), _control(channel, fine, value & 0x7F)]
