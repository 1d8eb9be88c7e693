"""Address patterns: what they stand for, and that none takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.errors import RequestError
from stepedit_fx.osc.pattern import MAX_LENGTH, Pattern, is_pattern, matching


@pytest.mark.parametrize(
    ("pattern", "address", "is_match"),
    [
        ("/a/b", "/a/b", True),
        ("/a/b", "/a/bc", False),
        ("/a/?", "/a/b", True),
        ("/a/?", "/a/", False),
        ("/a?b", "/a/b", False),
        ("/a/*", "/a/anything", True),
        ("/a/*", "/a/", True),
        ("/a/*", "/a/b/c", False),
        ("/*/b", "/a/b", True),
        ("/a*b*c", "/aXbYc", True),
        ("/[abc]", "/b", True),
        ("/[a-c]", "/d", False),
        ("/[!a-c]", "/d", True),
        ("/[!a-c]", "/b", False),
        ("/[!a]b", "//b", False),
        ("/[a-]", "/-", True),
        ("/[-a]", "/-", True),
        ("/{one,two}/x", "/two/x", True),
        ("/{one,two}/x", "/three/x", False),
        ("/{one,}x", "/x", True),
        ("/{a,ab}b", "/abb", True),
        ("//b", "/a/c/b", True),
        ("//b", "/b", True),
        ("//b", "/ab", False),
        ("/a//c", "/a/c", True),
        ("/a//c", "/a/b/b/c", True),
        ("/a//c", "/a/b/bc", False),
        ("/a//*", "/a/b/c", True),
        ("/stepedit/node/*/bypass", "/stepedit/node/rack.0/bypass", True),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, address: str, is_match: bool) -> None:
    """A surface that turns many controls at once turns those and no others."""
    assert Pattern(pattern).matches(address) is is_match


PARTS = st.lists(
    st.sampled_from(["a", "b", "/", "?", "*", "[ab]", "[!a]", "{a,bb}", "{,b}", "//"]), max_size=8
)
EXPRESSIONS = {
    "?": "[^/]", "*": "[^/]*", "[ab]": "[ab]", "[!a]": "[^/a]", "{a,bb}": "(?:a|bb)",
    "{,b}": "(?:|b)", "//": "(?:/|/.*/)",
}  # fmt: skip


@given(PARTS, st.text("ab/", max_size=8))
def test_patterns_match_as_the_same_regular_expression(parts: list[str], address: str) -> None:
    """Every pattern means what its parts mean together."""
    pattern = "".join(parts)
    tokens = re.findall(r"//|\[!?\w+\]|\{[^}]*\}|.", pattern)
    expression = "".join(EXPRESSIONS.get(token, token) for token in tokens)
    assert Pattern(pattern).matches(address) == bool(re.fullmatch(expression, address))


def test_no_pattern_takes_long() -> None:
    """A pattern made to be slow must not stop the daemon."""
    start = time.monotonic()
    for part in ("*a", "{a,aa}", "//", "?*", "{,a}", "*?*"):
        Pattern((part * MAX_LENGTH)[: MAX_LENGTH // len(part) * len(part)]).matches("a/" * 500)
    assert time.monotonic() - start < 10


@given(st.text("/ab*?[]{},!-", max_size=40), st.text("/ab", max_size=20))
def test_any_text_is_a_pattern_or_refused(pattern: str, address: str) -> None:
    """Nothing that comes as an address breaks the matching."""
    try:
        Pattern(pattern).matches(address)
    except RequestError:
        return


@pytest.mark.parametrize("pattern", ["/a[b", "/a{b", "/" + "a" * MAX_LENGTH])
def test_half_a_pattern_is_refused(pattern: str) -> None:
    """A bracket without its end is told, not guessed."""
    with pytest.raises(RequestError):
        Pattern(pattern)


def test_addresses_keep_their_order() -> None:
    """What matches comes in the graph's order; a plain address is no pattern."""
    assert matching("/*", ["/b", "/c/d", "/a"]) == ("/b", "/a")
    assert not is_pattern("/stepedit/node/a.0/param/x_y")
    assert is_pattern("/a//b")
