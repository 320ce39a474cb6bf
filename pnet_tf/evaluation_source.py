"""What is compared with: the recordings of one split of a corpus, each with its score, one at a time in memory."""

import dataclasses
import math
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from pnet_tf import audio_file
from pnet_tf.corpus import Corpus, Recording, Split
from pnet_tf.errors import InputError, UsageError
from pnet_tf.remote import RemotePath, copy_whole
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec

# What is heard of a recording after its last note.
_TAIL_SEC = 1


@dataclasses.dataclass(frozen=True)
class Passage:
    """A recording, or its beginning, from its first sample to a second after its last note.

    Attributes:
      name: of the recording.
      waveform: float32 [samples] at the spec's rate.
      score: the notes that begin in it; none outlasts it.
      spec: gives the rate.
    """

    name: str
    waveform: np.ndarray
    score: Score
    spec: FeatureSpec


def choose(corpus: Corpus, split: Split, wanted: Sequence[str]) -> list[str]:
    """The names of the recordings to compare with.

    Args:
      corpus: the source.
      split: `train` or `test`.
      wanted: names asked for; none are all of the split.

    Raises:
      UsageError: a name asked for is not in the split.
      InputError: the split is empty.
    """
    names = [name for name in corpus.names if corpus.split_of(name) == split]
    if unknown := sorted(set(wanted) - set(names)):
        raise UsageError(f"--recordings={unknown[0]}: not among the {split} recordings ({', '.join(names[:20]) or 'none'})")
    if not names:
        other = "train" if split == "test" else "test"
        raise InputError(f"the source has no {split} recordings, {len(corpus.names)} for --split={other}")
    return sorted(set(wanted)) or names


def passages(
    corpus: Corpus, names: Sequence[str], spec: FeatureSpec, *, seconds: float | None = None
) -> Iterator[tuple[str, Passage | InputError]]:
    """The recordings asked for, each with its name, or what is wrong with it.

    Args:
      corpus: the source.
      names: some of its recordings.
      spec: gives the rate.
      seconds: only so much from the beginning of each, the decimal that it prints as; None for all.

    Raises:
      InputError: the source is damaged, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="pnet-evaluate-") as name:
        scratch = pathlib.Path(name)
        for recording in corpus.recordings(names, scratch):
            try:
                yield recording.name, _passage(recording, spec, scratch, seconds)
            except InputError as error:
                yield recording.name, InputError(str(error).replace(f"{scratch}/", ""))
            finally:
                corpus.release(recording)


def _passage(recording: Recording, spec: FeatureSpec, scratch: pathlib.Path, seconds: float | None) -> Passage:
    if isinstance(recording.score, InputError):
        raise recording.score
    waveform = _read(recording, spec, scratch)
    limit_sec = Fraction(len(waveform), spec.sample_rate_hz)
    if seconds is not None:
        limit_sec = min(limit_sec, Fraction(str(seconds)))
    score = cut_score(recording.score, limit_sec)
    if not score.notes:
        raise InputError(f"{recording.name}: no note of its score lies within the {float(limit_sec):.2f} s that are heard")
    n_samples = math.ceil(min(limit_sec, score.end_sec + _TAIL_SEC) * spec.sample_rate_hz)
    if not waveform[:n_samples].any():
        raise InputError(f"{recording.name}: silent from its first sample to its last; leave it out")
    return Passage(recording.name, waveform[:n_samples], score, spec)


def _read(recording: Recording, spec: FeatureSpec, scratch: pathlib.Path) -> np.ndarray:
    if not isinstance(recording.audio, RemotePath):
        return audio_file.read_waveform(recording.audio, spec)
    fetched = scratch / recording.audio.name
    try:
        copy_whole(recording.audio, fetched, landing=scratch)
        return audio_file.read_waveform(fetched, spec)
    finally:
        fetched.unlink(missing_ok=True)


def cut_score(score: Score, end_sec: Fraction) -> Score:
    """The notes that begin before `end_sec`, none of them longer than to there."""
    notes = [note for note in score.notes if note.start_sec < end_sec]
    return dataclasses.replace(
        score, notes=tuple(dataclasses.replace(note, end_sec=min(note.end_sec, end_sec)) for note in notes)
    )
