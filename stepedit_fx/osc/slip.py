"""Packets on a stream of bytes: SLIP (RFC 1055), an END on both sides, as OSC 1.1 has it."""

from __future__ import annotations

import re

END, ESC, ESC_END, ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
MAX_FRAME_BYTES = 1 << 20
_BAD_ESCAPE = re.compile(rb"\xdb(?![\xdc\xdd])")


def frame(packet: bytes) -> bytes:
    """A packet as it goes on the stream."""
    return END + packet.replace(ESC, ESC_ESC).replace(END, ESC_END) + END


class Unframer:
    """Gives back the packets of a stream that comes in pieces.

    max_bytes: of a frame as it is sent; a longer one is dropped whole and counted, as is one
    with an escape that is none, and the next frame is read as if nothing had been.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.dropped = 0
        self._max_bytes = max_bytes
        self._begun = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole with these bytes."""
        *whole, begun = data.split(END)
        packets = []
        for piece in whole:
            self._take(piece)
            packet = self._ended()
            if packet:  # nothing lies between two ENDs
                packets.append(packet)
        self._take(begun)
        return packets

    def _take(self, piece: bytes) -> None:
        if len(self._begun) + len(piece) > self._max_bytes:
            self._is_too_long = True
            self._begun.clear()
        if not self._is_too_long:
            self._begun += piece

    def _ended(self) -> bytes:
        """The frame that ends here, empty where it is dropped."""
        framed = bytes(self._begun)
        is_bad = self._is_too_long or _BAD_ESCAPE.search(framed) is not None
        self._begun.clear()
        self._is_too_long = False
        self.dropped += is_bad
        return b"" if is_bad else framed.replace(ESC_END, END).replace(ESC_ESC, ESC)
