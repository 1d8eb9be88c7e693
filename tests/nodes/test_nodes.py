"""Nodes: fields that the faces can rely on, and what each node does by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.errors import RequestError
from stepedit_fx.files import check_writable, write_audio
from stepedit_fx.nodes import NODES, Node
from stepedit_fx.nodes.base import Context
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.emotion import Emotion
from stepedit_fx.nodes.input import Input
from stepedit_fx.nodes.output import SUBTYPES, Output, fill, placeholders
from stepedit_fx.nodes.paralinguistic import Paralinguistic
from stepedit_fx.nodes.speed import Speed
from stepedit_fx.nodes.style import Style
from stepedit_fx.nodes.vad import Vad
from stepedit_fx.speech import Edit, Transcript


@pytest.mark.parametrize("cls", NODES.values(), ids=list(NODES))
def test_every_field_says_what_it_is(cls: type[Node]) -> None:
    """Help, schema and control surfaces show nothing else."""
    assert cls.__doc__
    for name, info in cls.model_fields.items():
        extra = info.json_schema_extra
        assert info.description, name
        assert isinstance(extra, dict)
        assert extra["unit"] in ("", "s", "dB", "Hz", "%", "st")
        assert isinstance(extra["live"], bool)
    assert not cls.main or cls.main in cls.model_fields
    assert cls.model_json_schema()["additionalProperties"] is False


def test_importing_nodes_loads_none_of_the_heavy_libraries() -> None:
    """`stepedit-fx --help` and editors wait for this import."""
    code = (
        "import sys, stepedit_fx.nodes; heavy = 'pedalboard', 'scipy', 'soundfile', 'parselmouth'; "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_main_value_stands_alone_and_the_rest_by_name() -> None:
    edit = Emotion("happy", strength=0.8, iterations=2, seed=5).edit()
    assert edit == Edit("emotion", "happy", strength=0.8, iterations=2, seed=5)
    assert Style("whisper").edit() == Edit("style", "whisper")
    assert Speed(value="faster").edit() == Edit("speed", "faster")
    assert Vad(strength=0.5).edit() == Edit("vad", strength=0.5)
    assert Clone("hello").edit() == Edit("clone", text="hello")
    with pytest.raises(TypeError, match="give every field but 'value' by name"):
        Emotion("happy", 0.5)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Emotion("happy", value="sad")  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [{"strength": 1.1}, {"strength": -0.1}, {"strength": float("nan")}, {"iterations": 0},
     {"iterations": 6}, {"seed": -1}, {"loudness": 1}],
)  # fmt: skip
def test_values_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Emotion("happy", **fields)  # type: ignore[arg-type]


def test_nodes_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Emotion("happy").strength = 0.5  # type: ignore[misc]


def test_a_text_without_a_sound_is_refused() -> None:
    assert Paralinguistic("Well, [Sigh] fine.").edit().text == "Well, [Sigh] fine."
    with pytest.raises(ValidationError, match="holds no sound"):
        Paralinguistic("Well, fine.")
    with pytest.raises(ValidationError, match="Did you mean 'Sigh'"):
        Paralinguistic("Well, [Sgh] fine.")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "take.wav"
    write_audio(path, Audio(np.full((2, 800), 0.1, np.float32), 8000))
    path.with_suffix(".txt").write_text("Hello there.")
    return path


@pytest.mark.parametrize(
    ("transcript", "text"),
    [("auto", "Hello there."), ("none", ""), ("Other words.", "Other words.")],
)
def test_input_reads_its_words_as_asked(recording: Path, transcript: str, text: str) -> None:
    context = Context(open_engine(), folder=recording.parent)
    audio = Input("take.wav", transcript=transcript).run((), context)
    assert audio.transcript.text == text
    assert (audio.channels, audio.frames) == (2, 800)


def test_input_takes_the_file_given_to_run_when_it_names_none(recording: Path) -> None:
    assert Input().run((), Context(open_engine(), source=recording)).frames == 800
    with pytest.raises(RequestError, match="no recording"):
        Input().run((), Context(open_engine()))


def test_sound_in_memory_gets_the_words_asked_for() -> None:
    audio = Audio(np.zeros((1, 80), np.float32), 8000, transcript=Transcript("as it came"))
    assert Input().worded(audio).transcript.text == "as it came"
    assert Input(transcript="none").worded(audio).transcript.text == ""
    with pytest.raises(RequestError, match=r"lasts 0\.0 s|lasts"):
        Input(max_duration_s=0.01).worded(Audio(np.zeros((1, 8000), np.float32), 8000))


def test_every_ending_and_subtype_offered_can_be_written(tmp_path: Path) -> None:
    for ending, subtypes in SUBTYPES.items():
        for subtype in subtypes:
            assert check_writable(tmp_path / f"x{ending}", subtype) == subtype


def test_auto_subtype_is_never_coarser_than_the_source() -> None:
    """24 bits hold 16; finer sources keep their own, so that nothing is lost unedited."""
    wav, flac = Output("x.wav"), Output("x.flac")
    assert [wav.subtype_for(s) for s in ("", "PCM_16", "PCM_24", "FLOAT", "PCM_32")] == [
        None, None, None, "FLOAT", "PCM_32"
    ]  # fmt: skip
    assert flac.subtype_for("FLOAT") is None
    assert Output("x.wav", subtype="PCM_16").subtype_for("FLOAT") == "PCM_16"


@settings(max_examples=200)
@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=12))
def test_no_template_or_value_leads_out_of_the_output_folder(
    before: str, stem: str, var: str
) -> None:
    """A graph or a file from somewhere else must not write where it likes."""
    template = f"{before}{{stem}}/{{v}}.wav"
    try:
        names = placeholders(template)
        path = fill(template, dict.fromkeys(names, "x") | {"stem": stem, "v": var})
    except ValueError:
        return
    root = Path("/srv/out")
    assert (root / path).resolve().is_relative_to(root)
