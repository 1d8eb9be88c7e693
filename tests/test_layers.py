"""The house stands: a room uses only rooms below it, and opening the door loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "stepedit_fx"

# Room -> floor, as in docs/architecture.md. A room may import rooms of lower floors, itself,
# and rooms of its own floor only where NEIGHBOURS says so.
FLOORS = {
    "errors": 0,
    "audio": 0,
    "speech": 0,
    "tags": 0,
    "atomic": 0,
    "warned": 0,
    "interrupts": 0,
    "files": 1,
    "inspection": 1,
    "loudness": 1,
    "pool": 1,
    "segments": 1,
    "shipped": 1,
    "stretch": 1,
    "timeline": 1,
    "transients": 1,
    "transcripts": 1,
    "measures": 1,
    "store": 1,
    "engines": 2,
    "effects": 2,
    "worker": 3,
    "nodes": 3,
    "graph": 4,
    "provenance": 5,
    "takes": 5,
    "verification": 5,
    "batch": 5,
    "chain": 5,
    "session": 5,
    "osc": 6,
    "midi": 6,
    "live": 6,
    "report": 6,
    "web": 6,
    "cli": 7,  # starts the faces, which know nothing of one another
}
NEIGHBOURS = {
    ("audio", "errors"),
    ("audio", "speech"),
    ("tags", "errors"),
    ("atomic", "errors"),
    ("batch", "provenance"),
    ("inspection", "loudness"),
    ("inspection", "measures"),
    ("segments", "files"),
    ("segments", "measures"),
    ("segments", "timeline"),
    ("timeline", "loudness"),
    ("timeline", "measures"),
    ("timeline", "stretch"),
    ("stretch", "transients"),
    ("transcripts", "measures"),
    ("transcripts", "files"),
    ("batch", "takes"),
    ("session", "provenance"),
    ("takes", "provenance"),
    ("verification", "provenance"),
}
ENGINE_KINDS = {
    path.name for path in (PACKAGE / "engines").iterdir() if (path / "__init__.py").exists()
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module of ours that a file imports, anywhere in it, with the line."""
    package = (
        module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], base]
                )
            names = [f"{base.rstrip('.')}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name.split(".")[0] == "stepedit_fx")


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def arrows() -> Iterator[tuple[Path, int, str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, line in imported(path):
            yield path, line, module_name(path), name


def faults(source: str, target: str) -> str:
    """Why one import is against the plan; empty when it is not."""
    here, there = room(source), room(target)
    if here in {"", "__main__"}:
        return ""
    if here == there:
        return engine_faults(source, target) if here == "engines" else ""
    if there not in FLOORS:
        return "" if there == "__version__" else "a room uses the front door"
    if FLOORS[there] > FLOORS[here]:
        return f"floor {FLOORS[here]} uses floor {FLOORS[there]}"
    if FLOORS[there] == FLOORS[here] and (here, there) not in NEIGHBOURS:
        return f"'{here}' and '{there}' share floor {FLOORS[here]}"
    return ""


def engine_faults(source: str, target: str) -> str:
    """Engines know the protocol; the protocol knows no engine, and no engine another."""
    here, there = ([*m.split("."), "", ""][2] for m in (source, target))
    if there not in ENGINE_KINDS or here == there:
        return ""
    return "the protocol uses an engine" if here == "base" else "an engine uses another engine"


def test_every_room_has_a_floor() -> None:
    """A new module without a place in the plan would escape the test below."""
    rooms = {room(module_name(p)) for p in PACKAGE.rglob("*.py")} - {"", "__main__"}
    assert rooms <= set(FLOORS), f"give these a floor: {sorted(rooms - set(FLOORS))}"


def test_no_arrow_runs_upwards() -> None:
    """Someone who changes an upper room must not have to think of the lower ones."""
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}: {source} imports {target}: {why}"
        for path, line, source, target in arrows()
        if (why := faults(source, target))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("stepedit_fx.audio", "stepedit_fx.graph.spec"),
        ("stepedit_fx.effects.table", "stepedit_fx.engines.base"),
        ("stepedit_fx.engines.base", "stepedit_fx.engines.parametric.engine"),
        ("stepedit_fx.midi.ports", "stepedit_fx.osc.wire"),
    ],
)
def test_the_rule_catches_what_it_should(source: str, target: str) -> None:
    """The plan is only worth something if breaking it fails."""
    assert faults(source, target)


FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
YAML_BUILDERS = {"load", "load_all", "full_load", "unsafe_load", "unsafe_load_all", "full_load_all"}


def unsafe(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found = ""
        if isinstance(node, ast.Import):
            found = next((a.name for a in node.names if a.name in FORBIDDEN_IMPORTS), "")
        elif isinstance(node, ast.ImportFrom):
            found = node.module if node.module in FORBIDDEN_IMPORTS else ""  # type: ignore[assignment]
        elif isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS:
                found = f"{function.id}()"
            elif (
                isinstance(function, ast.Attribute)
                and isinstance(function.value, ast.Name)
                and function.value.id == "yaml"
                and function.attr in YAML_BUILDERS
            ):
                found = f"yaml.{function.attr}()"
            elif any(k.arg == "trust_remote_code" for k in node.keywords):
                found = "trust_remote_code"
        if found:
            yield f"{path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 0)}: {found}"


def test_nothing_runs_code_from_data() -> None:
    """A graph, a store entry or a checkpoint from a stranger must never run code here."""
    wrong = [line for path in PACKAGE.rglob("*.py") for line in unsafe(path)]
    assert not wrong, "\n".join(wrong)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["stepedit_fx", "stepedit_fx.cli", "stepedit_fx.cli.app"])
def test_the_door_opens_quickly(module: str) -> None:
    """`import stepedit_fx` and `stepedit-fx --help` stay quick: nothing heavy is loaded."""
    loaded = loaded_by(f"import {module}")
    heavy = {"torch", "scipy", "parselmouth", "soundfile", "pedalboard", "soxr", "safetensors"}
    assert not heavy & loaded
    engines = {name for name in loaded if name.startswith("stepedit_fx.engines.")}
    assert engines <= {"stepedit_fx.engines.base"}


@pytest.mark.parametrize("name", ["Chain", "Graph", "Audio", "Emotion"])
def test_names_at_the_door_load_no_torch_and_no_engine(name: str) -> None:
    """A script that only builds a chain does not wait for an engine it has not used yet."""
    loaded = loaded_by(f"from stepedit_fx import {name}")
    assert "torch" not in loaded
    assert not {
        m for m in loaded if m.startswith(tuple(f"stepedit_fx.engines.{k}" for k in ENGINE_KINDS))
    }
