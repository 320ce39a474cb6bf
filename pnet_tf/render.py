"""Score and voice to sound, block by block: windows drawn, joined in log power, gated, and inverted without a seam."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from pnet_tf import light_gate, roll
from pnet_tf.errors import InputError
from pnet_tf.inversion import Inverter
from pnet_tf.light_griffin_lim import ITERATIONS
from pnet_tf.roll import NoteFrames
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import Voice
from pnet_tf.windows import join_windows, window_starts

TAIL_SEC = 1
_WINDOWS_AT_ONCE = 4


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a spectrogram becomes sound.

    Attributes:
      iterations: rounds of Griffin-Lim.
      seed: of the random phase start.
      phase_start: as in `griffin_lim.griffin_lim`.
    """

    iterations: int = ITERATIONS
    seed: int = 0
    phase_start: str = "spsi"


@dataclasses.dataclass(frozen=True)
class Performance:
    """A performed score, or a block of it, in which the sound comes some frames later than what it is made from.

    Attributes:
      waveform: float32 [samples] at the spec's rate; of a block, may be empty.
      log_power: float32 [frames, bins], what is sounded.
      pianoroll: int8 [frames, n_pitches], what the network was given.
    """

    waveform: np.ndarray
    log_power: np.ndarray
    pianoroll: np.ndarray


def perform(score: Score, voice: Voice, *, settings: Settings = Settings()) -> Performance:
    """Performs a score, and holds all of it in memory: 700 kB a second.

    Args:
      score: notes in seconds.
      voice: from `runtimes.open_voice`.
      settings: how it becomes sound.

    Returns:
      The sound, from the score's second 0 to `TAIL_SEC` after its last note.

    Raises:
      InputError: a pitch outside the roll, or a score without notes.
    """
    return performance_of(list(Piece(score, voice).blocks(settings)))


def performance_of(blocks: Sequence[Performance]) -> Performance:
    """Neighbouring blocks as one; `waveform` float32 [samples] is shorter than the frames where the last one is missing."""
    names = [field.name for field in dataclasses.fields(Performance)]
    return Performance(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


class Piece:
    """A score laid on a voice's frames, to be performed in memory that does not grow with its length."""

    def __init__(self, score: Score, voice: Voice) -> None:
        """Lays it out; draws nothing yet.

        Raises:
          InputError: a pitch outside the roll, or a score without notes.
        """
        if not score.notes:
            raise InputError(f"{score.name}: has no notes to perform")
        self._voice = voice
        self._notes = roll.note_frames(score, voice.spec)
        self.n_frames = self._notes.n_frames + round(TAIL_SEC * voice.spec.frame_rate_hz)
        self.n_samples = voice.spec.n_samples(self.n_frames)

    def blocks(self, settings: Settings = Settings()) -> Iterator[Performance]:
        """Performs it.

        Args:
          settings: how the spectrogram becomes sound.

        Yields:
          Blocks of some seconds, the first after two windows; together the whole performance, of `n_samples` samples.
        """
        spec = self._voice.spec
        inverter = Inverter(spec, **dataclasses.asdict(settings), runtime=self._voice.runtime)
        gain, first = self._rest_gain(), 0
        levels = light_gate.levels(self._voice.noise_floor, self._voice.ceiling, self._voice.peaks)
        for drawn in self.log_power():
            frames = slice(first, first + len(drawn))
            log_power = light_gate.gate(drawn[None], gain[None, frames], **levels)[0]
            pianoroll = roll.rolls_from_frames(self._notes, spec, start_frame=first, n_frames=len(drawn)).pianoroll
            yield Performance(inverter.add(log_power), log_power, pianoroll)
            first += len(drawn)
        yield Performance(inverter.finish(), log_power[:0], pianoroll[:0])

    def log_power(self) -> Iterator[np.ndarray]:
        """What the network draws, before the gate: float32 [frames, bins], from start to end."""
        starts, length = self.windows()
        return join_windows(starts, length, self.drawn_windows(starts, length))

    def windows(self) -> tuple[np.ndarray, int]:
        """First frames of the windows that cover the piece, int64 [windows], and their length."""
        starts = window_starts(self.n_frames, self._voice.window_frames)
        return starts, min(self.n_frames, self._voice.window_frames)

    def drawn_windows(self, starts: np.ndarray, length: int) -> Iterator[np.ndarray]:
        """What the network draws in each window, float32 [length, bins]; two at first, so that sound begins soon."""
        edges = [0, *range(2, len(starts), _WINDOWS_AT_ONCE), len(starts)]
        for group, end in zip(edges, edges[1:]):
            rolls = [
                roll.rolls_from_frames(self._notes, self._voice.spec, start_frame=int(first), n_frames=length)
                for first in starts[group:end]
            ]
            batch = {
                name: np.stack([getattr(one, name) for one in rolls]).astype(np.float32)
                for name in ("pianoroll", "onset_offset")
            }
            yield from np.asarray(self._voice.draw(**batch))

    def _rest_gain(self) -> np.ndarray:
        """How far the gate is open: float32 [frames]."""
        sounding = _sounding(self._notes, self.n_frames)
        return light_gate.rest_gain(sounding[None], self._voice.spec)[0]


def _sounding(notes: NoteFrames, n_frames: int) -> np.ndarray:
    """Whether any note sounds: bool [frames]."""
    steps = np.zeros(n_frames + 1, np.int64)
    np.add.at(steps, notes.start, 1)
    np.add.at(steps, notes.end, -1)
    return np.cumsum(steps[:-1]) > 0


def unheard_pitches(score: Score, heard: frozenset[int]) -> dict[int, int]:
    """How many notes of a score have each pitch that a voice never heard in training; empty if all were heard."""
    counts: dict[int, int] = {}
    for note in score.notes:
        if note.pitch not in heard:
            counts[note.pitch] = counts.get(note.pitch, 0) + 1
    return dict(sorted(counts.items()))


def best_transposition(score: Score, heard: frozenset[int], spec: FeatureSpec) -> int:
    """The transposition, in semitones, with the fewest notes unheard in training.

    Of equal ones whole octaves come first, then the smallest, then upwards.

    Args:
      score: at its written pitch.
      heard: the pitches that the voice heard.
      spec: gives the number of pitches.
    """
    counts = np.bincount([note.pitch for note in score.notes], minlength=spec.n_pitches)
    missing = np.array([pitch not in heard for pitch in range(spec.n_pitches)])

    def cost(semitones: int) -> tuple[int, bool, int, bool]:
        """What a transposition is ranked by; less is better."""
        moved = np.flatnonzero(counts) + semitones
        inside = (moved >= 0) & (moved < spec.n_pitches)
        weights = counts[np.flatnonzero(counts)]
        unheard = weights[~inside].sum() + (weights[inside] * missing[moved[inside]]).sum()
        return int(unheard), semitones % 12 != 0, abs(semitones), semitones < 0

    return min(range(-60, 61), key=cost)
