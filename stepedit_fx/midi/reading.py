"""A MIDI map from its YAML, every problem found at once, each with its place."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from stepedit_fx.errors import GraphError, ReadError, did_you_mean
from stepedit_fx.graph.controls import ROOT, Controls
from stepedit_fx.graph.document import MAX_BYTES, read_yaml
from stepedit_fx.graph.problems import Problems, in_file_order
from stepedit_fx.graph.tree import Map, Mark, Scalar, Seq, Tree
from stepedit_fx.midi.curves import CURVES
from stepedit_fx.midi.maps import ACTIONS, MODES, Entry, MidiMap, Port
from stepedit_fx.midi.sources import ENCODINGS, NOTE_VALUES, SOURCES, Source
from stepedit_fx.midi.takeover import TAKEOVERS

VERSION = 1
MAX_ENTRIES = 1000
MAX_STEPS = 128
MAX_SMOOTH_MS = 2000.0
TOP_KEYS = ("version", "port", "defaults", "mappings")
PORT_KEYS = ("name", "virtual", "backend")
BACKENDS = ("alsa", "jack", "coremidi", "windows")
SOURCE_KEYS = ("type", "channel", "number", "encoding", "value")
DEFAULT_KEYS = ("channel", "takeover", "smooth_ms", "feedback")
ENTRY_KEYS = (
    "source", "target", "range", "curve", "steps", "takeover", "mode", "smooth_ms", "step",
    "feedback", "scenes",
)  # fmt: skip
_NOWHERE = Entry(Source("cc"), "")


def load_map(path: Path, controls: Controls | None = None) -> MidiMap:
    """The map in a file; with controls, its targets are checked too.

    Raises ReadError, and GraphError with every problem.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError.of(path, f"over {MAX_BYTES >> 20} MiB. Is it a MIDI map?")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ReadError.of(path, "not a text in UTF-8", "Save it as UTF-8.") from error
    return parse_map(text, file=str(path), path=path, controls=controls)


def parse_map(
    text: str,
    *,
    file: str = "<map>",
    path: Path | None = None,
    controls: Controls | None = None,
) -> MidiMap:
    """The map in a text. Raises GraphError with every problem."""
    return _Reading(file).map(text, path, controls)


class _Reading:
    """Reads one map, collecting problems; raises them together."""

    def __init__(self, file: str) -> None:
        self.top_mark = Mark(file)
        self.problems = Problems()

    def map(self, text: str, path: Path | None, controls: Controls | None) -> MidiMap:
        tree = read_yaml(text, self.top_mark, self.problems)
        if not isinstance(tree, Map):
            self.say(self.top_mark, "a MIDI map is a mapping with version: and mappings:")
            raise GraphError(self.problems)
        self.known(tree, TOP_KEYS, "a MIDI map")
        version = tree.get("version")
        if not isinstance(version, Scalar) or version.value != VERSION:
            at = version.mark if version else self.top_mark
            self.say(at, f"this stepedit_fx reads MIDI maps of version: {VERSION}")
        defaults, channel = self.defaults(tree.get("defaults"))
        entries = self.entries(tree.get("mappings"), defaults, channel)
        made = MidiMap(entries, self.port(tree.get("port")), defaults, path)
        if controls is not None:
            self.problems.extend(made.problems(controls))
        if self.problems:
            raise GraphError(in_file_order(self.problems))
        return made

    def say(self, mark: Mark, message: str) -> None:
        self.problems.append(mark.problem(message))

    def known(self, tree: Map, keys: Collection[str], what: str) -> None:
        for key, mark, _ in tree.items:
            if key not in keys:
                self.say(mark, f"{what} has no '{key}'. {did_you_mean(key, keys)}")

    def mapping(self, tree: Tree | None, what: str) -> Map:
        if tree is None:
            return Map((), self.top_mark)
        if not isinstance(tree, Map):
            self.say(tree.mark, f"{what} must be a mapping")
            return Map((), tree.mark)
        return tree

    # Values

    def word(self, tree: Map, key: str, words: Collection[str], default: str) -> str:
        written = tree.get(key)
        if written is None:
            return default
        value = written.value if isinstance(written, Scalar) else None
        if isinstance(value, str) and value in words:
            return value
        self.say(
            written.mark, f"{key} cannot be {_shown(written)}. {did_you_mean(str(value), words)}"
        )
        return default

    def text(self, tree: Map, key: str) -> str | None:
        written = tree.get(key)
        if written is None or (isinstance(written, Scalar) and written.value is None):
            return None
        if isinstance(written, Scalar) and isinstance(written.value, str) and written.value:
            return written.value
        self.say(written.mark, f"{key} must be a text, got {_shown(written)}")
        return None

    def flag(self, tree: Map, key: str, default: bool) -> bool:
        written = tree.get(key)
        if written is None:
            return default
        if isinstance(written, Scalar) and isinstance(written.value, bool):
            return written.value
        self.say(written.mark, f"{key} must be true or false, got {_shown(written)}")
        return default

    def number(
        self, tree: Map, key: str, default: float, low: float, high: float, *, open: bool = False
    ) -> float:
        """A number from low (open: over it) to high."""
        written = tree.get(key)
        if written is None:
            return default
        value = _number(written)
        if value is not None and low <= value <= high and not (open and value == low):
            return value
        limits = f"over {low:g} and at most {high:g}" if open else f"from {low:g} to {high:g}"
        self.say(written.mark, f"{key} must be a number {limits}, got {_shown(written)}")
        return default

    def whole(self, tree: Map, key: str, low: int, high: int) -> int | None:
        written = tree.get(key)
        if written is None:
            return None
        value = written.value if isinstance(written, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.say(
            written.mark,
            f"{key} must be a whole number from {low} to {high}, got {_shown(written)}",
        )
        return None

    def channel(self, tree: Map, default: int | None) -> int | None:
        written = tree.get("channel")
        if written is None:
            return default
        if isinstance(written, Scalar) and written.value == "any":
            return None
        if isinstance(written, Scalar) and isinstance(written.value, str):
            self.say(written.mark, f"channel must be any or 1 to 16, got {_shown(written)}")
            return default
        return self.whole(tree, "channel", 1, 16)

    def feedback(self, tree: Map, default: bool) -> bool:
        # A bare off is a boolean to many YAML readers, so true and false do as well.
        written = tree.get("feedback")
        if isinstance(written, Scalar) and isinstance(written.value, bool):
            return written.value
        return self.word(tree, "feedback", ("auto", "off"), "auto" if default else "off") == "auto"

    # Parts

    def port(self, written: Tree | None) -> Port:
        tree = self.mapping(written, "port")
        self.known(tree, PORT_KEYS, "port")
        backend = self.word(tree, "backend", BACKENDS, "")
        name, virtual = self.text(tree, "name"), self.flag(tree, "virtual", False)
        return Port(name, virtual, backend or None)

    def defaults(self, written: Tree | None) -> tuple[Entry, int | None]:
        tree = self.mapping(written, "defaults")
        self.known(tree, DEFAULT_KEYS, "defaults")
        return self.shared(tree, _NOWHERE), self.channel(tree, None)

    def shared(self, tree: Map, default: Entry) -> Entry:
        """The keys that defaults and mappings have both."""
        return replace(
            default,
            takeover=self.word(tree, "takeover", TAKEOVERS, default.takeover),
            smooth_ms=self.number(tree, "smooth_ms", default.smooth_ms, 0, MAX_SMOOTH_MS),
            feedback=self.feedback(tree, default.feedback),
        )

    def entries(
        self, written: Tree | None, defaults: Entry, channel: int | None
    ) -> tuple[Entry, ...]:
        if written is None or (isinstance(written, Scalar) and written.value is None):
            return ()
        if not isinstance(written, Seq):
            self.say(written.mark, "mappings must be a list")
            return ()
        if len(written.items) > MAX_ENTRIES:
            self.say(written.mark, f"a map has at most {MAX_ENTRIES} mappings")
            return ()
        found = [self.entry(item, defaults, channel) for item in written.items]
        return tuple(entry for entry in found if entry is not None)

    def entry(self, tree: Tree, defaults: Entry, channel: int | None) -> Entry | None:
        if not isinstance(tree, Map):
            self.say(
                tree.mark, "a mapping is {source: {type: cc, number: 74}, target: /stepedit/...}"
            )
            return None
        self.known(tree, ENTRY_KEYS, "a mapping")
        source = self.source(tree, channel)
        target = self.target(tree)
        curve = self.word(tree, "curve", CURVES, "") or None
        entry = replace(
            self.shared(tree, defaults),
            source=source or _NOWHERE.source,
            target=target or "",
            range=self.range(tree, curve),
            curve=curve,
            steps=self.whole(tree, "steps", 2, MAX_STEPS),
            mode=self.word(tree, "mode", MODES, "") or None,
            step=self.number(tree, "step", defaults.step, 0, 1, open=True),
            scenes=self.scenes(tree),
            mark=_mark_of(tree, "target"),
        )
        if source is None or target is None:
            return None
        self.fitting(tree, entry)
        return entry

    def source(self, entry: Map, channel: int | None) -> Source | None:
        written = entry.get("source")
        if not isinstance(written, Map):
            at = written.mark if written else entry.mark
            self.say(at, "a mapping needs a source, as {type: cc, channel: 1, number: 74}")
            return None
        self.known(written, SOURCE_KEYS, "a source")
        if written.get("type") is None:
            self.say(written.mark, f"a source needs a type. {did_you_mean('', SOURCES)}")
            return None
        kind = self.word(written, "type", SOURCES, "")
        if not kind:
            return None
        spec = SOURCES[kind]
        number = None
        if spec.numbers:
            number = self.whole(written, "number", 0, spec.numbers - 1)
            if number is None and written.get("number") is None and not spec.may_omit:
                what = f"{kind} needs a number from 0 to {spec.numbers - 1}"
                self.say(written.mark, f"{what}: the {spec.number_of}")
        elif written.get("number") is not None:
            self.say(written.key_mark("number"), f"{kind} has no number. Take it out.")
        for key, of in (("encoding", "cc_relative"), ("value", "note")):
            if written.get(key) is not None and kind != of:
                self.say(written.key_mark(key), f"{key} is for the type {of}. Take it out.")
        return Source(
            kind,
            self.channel(written, channel),
            number,
            self.word(written, "encoding", ENCODINGS, "twos_complement"),
            self.word(written, "value", NOTE_VALUES, "gate"),
        )

    def target(self, entry: Map) -> str | None:
        target = self.text(entry, "target")
        if target is None:
            if entry.get("target") is None:
                self.say(
                    entry.mark, f"a mapping needs a target, as {ROOT}/node/rack.0/param/gain_db"
                )
            return None
        if target not in ACTIONS and not target.startswith(f"{ROOT}/node/"):
            known = [*ACTIONS, f"{ROOT}/node/<id>/param/<name>", f"{ROOT}/node/<id>/bypass"]
            at = _mark_of(entry, "target")
            self.say(at, f"'{target[:80]}' is no target. {did_you_mean(target[:200], known)}")
            return None
        return target

    def range(self, tree: Map, curve: str | None) -> tuple[float, float] | None:
        written = tree.get("range")
        if written is None:
            return None
        ends = [_number(item) for item in written.items] if isinstance(written, Seq) else []
        if len(ends) != 2 or ends[0] is None or ends[1] is None or ends[0] == ends[1]:
            self.say(written.mark, "range must be two numbers that differ, as [-12, 12]")
            return None
        if curve == "log" and min(ends[0], ends[1]) <= 0:
            self.say(written.mark, "the curve log needs a range over 0. Use exp, or linear.")
        return ends[0], ends[1]

    def scenes(self, tree: Map) -> tuple[str, ...]:
        written = tree.get("scenes")
        if written is None:
            return ()
        items = written.items if isinstance(written, Seq) else (written,)
        names = [item.value for item in items if isinstance(item, Scalar)]
        texts = tuple(name for name in names if isinstance(name, str) and name)
        if len(texts) != len(items) or not texts:
            self.say(written.mark, "scenes must be a list of names")
        return texts

    def fitting(self, tree: Map, entry: Entry) -> None:
        """Problems of keys that are each right and do not go together."""
        action = entry.action
        least, most = action.scenes if action else (0, 0)
        if not least <= len(entry.scenes) <= most and (entry.scenes or tree.get("scenes") is None):
            wanted = str(least) if least == most else f"{least} to {most}"
            told = f"needs scenes: {wanted} names" if most else "takes no scenes. Take them out."
            self.say(
                _mark_of(tree, "scenes" if entry.scenes else "target"), f"{entry.target} {told}"
            )
        if action and action.needs_range and entry.range is None and tree.get("range") is None:
            self.say(entry.mark, f"{entry.target} needs a range, as [0, 60]")
        if entry.curve == "steps" and entry.steps is None and action and most == 0:
            self.say(_mark_of(tree, "curve"), "the curve steps needs steps, as steps: 5")
        if entry.steps is not None and entry.curve != "steps":
            self.say(_mark_of(tree, "steps"), "steps is for the curve steps. Write curve: steps.")
        if entry.source.type == "cc_relative" and entry.mode not in (None, "absolute"):
            self.say(_mark_of(tree, "mode"), f"an endless encoder cannot be {entry.mode}")


def _mark_of(tree: Map, key: str) -> Mark:
    written = tree.get(key)
    return written.mark if written else tree.mark


def _number(tree: Tree) -> float | None:
    value = tree.value if isinstance(tree, Scalar) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(tree: Tree) -> str:
    if not isinstance(tree, Scalar):
        return "a list" if isinstance(tree, Seq) else "a mapping"
    if tree.value is None:
        return "nothing"
    return str(tree.value).lower() if isinstance(tree.value, bool) else f"'{str(tree.value)[:60]}'"
