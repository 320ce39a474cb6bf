"""Input of `bench`, made up where it is given none: a score, its sound, a prepared corpus of both."""

import pathlib
from fractions import Fraction

import numpy as np
import soundfile
from absl import flags as absl_flags

from pnet_tf import preparation
from pnet_tf.score import Note, Score
from pnet_tf.shard_set import ShardSet, open_shard_set
from pnet_tf.spec import FeatureSpec

_NOTE_SEC = Fraction(1, 4)


def made_up_score(seconds: int) -> Score:
    """Four notes a second that wander over two octaves."""
    random = np.random.default_rng(0)
    pitches = 67 + np.cumsum(random.integers(-2, 3, int(seconds / _NOTE_SEC))) % 24 - 12
    notes = [Note(index * _NOTE_SEC, (index + 1) * _NOTE_SEC, int(pitch)) for index, pitch in enumerate(pitches)]
    return Score("made up", tuple(notes))


def made_up_sound(score: Score, spec: FeatureSpec) -> np.ndarray:
    """The score as sums of ten partials with noise: float32 [samples]."""
    n_samples = int(score.end_sec * spec.sample_rate_hz)
    waveform = 0.002 * np.random.default_rng(0).normal(size=n_samples)
    for note in score.notes:
        first, end = (int(time * spec.sample_rate_hz) for time in (note.start_sec, note.end_sec))
        phase = 2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * np.arange(end - first) / spec.sample_rate_hz
        waveform[first:end] += 0.1 * sum(np.sin(k * phase) / k for k in range(1, 11))
    return waveform.astype(np.float32)


def shards_for(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> ShardSet:
    """The shard set that `--data` names, or that `--source` is prepared to, or a made-up one.

    Raises:
      InputError: it cannot be opened, or the source cannot be prepared.
    """
    if flags.data:
        return open_shard_set(pathlib.Path(flags.data))
    if not flags.source:
        return made_up_shards(scratch)
    source, out = pathlib.Path(flags.source), scratch / "shards"
    preparation.prepare_corpus(preparation.Plan(flags.instrument, source, out, FeatureSpec(), n_workers=0))
    return open_shard_set(out)


def made_up_shards(scratch: pathlib.Path) -> ShardSet:
    """Three made-up minutes, prepared."""
    spec, corpus = FeatureSpec(), scratch / "corpus"
    corpus.mkdir()
    score = made_up_score(60)
    rows = [
        f"{int(note.start_sec * spec.sample_rate_hz)},{int(note.end_sec * spec.sample_rate_hz)},41,{note.pitch},0,0,Quarter"
        for note in score.notes
    ]
    for name in ("1", "2", "3"):
        soundfile.write(corpus / f"{name}.wav", made_up_sound(score, spec), spec.sample_rate_hz)
        header = "start_time,end_time,instrument,note,start_beat,end_beat,note_value"
        (corpus / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    plan = preparation.Plan("violin", corpus, scratch / "shards", spec, n_workers=0)
    preparation.prepare_corpus(plan)
    return open_shard_set(scratch / "shards")
