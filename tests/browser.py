"""A server of the page and a Chromium beside it, for the tests marked `browser`; whatever leaves this machine is counted."""

import base64
import contextlib
import io
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import wave

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Where screenshots go; docs/figures renews those of docs/page.md.
FIGURES = os.environ.get("PAGE_FIGURES")
READY_SEC = 240
_COLOURS = 96

# In front of the command: what its Python asks of other machines is written down, and refused. Ctrl-C is listened to, also where
# the tests run in the background of a shell, which has its jobs ignore it.
_WATCHED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def watch(event, arguments, log=open(sys.argv.pop(1), "a", buffering=1)):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = address[0] if isinstance(address, tuple) else address
        within = host in (None, "", "127.0.0.1", "::1", "localhost") or type(address) is bytes or str(host).startswith("/")
        if not within:
            print(event, host, file=log)
            raise OSError("refused by the test")
sys.addaudithook(watch)
from pnet_tf import serve_command
sys.exit(serve_command.console())
"""


class Server:
    """`serve` as a process."""

    def __init__(self, folder: pathlib.Path, *flags: str) -> None:
        self.folder, self.said, self.asked = folder, folder / "said.txt", folder / "asked.txt"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        environment = {**os.environ, "TMPDIR": str(self.temporary), "TF_CPP_MIN_LOG_LEVEL": "3"}
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _WATCHED, str(self.asked), "--port=0", *flags],
                cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True,
            )
        self.url = self._wait_for(r"listening on (http://127\.0\.0\.1:\d+/)")

    def _wait_for(self, pattern: str) -> str:
        end = time.monotonic() + READY_SEC
        while not (found := re.search(pattern, self.said.read_text())):
            if self.process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the server did not say {pattern}: {self.said.read_text()[-2000:]}")
            time.sleep(0.05)
        return found[1]

    def wait_until_warm(self) -> None:
        self._wait_for(r"(the violin is ready)")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextlib.contextmanager
def serving(folder: pathlib.Path, *flags: str):
    server = Server(folder, *flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()


class Browser:
    """One Chromium; each `open` is another person."""

    def __init__(self, chromium) -> None:
        self._chromium = chromium
        self.outside: list[str] = []
        self.errors: list[str] = []

    def open(self, url: str, *, width: int = 1100, height: int = 800, **settings):
        context = self._chromium.new_context(viewport={"width": width, "height": height}, accept_downloads=True, **settings)
        own = re.match(r"https?://[^/]+/", url)[0]

        def guard(route):
            """Lets nothing out but to the server."""
            if route.request.url.startswith((own, "data:", "blob:")):
                return route.continue_()
            self.outside.append(route.request.url)
            return route.abort()

        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#pnet-perform")
        page.wait_for_function("window.pnetPage !== undefined")
        return page


@contextlib.contextmanager
def chromium():
    """Debian's, for Playwright's own is a download."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield Browser(browser)
        finally:
            browser.close()


# --- what a person does


def choose_example(page, name: str) -> None:
    page.get_by_label(name).check()
    page.wait_for_function("name => document.querySelector('#pnet-title').textContent.startsWith(name)", arg=name)


def upload(page, name: str, content: bytes, kind: str = "audio/midi") -> None:
    page.set_input_files("#pnet-upload input[type=file]", {"name": name, "mimeType": kind, "buffer": content})


def notice(page, text: str) -> str:
    """The notice, once it holds some words; without the seconds that Gradio counts beside it."""
    return page.wait_for_function(
        """text => {
          const said = document.querySelector("#pnet-notice-box .pnet-notice")?.innerText ?? "";
          return said.includes(text) && said;
        }""",
        arg=text,
    ).json_value()


def perform(page) -> None:
    page.wait_for_selector("#pnet-perform:not([disabled])")
    page.click("#pnet-perform")


def wait_for_sound(page) -> float:
    """Seconds from the click until the first sample is played."""
    page.wait_for_function("performance.getEntriesByName('pnet-first-sound').length > 0")
    asked, heard = (f"performance.getEntriesByName('pnet-{name}')[0].startTime" for name in ("asked", "first-sound"))
    return page.evaluate(f"({heard} - {asked}) / 1000")


def wait_until_performed(page, *, timeout: float = 180_000) -> None:
    page.wait_for_selector("#pnet-files:not([hidden])", timeout=timeout)
    page.wait_for_selector("#pnet-png:not([hidden])", timeout=timeout)
    page.wait_for_function("document.querySelector('#pnet-audio').readyState >= 1")


def sound_of(page) -> tuple[np.ndarray, float]:
    """What the audio element holds: samples, float64 [samples], and its own word on the duration, in seconds."""
    found = page.evaluate(
        """async () => {
          const audio = document.querySelector("#pnet-audio");
          const bytes = new Uint8Array(await (await fetch(audio.currentSrc)).arrayBuffer());
          let text = "";
          for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
          return [btoa(text), audio.duration];
        }"""
    )
    with wave.open(io.BytesIO(base64.b64decode(found[0]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44100)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, found[1]


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2) + 1e-12))


def screenshot(page, name: str, folder: pathlib.Path, *, full_page: bool = True) -> None:
    """A small PNG of the page, or of what is in view."""
    from PIL import Image

    target = (ROOT / FIGURES if FIGURES else folder) / f"page_{name}.png"
    image = Image.open(io.BytesIO(page.screenshot(full_page=full_page))).convert("RGB")
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


# --- scores


def midi_of(*pitches: int, note_sec: float = 1.0, names=("Violin",), programs=(40,)) -> bytes:
    """A MIDI file whose parts all play these pitches, one after the other, each part an octave below the one before."""
    import pretty_midi

    music = pretty_midi.PrettyMIDI()
    for index, (name, program) in enumerate(zip(names, programs)):
        part = pretty_midi.Instrument(program, name=name)
        part.notes = [
            pretty_midi.Note(90, pitch - 12 * index, k * note_sec, (k + 0.95) * note_sec) for k, pitch in enumerate(pitches)
        ]
        music.instruments.append(part)
    file = io.BytesIO()
    music.write(file)
    return file.getvalue()


def musicxml_of(part_name: str) -> bytes:
    """Two notes of a part of any name, and a second part."""
    from xml.sax.saxutils import escape

    note = "<note><pitch><step>{}</step><octave>{}</octave></pitch><duration>4</duration><type>whole</type></note>"
    measure = '<measure number="1"><attributes><divisions>1</divisions></attributes>{}</measure>'
    names = [(f"P{k}", escape(name)) for k, name in enumerate((part_name, "Bass"), 1)]
    parts = "".join(f'<score-part id="{key}"><part-name>{name}</part-name></score-part>' for key, name in names)
    bodies = [note.format("A", 4) + note.format("E", 2), note.format("C", 3)]
    music = "".join(f'<part id="{key}">{measure.format(body)}</part>' for (key, _), body in zip(names, bodies))
    return (
        f'<?xml version="1.0"?><score-partwise version="3.1"><part-list>{parts}</part-list>{music}</score-partwise>'
    ).encode()
