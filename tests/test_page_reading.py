"""Scores of strangers are read in processes of their own, which may die, hang, or be lied to."""

import os
import pathlib
import threading
import time

import pytest

from pnet_tf import page_reading
from pnet_tf.errors import InputError
from pnet_tf.limits import Limits
from pnet_tf.page_reading import Reader
from pnet_tf.score import read_score

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
LABELS = "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"


@pytest.fixture(scope="module")
def reader():
    return Reader(bounds=Limits(notes=1000))


@pytest.fixture
def trio(tmp_path):
    path = tmp_path / "score.csv"
    lines = [f"0,44100,{instrument},{60 + instrument % 12},0,1,Quarter\n" for instrument in (1, 41, 74)]
    path.write_text(LABELS + "".join(lines))
    return path


def test_a_score_comes_back_as_it_was_read(reader):
    for name in ("greensleeves_violin.musicxml", "ode_to_joy_flute.mid"):
        found = reader.read(EXAMPLES / name)
        assert found.score == read_score(EXAMPLES / name)
        assert (found.parts, found.number) == ((), 1)


def test_parts_are_named_and_one_is_taken(reader, trio):
    found = reader.read(trio, instruments=["cello", "flute"])
    assert found.parts == ("acoustic grand piano", "violin", "flute") and found.number == 3
    assert [note.pitch for note in reader.read(trio, number=2).score.notes] == [65]
    with pytest.raises(InputError, match="has 3 parts, not 7"):
        reader.read(trio, number=7)


def test_what_is_no_score_is_refused_and_disturbs_nobody(reader, tmp_path):
    (tmp_path / "score.mid").write_bytes(b"\x89PNG not music")
    good = EXAMPLES / "ode_to_joy_flute.mid"
    found = []
    others = [threading.Thread(target=lambda: found.append(reader.read(good).score.n_notes)) for _ in range(3)]
    for other in others:
        other.start()
    with pytest.raises(InputError, match="not a readable score"):
        reader.read(tmp_path / "score.mid")
    for other in others:
        other.join()
    assert found == [read_score(good).n_notes] * 3


def test_too_many_notes_are_refused(reader, tmp_path):
    path = tmp_path / "score.csv"
    path.write_text(LABELS + "".join(f"{k},{k + 9},41,60,0,1,Quarter\n" for k in range(1001)))
    with pytest.raises(InputError, match="more than 1000 notes"):
        reader.read(path)


def _slow_if_large(path, number, instruments):
    if path.stat().st_size > 1000:
        time.sleep(600)
    return page_reading.ReadScore(read_score(path))


def forking(monkeypatch, **settings):
    """A reader that forks from here, so that the child has what was put in its place."""
    import multiprocessing

    reader = Reader(**settings)
    monkeypatch.setattr(reader, "_context", multiprocessing.get_context("fork"))
    return reader


def asked(reader, path, who=None):
    """A thread that asks, and what it was told."""
    told = []

    def ask():
        try:
            told.append(reader.read(path, who=who).score.n_notes)
        except InputError as error:
            told.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, told


@pytest.mark.slow
def test_slow_scores_hold_up_no_quick_one(monkeypatch, tmp_path):
    monkeypatch.setattr(page_reading, "_read", _slow_if_large)
    reader = forking(monkeypatch, most_sec=3)
    for name, n_bytes in (("large.abc", 200_000), ("small.abc", 5_000)):
        (tmp_path / name).write_bytes(b"|:CDEF:|" * (n_bytes // 8))
    hostile = [asked(reader, tmp_path / name, f"{name} {k}") for k in range(6) for name in ("large.abc", "small.abc")]
    began = time.monotonic()
    good = reader.read(EXAMPLES / "ode_to_joy_flute.mid", who="me")
    assert good.score.n_notes > 0 and time.monotonic() - began < 2.5
    for thread, _ in hostile:
        thread.join()
    words = [str(told[0]) for _, told in hostile]
    assert sum("far more work" in said for said in words) == 4 + 6
    assert sum(said.startswith("Many scores are being read") for said in words) == 2
    assert time.monotonic() - began < 4 * 3 + 5


def test_of_a_session_the_latest_score_alone_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(page_reading, "_read", _slow_if_large)
    reader = forking(monkeypatch, most_sec=20)
    (tmp_path / "slow.abc").write_bytes(b"|:CDEF:|" * 1000)
    before = [asked(reader, tmp_path / "slow.abc", "me") for _ in range(3)]
    time.sleep(0.3)
    began = time.monotonic()
    assert reader.read(EXAMPLES / "ode_to_joy_flute.mid", who="me").score.n_notes > 0
    for thread, told in before:
        thread.join()
        assert str(told[0]) == "Another score was given meanwhile."
    assert time.monotonic() - began < 5
    assert (reader._latest, reader._busy) == ({}, set())


def _dies(path, number, instruments):
    os.kill(os.getpid(), 9)


def _hangs(path, number, instruments):
    time.sleep(600)


@pytest.mark.parametrize("misbehaves", [_dies, _hangs])
def test_a_reader_that_dies_or_hangs_is_one_refusal(misbehaves, monkeypatch):
    reader = forking(monkeypatch, most_sec=0.5)
    monkeypatch.setattr(page_reading, "_read", misbehaves)
    with pytest.raises(InputError, match="damaged, or asks for far more work"):
        reader.read(EXAMPLES / "ode_to_joy_flute.mid")
