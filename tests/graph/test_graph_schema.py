"""The JSON Schema: what loads passes it, and what an editor should underline does not."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from stepedit_fx.errors import GraphError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.schema import schema

REPO = Path(__file__).parents[2]
SHIPPED = sorted([*REPO.glob("graphs/*.yaml"), *REPO.glob("presets/*.yaml")])


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    return jsonschema.Draft202012Validator(made)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_graphs_load_and_pass(
    path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    Graph.load(path)
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_there_are_shipped_graphs() -> None:
    assert len(SHIPPED) >= 14


@pytest.mark.parametrize(
    "text",
    [
        "chain: [{emotion: happy}, decode]",
        "chain: [{emotion: {value: '${m}', strength: '${s}'}}]\nvars: {m: sad, s: 0.5}",
        "chain: [{effects: ['Reverb', {Gain: {gain_db: '${g}'}}]}]\nvars: {g: -3}",
        "chain: [denoise, {vad: 0.5}, {vad: null}, {output: {subtype: PCM_16}}]",
        "seed: 3\nengine: {kind: parametric}\nchain: [{input: {transcript: none}}, vad]",
        "vars: {s: 3, e: parametric, k: vad}\nseed: '${s}'\nengine: '${e}'\nchain: ['${k}']",
        "vars: {k: input}\nnodes: {a: {type: '${k}'}, b: {type: output, from: a}}",
        "nodes: {a: {type: input}, b: {type: output, from: [a]}}",
        "nodes: {a: {type: input}, m: {type: mix, from: [a, a], gain_db: [0, -3]}, "
        "b: {type: output, from: m, path: '{stem}.mp3'}}",
    ],
)
def test_what_loads_passes(text: str, validator: jsonschema.Draft202012Validator) -> None:
    """A red line under a right word would send its writer astray."""
    Graph.parse(text)
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "nme: a\nchain: [vad]",
        "version: 2\nchain: [vad]",
        "seed: -1\nchain: [vad]",
        "engine: parametrik\nchain: [vad]",
        "chain: []",
        "chain: [emotion]",
        "chain: [encode]",
        "chain: [{emotoin: happy}]",
        "chain: [{emotion: happy, style: child}]",
        "chain: [{emotion: {strength: 1}}]",
        "chain: [{emotion: {value: happy, strength: 2}}]",
        "chain: [{emotion: {value: happy, strength: loud}}]",
        "chain: [{emotion: {value: happy, strenght: 1}}]",
        "chain: [{emotion: {value: happy, bypass: 1}}]",
        "chain: [{vad: 3}]",
        "chain: [{decode: {x: 1}}]",
        "chain: [{effects: [{Reverb: {room_size: 3}}]}]",
        "chain: [{effects: [Revreb]}]",
        "chain: [{output: {subtype: PCM16}}]",
        "chain: [vad]\nnodes: {a: {type: input}}",
        "nodes: {a: {}}",
        "nodes: {a: {type: inptu}}",
        "nodes: {a: {type: input}, b: {type: output}}",
        "nodes: {a: {type: input}, b: {type: output, from: 3}}",
        "nodes: {a: {type: input, from: b}, b: {type: output, from: a}}",
        "nodes: {a: {type: input}, b: {type: mix, from: [a]}, c: {type: output, from: b}}",
    ],
)
def test_what_does_not_load_does_not_pass(
    text: str, validator: jsonschema.Draft202012Validator
) -> None:
    with pytest.raises(GraphError):
        Graph.parse(text)
    assert not validator.is_valid(yaml.safe_load(text))
