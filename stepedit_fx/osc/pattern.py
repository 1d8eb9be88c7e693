"""OSC address patterns: ``?``, ``*``, ``[a-z]``, ``[!a-z]``, ``{one,two}``, and ``//`` of OSC 1.1.

A pattern is a small automaton that is followed in all its states at once, so that no pattern
takes longer than its length times the address's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from stepedit_fx.errors import RequestError

MAX_LENGTH = 256
_MAX_STEPS = 1024  # kept of a pattern: addresses come from outside, and memory is bounded
SPECIAL = frozenset("?*[]{}")

Test = Callable[[str], bool]


def is_pattern(address: str) -> bool:
    """Whether an address may stand for several."""
    return "//" in address or not SPECIAL.isdisjoint(address)


@lru_cache(64)
def compiled(pattern: str) -> Pattern:
    """The pattern, kept for the next time. Raises RequestError for one that is none."""
    return Pattern(pattern)


def matching(pattern: str, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of the addresses that a pattern stands for, in their order. Raises RequestError."""
    matches = compiled(pattern).matches
    return tuple(address for address in addresses if matches(address))


class Pattern:
    """An address pattern. ``*`` and ``?`` stop at a slash; ``//`` is any number of levels.

    Raises RequestError for a bracket or brace without its end, and for one that is too long.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_LENGTH:
            raise RequestError(f"a pattern of over {MAX_LENGTH} characters")
        self.pattern = pattern
        # Of each state: the states one may go on to, and by which character.
        self._moves: list[list[tuple[Test, int]]] = [[]]
        self._free: list[list[int]] = [[]]  # those one may go on to without any
        self._end = 1 << self._built(pattern)
        # Sets of states are the bits of a number.
        self._start = self._closed([0])
        self._steps: dict[tuple[int, str], int] = {}

    def matches(self, address: str) -> bool:
        """Whether it stands for an address."""
        states = self._start
        for char in address:
            states = self._step(states, char)
            if not states:
                return False
        return bool(states & self._end)

    def _step(self, states: int, char: str) -> int:
        key = (states, char)
        found = self._steps.get(key)
        if found is None:
            moves = (move for state in _bits(states) for move in self._moves[state])
            found = self._closed([to for test, to in moves if test(char)])
            if len(self._steps) >= _MAX_STEPS:
                self._steps.clear()
            self._steps[key] = found
        return found

    def _closed(self, waiting: list[int]) -> int:
        """These states and all that one may go on to from them without a character."""
        states = 0
        while waiting:
            state = waiting.pop()
            if not states >> state & 1:
                states |= 1 << state
                waiting += self._free[state]
        return states

    # Building

    def _state(self) -> int:
        self._moves.append([])
        self._free.append([])
        return len(self._moves) - 1

    def _after(self, state: int, test: Test) -> int:
        """A new state, one character after another."""
        new = self._state()
        self._moves[state].append((test, new))
        return new

    def _built(self, pattern: str) -> int:
        state, place = 0, 0
        while place < len(pattern):
            char = pattern[place]
            if pattern.startswith("//", place):
                state = self._levels(state)
                place += 2
            elif char == "*":
                state = self._star(state)
                place += 1
            elif char in "[{":
                inside, place = _inside(pattern, place)
                state = self._class(state, inside) if char == "[" else self._one_of(state, inside)
            else:
                state = self._after(state, _not_slash if char == "?" else char.__eq__)
                place += 1
        return state

    def _star(self, state: int) -> int:
        new = self._state()
        self._free[state].append(new)
        self._moves[new].append((_not_slash, new))
        return new

    def _levels(self, state: int) -> int:
        """A slash, or a slash, anything, and a slash."""
        new = self._after(state, "/".__eq__)
        inside = self._after(state, "/".__eq__)
        self._moves[inside] += [(_any, inside), ("/".__eq__, new)]
        return new

    def _class(self, state: int, inside: str) -> int:
        is_not = inside.startswith("!")
        chars = _class_members(inside[is_not:])
        return self._after(state, lambda char: char != "/" and (chars(char) != is_not))

    def _one_of(self, state: int, inside: str) -> int:
        new = self._state()
        for word in inside.split(","):
            last = state
            for char in word:
                last = self._after(last, char.__eq__)
            self._free[last].append(new)
        return new


def _bits(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _inside(pattern: str, place: int) -> tuple[str, int]:
    """What stands between the bracket or brace here and its end, and the place after that."""
    close = "]" if pattern[place] == "[" else "}"
    end = pattern.find(close, place + 1)
    if end < 0:
        raise RequestError(f"the pattern '{pattern[:60]}' has no '{close}'")
    return pattern[place + 1 : end], end + 1


def _class_members(inside: str) -> Test:
    singles, ranges = set[str](), list[tuple[str, str]]()
    place = 0
    while place < len(inside):
        if inside[place + 1 : place + 2] == "-" and place + 2 < len(inside):
            ranges.append((inside[place], inside[place + 2]))
            place += 3
        else:
            singles.add(inside[place])
            place += 1
    return lambda char: char in singles or any(low <= char <= high for low, high in ranges)


def _not_slash(char: str) -> bool:
    return char != "/"


def _any(char: str) -> bool:
    return True
