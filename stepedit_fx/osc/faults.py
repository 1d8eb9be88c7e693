"""Errors as they go by OSC: a code, as HTTP has them, and a text."""

from __future__ import annotations

from stepedit_fx.errors import Busy, Cancelled, NotFound, ReadError, RequestError

MAX_TEXT = 2000


class Unwelcome(RequestError):
    """Somebody who did not say the token."""

    code = 401


class Conflict(RequestError):
    """An id that is in use."""

    code = 409


class TimedOut(RequestError):
    """Somebody was waited for, and did not come."""

    code = 408


_CODES = (
    (NotFound, 404),
    (Busy, 429),
    (RequestError, 400),
    (ReadError, 406),
    (Cancelled, 499),
)


def code_of(error: BaseException) -> int:
    """The code of an error; 500 for what is not the asker's fault."""
    if isinstance(error, Unwelcome | Conflict | TimedOut):
        return error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), 500)


def told(error: BaseException) -> str:
    """The text of an error; a fault of ours keeps its details for the log."""
    from stepedit_fx.errors import StepEditError

    if not isinstance(error, StepEditError):
        return "this went wrong here; the daemon's log says how"
    return str(error)[:MAX_TEXT].replace("\0", "")
