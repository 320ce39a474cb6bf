"""MusicNet's label files, and anybody's csv in the same columns, to a `Score`."""

import collections
import csv
import io
from collections.abc import Iterator
from fractions import Fraction

from pnet_tf import limits
from pnet_tf.files import open_regular, read_up_to
from pnet_tf.remote import AnyPath, path_of
from pnet_tf.score_notes import (
    N_PITCHES,
    PROGRAM_NAMES,
    Note,
    PartName,
    Score,
    ScoreError,
    choose_part,
    require_few_notes,
    score_from_notes,
)
from pnet_tf.spec import FeatureSpec

NEEDED_COLUMNS = ("start_time", "end_time", "instrument", "note")


def read_labels(path: AnyPath | str, *, sample_rate_hz: int | None = None, instrument: int | None = None) -> Score:
    """The notes of a label file.

    Args:
      path: csv with the columns of MusicNet; `start_time` and `end_time` in whole samples.
      sample_rate_hz: rate of those samples; None is the rate of the default `FeatureSpec`, which is MusicNet's.
      instrument: General MIDI program + 1 (violin 41, cello 43, flute 74); None takes every instrument.

    Raises:
      ScoreError: the file cannot be read, a line is wrong, or no note is left.
    """
    path = path_of(path)
    data = read_label_file(path)
    return score_from_labels(
        data, name=path.stem, where=str(path), sample_rate_hz=sample_rate_hz, instrument=instrument
    )


def read_label_file(path: AnyPath) -> bytes:
    """The content of a label file.

    Raises:
      ScoreError: it cannot be read, or is too large.
    """
    try:
        with open_regular(path) as file:
            data = read_up_to(file, limits.current().file_bytes + 1)
    except OSError as error:
        raise ScoreError(f"{path}: cannot read the label file ({error.strerror})") from error
    if len(data) > (most := limits.current().file_bytes):
        raise ScoreError(f"{path}: larger than {most >> 20} MiB, no label file is (--max_notes raises the limit)")
    return data


def score_from_labels(
    data: str | bytes,
    *,
    name: str,
    where: str | None = None,
    sample_rate_hz: int | None = None,
    instrument: int | None = None,
) -> Score:
    """The notes of a label file's content.

    Args:
      data: the csv, as text or UTF-8.
      name: of the score.
      where: the file it came from, for messages; None is `name`.
      sample_rate_hz: rate of the times; None is the rate of the default `FeatureSpec`.
      instrument: General MIDI program + 1; None takes every instrument.

    Raises:
      ScoreError: a line is wrong, or no note is left.
    """
    where = name if where is None else where
    rate_hz = FeatureSpec().sample_rate_hz if sample_rate_hz is None else sample_rate_hz
    notes = []
    counts: collections.Counter[int] = collections.Counter()
    for start_samples, end_samples, program, pitch in _rows(_text(data, where), where, rate_hz):
        counts[program] += 1
        if instrument is None or program == instrument:
            notes.append(Note(Fraction(start_samples, rate_hz), Fraction(end_samples, rate_hz), pitch))
            require_few_notes(len(notes), where)
    if not notes and counts:
        found = ", ".join(f"{program} ({instrument_name(program)})" for program in sorted(counts))
        raise ScoreError(f"{where}: no note of instrument {instrument}, the file holds {found}")
    if not notes:
        raise ScoreError(f"{where}: no pitched notes found, expected at least one line below the header")
    only = instrument if instrument is not None else next(iter(counts)) if len(counts) == 1 else None
    others = {"notes of other instruments": counts.total() - len(notes)}
    return score_from_notes(name, notes, where=where, part="" if only is None else instrument_name(only), ignored=others)


def label_instruments(data: str | bytes, *, where: str) -> dict[int, int]:
    """How many notes each instrument id of a label file's content has, in order of id.

    Raises:
      ScoreError: a line is wrong.
    """
    rows = _rows(_text(data, where), where, FeatureSpec().sample_rate_hz)
    return dict(sorted(collections.Counter(program for _, _, program, _ in rows).items()))


def choose_instrument(data: str | bytes, part: str | None, *, where: str) -> int:
    """The instrument id that `--part` asks for: by name, by id, or by number in the order of ids.

    Raises:
      ScoreError: a line is wrong, or the choice is not clear.
    """
    ids = list(label_instruments(data, where=where))
    parts = [PartName(instrument_name(program), (str(program),)) for program in ids]
    return ids[choose_part(parts, part, where)]


def instrument_name(instrument: int) -> str:
    """The General MIDI name of a MusicNet instrument id: 41 is "violin"."""
    return PROGRAM_NAMES[instrument - 1]


def _text(data: str | bytes, where: str) -> str:
    try:
        return data if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScoreError(f"{where}: not a label file, expected csv in UTF-8 ({error})") from error


def _rows(text: str, where: str, rate_hz: int) -> Iterator[tuple[int, int, int, int]]:
    """Start and end in samples, instrument id and pitch of each line, checked."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [column.strip() for column in next(reader, [])]
        missing = [column for column in NEEDED_COLUMNS if column not in header]
        if missing:
            raise ScoreError(
                f"{where}: line 1: no column {', '.join(missing)}; expected MusicNet's header, with at least "
                + ",".join(NEEDED_COLUMNS)
            )
        columns = [header.index(column) for column in NEEDED_COLUMNS]
        for row in reader:
            if row:
                yield _row(row, columns, f"{where}: line {reader.line_num}", rate_hz)
    except csv.Error as error:
        raise ScoreError(f"{where}: line {reader.line_num}: not readable as csv ({error})") from error


def _row(row: list[str], columns: list[int], where: str, rate_hz: int) -> tuple[int, int, int, int]:
    try:
        start, end, instrument, pitch = (int(row[column]) for column in columns)
    except (ValueError, IndexError) as error:
        raise ScoreError(
            f"{where}: expected whole numbers in {', '.join(NEEDED_COLUMNS)} (times in samples at {rate_hz} Hz), "
            f"got {row[:8]!r}"
        ) from error
    if start < 0 or end < start:
        raise ScoreError(f"{where}: the note runs from sample {start} to {end}, expected 0 <= start_time <= end_time")
    if not 0 <= pitch < N_PITCHES:
        raise ScoreError(f"{where}: note is {pitch}, expected a MIDI pitch from 0 to {N_PITCHES - 1}")
    if not 1 <= instrument <= len(PROGRAM_NAMES):
        raise ScoreError(f"{where}: instrument is {instrument}, expected a MIDI program + 1, 1 to {len(PROGRAM_NAMES)}")
    return start, end, instrument, pitch
