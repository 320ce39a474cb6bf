"""One performance at a time, in order; a stop stops, a fault ends one alone, and files go."""

import json
import threading
import time
import tracemalloc

import pytest

from pnet_tf import page_live, page_session
from pnet_tf.errors import InputError
from pnet_tf.page_session import DONE, FAILED, PLAYING, STOPPED, WAITING, Stage


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path, most_waiting=3)
    stage.start()
    yield stage
    stage.close()


def over(job, seconds=5.0):
    """The state in which a job ends."""
    end = time.monotonic() + seconds
    while not job.is_over and time.monotonic() < end:
        time.sleep(0.005)
    return job.state


def said(job):
    """What was said in words."""
    return [json.loads(message[5:]) for message in job.fetch() if message[:1] == b"j"]


def waits_for(gate):
    """A performance that plays until a gate opens, or it is stopped."""

    def play(job):
        while not gate.is_set():
            job.check()
            time.sleep(0.005)
        (job.folder / "sound.wav").write_text("sound")

    return play


def test_performances_are_played_in_order_and_each_sees_its_place(stage):
    gate, order = threading.Event(), []
    first = stage.add(waits_for(gate), "first")
    others = [stage.add(lambda job: order.append(job.name), name) for name in ("second", "third")]
    assert [stage.place(job) for job in others] == [1, 2]
    gate.set()
    assert [over(job) for job in (first, *others)] == [DONE, DONE, DONE]
    assert order == ["second", "third"] and stage.place(others[1]) == 0
    assert (first.folder / "sound.wav").read_text() == "sound"


def test_a_stop_frees_the_worker_at_once_and_takes_the_files(stage):
    stuck = stage.add(waits_for(threading.Event()), "stuck")
    after = stage.add(lambda job: None, "after")
    began = time.monotonic()
    stage.stop(stuck)
    assert (over(stuck), over(after)) == (STOPPED, DONE)
    assert time.monotonic() - began < 1
    assert not stuck.folder.exists() and said(stuck) == [{"type": "stopped"}]


def test_one_who_is_stopped_while_waiting_never_plays_and_holds_nobody_up(stage):
    gate, played = threading.Event(), []
    stage.add(waits_for(gate), "first")
    gone = stage.add(lambda job: played.append("gone"), "gone")
    last = stage.add(lambda job: played.append("last"), "last")
    stage.stop(gone)
    assert stage.place(last) == 1 and gone.state == STOPPED
    gate.set()
    assert (over(gone), over(last), played) == (STOPPED, DONE, ["last"])


def test_a_performance_that_nobody_comes_to_hear_ends(stage, monkeypatch):
    monkeypatch.setattr(page_session, "_MOST_UNHEARD_SEC", 0.05)
    assert over(stage.add(waits_for(threading.Event()), "alone")) == STOPPED


def test_what_cannot_be_performed_says_why_without_a_path(stage):
    def play(job):
        raise InputError(f"{job.folder}/sound.wav: cannot write the sound")

    job = stage.add(play, "bad")
    assert over(job) == FAILED
    assert said(job) == [{"type": "failed", "message": "sound.wav: cannot write the sound"}]
    assert over(stage.add(lambda job: job.send(page_live.say(type="x")), "next")) == DONE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_ends_one_performance_and_no_other(stage):
    def play(job):
        raise ZeroDivisionError

    broken = stage.add(play, "broken")
    assert over(broken) == FAILED
    assert said(broken)[0]["message"] == "Something went wrong on the server."
    assert over(stage.add(lambda job: None, "next")) == DONE


def test_too_many_who_wait_are_sent_away(stage):
    gate = threading.Event()
    jobs = [stage.add(waits_for(gate), "x")]
    while jobs[0].state == WAITING:
        time.sleep(0.005)
    jobs += [stage.add(waits_for(gate), "x") for _ in range(3)]
    with pytest.raises(InputError, match="3 performances are waiting already"):
        stage.add(waits_for(gate), "x")
    stage.stop(jobs[3])
    jobs.append(stage.add(waits_for(gate), "x"))
    gate.set()
    assert [over(job) for job in jobs] == [DONE, DONE, DONE, STOPPED, DONE]


def test_a_session_has_one_performance_that_waits_the_latest(stage):
    gate = threading.Event()
    first = stage.add(waits_for(gate), "first", "me")
    while first.state == WAITING:
        time.sleep(0.005)
    mine = [stage.add(waits_for(gate), str(k), "me") for k in range(20)]
    other = stage.add(waits_for(gate), "other", "you")
    assert [job.state for job in mine] == [STOPPED] * 19 + [WAITING] and said(mine[0]) == [{"type": "stopped"}]
    assert (first.state, stage.place(mine[-1]), stage.place(other)) == (PLAYING, 1, 2)
    gate.set()
    assert [over(job) for job in (first, mine[-1], other)] == [DONE] * 3


def test_those_who_wait_and_nobody_listens_make_room(stage, monkeypatch):
    gate = threading.Event()
    jobs = [stage.add(waits_for(gate), "x")]
    while jobs[0].state == WAITING:
        time.sleep(0.005)
    jobs[0].listened = True
    jobs += [stage.add(waits_for(gate), "x", str(k)) for k in range(3)]
    jobs[1].listened = True
    monkeypatch.setattr(page_session, "_MOST_UNHEARD_SEC", 0.0)
    last = stage.add(waits_for(gate), "last", "late")
    last.listened = True
    assert [job.state for job in jobs] == [PLAYING, WAITING, STOPPED, STOPPED]
    gate.set()
    assert (over(jobs[1]), over(last)) == (DONE, DONE)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_voice_that_does_not_get_ready_ends_no_later_performance(tmp_path):
    def prepare():
        raise InputError("no voice")

    stage = Stage(tmp_path)
    stage.start(prepare)
    assert over(stage.add(lambda job: None, "next")) == DONE and not stage.is_preparing
    stage.close()


def test_an_idle_server_forgets_what_is_too_old(tmp_path, monkeypatch):
    monkeypatch.setattr(page_session, "_TIDY_SEC", 0.02)
    stage = Stage(tmp_path, keep_sec=0.2)
    stage.start()
    assert over(stage.add(lambda job: None, "x")) == DONE and len(list(tmp_path.iterdir())) == 1
    end = time.monotonic() + 5
    while list(tmp_path.iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
    stage.close()


def test_old_performances_are_forgotten_with_their_files(tmp_path):
    stage = Stage(tmp_path, most_kept=2)
    stage.start()
    gate = threading.Event()
    gate.set()
    jobs = []
    for _ in range(4):
        jobs.append(stage.add(waits_for(gate), "x"))
        assert over(jobs[-1]) == DONE
    while len(list(tmp_path.iterdir())) > 2:
        time.sleep(0.005)
    assert [stage.find(job.token) is None for job in jobs] == [True, True, False, False]
    stage.close()
    assert list(tmp_path.iterdir()) == []


def test_an_end_stops_all_and_waits_for_nobody(stage):
    gate = threading.Event()
    slow = stage.add(lambda job: gate.wait(5), "in a block of some seconds")
    while slow.state == WAITING:
        time.sleep(0.005)
    waiting = stage.add(lambda job: None, "waiting")
    began = time.monotonic()
    stage.end()
    assert waiting.state == STOPPED and time.monotonic() - began < 1
    gate.set()
    with pytest.raises(page_session.Stopped):
        slow.check()


def test_what_nobody_fetched_yet_takes_no_memory_and_arrives_whole(tmp_path):
    stage = Stage(tmp_path)
    job = stage.add(lambda job: None, "x")
    sent = [bytes([k]) * (2**20 + k) for k in range(16)]
    tracemalloc.start()
    for message in sent:
        job.send(message)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 2**18
    fetching = job.fetch()
    assert [next(fetching) for _ in range(3)] == sent[:3]
    job.send(b"more", b"end")
    assert list(fetching) == [*sent[3:], b"more", b"end"] and list(job.fetch()) == []


def test_who_left_leaves_nothing_behind(tmp_path):
    stage = Stage(tmp_path)
    job = stage.add(lambda job: None, "x")
    job.send(b"one", b"two")
    fetching = job.fetch()
    assert next(fetching) == b"one"
    job.drop()
    job.send(b"three")
    assert list(fetching) == [] and list(job.folder.iterdir()) == []


def test_a_performance_that_is_over_and_unheard_keeps_no_messages(stage, monkeypatch):
    job = stage.add(lambda job: job.send(b"x" * 100), "x")
    assert over(job) == DONE and [path.name for path in job.folder.iterdir()] == ["live"]
    monkeypatch.setattr(page_session, "_MOST_UNHEARD_SEC", 0.0)
    stage._tidy()
    assert list(job.folder.iterdir()) == [] and list(job.fetch()) == []


def test_the_voices_get_ready_before_the_first_performance(tmp_path):
    stage, ready = Stage(tmp_path), threading.Event()
    stage.start(lambda: ready.wait(5))
    job = stage.add(lambda job: None, "early")
    assert stage.is_preparing and not job.is_over
    ready.set()
    assert over(job) == DONE and not stage.is_preparing
    stage.close()
