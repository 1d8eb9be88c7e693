"""The store: what was put in comes out, bit for bit, or nothing does."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

from stepedit_fx.audio import Audio
from stepedit_fx.errors import StoreError
from stepedit_fx.speech import Place, Speech, Transcript, Voice, Word
from stepedit_fx.store import Store, digest

RNG = np.random.default_rng(3)
TRANSCRIPT = Transcript("grüß dich 你", "de", (Word("grüß", 0.0, 0.1), Word("dich", 0.1, 1 / 3)))


def sound(frames: int = 500, start_s: float = 0.1) -> Audio:
    samples = RNG.uniform(-1, 1, (2, frames)).astype(np.float32)
    return Audio(samples, 24_000, start_s, TRANSCRIPT)


def spoken(voice: Voice | None = None, **codes: Any) -> Speech:
    voice = voice or Voice("parametric", {"samples": RNG.uniform(-1, 1, (1, 4000))})
    codes = codes or {"pitch_st": RNG.uniform(-1, 1, 50)}
    return Speech(codes, voice, Place(44_100, 2, 4000, 1 / 7), TRANSCRIPT)


def same_arrays(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return list(left) == list(right) and all(
        left[n].dtype == right[n].dtype
        and left[n].shape == right[n].shape
        and left[n].tobytes() == right[n].tobytes()
        for n in left
    )


def same(left: object, right: object) -> bool:
    """Whether two values are alike in every bit."""
    if isinstance(left, Audio) and isinstance(right, Audio):
        return left.digest == right.digest
    if isinstance(left, Speech) and isinstance(right, Speech):
        return (
            same_arrays(left.codes, right.codes)
            and same_arrays(left.voice.arrays, right.voice.arrays)
            and (left.voice.engine, left.place, left.transcript)
            == (right.voice.engine, right.place, right.transcript)
        )
    return False


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_what_is_put_in_comes_out_later(tmp_path: Path) -> None:
    """Every run would start from nothing; or come out without its words or its start."""
    put: dict[str, Audio | Speech] = {digest(1): sound(), digest(2): spoken(), digest(3): sound(0)}
    first = Store(tmp_path)
    for key, value in put.items():
        assert not first.has(key)
        assert first.get(key) is None
        first.put(key, value)
    for store in (first, Store(tmp_path)):  # from memory, from disk
        for key, value in put.items():
            assert store.has(key)
            assert same(store.get(key), value)


DTYPES = ["?", "u1", "i2", "<i4", ">i4", "f2", "<f8", ">f4", "<c8", "<c16", "<U3", "S4"]
ARRAYS = hnp.arrays(
    dtype=st.sampled_from(DTYPES),
    shape=hnp.array_shapes(max_dims=3, min_side=0, max_side=4),
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4))
def test_codes_of_any_type_and_shape_are_kept(
    tmp_path_factory: pytest.TempPathFactory, codes: dict[str, Any]
) -> None:
    """An engine's codes would come back as other numbers, and decode to another sound."""
    folder = tmp_path_factory.mktemp("codes")
    value = Speech(codes, Voice("other", codes), Place(8000, 1, 1))
    Store(folder).put(digest(1), value)
    assert same(Store(folder).get(digest(1)), value)


def test_a_folder_may_be_a_text(tmp_path: Path) -> None:
    """`Store("results")` is what one types in a notebook."""
    assert Store(str(tmp_path / "results")).folder == tmp_path / "results"


def test_entries_are_plain_safetensors_files(tmp_path: Path) -> None:
    """Nobody could look into the store with other tools; reading it might run code."""
    audio = sound()
    Store(tmp_path).put(digest(1), audio)
    with safe_open(files(tmp_path)[0], "numpy") as entry:
        np.testing.assert_array_equal(entry.get_tensor("samples"), audio.samples)
        facts = json.loads(entry.metadata()["facts"])
    assert (facts["kind"], facts["sample_rate"], facts["key"]) == ("audio", 24_000, digest(1))


UNKEPT = [np.array([{}]), np.zeros(2, [("a", "f4")]), np.zeros(2, "M8[s]")]


@pytest.mark.parametrize("array", UNKEPT)
def test_arrays_of_objects_are_refused(tmp_path: Path, array: Any) -> None:
    """They could only be kept by pickling, and pickles run code."""
    place = Place(8000, 1, 1)
    for speech in (
        Speech({"x": array}, Voice("e", {}), place),
        Speech({}, Voice("e", {"x": array}), place),
        Speech({"__metadata__": np.zeros(1)}, Voice("e", {}), place),
    ):
        store = Store(tmp_path)
        with pytest.raises(TypeError, match="array"):
            store.put(digest(1), speech)
        assert not store.has(digest(1))


def test_only_results_under_digests_are_kept(tmp_path: Path) -> None:
    """A key with a path in it would write outside of the store."""
    store = Store(tmp_path)
    for key in ("", "x", "../" + "a" * 61, "A" * 64, digest(1) + "\n"):
        with pytest.raises(ValueError, match="sha256"):
            store.put(key, sound())
        with pytest.raises(ValueError, match="sha256"):
            store.get(key)
    with pytest.raises(TypeError, match="not ndarray"):
        store.put(digest(1), np.zeros(3))  # type: ignore[arg-type]


def test_a_voice_is_kept_once_and_shared(tmp_path: Path) -> None:
    """Ten edits of a take would fill disk and memory with ten copies of it."""
    first = spoken()
    store = Store(tmp_path)
    for number in range(5):
        store.put(digest(number), spoken(first.voice, f0=np.array([number], np.float32)))
    assert len(files(tmp_path)) == 6
    assert store.info().memory_bytes == 5 * 4 + 4000 * 8
    again = Store(tmp_path)
    loaded = [again.get(digest(number)) for number in range(5)]
    assert len({id(speech.voice) for speech in loaded if isinstance(speech, Speech)}) == 1
    assert again.get(first.voice.digest) is None  # a voice is no result


def test_a_speech_without_its_voice_is_a_miss(tmp_path: Path) -> None:
    """It would be decoded with nothing, or with another voice."""
    speech = spoken()
    Store(tmp_path).put(digest(1), speech)
    (tmp_path / speech.voice.digest[:2] / f"{speech.voice.digest[2:]}.safetensors").unlink()
    store = Store(tmp_path)
    assert store.get(digest(1)) is None
    assert not store.has(digest(1))
    store.put(digest(1), speech)
    assert same(Store(tmp_path).get(digest(1)), speech)


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    """The store would outgrow its limit, or lose what is used every day."""
    store = Store(tmp_path, max_bytes=200_000, memory_bytes=0)
    keep = digest("keep")
    store.put(keep, sound(1000))
    for number in range(60):
        store.put(digest(number), sound(1000))  # about 8 KB each
        assert store.get(keep) is not None
        assert store.info().bytes <= 200_000
    assert not store.has(digest(0))
    assert store.has(digest(59))


def test_a_voice_outlives_the_speech_that_needs_it(tmp_path: Path) -> None:
    """Edits would be kept that nothing can decode."""
    store = Store(tmp_path, max_bytes=150_000, memory_bytes=0)
    voice = spoken().voice  # 32 KB
    store.put(digest("a"), spoken(voice))
    store.put(digest("b"), spoken(voice, f0=np.zeros(3)))
    for number in range(40):
        store.put(digest(number), sound(1000))
        assert store.get(digest("b")) is not None
    assert not store.has(digest("a"))


def test_more_than_the_store_may_hold_is_not_kept(tmp_path: Path) -> None:
    """One long file would push everything else out."""
    store = Store(tmp_path, max_bytes=10_000, memory_bytes=10_000)
    store.put(digest(1), sound(100))
    store.put(digest(2), sound(100_000))
    assert store.has(digest(1))
    assert not store.has(digest(2))


def test_memory_is_kept_to_its_limit() -> None:
    """A session of an afternoon would fill the machine's memory."""
    store = Store.in_memory(memory_bytes=100_000)
    voice = spoken().voice  # 32 KB, once
    for number in range(100):
        store.put(digest(number), spoken(voice, f0=np.zeros(1000)))  # 8 KB each
        assert store.info().memory_bytes <= 100_000
    assert store.info().memory_entries == 8
    assert store.has(digest(99))
    assert not store.has(digest(91))
    store.put(digest("long"), sound(12_000))  # 96 KB: all speeches go, and their voice
    assert (store.info().memory_entries, store.info().memory_bytes) == (1, 96_000)
    assert store.folder is None
    for too_long in (sound(13_000), spoken(f0=np.zeros(10_000))):  # with its voice, the second
        store.put(digest("too long"), too_long)
        assert store.has(digest("long"))  # one result for which there is no room empties nothing
        assert not store.has(digest("too long"))


def test_verify_finds_and_removes_what_is_damaged(tmp_path: Path) -> None:
    """`cache verify` would say all is well."""
    speech, store = spoken(), Store(tmp_path, memory_bytes=0)
    store.put(digest(1), sound())
    store.put(digest(2), speech)
    store.put(digest(3), sound())
    assert store.verify() == []
    for key in (digest(3), speech.voice.digest):
        path = tmp_path / key[:2] / f"{key[2:]}.safetensors"
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    assert store.verify() == sorted([digest(2), digest(3), speech.voice.digest])
    assert store.verify() == []
    assert [store.has(digest(n)) for n in (1, 2, 3)] == [True, False, False]


def test_clear_removes_the_store_and_nothing_else(tmp_path: Path) -> None:
    """`--store ~/Documents` and then `cache clear` would be a catastrophe."""
    mine = [tmp_path / "letter.txt", tmp_path / "ab" / "model.safetensors", tmp_path / "ab" / "x"]
    mine[1].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    store = Store(tmp_path)
    store.put(digest(1), sound())
    store.put(digest(2), spoken())
    held = store.info()
    assert held.entries == 3
    assert store.clear() == held.bytes > 0
    assert (store.info().entries, store.info().memory_entries) == (0, 0)
    assert store.get(digest(1)) is None
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_the_folder_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store would grow where nobody looks for it."""
    monkeypatch.setenv("STEPEDIT_STORE", str(tmp_path / "named"))
    assert Store().folder == Store.default_folder() == tmp_path / "named"
    assert Store(tmp_path / "given").folder == tmp_path / "given"
    monkeypatch.delenv("STEPEDIT_STORE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert Store.default_folder().parts[-2:] == ("stepedit_fx", "store")


def test_an_unusable_folder_is_an_error_only_if_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A container without a home folder could render nothing; or a mistyped --store pass."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="Name another folder with --store"):
        Store(tmp_path / "file")
    monkeypatch.setenv("STEPEDIT_STORE", str(tmp_path / "file" / "store"))
    with pytest.raises(StoreError, match="STEPEDIT_STORE"):
        Store()
    monkeypatch.delenv("STEPEDIT_STORE")
    monkeypatch.setattr(Store, "default_folder", staticmethod(lambda: tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        store = Store()
    assert "memory alone" in caplog.text
    store.put(digest(1), sound())
    assert store.has(digest(1))
