"""ReaScript: have stepedit-fx render the selected items.

For each selected audio item it sends `/stepedit/render`: the file, the part of it that the item
plays, and the item's GUID as a note, by which stepedit_insert_take.lua finds the item again.

One file, standard library only, for REAPER's own Python (Preferences > Plug-ins > ReaScript).
"""

import random
import socket
import struct
import time
from pathlib import Path

import reaper_python as reaper

DAEMON = ("127.0.0.1", 9100)  # where `stepedit-fx serve` listens
PATIENCE_S = 0.5  # REAPER stands still while we wait; on one machine the daemon needs a few ms
MAX_ITEMS = 64  # as many renders as the daemon lets wait
MAX_PARENTS = 8  # a section of a section of ...

TITLE = "stepedit-fx"


class Unfit(Exception):
    """An item that cannot be sent; the message says why and what to do."""


# OSC, https://opensoundcontrol.stanford.edu/spec-1_0.html


def _padded(data):
    return data + b"\0" * (4 - len(data) % 4)


def message(address, tags, *values):
    """The bytes of an OSC message with arguments of the tags i, d and s."""
    parts = [_padded(address.encode()), _padded(("," + tags).encode())]
    for tag, value in zip(tags, values):  # noqa: B905  # REAPER may have an older Python
        if tag == "s":
            parts.append(_padded(value.encode("utf-8")))
        else:
            parts.append(struct.pack(">" + tag, value))
    return b"".join(parts)


def _text(data, start):
    end = data.index(b"\0", start)
    return data[start:end].decode("utf-8", "replace"), start + (end - start) // 4 * 4 + 4


def read(data):
    """Address and arguments (of the tags i, f and s) of an OSC message; "" where it is none."""
    try:
        address, place = _text(data, 0)
        tags, place = _text(data, place)
        values = []
        for tag in tags[1:]:
            if tag == "s":
                value, place = _text(data, place)
            else:
                (value,) = struct.unpack_from(">" + {"i": "i", "f": "f"}[tag], data, place)
                place += 4
            values.append(value)
    except (ValueError, KeyError, struct.error):
        return "", []
    return address, values


# What REAPER knows of an item


def is_null(pointer):
    """Whether REAPER gave no object: a pointer comes as text, "(MediaItem*)0x0000", never None."""
    return not pointer or int(str(pointer).rpartition("0x")[2] or "0", 16) == 0


def file_of(take):
    """The file a take plays, and where in it (s) the take's source begins and ends.

    A section has no file name of its own but a parent that has.
    """
    source, offset_s, length_s = reaper.RPR_GetMediaItemTake_Source(take), 0.0, None
    for _ in range(MAX_PARENTS):
        if is_null(source):
            break
        is_section, _, start_s, section_s, is_reversed = reaper.RPR_PCM_Source_GetSectionInfo(
            source, 0.0, 0.0, False
        )
        if is_section:
            if is_reversed:
                raise Unfit("it is reversed. Glue it first (Item > Glue items).")
            offset_s += start_s
            length_s = section_s if length_s is None else length_s
        path = reaper.RPR_GetMediaSourceFileName(source, "", 4096)[1]
        if path and not is_section:
            if length_s is None:
                length_s = reaper.RPR_GetMediaSourceLength(source, False)[0]
            return Path(path), offset_s, offset_s + length_s
        source = reaper.RPR_GetMediaSourceParent(source)
    raise Unfit("its recording has no file yet. Save the project, or glue the item.")


def part_of(item):
    """The file an item plays, and the start and end (s) of the part it plays, in the file."""
    take = reaper.RPR_GetActiveTake(item)
    if is_null(take):
        raise Unfit("it is empty. Select an item with a recording.")
    if reaper.RPR_TakeIsMIDI(take):
        raise Unfit("it is MIDI. Select an audio item.")
    path, first_s, last_s = file_of(take)
    if not path.is_file():
        raise Unfit(f"its media is offline: there is no {path}")
    start_s = first_s + reaper.RPR_GetMediaItemTakeInfo_Value(take, "D_STARTOFFS")
    rate = reaper.RPR_GetMediaItemTakeInfo_Value(take, "D_PLAYRATE")
    end_s = start_s + reaper.RPR_GetMediaItemInfo_Value(item, "D_LENGTH") * rate
    if end_s > last_s + 0.001 and reaper.RPR_GetMediaItemInfo_Value(item, "B_LOOPSRC"):
        raise Unfit("it repeats its recording. Glue it first (Item > Glue items).")
    start_s, end_s = max(start_s, first_s), min(end_s, last_s)  # silence before or after it
    if end_s <= start_s:
        raise Unfit("it plays nothing of its recording.")
    return path, start_s, end_s


def request(item):
    """The message that asks for an item's render. Raises Unfit."""
    path, start_s, end_s = part_of(item)
    guid = reaper.RPR_GetSetMediaItemInfo_String(item, "GUID", "", False)[3]
    number = random.randrange(1, 1 << 31)  # tells answers apart
    return message("/stepedit/render", "isdds", number, str(path), start_s, end_s, guid)


def selected():
    """The selected items."""
    found = []
    for index in range(MAX_ITEMS):
        item = reaper.RPR_GetSelectedMediaItem(0, index)
        if is_null(item):
            break
        found.append(item)
    return found


# The daemon


def answers(link, until_s):
    """What the daemon says until a moment of time.monotonic()."""
    while time.monotonic() < until_s:
        link.settimeout(max(until_s - time.monotonic(), 0.001))
        try:
            yield read(link.recv(65536))
        except OSError:  # nothing came, or nobody is there
            return


def send(requests):
    """Send requests to the daemon; gives what went wrong at once, as lines."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.connect(DAEMON)
        try:
            link.send(message("/stepedit/ping", "i", 1))
        except OSError as error:
            return [str(error)]
        until_s = time.monotonic() + PATIENCE_S
        if not any(address == "/stepedit/reply" for address, _ in answers(link, until_s)):
            return ["Nobody answers at {}:{}.\nStart it: stepedit-fx serve GRAPH".format(*DAEMON)]
        for data in requests:
            link.send(data)
        until_s = time.monotonic() + PATIENCE_S / 2
        refused = ("/stepedit/error", "/stepedit/render/failed")
        return [str(v[-1]) for address, v in answers(link, until_s) if address in refused and v]


def main():
    """Send the selected items; one message box says what could not be sent."""
    requests, troubles = [], []
    items = selected()
    if not items:
        troubles.append("No item is selected. Select one or more audio items.")
    for number, item in enumerate(items, 1):
        try:
            requests.append(request(item))
        except Unfit as unfit:
            troubles.append(f"Item {number} was not sent: {unfit}")
    if requests:
        troubles += send(requests)
    if troubles:
        reaper.RPR_ShowMessageBox("\n".join(troubles), TITLE, 0)


if __name__ == "__main__":
    main()
