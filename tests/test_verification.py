"""Whether an output can be made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from stepedit_fx.batch import run_batch
from stepedit_fx.errors import ReadError
from stepedit_fx.provenance import GraphSource, read_provenance, sidecar
from stepedit_fx.store import Store
from stepedit_fx.takes import find_takes
from stepedit_fx.verification import verify_output


@pytest.fixture
def output(tmp_path: Path, short_clip: Path) -> Path:
    """One rendered take in work/out, its recording in work/."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(short_clip, work / "take.wav")
    graph_source = GraphSource(
        text="name: g\nvars: {mood: sad}\nchain: [{emotion: '${mood}'}, {style: whisper}]\n",
        file="g.yaml",
        folder=work,
        sets=("style.strength=0.5",),
        variables={"mood": "happy"},
    )
    takes = find_takes([str(work / "take.wav")])
    summary = run_batch(graph_source, takes, out_dir=work / "out", store=Store.in_memory())
    return summary.items[0].outputs[0]


def test_an_untouched_output_comes_out_the_same(output: Path) -> None:
    """Proof that a file is what its provenance says."""
    assert verify_output(output).state == "same"


def test_it_still_does_where_the_whole_folder_moved(output: Path, tmp_path: Path) -> None:
    """Projects move between disks and machines."""
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    assert verify_output(tmp_path / "elsewhere" / "out" / output.name).state == "same"


def test_a_changed_file_differs_and_says_by_how_much(output: Path) -> None:
    """One wants to know whether it is a rounding or another sound."""
    samples, rate = soundfile.read(output)
    samples[100] += 0.25
    soundfile.write(output, samples, rate, subtype="PCM_24")
    verdict = verify_output(output)
    assert verdict.state == "differs"
    assert "1 samples differ, by -12.0 dBFS" in verdict.detail
    assert "changed after it was written" in verdict.detail


def test_another_recording_in_its_place_is_named(output: Path, tmp_path: Path) -> None:
    take = tmp_path / "work" / "take.wav"
    samples, rate = soundfile.read(take)
    soundfile.write(take, samples[:-100] * 0.5, rate)
    verdict = verify_output(output)
    assert verdict.state == "differs"
    assert "recording is another one" in verdict.detail


def test_another_version_is_named(output: Path) -> None:
    """The first question when a render differs."""
    data = json.loads(sidecar(output).read_text())
    data["versions"]["pedalboard"] = "0.0.1"
    sidecar(output).write_text(json.dumps(data))
    samples, rate = soundfile.read(output)
    soundfile.write(output, samples[:-10], rate, subtype="PCM_24")
    assert "pedalboard was 0.0.1" in verify_output(output).detail


def test_what_is_missing_is_said(output: Path, tmp_path: Path) -> None:
    """No provenance, no source and no file are three different things to do about."""
    (tmp_path / "work" / "take.wav").unlink()
    assert verify_output(output).state == "source missing"
    sidecar(output).write_text('{"provenance": 1}')
    assert verify_output(output).state == "failed"
    sidecar(output).unlink()
    assert verify_output(output).state == "no provenance"
    output.unlink()
    assert verify_output(output).state == "failed"


@pytest.mark.parametrize(
    "wrong", [{"index": "x"}, {"index": float("inf")}, {"steps": {"input": 3}}, {"input": 3}]
)
def test_a_sidecar_with_nonsense_in_it_is_a_damaged_one(
    wrong: dict[str, object], output: Path
) -> None:
    """A batch renders such an output again; it must not fail over what can be replaced."""
    data = json.loads(sidecar(output).read_text())
    sidecar(output).write_text(json.dumps({**data, **wrong}))
    with pytest.raises(ReadError, match=r"Render the output again"):
        read_provenance(output)


def test_provenance_that_names_no_output_of_its_graph_is_a_verdict(output: Path) -> None:
    """A sidecar that somebody changed must not end the check of a whole folder."""
    data = json.loads(sidecar(output).read_text())
    sidecar(output).write_text(json.dumps({**data, "node": "elsewhere"}))
    verdict = verify_output(output)
    assert (verdict.state, "no output 'elsewhere'" in verdict.detail) == ("failed", True)


def test_a_json_file_that_is_no_provenance_is_none_of_ours(output: Path) -> None:
    """Somebody's own `take.wav.json` is neither trusted nor an error."""
    for text in ("[]", "{}", '{"output": 3}'):
        sidecar(output).write_text(text)
        assert read_provenance(output) is None
