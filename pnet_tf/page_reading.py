"""Scores that strangers give the page, each read in a process of its own: none waits for a performance, or harms another."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import pathlib
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from absl import logging

from pnet_tf import limits, page_words
from pnet_tf.errors import InputError
from pnet_tf.limits import Limits
from pnet_tf.score import Note, Score, read_score
from pnet_tf.score_notes import PartError

# Beside the bounds of CPU time: what waits for ever computes nothing.
_MOST_SEC = 30.0
_AT_ONCE = 2
_MOST_BYTES = 256 * 2**20
_FAILED = "the file is damaged, or asks for far more work than a score does"


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
        self._free = threading.BoundedSemaphore(_AT_ONCE)

    def read(self, path: pathlib.Path, *, number: int | None = None, instruments: Sequence[str] = ()) -> ReadScore:
        """Reads one part of a score.

        Args:
          path: of the file.
          number: of the part, from 1; None takes the only one, or one that is named after an instrument, or the first.
          instruments: names of voices.

        Raises:
          InputError: the file cannot be read, is too large, or took too long.
        """
        with self._free:
            receiver, sender = self._context.Pipe(duplex=False)
            process = self._context.Process(
                target=_read_in_child, args=(sender, str(path), number, tuple(instruments), self._bounds), daemon=True
            )
            process.start()
            sender.close()
            try:
                told = _received(receiver, self._most_sec)
            finally:
                receiver.close()
                process.kill()
                process.join()
                process.close()
        if told is None:
            raise InputError(f"{path}: {_FAILED}")
        if "refused" in told:
            raise InputError(told["refused"])
        return ReadScore(_score_from(told["score"]), tuple(told["parts"]), told["number"])


def _received(receiver: Any, most_sec: float) -> dict[str, Any] | None:
    """What the child says, as JSON; None where it died or says nothing in time."""
    with contextlib.suppress(EOFError, OSError, ValueError):
        if receiver.poll(most_sec):
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
