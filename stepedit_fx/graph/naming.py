"""Whose error it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stepedit_fx.errors import RenderError, StepEditError
from stepedit_fx.graph.plan import PlannedStep


@contextmanager
def naming(step: PlannedStep) -> Iterator[None]:
    """Errors from inside carry the step's id; those of strangers become a RenderError."""
    try:
        yield
    except StepEditError as error:
        error.node = error.node or step.id
        raise
    except Exception as error:
        raise RenderError(
            f"{step.kind} failed: {type(error).__name__}: {error}",
            remedy="Run with --debug for the traceback.",
            node=step.id,
        ) from error
