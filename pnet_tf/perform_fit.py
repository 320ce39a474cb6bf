"""A score moved and timed as asked, and what a voice cannot be expected to play well of it: for logs, and for the page."""

import dataclasses
from collections.abc import Mapping

from pnet_tf import render
from pnet_tf.errors import InputError
from pnet_tf.instruments import RANGES
from pnet_tf.score import Score, scale_tempo, transpose
from pnet_tf.voice import Voice


@dataclasses.dataclass(frozen=True)
class Fit:
    """A score as it is going to be played.

    Attributes:
      score: transposed and at its tempo.
      semitones: by how many it was transposed.
      n_lost: notes that left MIDI's pitches, and are not in `score`.
      outside: how many notes lie on each pitch outside the instrument's range.
      unheard: how many on each pitch inside it that the voice never heard in training.
    """

    score: Score
    semitones: int
    n_lost: int
    outside: Mapping[int, int]
    unheard: Mapping[int, int]


def fit_score(score: Score, voice: Voice, *, semitones: int | None, tempo: float) -> Fit:
    """Transposes and scales a score.

    Args:
      score: at its written pitch and tempo.
      voice: that is to play it.
      semitones: to transpose by; None takes those with the fewest notes that the voice never heard.
      tempo: 2.0 is twice as fast.

    Raises:
      InputError: no note is left in the roll.
    """
    if semitones is None:
        semitones = render.best_transposition(score, voice.heard, voice.spec)
    if not any(0 <= note.pitch + semitones < voice.spec.n_pitches for note in score.notes):
        raise InputError(f"{score.name}: transposed by {semitones:+d} semitones no note is left; use another --transpose")
    moved = scale_tempo(transpose(score, semitones), tempo)
    lowest, highest = RANGES.get(voice.instrument, (0, voice.spec.n_pitches - 1))
    outside = render.unheard_pitches(moved, frozenset(range(lowest, highest + 1)))
    unheard = {pitch: n for pitch, n in render.unheard_pitches(moved, voice.heard).items() if pitch not in outside}
    return Fit(moved, semitones, len(score.notes) - len(moved.notes), outside, unheard)
