"""The `stepedit-fx` command: what all its commands share."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stepedit_fx.cli import (
    EXIT_INTERRUPTED,
    cache,
    edit,
    inspect,
    lists,
    live,
    midi,
    models,
    osc,
    run,
    serve,
    transcripts,
    verify,
    worker,
)
from stepedit_fx.errors import Cancelled, RequestError, StepEditError

# What a shell or a script reads from the exit code.
EXIT_FAILED = 1
EXIT_WRONG_REQUEST = 2


class _Commands(TyperGroup):
    """The one place where errors become messages and exit codes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("Interrupted; nothing half-written is left.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except StepEditError as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"{_lead(error)}{error}", err=True)
            raise typer.Exit(exit_code(error)) from error
        except OSError as error:
            if ctx.params.get("debug") or error.errno == errno.EPIPE:
                raise
            what = error.filename or "cannot print"  # no name: the screen, or what replaces it
            typer.echo(f"Error: {what}: {error.strerror or error}", err=True)
            if not error.filename:
                os._exit(EXIT_FAILED)  # a normal exit would try to print the rest
            raise typer.Exit(EXIT_FAILED) from error


def exit_code(error: StepEditError) -> int:
    if isinstance(error, Cancelled):
        return EXIT_INTERRUPTED
    return EXIT_WRONG_REQUEST if isinstance(error, RequestError) else EXIT_FAILED


def _lead(error: StepEditError) -> str:
    """Editors find file:line:column at the start of a line, so graph problems get no lead."""
    from stepedit_fx.errors import GraphError

    return "" if isinstance(error, GraphError) else "Error: "


app = typer.Typer(
    name="stepedit-fx",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    help="Edit speech as directly as text: emotion, style, pace, breath, laughter; then effects.",
)


def _version(asked: bool) -> None:
    if asked:
        from stepedit_fx import __version__

        typer.echo(f"stepedit-fx {__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    import logging

    form = "%(levelname)s: %(message)s" if not debug else "%(relativeCreated)d %(name)s %(message)s"
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format=form)


for command in (
    run.run,
    edit.edit,
    inspect.plan,
    inspect.check,
    inspect.draw,
    lists.nodes,
    lists.tags,
    lists.effects,
    lists.presets,
    lists.schema,
    transcripts.transcribe,
    transcripts.align,
    verify.verify,
    serve.serve,
    live.live,
):
    app.command(cls=edit.InOrder if command is edit.edit else None)(command)
app.add_typer(cache.app, name="cache")
app.add_typer(models.app, name="models")
app.add_typer(midi.app, name="midi")
app.add_typer(osc.app, name="osc")
app.add_typer(worker.app, name="worker")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a console of another encoding must not end a run
            stream.reconfigure(errors="replace")
    try:
        app()
    except SystemExit as end:
        if end.code == EXIT_INTERRUPTED:
            # A normal exit would wait for a step in a thread, which cannot be stopped.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(EXIT_INTERRUPTED)
        raise
