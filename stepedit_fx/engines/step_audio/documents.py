"""The checkpoint's configuration files as plain data: YAML with tags, and JSON.

``cosyvoice.yaml`` is written for a loader that builds the Python objects its tags name. Here a
tag means nothing: what stands under it is read as the mapping, list or text that it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from stepedit_fx.errors import ReadError

MAX_BYTES = 4 << 20  # the largest published one, an index, has 100 kB
MAX_NODES = 200_000  # with every alias counted as often as it is used
REMEDY = "Fetch it again."

_REFERENCE_TAG = "!ref"
_REFERENCE = re.compile(r"<([^<>]+)>")
_STEP = re.compile(r"\[([^\[\]]*)\]")
# YAML 1.2 and the published files write 1e-06; YAML 1.1 would read that as text.
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+")


class _Reference(str):
    """The text of a ``!ref``, until what it names is known."""


class _PlainLoader(yaml.SafeLoader):
    """Builds mappings, lists, texts and numbers, whatever the tags say."""


def _plain(loader: _PlainLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    value = str(node.value)
    if node.tag == _REFERENCE_TAG:
        return _Reference(value)
    tag = loader.resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    return loader.construct_object(yaml.ScalarNode(tag, value, node.start_mark, node.end_mark))


_PlainLoader.add_constructor(None, _plain)  # of every tag that is not plain YAML's own
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping as plain data; nothing that a tag names is looked up or run.

    ``!ref <key>`` and ``!ref <key[inner]>`` stand for what they name; an expression around such a
    reference is left as its text. Raises ReadError for a file that is too large (aliases of
    aliases included), has no mapping at its top, or refers to what is not there.
    """
    text = _text(path)
    try:
        data = _loaded(path, text)
        if not isinstance(data, dict):
            raise ReadError.of(path, "holds no mapping", REMEDY)
        filled: dict[str, Any] = _Filling(path, data).filled(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid"
        raise ReadError.of(path, f"is no YAML{place}: {problem}", REMEDY) from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        # A tag of plain YAML on a value that it does not fit, or nesting without end.
        cause = f"is no YAML of ours: {type(error).__name__}: {error}"
        raise ReadError.of(path, cause, REMEDY) from error
    return filled


def _loaded(path: Path, text: str) -> Any:
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(path, node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object. Raises ReadError."""
    try:
        data = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise ReadError.of(path, f"is no JSON ({error})", REMEDY) from error
    if not isinstance(data, dict):
        raise ReadError.of(path, "holds no JSON object", REMEDY)
    return data


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError.of(path, f"is larger than {MAX_BYTES >> 20} MiB", REMEDY)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error), REMEDY) from error
    except UnicodeDecodeError as error:
        raise ReadError.of(path, "is not UTF-8 text", REMEDY) from error


def _check_size(path: Path, top: yaml.Node) -> None:
    """Refuse a document that is small as written and vast as read."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_nodes:
            raise ReadError.of(path, "a value holds itself", REMEDY)
        if id(node) not in sizes:
            open_nodes.add(id(node))
            pairs = isinstance(node, yaml.MappingNode)
            parts = chain.from_iterable(node.value) if pairs else node.value
            sizes[id(node)] = 1 + sum(size(part) for part in parts)
            open_nodes.remove(id(node))
        return sizes[id(node)]

    if size(top) > MAX_NODES:
        raise _too_many(path)


class _Filling:
    """Puts what references name in their place, within bounds."""

    def __init__(self, path: Path, top: Mapping[str, Any]) -> None:
        self._path = path
        self._top = top
        self._open: list[str] = []  # the references that are being followed
        self._nodes = 0

    def filled(self, value: Any) -> Any:
        """The value with every plain reference in it replaced by what it names."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _too_many(self._path)
        if isinstance(value, dict):
            return {key: self.filled(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.filled(inner) for inner in value]
        return self._followed(value) if isinstance(value, _Reference) else value

    def _followed(self, reference: _Reference) -> Any:
        name = _REFERENCE.fullmatch(reference.strip())
        if name is None:  # arithmetic or text around a reference: nobody here needs it computed
            return str(reference)
        if name[1] in self._open:
            raise ReadError.of(self._path, f"!ref {reference} leads back to itself", REMEDY)
        self._open.append(name[1])
        value = self.filled(self._named(name[1]))
        self._open.pop()
        return value

    def _named(self, name: str) -> Any:
        """What ``key`` or ``key[inner][0]`` names."""
        value: Any = self._top
        for step in (name.partition("[")[0], *_STEP.findall(name)):
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise ReadError.of(self._path, f"!ref <{name}> names nothing", REMEDY) from error
        return value


def _too_many(path: Path) -> ReadError:
    cause = f"holds more than {MAX_NODES} values once its aliases are followed"
    return ReadError(f"{path}: {cause}", remedy=REMEDY)
