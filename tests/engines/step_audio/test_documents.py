"""Configuration files are data, whoever wrote them."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.step_audio.documents import read_json, read_yaml
from stepedit_fx.errors import ReadError

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
PLAIN = st.recursive(
    st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
    | NAMES.filter(lambda name: name not in {"no", "on", "yes", "off", "y", "n"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "some.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_hyperpyyaml_is_read_as_data(written: Any) -> None:
    """The published file's numbers arrive without the classes that it names."""
    path = written(
        """
        __set_seed: !apply:random.seed [1986]
        sample_rate: 24000
        rates: {mel: [50, 25]}
        flow: !new:some.package.Flow
            input_size: 512
            rate: !ref <sample_rate>
            first: !ref <rates[mel][0]>
            all: !ref <rates>
            half: !ref <sample_rate> // 2
            activation: !name:torch.nn.Mish
            params: !new:omegaconf.DictConfig
                content: {sigma_min: 1e-06, scale: 1.5e3}
        """
    )
    assert read_yaml(path) == {
        "__set_seed": [1986],
        "sample_rate": 24000,
        "rates": {"mel": [50, 25]},
        "flow": {
            "input_size": 512,
            "rate": 24000,
            "first": 50,
            "all": {"mel": [50, 25]},
            "half": "<sample_rate> // 2",
            "activation": None,
            "params": {"content": {"sigma_min": 1e-06, "scale": 1500.0}},
        },
    }


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {trace}']",
        "!!python/object/new:os.system ['touch {trace}']",
        "!!python/object/apply:subprocess.check_output [[touch, '{trace}']]",
        "!new:os.system ['touch {trace}']",
        "!apply:os.system ['touch {trace}']",
        "!new:os.system\n  command: 'touch {trace}'",
        "!include:{trace}",
        "!copy os.system",
    ],
)
def test_nothing_that_a_tag_names_runs(written: Any, tmp_path: Path, value: str) -> None:
    """A stranger's cosyvoice.yaml must not run a command here."""
    trace = tmp_path / "it-ran"
    data = read_yaml(written(f"evil: {value.format(trace=trace)}\nsize: 3\n"))
    assert data["size"] == 3
    assert isinstance(data["evil"], list | dict | str | None)
    assert not trace.exists()


def test_aliases_of_aliases_do_not_fill_the_memory(written: Any) -> None:
    """A file of 1 kB must not ask for 10**9 values."""
    steps = list(zip("abcdefgh", "bcdefghi", strict=True))
    aliases = [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in steps]
    references = [f"{new}: [{', '.join([f'!ref <{old}>'] * 10)}]" for old, new in steps]
    for lines in (["a: &a [x, x]", *aliases], ["a: [x, x]", *references]):
        with pytest.raises(ReadError, match="more than"):
            read_yaml(written("\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: !ref <a>", "back to itself"),
        ("a: !ref <b>\nb: !ref <a>", "back to itself"),
        ("x: !ref <y>\ny: {z: !ref <x>}", "back to itself"),
        ("a: !ref <gone>", "names nothing"),
        ("a: [1]\nb: !ref <a[4]>", "names nothing"),
        ("a: &a {inner: *a}", "holds itself"),
        ("[" * 5000, "RecursionError"),
        ("- a list", "no mapping"),
        ("", "no mapping"),
        ("a: b: c", "line 1"),
        ("a: !!timestamp x", "no YAML of ours"),
        ("a: !!float ''", "no YAML of ours"),
        ("a: 2020-13-45", "month"),
        ("? {a: b}\n: c", "unhashable"),
        ("a: \0", "no YAML"),
    ],
)
def test_a_broken_file_is_named(written: Any, text: str, told: str) -> None:
    """Whoever has a damaged file learns which, and what to do, without a traceback."""
    with pytest.raises(ReadError, match=told) as caught:
        read_yaml(written(text))
    assert "some.yaml" in str(caught.value)
    assert caught.value.remedy


@settings(max_examples=60)
@given(data=st.dictionaries(NAMES, PLAIN, max_size=4))
def test_plain_data_comes_back_as_it_was(tmp_path_factory: Any, data: dict[str, Any]) -> None:
    """A configuration written as JSON, which is YAML, keeps every number."""
    path = tmp_path_factory.mktemp("plain") / "a.yaml"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read_json(path) == data
    assert _same(read_yaml(path), data)


@settings(max_examples=100)
@given(text=st.text("!&*<>[]{}:,-?|#'\"ab1. \n", max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: Any, text: str) -> None:
    """No sequence of YAML's signs gives anything but data or a ReadError."""
    path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with suppress(ReadError):
        assert isinstance(read_yaml(path), dict)


@pytest.mark.parametrize("text", ["[1]", "{", '"a"', "[" * 100_000, "\udcff"])
def test_a_broken_json_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReadError, match=r"config\.json"):
        read_json(path)
    with pytest.raises(ReadError, match=r"gone\.json"):
        read_json(tmp_path / "gone.json")


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, float):
        return math.isclose(float(one), other, rel_tol=1e-12)
    if isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in other)
    if isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
