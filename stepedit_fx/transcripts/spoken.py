"""English as it is spoken: the words that a written one stands for."""

from __future__ import annotations

import re

from stepedit_fx.tags import split_words

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
# Only those that are written more often than their letters are said.
_SHORT = {
    "dr": "doctor",
    "mr": "mister",
    "mrs": "missus",
    "ms": "miss",
    "st": "saint",
    "vs": "versus",
    "etc": "et cetera",
    "jr": "junior",
    "sr": "senior",
    "prof": "professor",
}
_NUMBER = re.compile(r"(\d+)(st|nd|rd|th|s)?", re.IGNORECASE)


def spoken_forms(word: str) -> tuple[str, ...]:
    """Every way in which one written word may be said, the likeliest first, in small letters.

    "Dr" is ("doctor", ...), "1984" ("nineteen eighty four", ...), "21st" ("twenty first",).
    """
    small = word.lower().replace("’", "'")
    number = _NUMBER.fullmatch(small)
    if number is not None:
        return _number_forms(number[1], number[2] or "")
    if small in _SHORT:
        return (_SHORT[small], small)
    return (small,)


def spoken_words(text: str) -> list[str]:
    """A text in the words that one hears, in small letters, punctuation left out."""
    return [said for word in split_words(text) for said in spoken_forms(word)[0].split()]


def _number_forms(digits: str, ending: str) -> tuple[str, ...]:
    one_by_one = " ".join(_ONES[int(d)] for d in digits)
    if len(digits) > 12 or (len(digits) > 1 and digits[0] == "0"):
        return (one_by_one,)
    value = int(digits)
    forms = [_cardinal(value)]
    if len(digits) == 4 and digits[1:] != "000":
        forms.insert(0 if 1100 <= value < 2000 or 2010 <= value < 2100 else 1, _year(value))
    if ending in ("st", "nd", "rd", "th"):
        return tuple(_ordinal(form) for form in forms)
    if ending == "s":
        return tuple(_plural(form) for form in forms)
    return tuple(dict.fromkeys([*forms, one_by_one]))


def _cardinal(value: int) -> str:
    if value < 20:
        return _ONES[value]
    if value < 100:
        return _TENS[value // 10 - 2] + (f" {_ONES[value % 10]}" if value % 10 else "")
    scale, name = next((s, n) for s, n in _SCALES if value >= s)
    rest = f" {_cardinal(value % scale)}" if value % scale else ""
    return f"{_cardinal(value // scale)} {name}{rest}"


def _year(value: int) -> str:
    """1984 is nineteen eighty four, 1905 nineteen oh five, 1900 nineteen hundred."""
    century, rest = divmod(value, 100)
    if rest == 0:
        return f"{_cardinal(century)} hundred"
    return f"{_cardinal(century)} {f'oh {_ONES[rest]}' if rest < 10 else _cardinal(rest)}"


def _ordinal(cardinal: str) -> str:
    *before, last = cardinal.split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, last])


def _plural(cardinal: str) -> str:
    """1980s is nineteen eighties."""
    if cardinal.endswith("y"):
        return f"{cardinal[:-1]}ies"
    return f"{cardinal}es" if cardinal.endswith("x") else f"{cardinal}s"
