"""Scores that strangers give the page, each read in a process of its own: none waits for a performance, or harms another."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from absl import logging

from pnet_tf import limits, page_words
from pnet_tf.errors import InputError
from pnet_tf.limits import Limits
from pnet_tf.score import Note, Score, read_score
from pnet_tf.score_notes import PartError

# Whatever the size, so that those who wait for a place wait no longer; computing or not.
_MOST_SEC = 8.0
_POLL_SEC = 0.05
_MOST_BYTES = 256 * 2**20
# Above it a score that music21 reads may take all of `_MOST_SEC`, and a MIDI file holds more notes than are played.
_SMALL_BYTES = 100_000
_SHORT_BYTES = 500_000
_SHORT_STARTS = (b"MThd", b"start_time,")
_FAILED = "the file is damaged, or asks for far more work than a score does"
_REPLACED = "Another score was given meanwhile."


@dataclasses.dataclass(frozen=True)
class ReadScore:
    """A score, and what else there is to choose.

    Attributes:
      score: the notes of one part.
      parts: names of all parts that hold notes; empty where there is but one.
      number: of the part that `score` holds, from 1.
    """

    score: Score
    parts: tuple[str, ...] = ()
    number: int = 1


class Busy(InputError):
    """A score was not read for the sake of others; the message is for its owner."""


@dataclasses.dataclass
class Lane:
    """Places for scores of one kind, so that slow ones never hold up quick ones.

    Attributes:
      places: how many are read at a time.
      most_waiting: how many may wait for a place.
    """

    places: int
    most_waiting: int
    n_reading: int = 0
    n_waiting: int = 0


class Reader:
    """Reads scores in processes that fork from one in which music21 is imported already."""

    def __init__(self, *, bounds: Limits = limits.DEFAULT, most_sec: float = _MOST_SEC) -> None:
        """Starts nothing yet.

        Args:
          bounds: what is refused beyond.
          most_sec: after which a reading is given up.
        """
        self._bounds, self._most_sec = bounds, most_sec
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, "music21.converter", "music21.musicxml.xmlToM21"])
        self._changed = threading.Condition()
        self._lanes = {"short": Lane(2, 8), "small": Lane(2, 4), "large": Lane(1, 3)}
        # Of each session: what it asked for last, and whether one of its scores is being read.
        self._latest: dict[str, threading.Event] = {}
        self._busy: set[str] = set()

    def read(
        self, path: pathlib.Path, *, number: int | None = None, instruments: Sequence[str] = (), who: str | None = None
    ) -> ReadScore:
        """Reads one part of a score.

        Args:
          path: of the file.
          number: of the part, from 1; None takes the only one, or one that is named after an instrument, or the first.
          instruments: names of voices.
          who: the session that asks, of which one score is read at a time: the latest.

        Raises:
          Busy: too many wait, or the session gave another score meanwhile.
          InputError: the file cannot be read, is too large, or took too long.
        """
        with self._only_one_of(who) as replaced, self._place(lane_of(path), replaced):
            told = self._ask_child(replaced, str(path), number, tuple(instruments), self._bounds)
        if replaced.is_set():
            raise Busy(_REPLACED)
        if told is None:
            raise InputError(f"{path}: {_FAILED}")
        if "refused" in told:
            raise InputError(told["refused"])
        return ReadScore(_score_from(told["score"]), tuple(told["parts"]), told["number"])


    @contextlib.contextmanager
    def _only_one_of(self, who: str | None) -> Iterator[threading.Event]:
        """Ends what the session asked for before; the event tells that it has asked again."""
        replaced = threading.Event()
        if who is None:
            yield replaced
            return
        with self._changed:
            if who in self._latest:
                self._latest[who].set()
            self._latest[who] = replaced
            self._changed.notify_all()
            self._wait_until(lambda: who not in self._busy, replaced)
            self._busy.add(who)
        try:
            yield replaced
        finally:
            with self._changed:
                self._busy.remove(who)
                if self._latest[who] is replaced:
                    del self._latest[who]
                self._changed.notify_all()

    @contextlib.contextmanager
    def _place(self, name: str, replaced: threading.Event) -> Iterator[None]:
        lane = self._lanes[name]
        with self._changed:
            if lane.n_waiting >= lane.most_waiting:
                raise Busy("Many scores are being read just now. Give it again in half a minute.")
            lane.n_waiting += 1
            try:
                self._wait_until(lambda: lane.n_reading < lane.places, replaced)
            finally:
                lane.n_waiting -= 1
            lane.n_reading += 1
        try:
            yield
        finally:
            with self._changed:
                lane.n_reading -= 1
                self._changed.notify_all()

    def _wait_until(self, is_free: Callable[[], bool], replaced: threading.Event) -> None:
        self._changed.wait_for(lambda: replaced.is_set() or is_free())
        if replaced.is_set():
            raise Busy(_REPLACED)

    def _ask_child(self, replaced: threading.Event, *arguments: Any) -> dict[str, Any] | None:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_read_in_child, args=(sender, *arguments), daemon=True)
        process.start()
        sender.close()
        try:
            return _received(receiver, self._most_sec, replaced)
        finally:
            receiver.close()
            process.kill()
            process.join()
            process.close()


def lane_of(path: pathlib.Path) -> str:
    """Where a score is read: `short` needs no music21 and little time, `small` takes little memory, `large` all there is.

    Raises:
      InputError: it is not there any more.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
        n_bytes = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: it is not kept any more") from error
    if n_bytes <= _SHORT_BYTES and beginning.startswith(_SHORT_STARTS):
        return "short"
    return "small" if n_bytes <= _SMALL_BYTES else "large"


def _received(receiver: Any, most_sec: float, replaced: threading.Event) -> dict[str, Any] | None:
    """What the child says, as JSON; None where it died or says nothing in time, or nobody wants it any more."""
    end = time.monotonic() + most_sec
    with contextlib.suppress(EOFError, OSError, ValueError):
        while not replaced.is_set() and time.monotonic() < end:
            if receiver.poll(_POLL_SEC):
                return json.loads(receiver.recv_bytes(_MOST_BYTES))
    return None


def _read_in_child(sender: Any, path: str, number: int | None, instruments: Sequence[str], bounds: Limits) -> None:
    """Reads in the child's main thread, which alone can be stopped by a timer, and sends JSON."""
    logging.set_verbosity(logging.FATAL)  # the page says what there is to say
    os.nice(5)
    with limits.raised_to(bounds):
        try:
            told = _told(_read(pathlib.Path(path), number, instruments))
        except InputError as error:
            told = {"refused": str(error)}
    with contextlib.suppress(BrokenPipeError):  # nobody waits any more
        sender.send_bytes(json.dumps(told).encode())


def _read(path: pathlib.Path, number: int | None, instruments: Sequence[str]) -> ReadScore:
    try:
        score = read_score(path)
    except PartError as error:
        parts = error.parts
    else:
        return ReadScore(score)
    number = page_words.guess_part(parts, instruments) if number is None else number
    if not 1 <= number <= len(parts):
        raise InputError(f"{path}: has {len(parts)} parts, not {number}")
    try:
        # By its name where that is its alone: a number may be another part's name.
        return ReadScore(read_score(path, part=parts[number - 1]), parts, number)
    except PartError:
        return ReadScore(read_score(path, part=str(number)), parts, number)


def _told(found: ReadScore) -> dict[str, Any]:
    score = found.score
    notes = [[str(note.start_sec), str(note.end_sec), note.pitch] for note in score.notes]
    fields = {"name": score.name, "part": score.part, "ignored": dict(score.ignored)}
    fields |= {"notes": notes, "bars_sec": [str(bar) for bar in score.bars_sec]}
    return {"score": fields, "parts": list(found.parts), "number": found.number}


def _score_from(fields: dict[str, Any]) -> Score:
    notes = tuple(Note(Fraction(start), Fraction(end), pitch) for start, end, pitch in fields["notes"])
    bars_sec = tuple(Fraction(bar) for bar in fields["bars_sec"])
    return Score(fields["name"], notes, fields["part"], bars_sec, fields["ignored"])
