"""The door to scores: a MIDI file, MusicXML, a MusicNet label csv or what else music21 reads, all to one `Score`.

Times are exact fractions of a second; turning them into frames is `roll`'s work alone.
"""

import dataclasses
import io
import math
import pathlib
import zipfile
from fractions import Fraction

from pnet_tf import limits
from pnet_tf.files import open_regular, read_up_to
from pnet_tf.remote import AnyPath, path_of
from pnet_tf.score_labels import (
    choose_instrument,
    instrument_name,
    label_instruments,
    read_label_file,
    read_labels,
    score_from_labels,
)
from pnet_tf.score_midi import score_from_midi
from pnet_tf.score_musicxml import TEXT_FORMATS, score_from_mxl, score_from_text, score_from_xml
from pnet_tf.score_notes import (
    N_PITCHES,
    PROGRAM_NAMES,
    Note,
    Score,
    ScoreError,
    score_from_notes,
    warn_ignored,
)

__all__ = [
    "PROGRAM_NAMES",
    "SUFFIXES",
    "Note",
    "Score",
    "ScoreError",
    "instrument_name",
    "label_instruments",
    "read_label_file",
    "read_labels",
    "read_score",
    "scale_tempo",
    "score_from_labels",
    "score_from_notes",
    "transpose",
]

# Suffixes a folder of scores is searched for; a file asked for by name is judged by its content first.
SUFFIXES = (".mid", ".midi", ".musicxml", ".xml", ".mxl", ".csv", *TEXT_FORMATS)
_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<")


def read_score(path: pathlib.Path | str, *, part: str | None = None) -> Score:
    """The notes of one part of a score file; logs one warning that names what the model cannot use.

    The format is told by the file's content first and by its suffix second.

    Args:
      path: MIDI, MusicXML (plain or compressed), MusicNet label csv, or another text format of music21.
      part: name of a part in any case, or its number from 1; None takes the only part that holds pitched notes.

    Raises:
      ScoreError: the file cannot be read, holds no notes, or holds several parts and no choice is made.
    """
    path = path_of(path)
    score = _score_from_bytes(_read_bytes(path), path, part)
    warn_ignored(score)
    return score


def _read_bytes(path: AnyPath) -> bytes:
    try:
        with open_regular(path) as file:
            data = read_up_to(file, limits.current().file_bytes + 1)
    except OSError as error:
        raise ScoreError(f"{path}: cannot read the score ({error.strerror})") from error
    if len(data) > (most := limits.current().file_bytes):
        raise ScoreError(
            f"{path}: larger than {most >> 20} MiB, the limit for a score of {limits.current().notes} notes (is it a recording? "
            "--max_notes raises it)"
        )
    if not data.strip():
        raise ScoreError(f"{path}: the file is empty, expected a score")
    return data


def _score_from_bytes(data: bytes, path: AnyPath, part: str | None) -> Score:
    suffix = path.suffix.lower()
    names = {"name": path.stem, "where": str(path)}
    if data.startswith(b"MThd"):
        return score_from_midi(data, part=part, **names)
    if zipfile.is_zipfile(io.BytesIO(data)):
        return score_from_mxl(data, part=part, **names)
    if data.lstrip().startswith(_XML_STARTS):
        return score_from_xml(data, part=part, **names)
    if data.removeprefix(b"\xef\xbb\xbf").startswith(b"start_time,") or suffix == ".csv":
        instrument = choose_instrument(data, part, where=str(path))
        return score_from_labels(data, instrument=instrument, **names)
    if suffix in TEXT_FORMATS:
        return score_from_text(data, TEXT_FORMATS[suffix], part=part, **names)
    expected = {".mid": "MIDI (MThd)", ".midi": "MIDI (MThd)", ".mxl": "a whole zip file"}
    known = expected.get(suffix, "XML" if suffix in SUFFIXES else "one of " + " ".join(SUFFIXES))
    raise ScoreError(f"{path}: not a readable score (begins with {data[:8]!r}), expected {known}; export it again")


def transpose(score: Score, semitones: int) -> Score:
    """The score `semitones` higher; notes that leave MIDI's pitches are dropped and counted.

    Raises:
      ScoreError: no note is left.
    """
    moved = [dataclasses.replace(note, pitch=note.pitch + semitones) for note in score.notes]
    notes = [note for note in moved if 0 <= note.pitch < N_PITCHES]
    reason = "notes transposed out of range"
    dropped = score.ignored.get(reason, 0) + len(moved) - len(notes)
    ignored = {**score.ignored, reason: dropped}
    return score_from_notes(score.name, notes, part=score.part, bars_sec=score.bars_sec, ignored=ignored)


def scale_tempo(score: Score, tempo: Fraction | float) -> Score:
    """The score at another tempo: 2.0 is twice as fast. A float counts as the decimal that it prints as.

    Raises:
      ScoreError: the tempo is not a number above 0, or the score gets too long.
    """
    if not (math.isfinite(tempo) and tempo > 0):
        raise ScoreError(f"{score.name}: tempo is {tempo}, expected a number above 0 (2 is twice as fast)")
    factor = Fraction(str(tempo))
    notes = [Note(note.start_sec / factor, note.end_sec / factor, note.pitch) for note in score.notes]
    bars_sec = [bar / factor for bar in score.bars_sec]
    return score_from_notes(score.name, notes, part=score.part, bars_sec=bars_sec, ignored=score.ignored)
