"""`models`: the weights of the step-audio engine, fetched and looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepedit_fx.cli import EXIT_INTERRUPTED
from stepedit_fx.cli.common import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from stepedit_fx.engines.step_audio.checking import FileReport, Report

app = typer.Typer(
    help="Look after the weights of the step-audio engine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ModelsArg = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR",
        help="Where the models are [default: $STEPEDIT_MODELS, else the user's data folder].",
    ),
]


@app.command()
def fetch(
    folder: ModelsArg = None,
    awq: Annotated[
        bool, typer.Option("--awq", help="The language model in 4 bits: 2.5 GB in place of 7.1.")
    ] = False,
    without_lm: Annotated[
        bool, typer.Option("--without-lm", help="No language model: a server has it.")
    ] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            metavar="REV",
            help="A branch, tag or commit of the language model's repository "
            "[default: as fetched before, else the pinned commit].",
        ),
    ] = None,
) -> None:
    """Fetch the published files; a fetch that was stopped goes on where it was."""
    from stepedit_fx.engines.step_audio.fetching import AGAIN, fetch_models
    from stepedit_fx.engines.step_audio.layout import EDITX, EDITX_AWQ, default_folder

    target = (folder or default_folder()).expanduser().absolute()
    try:
        fetch_models(target, awq=awq, without_lm=without_lm, revision=revision, told=typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {AGAIN}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not without_lm:  # `check --lm URL` is for those
        check(target / (EDITX_AWQ if awq else EDITX))


@app.command()
def check(
    folder: ModelsArg = None,
    hashed: Annotated[
        bool, typer.Option("--hash", help="Compute every file's sha256 (seconds, once).")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look for NaN in all of the language model.")
    ] = False,
    lm: Annotated[
        str,
        typer.Option(
            "--lm", metavar="URL", help="Ask a server, in place of the language model's files."
        ),
    ] = "",
    lm_model: Annotated[
        str, typer.Option("--lm-model", metavar="NAME", help="Which of the server's models.")
    ] = "",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="List every tensor.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every file and network, and say what runs where; exit code 1 if something is wrong."""
    from stepedit_fx.engines.step_audio.checking import check_models
    from stepedit_fx.engines.step_audio.remote_settings import RemoteModel

    remote = RemoteModel.of(lm, lm_model) if lm else None
    report = check_models(folder, deep=deep, hashed=hashed, lm=remote)
    needs = _needs(report)
    if as_json:
        print_json(_data(report, needs, tensors=verbose))
    else:
        _print_files(report, hashed)
        if verbose:
            _print_tensors(report)
        _print_networks(report)
        _print_needs(needs)
        for problem in report.problems:
            typer.echo(f"Error: {problem}", err=True)
    if report.problems:
        raise typer.Exit(1)


def _needs(report: Report) -> Mapping[str, Any]:
    """Device, number format and memory: what would run where. Computed, not measured."""
    from stepedit_fx.engines.step_audio.checkpoint import Checkpoint
    from stepedit_fx.engines.step_audio.devices import choose_device, choose_dtype, free_bytes
    from stepedit_fx.engines.step_audio.memory import LanguageModelSize, smallest_card
    from stepedit_fx.errors import StepEditError

    if report.folders.lm_elsewhere:
        return _needs_without_lm(report)
    try:
        config = Checkpoint(report.folders).language_model_config()
        size = LanguageModelSize.of(config)
    except (StepEditError, KeyError, TypeError, ValueError):
        return {}  # the language model's own problem says so
    quantized = bool(config.get("quantization_config"))
    device = choose_device()
    dtype = str(choose_dtype("auto", device, size=size)).removeprefix("torch.")
    others = sum(f.bytes or 0 for f in report.files if f.part != "language model")
    # A packed model is unpacked into the chosen dtype on load.
    forms = (dtype,) if quantized else ("float32", "bfloat16", "int8", "int4")
    totals = {form: size.total_bytes(form, others) for form in forms}
    return {
        "device": str(device),
        "dtype": dtype,
        "free_bytes": free_bytes(device),
        "parameters": size.parameters,
        "cache_bytes_per_token": size.cache_bytes(1),
        "forms": [
            {
                "form": form,
                "weight_bytes": size.weight_bytes(form),
                "total_bytes": total,
                "gpu_gb": smallest_card(total),
            }
            for form, total in totals.items()
        ],
    }


def _needs_without_lm(report: Report) -> Mapping[str, Any]:
    """The same where a server has the language model."""
    from stepedit_fx.engines.step_audio.devices import choose_device, free_bytes
    from stepedit_fx.engines.step_audio.memory import WORKSPACE_BYTES, smallest_card

    device = choose_device()
    total = sum(file.bytes or 0 for file in report.files) + WORKSPACE_BYTES
    form = {"form": "elsewhere", "weight_bytes": 0, "total_bytes": total}
    return {
        "device": str(device),
        "dtype": "float32",
        "free_bytes": free_bytes(device),
        "forms": [{**form, "gpu_gb": smallest_card(total)}],
    }


def _print_files(report: Report, hashed: bool) -> None:
    rows = []
    for file in report.files:
        state = "missing" if file.bytes is None else "wrong" if file.problem else file.sha256[:12]
        size = "" if file.bytes is None else _size(file.bytes)
        rows.append((_shown(report, file), size, _tensor_summary(file), state))
    print_table(("File", "Size", "Tensors", "sha256" if hashed else ""), rows)


def _shown(report: Report, file: FileReport) -> str:
    models = report.folders.tokenizer.parent
    return str(file.path.relative_to(models) if file.path.is_relative_to(models) else file.path)


def _tensor_summary(file: FileReport) -> str:
    if not file.tensors:
        return ""
    if len(file.tensors) == 1:
        info = next(iter(file.tensors.values()))
        return f"{info.dtype} {_shape(info.shape)}"
    kinds = ", ".join(f"{count} {dtype}" for dtype, count in file.dtypes.most_common())
    return kinds


def _print_tensors(report: Report) -> None:
    for file in report.files:
        if file.tensors:
            rows = [(n, _shape(info.shape), info.dtype) for n, info in file.tensors.items()]
            print_table(("Tensor", "Shape", "Type"), rows, title=_shown(report, file))


def _print_networks(report: Report) -> None:
    rows = [(network.name, "wrong" if network.problem else "fine") for network in report.networks]
    print_table(("Network", "State"), rows)


def _print_needs(needs: Mapping[str, Any]) -> None:
    if not needs:
        return
    rows = [
        (
            form["form"],
            _size(form["weight_bytes"]),
            _size(form["total_bytes"]),
            f"{form['gpu_gb']} GB" if form["gpu_gb"] else "none",
        )
        for form in needs["forms"]
    ]
    columns = ("Language model as", "Its weights", "In all, one take", "Smallest GPU")
    print_table(columns, rows, title="Memory, computed from the sizes")
    free = needs["free_bytes"]
    left = f", {_size(free)} free" if free is not None else ""
    typer.echo(f"Here it runs on {needs['device']} in {needs['dtype']}{left}.")


def _data(report: Report, needs: Mapping[str, Any], *, tensors: bool) -> dict[str, Any]:
    return {
        "ok": not report.problems,
        "problems": list(report.problems),
        "files": [
            {
                "path": str(file.path),
                "part": file.part,
                "bytes": file.bytes,
                "sha256": file.sha256 or None,
                "tensor_count": len(file.tensors),
                "dtypes": dict(file.dtypes),
                "problem": file.problem or None,
            }
            | (_tensor_data(file) if tensors else {})
            for file in report.files
        ],
        "networks": [{"name": n.name, "problem": n.problem or None} for n in report.networks],
        "needs": dict(needs),
    }


def _tensor_data(file: FileReport) -> dict[str, Any]:
    found = {n: {"shape": list(i.shape), "dtype": i.dtype} for n, i in file.tensors.items()}
    return {"tensors": found}


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape) or "one number"


def _size(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 10**8 else f"{size / 1e6:,.2f} MB"
