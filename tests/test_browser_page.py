"""The page in Chromium, as one person meets it: each state, with a screenshot, on one server."""

import os

import numpy as np
import pytest
from PIL import Image

from tests import browser
from tests.browser import (
    choose_example,
    level_db,
    midi_of,
    musicxml_of,
    notice,
    perform,
    screenshot,
    sound_of,
    upload,
    wait_for_sound,
    wait_until_performed,
)

pytestmark = pytest.mark.browser
MINUTE = [62, 64, 66, 67, 69, 71, 73, 74, 76, 74, 73, 71, 69, 67, 66] * 8


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with browser.serving(tmp_path_factory.mktemp("server"), "--max_minutes=6") as server:
        server.wait_until_warm()
        yield server


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as chromium:
        yield chromium


@pytest.fixture
def page(server, chromium):
    chromium.errors.clear()
    page = chromium.open(server.url)
    yield page
    page.context.close()
    assert chromium.errors == [] and chromium.outside == []


def test_an_example_is_seen_performed_heard_and_kept(page, tmp_path):
    screenshot(page, "start", tmp_path)
    assert page.is_disabled("#pnet-perform")
    choose_example(page, "Ode to joy flute")
    assert page.get_by_label("flute", exact=True).is_checked()
    assert notice(page, "62 notes from").startswith("Ode to joy flute: 62 notes from")
    screenshot(page, "example", tmp_path)
    perform(page)
    wait_for_sound(page)
    page.wait_for_timeout(1200)
    assert page.inner_text("#pnet-status").startswith(("Performing: 0:", "Performed"))
    screenshot(page, "playing", tmp_path)
    wait_until_performed(page)
    screenshot(page, "performed", tmp_path)
    samples, seconds = sound_of(page)
    assert seconds == pytest.approx(33.7, abs=0.1) and len(samples) / 44100 == pytest.approx(seconds, abs=0.01)
    assert -26 < level_db(samples) < -12
    for link, name in (("#pnet-wav", "ode-to-joy-flute-flute.wav"), ("#pnet-png", "ode-to-joy-flute-flute.png")):
        with page.expect_download() as caught:
            page.click(link)
        assert caught.value.suggested_filename == name
        caught.value.save_as(tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.size[0] > 1000


def test_what_is_heard_live_is_what_the_file_holds(page):
    """All that came in live, against the file: one gain apart, but for the limiter."""
    choose_example(page, "Greensleeves violin")
    perform(page)
    wait_until_performed(page)
    live = page.evaluate("pnetPage.player.then(({sound}) => Array.from(sound.samples.filter((_, k) => k % 20 === 0)))")
    samples, _ = sound_of(page)
    assert len(live) == len(samples[::20])
    assert np.corrcoef(np.array(live), samples[::20])[0, 1] > 0.98


def test_the_first_sound_of_a_minute_comes_within_three_seconds(page, record_property, capsys):
    seconds = []
    for name in ("one.mid", "two.mid", "three.mid"):
        upload(page, name, midi_of(*MINUTE, note_sec=0.5))
        notice(page, f"{name}: 120 notes from D4 to E5, 1:00")
        page.evaluate("performance.clearMarks()")
        perform(page)
        seconds.append(wait_for_sound(page))
        page.click("#pnet-stop")
        page.wait_for_timeout(500)
    with capsys.disabled():
        told = [round(second, 2) for second in seconds]
        print(f"\nfirst sound of a minute, violin, after {told} s (load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores)")
    record_property("first_sound_sec", str(sorted(seconds)[1]))
    assert sorted(seconds)[1] <= 3


def test_sound_moves_on_is_paused_and_sought_while_it_is_made_and_after(page):
    upload(page, "minute.mid", midi_of(*MINUTE, note_sec=0.5))
    notice(page, "120 notes")
    perform(page)
    wait_for_sound(page)
    where = "pnetPage.player.then(({sound}) => [sound.position, sound.useAudio, sound.wanted, sound.receivedSeconds])"
    page.wait_for_timeout(1500)
    at, by_element, wanted, received = page.evaluate(where)
    assert 0.5 < at < 3 and not by_element and wanted
    page.focus("#pnet-stage")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    assert at + 1.5 < page.evaluate(where)[0] < at + 4
    page.keyboard.press(" ")
    paused = page.evaluate(where)
    page.wait_for_timeout(400)
    assert page.evaluate(where)[0] == paused[0] and not paused[2]
    wait_until_performed(page)
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    at, by_element, *_ = page.evaluate(where)
    assert by_element and at == pytest.approx(page.evaluate("document.querySelector('#pnet-audio').duration") - 10, abs=0.2)
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('#pnet-audio').currentTime > 0.5")
    box = page.locator("#pnet-picture").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.75, box["y"] + 50)
    assert page.evaluate(where)[0] > 10
    assert page.inner_text("#pnet-play") == "Pause"


def test_parts_names_and_notes_that_no_violin_has(page, tmp_path):
    """A part's name is somebody's text, and no program."""
    hostile = "<img src=x onerror='window.hacked = 1'>Violin"
    upload(page, "<svg onload=alert(1)>.musicxml", musicxml_of(hostile), "text/xml")
    said = notice(page, "Too low")
    assert "Too low for a violin: E2 (1 note). Its lowest note is G3." in said
    assert f"Now playing: {hostile}." in said
    assert page.locator("#pnet-part label").all_inner_texts() == [f"1. {hostile}", "2. Bass"]
    screenshot(page, "parts", tmp_path)
    assert page.evaluate("window.hacked") is None and page.locator("img[src=x]").count() == 0


def test_another_part_tempo_and_transposition_are_shown_at_once(page):
    upload(page, "trio.mid", midi_of(60, 62, 64, names=("Oboe", "Violin", "Tuba"), programs=(68, 40, 58)))
    assert "Now playing: Violin" in notice(page, "The score has 3 parts")
    notice(page, "3 notes from C3 to E3, 0:03")
    page.get_by_label("1. Oboe").check()
    notice(page, "3 notes from C4 to E4, 0:03")
    type_in(page, "tempo", "0.5")
    notice(page, "3 notes from C4 to E4, 0:06")
    perform(page)
    wait_until_performed(page)
    type_in(page, "semitones", "12")
    notice(page, "3 notes from C5 to E5, 0:06")
    assert page.is_visible("#pnet-wav")  # what was performed stays until it is performed anew
    assert "from C4 to E4" in page.get_attribute("#pnet-picture", "aria-label")
    perform(page)
    page.wait_for_function("document.querySelector('#pnet-picture').ariaLabel.includes('from C5 to E5')")
    wait_until_performed(page)
    page.get_by_label("Transpose as fits the voice best").check()
    notice(page, "Played as written.")


def test_a_wrong_file_is_refused_in_words_and_the_next_one_plays(page, tmp_path):
    upload(page, "holiday.png", b"\x89PNG\r\n\x1a\n" + b"x" * 1000, "image/png")
    assert "“holiday.png” is not a score that can be read here. Give MIDI" in notice(page, "holiday.png")
    assert page.is_disabled("#pnet-perform") and page.is_hidden("#pnet-player")
    screenshot(page, "wrong_file", tmp_path)
    choose_example(page, "Ode to joy flute")
    notice(page, "62 notes")
    assert page.is_enabled("#pnet-perform")


def test_a_score_that_is_too_long_is_refused_before_it_is_asked_for(page):
    upload(page, "long.mid", midi_of(*range(60, 70), note_sec=40))
    assert "this page plays up to 6 minutes. Choose a tempo of 1.15 or more" in notice(page, "It would last 6:38")
    assert page.is_disabled("#pnet-perform")


def type_in(page, field: str, value: str) -> None:
    page.fill(f"#pnet-{field} input", value)
    page.keyboard.press("Tab")


def test_what_is_performed_is_what_the_fields_show(page):
    """A field that is empty or beyond its range is told in words: it changes nothing by itself, and nothing is performed."""
    choose_example(page, "Ode to joy flute")
    notice(page, "62 notes")
    for value in ("", "99", "0", "-3"):
        type_in(page, "tempo", value)
        assert "The tempo has to be a number from 0.5 to 2." in notice(page, "The tempo has to be")
        assert page.input_value("#pnet-tempo input") == value
        page.wait_for_selector("#pnet-perform[disabled]")
        type_in(page, "tempo", "2")
        notice(page, "62 notes from A4 to A5, 0:16")
    type_in(page, "semitones", "1.5")
    notice(page, "The transposition has to be a whole number from −24 to 24.")
    type_in(page, "semitones", "-12")
    notice(page, "62 notes from A3 to A4, 0:16")
    page.wait_for_selector("#pnet-perform:not([disabled])")
    assert "Error" not in page.inner_text("body") and page.is_visible("#pnet-player")


def test_the_last_of_many_changes_counts(page):
    choose_example(page, "Ode to joy flute")
    page.focus("#pnet-tempo input")
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    assert page.input_value("#pnet-tempo input") == "1.6"
    notice(page, "62 notes from A4 to A5, 0:20")


def test_a_change_while_the_player_holds_something_else_is_said(page):
    choose_example(page, "Ode to joy flute")
    perform(page)
    wait_for_sound(page)
    page.get_by_label("violin", exact=True).check()
    page.wait_for_selector("#pnet-later:not([hidden])")
    assert page.inner_text("#pnet-later").endswith("chosen before; press Perform to hear the violin.")
    type_in(page, "semitones", "2")
    page.get_by_label("flute", exact=True).check()
    page.wait_for_function("document.querySelector('#pnet-later').innerText.endsWith('to hear the change.')")
    type_in(page, "semitones", "0")
    page.wait_for_selector("#pnet-later", state="hidden")


def test_the_player_rounds_as_the_notice_does(page):
    clocks = "import('/page/picture.js').then(({clock}) => [0.49, 0.5, 11.5, 12.5, 59.5, 65].map(clock))"
    assert page.evaluate(clocks) == ["0:00", "0:01", "0:12", "0:13", "1:00", "1:05"]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_file_that_is_too_large_is_refused_in_the_pages_words(page, dropped):
    choose_example(page, "Ode to joy flute")
    notice(page, "62 notes")
    if dropped:
        page.evaluate(
            """() => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(5100000)], "large.mid"));
              const target = document.querySelector("#pnet-upload button");
              target.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }"""
        )
    else:
        upload(page, "large.mid", b"MThd" + b"\0" * 5_100_000)
    assert "“large.mid” is larger than 5 MB" in notice(page, "Is it a recording?")
    assert "exceed" not in page.inner_text("body") and page.is_hidden("#pnet-player")
    assert page.is_disabled("#pnet-perform")
    choose_example(page, "Ode to joy flute")
    page.wait_for_selector("#pnet-perform:not([disabled])")


def test_a_stop_before_any_sound_says_so(page):
    choose_example(page, "Ode to joy flute")
    page.wait_for_selector("#pnet-perform:not([disabled])")
    # In one go, so that no sound comes between.
    page.route("**/performances/*/live", lambda route: page.wait_for_timeout(3000))
    page.click("#pnet-perform")
    page.click("#pnet-stop")
    assert page.inner_text("#pnet-status") == "Stopped before any sound."
    page.unroute_all(behavior="ignoreErrors")


def test_a_stop_stops_and_what_was_made_can_be_heard(page, tmp_path):
    upload(page, "long.mid", midi_of(*MINUTE, *MINUTE, *MINUTE, note_sec=0.9))
    notice(page, "360 notes")
    perform(page)
    wait_for_sound(page)
    page.click("#pnet-stop")
    assert page.inner_text("#pnet-status") == "Stopped. What was performed so far can be heard."
    received = page.evaluate("pnetPage.player.then(({sound}) => sound.receivedSeconds)")
    page.wait_for_timeout(1500)
    assert page.evaluate("pnetPage.player.then(({sound}) => sound.receivedSeconds)") == received > 1
    assert page.is_hidden("#pnet-stop") and page.is_enabled("#pnet-play")
    screenshot(page, "stopped", tmp_path)
