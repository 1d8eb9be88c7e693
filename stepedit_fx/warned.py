"""What this package warns of while something is done, kept for whoever has it done."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """What this package logs at warning level while an item is done, for its own item."""
    found: list[str] = []
    handler = _Collector(found)
    package = logging.getLogger("stepedit_fx")
    before = package.propagate
    package.addHandler(handler)
    package.propagate = package.getEffectiveLevel() < logging.WARNING  # --debug shows all anyway
    try:
        yield found
    finally:
        package.removeHandler(handler)
        package.propagate = before


class _Collector(logging.Handler):
    """Messages, each form of words once: of a long take every segment may have the same to say."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.into = into
        self.forms: dict[str, tuple[int, str, int]] = {}  # where in the list, the first, how many

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        form = _NUMBER.sub("#", message)
        place, first, count = self.forms.get(form, (len(self.into), message, 0))
        self.forms[form] = (place, first, count + 1)
        if count == 0:
            self.into.append(message)
        else:
            self.into[place] = f"{first} (and {count} more like it)"
