"""What can be turned: every control of what ships, there and back, and graphs with new values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.effects.chain import CURVES
from stepedit_fx.errors import NotFound, RequestError
from stepedit_fx.files import write_audio
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import (
    HEARD,
    MAX_TEXT,
    ROOT,
    Control,
    Controls,
    Value,
    as_float32,
    controls_of,
    up_to,
    upstream,
    with_values,
)
from stepedit_fx.shipped import shipped
from stepedit_fx.store import Store

FILES = {**shipped("graphs"), **shipped("presets")}
GRAPHS = {name: Graph.load(path) for name, path in FILES.items()}
CONTROLS = {name: controls_of(graph) for name, graph in GRAPHS.items()}
EVERY = [(name, control) for name, controls in CONTROLS.items() for control in controls.values()]
anything = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(),
    st.booleans(),
    st.text(max_size=20),
    st.none(),
    st.lists(st.integers(), max_size=2),
)

NESTED = """
version: 1
name: nested
nodes:
  take: {type: input}
  sound: {type: paralinguistic, from: take, text: "[Sigh] well"}
  dry: {type: decode, from: sound}
  wet:
    type: effects
    from: dry
    chain:
      - Gain: {gain_db: {ramp: {from: -3, to: 6, start: 0, end: 1}}}
      - Mix:
          - []
          - - Delay: {delay_seconds: 0.1}
            - Chain:
                - Gain: {gain_db: -2}
                - Reverb: {room_size: 0.3}
      - Limiter: {threshold_db: -1}
  blend: {type: mix, from: [dry, wet], gain_db: [0, -6], pan: [-0.5, 0.5]}
  other: {type: effects, from: dry, chain: [{Gain: {gain_db: 1}}]}
  out: {type: output, from: blend}
  out2: {type: output, from: other, path: other.wav}
"""


@pytest.fixture(scope="module")
def nested() -> Graph:
    return Graph.parse(NESTED)


def param(part: str, name: str) -> str:
    return f"{ROOT}/node/{part}/param/{name}"


def values_of(graph: Graph) -> dict[str, Value]:
    return dict(controls_of(graph).initial)


@pytest.mark.parametrize("name", GRAPHS)
def test_what_a_graph_stands_at_is_what_its_controls_hold(name: str) -> None:
    """A surface that shows a value and sends it back unturned changes nothing."""
    controls = CONTROLS[name]
    assert len(controls) == len(controls.initial) > 0
    for address, control in controls.items():
        value = controls.initial[address]
        assert control.address == address
        assert control.checked(value) == value
        assert type(control.checked(value)) is type(value)
    assert values_of(with_values(GRAPHS[name], controls.initial)) == dict(controls.initial)


@pytest.mark.parametrize(("name", "control"), EVERY, ids=lambda x: getattr(x, "address", x))
def test_a_control_says_what_a_surface_needs(name: str, control: Control) -> None:
    """Without a range, choices or help nobody could draw the control."""
    assert control.help
    assert control.address.startswith(f"{ROOT}/node/")
    assert not set(control.address) & set(" #*,?[]{}")  # what OSC reserves
    assert control.node in GRAPHS[name].nodes
    if control.kind in ("number", "whole"):
        assert control.low < control.high
        assert control.curve != "log" or control.low > 0
    if control.kind == "choice":
        assert len(set(control.choices)) == len(control.choices) > 1
        assert CONTROLS[name].initial[control.address] in control.choices


@given(st.sampled_from(EVERY), st.floats(0, 1))
def test_a_knob_comes_back_to_where_it_was(one: tuple[str, Control], place: float) -> None:
    """A motor fader must not creep when its own value is sent back to it."""
    _, control = one
    if control.kind == "text":
        assert control.norm("x") == 0.0
        with pytest.raises(RequestError):
            control.at(place)
        return
    value = control.at(place)
    norm = control.norm(value)
    assert 0 <= norm <= 1
    assert control.checked(value) == value
    if control.kind == "number":
        assert norm == pytest.approx(place, abs=1e-5)
        assert control.at(norm) == pytest.approx(value, rel=1e-6, abs=1e-6)
    else:
        assert control.at(norm) == value
    if isinstance(value, float):
        assert control.low <= value <= control.high
        assert float(np.float32(value)) == pytest.approx(value, rel=1e-7)


@given(st.sampled_from(EVERY), anything)
def test_whatever_comes_is_taken_or_refused_in_words(
    one: tuple[str, Control], value: object
) -> None:
    """A wrong value from a network must give an error, never a crash or a broken graph."""
    name, control = one
    try:
        checked = control.checked(value)
    except RequestError:
        return
    assert control.checked(checked) == checked
    if control.kind in ("number", "whole"):
        assert control.low <= float(checked) <= control.high
    if control.kind != "text":
        with_values(GRAPHS[name], {control.address: checked})


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_reads_the_same_through_a_float32(value: float) -> None:
    """0.8 set by OSC must read 0.8 in HTTP, not 0.800000011920929."""
    held = as_float32(value)
    assert as_float32(held) == held
    assert np.float32(held) == np.float32(value)
    assert as_float32(float(np.float32(held))) == held


@given(st.floats(1.0, 96000.0, width=32))
def test_a_value_of_a_log_knob_stays_in_range(value: float) -> None:
    """The rounding of a logarithm must not push a filter past its own limits."""
    control = Control("/a", "a", "f", "number", low=1.0, high=96000.0, curve="log")
    assert 1.0 <= float(control.at(control.norm(value))) <= 96000.0
    assert control.at(0.0) == 1.0
    assert control.at(1.0) == 96000.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", None, [1], True])
def test_a_number_takes_only_numbers(value: object) -> None:
    """NaN in a filter is silence for good; it is refused at the door."""
    control = CONTROLS["quickstart"][param("emotion", "strength")]
    with pytest.raises(RequestError, match=param("emotion", "strength")):
        control.checked(value)


def test_switches_and_choices_take_what_surfaces_send() -> None:
    """A fader turned into a switch sends 0.7, an encoder a place in the list."""
    bypass = CONTROLS["quickstart"][f"{ROOT}/node/emotion/bypass"]
    assert [bypass.checked(v) for v in (True, 1, 0.7, 0.3, 0, False)] == [True] * 3 + [False] * 3
    mood = CONTROLS["quickstart"][param("emotion", "value")]
    assert mood.checked(0) == mood.choices[0]
    assert mood.checked(99) == mood.choices[-1]
    assert mood.checked(-1.2) == mood.choices[0]
    with pytest.raises(RequestError, match="happy"):
        mood.checked("hapy")


def test_a_text_has_a_limit(nested: Graph) -> None:
    """A megabyte of text from a network is not edited."""
    text = controls_of(nested)[param("sound", "text")]
    assert text.checked("[Sigh]") == "[Sigh]"
    with pytest.raises(RequestError, match=str(MAX_TEXT)):
        text.checked("x" * (MAX_TEXT + 1))


def test_an_unknown_address_names_the_nearest() -> None:
    """A typing error in a mapping is told in words that help."""
    with pytest.raises(NotFound, match="strength"):
        CONTROLS["quickstart"][param("emotion", "strenth")]
    assert param("emotion", "strenth") not in CONTROLS["quickstart"]


def test_controls_reach_into_chains_and_mixes(nested: Graph) -> None:
    """An effect three levels down has an address of its own."""
    assert {
        f"{ROOT}/node/wet/bypass",
        f"{ROOT}/node/wet.0/bypass",
        param("wet.0", "gain_db"),
        f"{ROOT}/node/wet.1/bypass",
        param("wet.1.1.0", "delay_seconds"),
        f"{ROOT}/node/wet.1.1.1/bypass",
        param("wet.1.1.1.0", "gain_db"),
        param("wet.1.1.1.1", "room_size"),
        param("blend.0", "gain_db"),
        param("blend.1", "pan"),
    } <= set(controls_of(nested))


def test_a_moving_parameter_stands_at_its_start_until_it_is_turned(nested: Graph) -> None:
    """Turning one knob must not freeze another effect's automation."""
    assert controls_of(nested).initial[param("wet.0", "gain_db")] == -3.0
    elsewhere = with_values(nested, {param("wet.1.1.1.0", "gain_db"): -9.0})
    assert isinstance(gain(elsewhere), CURVES)
    assert gain(with_values(nested, {param("wet.0", "gain_db"): -3.0})) == -3.0


def gain(graph: Graph) -> Any:
    return graph.nodes["wet"].node.chain.items[0].params[0][1]  # type: ignore[attr-defined]


@given(st.data())
def test_what_is_set_changes_and_nothing_else(data: st.DataObject) -> None:
    """A set of one effect's gain must not reach its neighbour, however deep both lie."""
    graph = Graph.parse(NESTED)
    controls = controls_of(graph)
    numeric = [c for c in controls.values() if c.kind != "text"]
    chosen = data.draw(st.lists(st.sampled_from(numeric), unique_by=lambda c: c.address))
    changes = {c.address: c.at(data.draw(st.floats(0, 1))) for c in chosen}
    assert values_of(with_values(graph, changes)) == {**controls.initial, **changes}


@pytest.mark.parametrize("name", GRAPHS)
@given(data=st.data())
def test_every_shipped_graph_takes_every_value(name: str, data: st.DataObject) -> None:
    """No knob of anything that ships can break its graph, alone or with others."""
    controls: Controls = CONTROLS[name]
    turned = [c for c in controls.values() if c.kind != "text"]
    chosen = data.draw(st.lists(st.sampled_from(turned), max_size=5))
    changes = {c.address: c.at(data.draw(st.floats(0, 1))) for c in chosen}
    assert values_of(with_values(GRAPHS[name], changes)) == {**controls.initial, **changes}


def test_setting_back_gives_the_same_graph() -> None:
    """What is set back is found in the store again, not rendered anew."""
    graph, changed = GRAPHS["quickstart"], {param("effects.2", "wet_level"): 0.5}
    first = with_values(graph, {param("effects.2", "wet_level"): 0.08})
    back = with_values(with_values(graph, changed), {param("effects.2", "wet_level"): 0.08})
    assert first == back


def test_the_graph_itself_is_left_alone(nested: Graph) -> None:
    """Two sessions on one graph do not turn each other's knobs."""
    before = values_of(nested)
    with_values(nested, {param("blend.1", "gain_db"): -20.0})
    assert values_of(nested) == before


def test_a_text_that_its_node_does_not_take_is_refused(nested: Graph) -> None:
    """A tag that no engine has is told at once, with the node."""
    assert values_of(with_values(nested, {param("sound", "text"): "[Laughter] so"}))[
        param("sound", "text")
    ] == ("[Laughter] so")
    with pytest.raises(RequestError, match="sound"):
        with_values(nested, {param("sound", "text"): "[Sneezle] so"})


def test_an_unknown_node_is_refused(nested: Graph) -> None:
    """A scene of another graph says so instead of doing half."""
    with pytest.raises(NotFound, match="blent"):
        with_values(nested, {param("blent", "wet"): 0.5})


def test_up_to_keeps_what_feeds_a_node(nested: Graph) -> None:
    """Listening to one node renders neither what comes after it nor what stands beside it."""
    assert upstream(nested, "blend") == {"take", "sound", "dry", "wet", "blend"}
    assert set(up_to(nested, "wet").nodes) == {"take", "sound", "dry", "wet", HEARD}
    assert set(up_to(nested, "out").nodes) == {"take", "sound", "dry", "wet", "blend", HEARD}


def test_up_to_renders_that_nodes_sound(short_clip: Path) -> None:
    """What is heard on the way is what the graph would make there."""
    graph = Graph.parse(
        "version: 1\nname: g\nnodes:\n  take: {type: input}\n"
        "  low: {type: effects, from: take, chain: [{Gain: {gain_db: -6}}]}\n"
        "  lower: {type: effects, from: low, chain: [{Gain: {gain_db: -6}}]}\n"
        "  out: {type: output, from: lower}\n"
    )
    heard = up_to(graph, "low").run(short_clip, out_dir=None, store=Store.in_memory())
    whole = graph.run(short_clip, out_dir=None, store=Store.in_memory())
    low, lower = heard.values[HEARD].samples, whole.values["out"].samples
    np.testing.assert_allclose(low * 10 ** (-6 / 20), lower, atol=1e-4)


def test_values_reach_the_sound(short_clip: Path, tmp_path: Path) -> None:
    """A knob that is turned is heard: 6 dB less is half as loud."""
    tone = tmp_path / "tone.wav"
    write_audio(tone, Audio(np.full((1, 4000), 0.25, np.float32), 8000))
    graph = Graph.parse("version: 1\nname: g\nchain: [{effects: [{Gain: {gain_db: 0}}]}]\n")
    turned = with_values(graph, {param("effects.0", "gain_db"): as_float32(-6.0206)})
    result = turned.run(tone, out_dir=None, store=Store.in_memory())
    (sound,) = result.values.values()
    assert float(np.abs(sound.samples).max()) == pytest.approx(0.125, abs=1e-3)
