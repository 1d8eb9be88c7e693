"""What an Ardour session file says of its markers and of the recordings on a track.

Of Ardour 7 and later, whose times are "a" and superclock ticks. The file is the user's own; it is
only read, and never trusted with more than numbers and names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from stepedit_fx.errors import ReadError, RequestError

TICKS_PER_SECOND = 282_240_000  # Ardour's superclock, libs/temporal/superclock.cc
MAX_BYTES = 256 << 20
_TIME = re.compile(r"a(-?\d+)(?:@a(-?\d+))?")


@dataclass(frozen=True)
class Region:
    """A piece of a recording on a track. position_s: on the timeline; start_s: in the file."""

    name: str
    path: Path
    position_s: float
    start_s: float
    length_s: float


@dataclass(frozen=True)
class ArdourSession:
    """markers: names and places (s) by place. tracks: the regions of each track by its name."""

    sample_rate: int
    markers: tuple[tuple[str, float], ...]
    tracks: dict[str, tuple[Region, ...]]


def read_session(path: Path) -> ArdourSession:
    """Read a .ardour file. Raises ReadError."""
    root = _root(path)
    sources = {
        source.get("id", ""): path.parent
        / "interchange"
        / _folder(root, path)
        / "audiofiles"
        / source.get("name", "")
        if not Path(source.get("name", "")).is_absolute()
        else Path(source.get("name", ""))
        for source in root.iterfind("Sources/Source")
        if source.get("type") == "audio"
    }
    try:
        return ArdourSession(
            int(root.get("sample-rate", "0")),
            tuple(sorted(_markers(root), key=lambda marker: marker[1])),
            {name: tuple(_regions(playlist, sources)) for name, playlist in _playlists(root)},
        )
    except ValueError as error:
        raise ReadError.of(path, f"not as Ardour 7 writes it: {error}") from error


def _root(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError.of(path, "too large for a session")
        text = path.read_bytes()
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error)) from error
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities could blow up; Ardour writes none
        raise ReadError.of(path, "no session: it declares a document type")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ReadError.of(path, f"no session: {error}") from error
    if root.tag != "Session":
        raise ReadError.of(path, "no session of Ardour's")
    return root


def _folder(root: ElementTree.Element, path: Path) -> str:
    """The folder's name inside interchange/: the session's name, also in its snapshots."""
    return root.get("name") or path.stem


def _seconds(text: str, part: int = 1) -> float:
    """Of "a282240000", or of one part of "length@position"."""
    found = _TIME.fullmatch(text)
    if found is None or found[part] is None:
        raise ValueError(f"the time '{text[:40]}' (a session of Ardour 6 or before?)")
    return int(found[part]) / TICKS_PER_SECOND


def _markers(root: ElementTree.Element) -> list[tuple[str, float]]:
    return [
        (location.get("name", ""), _seconds(location.get("start", "")))
        for location in root.iterfind("Locations/Location")
        if "IsMark" in location.get("flags", "").split(",")
    ]


def _playlists(root: ElementTree.Element) -> list[tuple[str, ElementTree.Element]]:
    """The playlist that each track plays now."""
    by_id = {playlist.get("id"): playlist for playlist in root.iterfind("Playlists/Playlist")}
    return [
        (route.get("name", ""), by_id[route.get("audio-playlist")])
        for route in root.iterfind("Routes/Route")
        if route.get("audio-playlist") in by_id
    ]


def _regions(playlist: ElementTree.Element, sources: dict[str, Path]) -> list[Region]:
    return [
        Region(
            region.get("name", ""),
            sources[region.get("source-0", "")],
            _seconds(region.get("length", ""), 2),
            _seconds(region.get("start", "")),
            _seconds(region.get("length", "")),
        )
        for region in playlist.iterfind("Region")
        if region.get("source-0", "") in sources and region.get("muted") != "1"
    ]


def between(
    session: ArdourSession, playhead_s: float, names: tuple[str, str] | None
) -> tuple[float, float]:
    """Start and end (s): of two markers by name, or of those around the playhead.

    Raises RequestError where they are not there.
    """
    if names is not None:
        places = dict(reversed(session.markers))  # of two with one name the first
        for name in names:
            if name not in places:
                known = ", ".join(name for name, _ in session.markers) or "none"
                raise RequestError(f"there is no marker '{name}'", remedy=f"There are: {known}.")
        start_s, end_s = sorted(places[name] for name in names)
    else:
        before = [place for _, place in session.markers if place <= playhead_s]
        after = [place for _, place in session.markers if place > playhead_s]
        if not before or not after:
            raise RequestError(
                f"the playhead ({playhead_s:.3f} s) is not between two markers",
                remedy="Put one before and one after it, or name two with --between.",
            )
        start_s, end_s = max(before), min(after)
    if end_s <= start_s:
        raise RequestError("the two markers are at one place")
    return start_s, end_s


def recording(
    session: ArdourSession, track: str, start_s: float, end_s: float
) -> tuple[Region, float, float]:
    """The region of a track that sounds most from start to end, and that part of its file (s).

    Raises RequestError where the track has none there.
    """
    if track not in session.tracks:
        known = ", ".join(session.tracks) or "none"
        raise RequestError(f"there is no audio track '{track}'", remedy=f"There are: {known}.")

    def overlap_s(region: Region) -> float:
        last_s = region.position_s + region.length_s
        return min(end_s, last_s) - max(start_s, region.position_s)

    region = max(session.tracks[track], key=overlap_s, default=None)
    if region is None or overlap_s(region) <= 0:
        raise RequestError(
            f"'{track}' has no recording from {start_s:.3f} to {end_s:.3f} s",
            remedy="Move the markers, or name another --track.",
        )
    shift_s = region.start_s - region.position_s
    first_s = max(start_s, region.position_s)
    return region, first_s + shift_s, first_s + overlap_s(region) + shift_s
