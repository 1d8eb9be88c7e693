"""The commands, in this process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from stepedit_fx import __version__
from stepedit_fx.cli.app import app
from stepedit_fx.tags import EMOTIONS, KINDS

COMMANDS = (
    "run", "edit", "plan", "check", "draw", "nodes", "tags", "effects", "presets", "schema",
    "verify", "serve", "live", "cache", "models", "midi", "osc",
)  # fmt: skip


def cli(*args: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def take(tmp_path: Path, short_clip: Path) -> Path:
    return Path(shutil.copy(short_clip, tmp_path / "take.wav"))


def test_help_names_every_command_whole() -> None:
    """--help is where people look first; no line of it is cut short."""
    text = cli("--help")
    for command in COMMANDS:
        assert f"\n  {command} " in text
        assert "Show this message" in cli(command, "--help")
    assert "..." not in text.replace("[ARGS]...", "")
    assert __version__ in cli("--version")


def test_run_writes_the_output_and_says_where(take: Path, tmp_path: Path) -> None:
    told = cli("run", "quickstart", take, "-o", tmp_path / "out")
    output = tmp_path / "out" / "take.quickstart.wav"
    assert output.is_file()
    assert str(output) in told.replace("\n", "")


def test_run_takes_sets_and_variables(take: Path, tmp_path: Path) -> None:
    """--set and --var change the graph for this run."""
    out = tmp_path / "out"
    cli("run", "batch-variables", take, "-o", out, "--var", "mood=sad", "--set", "pace.bypass=true")
    assert (out / "take.sad.wav").is_file()
    assert soundfile.info(out / "take.sad.wav").frames != 0


def test_run_as_json_is_for_programs(take: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copy(take, tmp_path / "two.wav")
    (tmp_path / "bad.wav").write_text("no sound")
    takes = [take, tmp_path / "two.wav", tmp_path / "bad.wav"]
    data = json.loads(cli("run", "quickstart", *takes, "-o", out, "--json", "-j", 1, code=1))
    assert (data["done"], data["failed"], data["up_to_date"]) == (2, 1, 0)
    assert [item["state"] for item in data["items"]] == ["done", "done", "failed"]
    assert data["items"][0]["outputs"] == [str(out / "take.quickstart.wav")]


def test_a_second_run_is_up_to_date_and_force_writes_again(take: Path, tmp_path: Path) -> None:
    args = ("run", "quickstart", take, "-o", tmp_path, "--json")
    assert json.loads(cli(*args))["done"] == 1
    assert json.loads(cli(*args))["up_to_date"] == 1
    assert json.loads(cli(*args, "--force"))["done"] == 1


def test_plan_tells_what_runs_and_then_what_is_stored(take: Path, tmp_path: Path) -> None:
    """Before a long run one wants to know what it will cost."""
    store = ("--store", tmp_path / "store")
    before = json.loads(cli("plan", "quickstart", take, "--json", *store))
    assert {step["state"] for step in before["steps"]} == {"run"}
    assert [s["id"] for s in before["steps"] if s["put_in"]] == ["input.encode", "emotion.decode"]
    cli("run", "quickstart", take, "-o", tmp_path, *store)
    after = {
        s["id"]: s["state"]
        for s in json.loads(cli("plan", "quickstart", take, "--json", *store))["steps"]
    }
    assert after["effects"] == "cached"
    assert "up to date" in cli("plan", "quickstart", take, "-o", tmp_path, *store)
    assert "up to date" not in cli("plan", "quickstart", take, "-o", tmp_path / "new", *store)
    assert after["emotion"] == "skipped"
    changed = ("--set", "effects.chain.3.Limiter.threshold_db=-2")
    table = cli("plan", "quickstart", take, *changed, *store)
    assert "emotion.decode" in table
    assert "stored" in table
    assert "Name an INPUT" in cli("plan", "quickstart")


def test_check_and_draw(tmp_path: Path) -> None:
    assert "quickstart: fine" in cli("check", "quickstart", "five-moods")
    assert cli("draw", "five-moods").startswith(("flowchart", "graph"))
    cli("draw", "five-moods", "-o", tmp_path / "g.svg")
    assert (tmp_path / "g.svg").read_text().startswith(("<svg", "<?xml"))
    cli("draw", "five-moods", "-o", tmp_path / "g.pdf", code=2)


def test_check_as_json_lists_problems_with_their_places(tmp_path: Path) -> None:
    """Editors mark the line."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("chain:\n  - emotion: hapy\n  - spede: faster\n")
    data = json.loads(cli("check", bad, "--json", code=2))
    assert [(p["line"], p["column"]) for p in data[0]["problems"]] == [(2, 14), (3, 5)]


def test_lists_name_what_there_is() -> None:
    """What cannot be found cannot be used."""
    tags = json.loads(cli("tags", "--json"))
    assert {row["tag"] for row in tags if row["kind"] == "emotion"} == set(EMOTIONS)
    assert {row["kind"] for row in tags} == set(KINDS)
    offered = {(row["kind"], row["tag"]) for row in tags if row["offered"]}
    assert {
        ("emotion", "happy"),
        ("denoise", ""),
        ("paralinguistic", "[Sigh]"),
        ("clone", ""),
    } <= offered
    assert "whisper" in cli("tags", "style")
    kinds = {row["kind"] for row in json.loads(cli("nodes", "--json"))}
    assert {"input", "emotion", "effects", "mix", "output"} <= kinds
    assert "encode" not in kinds
    fields = {row["field"]: row for row in json.loads(cli("nodes", "emotion", "--json"))["fields"]}
    assert fields["strength"]["range"] == "0 to 1"
    assert fields["value"]["default"] == "required"
    reverb = json.loads(cli("effects", "Reverb", "--json"))
    assert "room_size" in {param["name"] for param in reverb["params"]}
    assert "Limiter" in cli("effects")
    names = {row["name"] for row in json.loads(cli("presets", "--json"))}
    assert {"warm-podcast", "quickstart"} <= names
    assert "$defs" in json.loads(cli("schema"))


@pytest.mark.parametrize(
    ("args", "nearest"),
    [
        (("nodes", "emotoin"), "emotion"),
        (("tags", "stlye"), "style"),
        (("effects", "Revreb"), "Reverb"),
        (("tags", "--engine", "parametrik"), "parametric"),
    ],
)
def test_a_wrong_name_in_a_list_gets_the_nearest(args: tuple[str, ...], nearest: str) -> None:
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert nearest in result.stderr


def shown_graph(*args: str) -> Any:
    return yaml.safe_load(cli("edit", "in.wav", "out.flac", "--show-graph", *args))["chain"]


def test_edit_applies_options_in_the_order_typed() -> None:
    """Whispering a happy voice and cheering up a whisper are two different things."""
    chain = shown_graph(
        *("--style", "whisper:0.5", "--emotion", "happy", "--denoise", "--emotion", "sad"),
        *(
            "--effect",
            "Reverb:room_size=0.2,freeze_mode=0",
            "--effect",
            "Limiter",
            "--strength",
            "0.8",
        ),
    )
    assert chain == [
        {"style": {"value": "whisper", "strength": 0.5}},
        {"emotion": {"value": "happy", "strength": 0.8}},
        {"denoise": {"strength": 0.8}},
        {"emotion": {"value": "sad", "strength": 0.8}},
        {"effects": [{"Reverb": {"room_size": 0.2, "freeze_mode": 0.0}}, "Limiter"]},
        {"output": {"path": "out.flac"}},
    ]


def test_edit_puts_a_preset_where_it_is_typed() -> None:
    chain = shown_graph("--vad", "--preset", "clean-dialogue", "--say", "[Sigh]", "--seed", "3")
    kinds = [next(iter(link)) for link in chain]
    assert kinds == ["vad", "denoise", "effects", "paralinguistic", "output"]


def test_edit_takes_a_preset_of_ones_own_as_run_would_read_it(tmp_path: Path) -> None:
    """Two ways to one preset must not read its numbers differently."""
    preset = tmp_path / "mine.yaml"
    preset.write_text("chain: [{effects: [{HighpassFilter: {cutoff_frequency_hz: 1e3}}]}]\n")
    assert shown_graph("--preset", str(preset))[0] == {
        "effects": [{"HighpassFilter": {"cutoff_frequency_hz": 1000.0}}]
    }
    preset.write_text("chain: [{effects: [\n")
    assert (
        f"{preset}:2:1"
        in CliRunner().invoke(app, ["edit", "in.wav", "out.wav", "--preset", str(preset)]).stderr
    )


def test_edit_writes_to_the_very_name_it_was_given(take: Path, tmp_path: Path) -> None:
    """Braces mean something in a graph's paths; in a file's name they are braces."""
    for name in ("take{1}.wav", "{stem} {out}.flac"):
        cli("edit", take, tmp_path / name)
        assert (tmp_path / name).is_file()


def test_edit_renders_and_can_be_verified(take: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out.flac"
    cli("edit", take, out, "--emotion", "happy:0.7", "--say", "[Breathing]", "--effect", "Reverb")
    assert soundfile.info(out).samplerate == 24_000
    assert "same" in cli("verify", out.parent)
    samples, rate = soundfile.read(out)
    soundfile.write(out, samples[:-1], rate)
    assert "differs" in cli("verify", out, code=1)


def test_edit_without_edits_is_the_source_bit_for_bit(take: Path, tmp_path: Path) -> None:
    """Passing through costs nothing."""
    cli("edit", take, tmp_path / "out.wav", "--subtype", "PCM_16")
    before, _ = soundfile.read(take, dtype="int16")
    after, _ = soundfile.read(tmp_path / "out.wav", dtype="int16")
    assert (before == after).all()


def test_cache_is_looked_after(take: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    cli("run", "quickstart", take, "-o", tmp_path, *store)
    info = json.loads(cli("cache", "info", "--json", *store))
    assert info["entries"] > 0
    assert info["folder"] == str(tmp_path / "store")
    assert "sound" in cli("cache", "verify", *store)
    entry = max((tmp_path / "store").rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)
    entry.write_bytes(entry.read_bytes()[:-10] + b"0123456789")
    assert len(json.loads(cli("cache", "verify", "--json", *store))["damaged"]) >= 1
    assert json.loads(cli("cache", "clear", "--json", *store))["freed_bytes"] > 0
    assert json.loads(cli("cache", "info", "--json", *store))["entries"] == 0
