"""The page in Chromium with several people, a phone, a keyboard alone, and a server that ends."""

import signal
import time

import numpy as np
import pytest

from tests import browser
from tests.browser import (
    choose_example,
    midi_of,
    notice,
    perform,
    screenshot,
    sound_of,
    upload,
    wait_for_sound,
    wait_until_performed,
)

pytestmark = pytest.mark.browser
# Each at most so wide that a long score has to be scrolled through.
PHONE = {"width": 375, "height": 720, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
LONG = [69, 71, 72, 74] * 60
# What a name of a control is made of, for somebody who hears it: as browsers compute it, less the rare cases.
NAMES = """() => [...document.querySelectorAll("button, input, select, textarea, a[href], [tabindex='0'], audio[controls]")]
  .filter((e) => e.offsetParent !== null || e.type === "radio")
  .map((e) => ({
    what: `${e.tagName.toLowerCase()}#${e.id}.${e.type ?? ""}`,
    name: (e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || e.title || "").trim(),
    reachable: e.tabIndex >= 0 || e.disabled,
  }))"""
OUTLINE = """() => {
  const found = document.activeElement;
  const places = [found, found.closest("label")].filter(Boolean).map((e) => getComputedStyle(e));
  const seen = places.some((s) => (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2) || s.boxShadow !== "none");
  return [found.id || found.getAttribute("aria-label") || found.value || found.tagName, seen];
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with browser.serving(tmp_path_factory.mktemp("server")) as server:
        server.wait_until_warm()
        yield server


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture
def people(server, chromium):
    """Opens the page for another person."""
    chromium.errors.clear()
    opened = []

    def open_page(**settings):
        opened.append(chromium.open(server.url, **settings))
        return opened[-1]

    yield open_page
    for page in opened:
        page.context.close()
    assert chromium.errors == [] and chromium.outside == []


def pitch_hz(samples: np.ndarray) -> float:
    """The strongest frequency of a second in the middle."""
    middle = samples[len(samples) // 2 - 22050 :][:44100]
    return float(np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))))


def test_four_uploads_at_once_one_of_them_broken(people):
    """Each gets the sound of its own score: its length, and its pitch."""
    scores = {"a.mid": (69, 8), "d.mid": (74, 7), "broken.mid": None, "e.mid": (76, 6)}
    pages = {name: people() for name in scores}
    for name, page in pages.items():
        content = b"MThd\0\0\0\6\0\1\0\1" if scores[name] is None else midi_of(*[scores[name][0]] * scores[name][1])
        upload(page, name, content)
    said = notice(pages["broken.mid"], "cannot be read")
    assert said.startswith("“broken.mid” cannot be read as MIDI; ") and "/" not in said and "--" not in said
    playing = [name for name in scores if scores[name]]
    for name in playing:
        perform(pages[name])
    for name in playing:
        pitch, n_notes = scores[name]
        wait_until_performed(pages[name])
        samples, seconds = sound_of(pages[name])
        assert seconds == pytest.approx(n_notes - 0.05 + 1, abs=0.05)
        hz = 440 * 2 ** ((pitch - 69) / 12)
        # The strongest partial may be another than the first.
        ratio = pitch_hz(samples) / hz
        assert abs(ratio - round(ratio)) < 0.03 and 1 <= round(ratio) <= 4, (name, ratio)
    assert pages["broken.mid"].is_disabled("#pnet-perform")


def test_two_at_once_wait_in_turn_and_a_stop_frees_the_worker(people, tmp_path):
    first, second = people(), people()
    for page in (first, second):
        upload(page, "long.mid", midi_of(*LONG))
        notice(page, "240 notes")
    perform(first)
    wait_for_sound(first)
    perform(second)
    second.wait_for_function("document.querySelector('#pnet-status').innerText === 'Next to play.'")
    screenshot(second, "waiting", tmp_path)
    third = people()
    began = time.monotonic()
    upload(third, "short.mid", midi_of(69, 71))
    notice(third, "2 notes from A4 to B4")
    assert time.monotonic() - began < 10  # reading does not wait for performing
    first.click("#pnet-stop")
    began = time.monotonic()
    wait_for_sound(second)
    assert time.monotonic() - began < 5
    second.click("#pnet-stop")


def test_a_closed_tab_frees_the_worker(people):
    gone, next_one = people(), people()
    for page in (gone, next_one):
        upload(page, "long.mid", midi_of(*LONG))
        notice(page, "240 notes")
    perform(gone)
    wait_for_sound(gone)
    perform(next_one)
    next_one.wait_for_function("document.querySelector('#pnet-status').innerText === 'Next to play.'")
    gone.context.close()
    began = time.monotonic()
    wait_for_sound(next_one)
    assert time.monotonic() - began < 5
    next_one.click("#pnet-stop")


def test_a_phone_needs_no_sideways_scrolling(people, tmp_path):
    page = people(**PHONE)
    too_wide = "document.documentElement.scrollWidth > window.innerWidth || document.body.scrollWidth > window.innerWidth"
    assert not page.evaluate(too_wide)
    upload(page, "x" * 300 + ".mid", midi_of(50, 60, 62, names=("V" * 200, "Cello"), programs=(40, 42)))
    notice(page, "The score has 2 parts")
    assert not page.evaluate(too_wide)
    edges = "document.querySelectorAll('#pnet-part label, #pnet-part label span')"
    assert max(page.evaluate(f"[...{edges}].map((e) => e.getBoundingClientRect().right)")) < 375
    screenshot(page, "phone_start", tmp_path, full_page=False)
    choose_example(page, "Ode to joy flute")
    perform(page)
    wait_for_sound(page)
    assert not page.evaluate(too_wide)
    wait_until_performed(page)
    assert not page.evaluate(too_wide)
    page.locator("#pnet-player").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#pnet-player').scrollIntoView()")
    screenshot(page, "phone", tmp_path, full_page=False)
    play, clock = (page.locator(f"#pnet-{name}").bounding_box() for name in ("play", "clock"))
    assert play["y"] < clock["y"] < play["y"] + play["height"]  # in one line
    tempo, semitones = (page.locator(f"#pnet-{name}").bounding_box() for name in ("tempo", "semitones"))
    assert semitones["y"] >= tempo["y"] + tempo["height"] - 1 and tempo["width"] == semitones["width"] > 300
    small = page.evaluate(
        "[...document.querySelectorAll('#pnet-player button, #pnet-perform')].filter((e) => e.offsetParent && "
        "e.getBoundingClientRect().height < 44).map((e) => e.id)"
    )
    assert small == []


def press_until(page, found: str, *, most: int = 40, key: str = "Tab") -> list[str]:
    """Presses a key until an element has the focus; what had it on the way, each of which has to be seen."""
    way = []
    for _ in range(most):
        page.keyboard.press(key)
        name, seen = page.evaluate(OUTLINE)
        way.append(name)
        assert seen, f"{name} has the focus, and it is not seen"
        if page.evaluate(f"document.activeElement.matches({found!r})"):
            return way
    raise AssertionError(f"{found} is not reached: {way}")


def test_the_keyboard_alone_is_enough(people, tmp_path):
    page = people()
    press_until(page, "#pnet-example input")
    page.keyboard.press(" ")
    notice(page, "notes from")
    press_until(page, "#pnet-voice input")
    press_until(page, "#pnet-tempo input")
    press_until(page, "#pnet-semitones input")
    page.keyboard.press("ArrowUp")
    assert page.input_value("#pnet-semitones input") == "1"
    press_until(page, "#pnet-fits input")
    press_until(page, "#pnet-quality input")
    page.keyboard.press("ArrowLeft")
    press_until(page, "#pnet-perform")
    page.keyboard.press("Enter")
    page.wait_for_function("performance.getEntriesByName('pnet-first-sound').length > 0")
    press_until(page, "#pnet-stage")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('#pnet-play').innerText === 'Play'")
    at = page.evaluate("pnetPage.player.then(({sound}) => sound.position)")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("at => pnetPage.player.then(({sound}) => Math.abs(sound.position - at - 2) < 0.1)", arg=at)
    screenshot(page, "keyboard", tmp_path)
    wait_until_performed(page)
    press_until(page, "#pnet-play")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('#pnet-play').innerText === 'Pause'")
    press_until(page, "#pnet-position")
    press_until(page, "#pnet-wav")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_every_control_has_a_name_and_what_changes_is_announced(people):
    page = people()
    choose_example(page, "Greensleeves violin")
    perform(page)
    wait_until_performed(page)
    found = page.evaluate(NAMES)
    assert len(found) > 15
    assert [one for one in found if not one["name"] or not one["reachable"]] == []
    assert page.locator("h1").count() == 1 and page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("#pnet-status[role=status][aria-live=polite]").count() == 1
    assert page.locator("#pnet-notice-box [role=status]").count() == 1
    assert "70 notes from E4 to G5" in page.get_attribute("#pnet-picture", "aria-label")


def test_in_the_dark_the_page_can_be_read(people, tmp_path):
    page = people(color_scheme="dark")
    choose_example(page, "Greensleeves violin")
    notice(page, "70 notes")
    screenshot(page, "dark", tmp_path)
    colours = page.evaluate(
        "[...document.querySelectorAll('#pnet-notice-box p, #pnet-intro h1, #pnet-title')].map((e) => getComputedStyle(e).color)"
    )
    assert len(colours) == 3 and all(colours)


def test_the_server_asks_nobody_and_a_token_is_needed(people, server, chromium):
    page = people()
    statuses = page.evaluate(
        """async () => Promise.all([
          "/performances/guess/live", "/performances/guess/sound.wav", "/performances/guess/..%2f..%2fsaid.txt",
          "/page/..%2fpage.py", "/gradio_api/file=/etc/passwd", "/gradio_api/file=README.md",
        ].map(async (at) => (await fetch(at)).status))"""
    )
    assert statuses[:4] == [404] * 4 and set(statuses[4:]) <= {403, 404}
    chromium.errors.clear()  # Chromium's own words on these
    assert server.asked.read_text() == ""


@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")])
def test_it_ends_when_told_and_leaves_nothing(number, code, said, tmp_path, chromium):
    with browser.serving(tmp_path) as server:
        page = chromium.open(server.url)
        choose_example(page, "Ode to joy flute")
        assert server.end(number) == code
        page.context.close()
    lines = server.said.read_text().splitlines()
    assert lines[-1].endswith(said) and "Traceback" not in server.said.read_text()
    assert list(server.temporary.glob("pnet-page-*")) == []
    assert server.asked.read_text() == ""
