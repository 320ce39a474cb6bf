"""Score to pianoroll and onset/offset roll on the frame grid: the only code that turns seconds into frames."""

import dataclasses
import math

import numpy as np

from pnet_tf.errors import InputError
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec


@dataclasses.dataclass(frozen=True)
class Rolls:
    """What the network is given.

    Attributes:
      pianoroll: int8 [frames, n_pitches], 1 where a note sounds.
      onset_offset: int8 [frames, n_pitches], +1 on a note's first frame, -1 on the first frame after it.
    """

    pianoroll: np.ndarray
    onset_offset: np.ndarray


@dataclasses.dataclass(frozen=True)
class NoteFrames:
    """The notes of a score on the frame grid.

    Attributes:
      start: int64 [notes], first frame in which the note sounds.
      end: int64 [notes], first frame in which it no longer does; at least one more than `start`.
      pitch: int64 [notes], MIDI pitch.
    """

    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray

    @property
    def n_frames(self) -> int:
        """Frames up to the end of the last note."""
        return int(self.end.max(initial=0))


def note_frames(score: Score, spec: FeatureSpec) -> NoteFrames:
    """The frames in which each note of a score sounds, in exact arithmetic.

    A note is active in frame `t` when `start <= t * hop < end`, and in at least one frame however short it is.

    Args:
      score: notes in seconds.
      spec: gives the frame rate and the number of pitches.

    Returns:
      int64 arrays, [notes] each, in the order of the score.

    Raises:
      InputError: a pitch that the roll does not have.
    """
    rate = spec.frame_rate_hz
    table = np.empty((3, len(score.notes)), np.int64)
    for index, note in enumerate(score.notes):
        first = math.ceil(note.start_sec * rate)
        table[:, index] = first, max(math.ceil(note.end_sec * rate), first + 1), note.pitch
    outside = (table[2] < 0) | (table[2] >= spec.n_pitches)
    if outside.any():
        raise InputError(
            f"{score.name}: pitch {table[2][outside][0]} is outside the roll's 0 to {spec.n_pitches - 1}; transpose it"
        )
    return NoteFrames(*table)


def rolls_from_frames(notes: NoteFrames, spec: FeatureSpec, *, start_frame: int = 0, n_frames: int) -> Rolls:
    """The rolls of frames `start_frame` to `start_frame + n_frames`.

    A window that begins inside a note shows no onset there, so rolls of neighbouring windows, joined, equal the roll of
    the whole. A re-attack of the same pitch is an onset. Where an onset and an offset meet, the onset wins; a pitch
    that another note still holds shows no offset.

    Args:
      notes: from `note_frames`.
      spec: gives the number of pitches.
      start_frame: first frame; may lie before 0.
      n_frames: length.

    Returns:
      int8 arrays, [n_frames, n_pitches] each.
    """
    pianoroll = np.zeros((n_frames, spec.n_pitches), np.int8)
    onset_offset = np.zeros_like(pianoroll)
    start, end = notes.start - start_frame, notes.end - start_frame
    for index in np.flatnonzero((end > 0) & (start < n_frames)):
        pianoroll[max(start[index], 0) : end[index], notes.pitch[index]] = 1
    offsets = (end >= 0) & (end < n_frames)
    onset_offset[end[offsets], notes.pitch[offsets]] = -1
    onset_offset[pianoroll == 1] = 0
    onsets = (start >= 0) & (start < n_frames)
    onset_offset[start[onsets], notes.pitch[onsets]] = 1
    return Rolls(pianoroll, onset_offset)


def rolls_from_score(score: Score, spec: FeatureSpec, *, start_frame: int = 0, n_frames: int) -> Rolls:
    """The rolls of a part of a score: `note_frames`, then `rolls_from_frames`.

    Args:
      score: notes in seconds.
      spec: gives the frame rate and the number of pitches.
      start_frame: first frame.
      n_frames: length.

    Returns:
      int8 arrays, [n_frames, n_pitches] each.

    Raises:
      InputError: a pitch that the roll does not have.
    """
    return rolls_from_frames(note_frames(score, spec), spec, start_frame=start_frame, n_frames=n_frames)
