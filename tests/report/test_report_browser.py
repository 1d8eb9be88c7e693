"""The page in a real browser: pressed, listened to, and looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers import library, program, until
from tests.report.conftest import HOSTILE, HOSTILE_WORDS, Made

playwright: Any = library("playwright.sync_api")
TAKE_LONG = 1  # "long.wav"
# The loudest sample over a while, as the speakers get it.
LOUDEST = """async (ms) => {
  const block = new Float32Array(player.analyser.fftSize);
  let loudest = 0;
  for (const end = performance.now() + ms; performance.now() < end;) {
    player.analyser.getFloatTimeDomainData(block);
    for (const value of block) loudest = Math.max(loudest, Math.abs(value));
    await new Promise((done) => setTimeout(done, 10));
  }
  return loudest;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's chromium."""
    chromium = program("chromium")
    arguments = ["--autoplay-policy=no-user-gesture-required"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, made: Made) -> Iterator[Any]:
    """The report, opened at its longer take; fails on any error or request of the page."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    wrong: list[str] = []
    asked: list[str] = []
    opened = context.new_page()
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: (wrong.append("a dialog"), dialog.dismiss()))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(f"{made.path.as_uri()}#take-{TAKE_LONG}")
    wait(opened, "view.number === 1 && player.sound")
    yield opened
    context.close()
    outside = [url for url in asked if not url.startswith(("data:", made.path.as_uri()))]
    assert wrong == []
    assert outside == []


def wait(page: Any, true: str) -> None:
    """Until an expression holds; the browser's own wait would need eval, which the page forbids."""
    until(lambda: page.evaluate(true), true)


def element(page: Any) -> str:
    return str(page.evaluate("player.sound.element"))


def place(page: Any) -> float:
    return float(page.evaluate("player.sourcePlace()"))


def play(page: Any) -> None:
    page.keyboard.press("Space")
    wait(page, "player.isPlaying")


def test_a_switch_of_stages_keeps_the_place_and_changes_the_sound(page: Any) -> None:
    """The point of the page: the same moment, before and after, by one key."""
    page.evaluate("player.region = [1.0, 1.6]; player.isLooping = true; player.seek(1.0)")
    play(page)
    page.keyboard.press("3")
    wait(page, "player.sound.element === 'sound-1-2'")
    before = page.evaluate(LOUDEST, 800)
    page.keyboard.press("4")
    wait(page, "player.sound.element === 'sound-1-3'")
    page.wait_for_timeout(150)
    assert 1.0 <= place(page) <= 1.61
    after = page.evaluate(LOUDEST, 800)
    assert before > 0.05
    assert after == pytest.approx(before * 10 ** (-18 / 20), rel=0.1)


def test_the_place_is_kept_to_the_moment(page: Any) -> None:
    """A switch must not jump: after it the clock goes on where it was."""
    page.evaluate("player.seek(1.0)")
    play(page)
    page.wait_for_timeout(300)
    jumps = page.evaluate(
        """async () => {
          const found = [];
          for (const number of [0, 1, 2, 3, 0]) {
            await player.buffer(soundOf(number, false)); // decoding takes its time; the switch none
            const [from, at] = [player.sourcePlace(), player.context.currentTime];
            choose(number);
            await new Promise((done) => setTimeout(done, 120));
            found.push(player.sourcePlace() - from - (player.context.currentTime - at));
          }
          return found;
        }"""
    )
    # A stage at another pace walks the recording's clock faster or slower, by some per cent.
    assert all(abs(jump) < 0.03 for jump in jumps), jumps


def test_play_pause_and_the_clock(page: Any) -> None:
    """Space plays and pauses, the clock says where, and pausing keeps the place."""
    play(page)
    wait(page, "player.place() > 0.3")
    assert page.locator("#play").inner_text() == "Pause"
    page.locator("#play").click()
    rest = page.evaluate("player.place()")
    page.wait_for_timeout(150)
    assert page.evaluate("player.place()") == rest
    assert page.locator("#clock").inner_text().startswith(f"{rest:.2f}")
    assert page.locator("#play").inner_text() == "Play"


def test_clicks_seek_and_drags_loop(page: Any) -> None:
    """What one sees one can hear: by a click there, or by a drag over it."""
    box = page.locator("#wave").bounding_box()
    middle = box["x"] + 52 + (box["width"] - 53) / 2
    y = box["y"] + box["height"] / 2
    length = page.evaluate("axisLength()")
    page.mouse.click(middle, y)
    assert place(page) == pytest.approx(length / 2, abs=0.02)
    page.mouse.move(middle, y)
    page.mouse.down()
    page.mouse.move(middle + 100, y, steps=4)
    page.mouse.up()
    first, end = page.evaluate("player.region")
    assert first == pytest.approx(length / 2, abs=0.03)
    assert end - first == pytest.approx(100 / (box["width"] - 53) * length, abs=0.03)
    assert page.locator("#loop").is_checked()
    assert page.locator("#region").is_visible()
    play(page)
    page.wait_for_timeout(int(1000 * (end - first)) + 400)
    assert first - 0.05 <= place(page) <= end + 0.05


def test_keys(page: Any) -> None:
    """The whole page by keyboard, for hands that stay there and for those that must."""
    page.keyboard.press("ArrowRight")
    assert page.evaluate("player.place()") == pytest.approx(1.0, abs=0.01)
    page.keyboard.press("Shift+ArrowLeft")
    assert page.evaluate("player.place()") == pytest.approx(0.9, abs=0.01)
    page.keyboard.press("Home")
    assert page.evaluate("player.place()") == 0
    page.keyboard.press("1")
    assert element(page) == "sound-1-0"
    page.keyboard.press("4")
    page.keyboard.press("a")
    assert element(page) == "sound-1-0"
    page.keyboard.press("l")
    assert page.locator("#loop").is_checked()
    page.keyboard.press("m")
    assert page.locator("#match").is_checked()
    assert page.evaluate("soundOf(3, false).gain()") > 2  # up by what the rack took
    page.locator("#stages button").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement === document.querySelector('#stages').children[1]")
    assert element(page) == "sound-1-1"


def test_the_delta_is_heard(page: Any) -> None:
    """What denoise took is there to be listened to, and where there is none it says why."""
    page.keyboard.press("2")
    page.keyboard.press("d")
    assert element(page) == "sound-1-1-delta"
    assert "less clean" in page.locator("#status").inner_text()
    play(page)
    assert page.evaluate(LOUDEST, 500) > 0
    page.keyboard.press("1")
    wait(page, "player.sound.element === 'sound-1-0'")
    assert "no delta" in page.locator("#status").inner_text()


def test_the_list_sorts_and_opens(page: Any) -> None:
    """Of many takes one wants the most changed first, and to walk on from there."""
    page.get_by_role("button", name="Change").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("Change")
    shown = page.locator("#list tbody td:nth-child(3)").all_inner_texts()
    numbers = [float(text) for text in shown if text]
    assert numbers == sorted(numbers, reverse=True)
    page.get_by_role("button", name="Take").click()
    page.get_by_role("link", name="zz-broken.wav").click()
    assert "is not a recording" in page.locator("#notes").inner_text()
    assert not page.locator("#player").is_visible()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    wait(page, "view.number !== 2")
    assert page.locator("#player").is_visible()


def test_hostile_texts_are_shown_as_they_are(page: Any) -> None:
    """A name that is markup is a name; nothing of it runs, and the policy would stop it."""
    page.get_by_role("link", name=HOSTILE).click()
    assert page.locator("#name").inner_text() == HOSTILE
    page.locator("#said summary").click()
    assert page.locator("#words").inner_text() == HOSTILE_WORDS
    assert page.evaluate("document.images.length") == 0


def test_the_network_is_shut(browser: Any, made: Made) -> None:
    """Even script that got in could send nothing anywhere."""
    context = browser.new_context()
    asked: list[str] = []
    context.route("http*://**", lambda route: (asked.append(route.request.url), route.abort()))
    opened = context.new_page()
    opened.goto(made.path.as_uri())
    refused = opened.evaluate("fetch('https://example.com').then(() => false, () => true)")
    ran = opened.evaluate(
        """() => { const s = document.createElement('script');
        s.textContent = 'globalThis.broken = true'; document.body.append(s);
        return globalThis.broken === true; }"""
    )
    context.close()
    assert refused
    assert not ran
    assert asked == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("light", 360)])
def test_it_is_drawn(browser: Any, made: Made, scheme: str, width: int) -> None:
    """Pictures are there in light, in dark and on a telephone, and nothing scrolls aside."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    opened = context.new_page()
    opened.goto(f"{made.path.as_uri()}#take-1")
    wait(opened, "view.take && view.take.stages.every((s) => s.picture.complete)")
    opened.wait_for_timeout(100)
    inked = opened.evaluate(
        """() => ['wave', 'before', 'after', 'f0', 'loudness'].map((id) => {
          const canvas = document.getElementById(id);
          const to = canvas.getContext('2d');
          const pixels = to.getImageData(60, 0, canvas.width - 60, canvas.height);
          return new Set(new Uint32Array(pixels.data.buffer)).size;
        })"""
    )
    too_wide = opened.evaluate("document.documentElement.scrollWidth > innerWidth")
    names = opened.evaluate(
        "[...document.querySelectorAll('canvas')].map((c) => c.getAttribute('aria-label'))"
    )
    context.close()
    assert all(colours > 20 for colours in inked), inked
    assert all(names)
    assert not too_wide
