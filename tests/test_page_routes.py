"""A performance is sent while it is made; who goes away stops it."""

import asyncio
import threading
import time

import pytest

from pnet_tf import page_routes
from pnet_tf.page_session import DONE, STOPPED, Stage


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    stage.start()
    yield stage
    stage.close()


def plays(gate):
    def play(job):
        job.send(b"one")
        while not gate.wait(0.005):
            job.check()
        job.send(b"two")

    return play


async def _collect(messages, found, until=None):
    async for message in messages:
        found.append(message)
        if message == until:
            break
    await messages.aclose()


def test_all_of_a_performance_arrives_and_its_place_before(stage):
    gate, found = threading.Event(), []
    first = stage.add(plays(gate), "first")
    second = stage.add(plays(gate), "second")
    threading.Timer(0.2, gate.set).start()
    asyncio.run(_collect(page_routes._messages(stage, second), found))
    assert b'"type": "waiting", "place": 1, "words": "Next to play."' in found[0]
    assert [message for message in found if message in (b"one", b"two")] == [b"one", b"two"]
    assert (first.state, second.state) == (DONE, DONE)


def test_who_goes_away_stops_the_performance(stage):
    job, found = stage.add(plays(threading.Event()), "x"), []
    began = time.monotonic()
    asyncio.run(_collect(page_routes._messages(stage, job), found, until=b"one"))
    while not job.is_over:
        time.sleep(0.005)
    assert not job.folder.exists()
    assert job.state == STOPPED and time.monotonic() - began < 1


def test_what_the_page_fetches_is_in_the_package_and_names_no_other_place():
    names = {path.name for path in page_routes.STATIC.iterdir()}
    assert {"page.js", "sound.js", "picture.js", "stream.js", "page.css", "player.html", "favicon.svg"} <= names
    for path in page_routes.STATIC.iterdir():
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "://" not in text and "url(" not in text, path.name
