"""One recording and its score to a finished shard; what `prepare` does for each, in any process."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import tensorflow as tf

from pnet_tf import alignment, audio_file, limits, records, roll, stft
from pnet_tf.errors import InputError
from pnet_tf.files import write_whole
from pnet_tf.remote import AnyPath
from pnet_tf.score import Score
from pnet_tf.shard_set import RecordingEntry
from pnet_tf.spec import FeatureSpec

ENTRY_SUFFIX = ".entry.json"
SHARD_SUFFIX = ".tfrecord"
MADE_FROM = "made_from"
_BLOCK_CHUNKS = 8
# RMS below which audio is silent: -140 dB, less than the last bit of 24. A float file can go on far below.
_SILENT_RMS = 1e-7


@dataclasses.dataclass(frozen=True)
class Job:
    """A recording to prepare.

    Attributes:
      name: becomes the shard's name.
      audio: the audio file.
      score: the notes that sound in it, or what is wrong with its score.
      split: `train` or `test`.
      label_source: for the manifest.
      folder: the shard set.
      spec: how features are computed.
      max_bad_labels: share of the notes that may lie past the end of the audio.
      made_from: tells this recording's source from a changed one; kept with the entry.
      max_audio_sec: the longest audio that is read.
    """

    name: str
    audio: AnyPath
    score: Score | InputError
    split: str
    label_source: str
    folder: AnyPath
    spec: FeatureSpec
    max_bad_labels: float
    made_from: str = ""
    max_audio_sec: float = limits.DEFAULT.audio_sec


def prepare_recording(job: Job) -> RecordingEntry:
    """Reads, brings to level, transforms and writes one recording.

    Shard and entry appear under their own names when they are whole.

    Args:
      job: the recording; its audio and folder are local (`preparer_remote` brings them here).

    Returns:
      Its entry, without ranges, which need the whole corpus.

    Raises:
      InputError: audio or labels cannot be used.
      tf.errors.OpError, OSError: the shard cannot be written.
    """
    if isinstance(job.score, InputError):
        raise job.score
    waveform = audio_file.read_waveform(job.audio, job.spec, max_sec=job.max_audio_sec)
    score, label_counts = fit_score(job, Fraction(len(waveform), job.spec.sample_rate_hz))
    notes = roll.note_frames(score, job.spec)
    n_frames = job.spec.n_frames(len(waveform))
    rolls = roll.rolls_from_frames(notes, job.spec, n_frames=n_frames)
    gain = level_gain(waveform, rolls.pianoroll.any(axis=1), job)
    log_power = log_power_of(waveform * np.float32(gain), job.spec)
    found = alignment.check_alignment(log_power, score, job.spec)
    shard = job.folder / f"{job.name}{SHARD_SUFFIX}"
    partial = job.folder / f".{job.name}{SHARD_SUFFIX}.partial"
    try:
        written = records.write_shard(partial, _chunks(log_power, rolls))
        os.replace(partial, shard)
    finally:
        partial.unlink(missing_ok=True)
    entry = RecordingEntry(
        name=job.name,
        split=job.split,
        shard=shard.name,
        n_frames=n_frames,
        n_notes=len(score.notes),
        seconds=len(waveform) / job.spec.sample_rate_hz,
        label_source=job.label_source,
        label_counts=label_counts,
        alignment=dataclasses.asdict(found),
        level_gain=gain,
        pitch_frames=tuple(rolls.pianoroll.sum(axis=0, dtype=np.int64).tolist()),
        **dataclasses.asdict(written),
    )
    fields = dataclasses.asdict(entry) | {MADE_FROM: job.made_from}
    write_whole(job.folder / f"{job.name}{ENTRY_SUFFIX}", json.dumps(fields) + "\n")
    return entry


def fit_score(job: Job, audio_sec: Fraction) -> tuple[Score, dict[str, int]]:
    """Cuts the notes that outlast the audio and drops those that begin after it.

    Args:
      job: gives the score and how many such notes are borne.
      audio_sec: length of the audio.

    Returns:
      The score that fits, and how many notes were `cut` and `dropped`.

    Raises:
      InputError: no note is left, or more than `max_bad_labels` of them lie past the end.
    """
    kept = [note for note in job.score.notes if note.start_sec < audio_sec]
    fitting = tuple(dataclasses.replace(note, end_sec=min(note.end_sec, audio_sec)) for note in kept)
    counts = {
        "cut": sum(note.end_sec > audio_sec for note in kept),
        "dropped": len(job.score.notes) - len(kept),
    }
    n_bad, n_notes = sum(counts.values()), len(job.score.notes)
    if not fitting:
        raise InputError(f"{job.audio}: no note of its score lies within the {float(audio_sec):.2f} s of audio")
    if n_bad > job.max_bad_labels * n_notes:
        raise InputError(
            f"{job.audio}: {n_bad} of {n_notes} notes lie past the end of the audio at {float(audio_sec):.2f} s "
            f"({counts['cut']} end after it, {counts['dropped']} begin after it), more than --max_bad_labels="
            f"{job.max_bad_labels:g} allows; check that score and audio belong together, or raise the flag"
        )
    return dataclasses.replace(job.score, notes=fitting), counts


def level_gain(waveform: np.ndarray, sounding: np.ndarray, job: Job) -> float:
    """The factor that brings the RMS over the frames in which notes sound to the spec's level.

    Args:
      waveform: float32 [samples].
      sounding: bool [frames].
      job: gives the spec, and the file's name for messages.

    Raises:
      InputError: the audio is silent where notes sound.
    """
    hop = job.spec.hop_samples
    n_hops = len(waveform) // hop
    hops = waveform[: n_hops * hop].reshape(n_hops, hop)
    energy = np.einsum("th,th->t", hops, hops, dtype=np.float64)[sounding[:n_hops]]
    power = energy.mean() / hop if energy.size else 0.0
    if not power > _SILENT_RMS**2:
        raise InputError(f"{job.audio}: silent wherever the score has notes; check that score and audio belong together")
    return float(job.spec.level_rms / np.sqrt(power))


@functools.lru_cache(maxsize=4)
def _log_power_of_block(spec: FeatureSpec) -> Callable[[np.ndarray], tf.Tensor]:
    """The traced transform of one block: float32 [samples] -> float16 [frames, bins]."""
    n_samples = (_BLOCK_CHUNKS * records.CHUNK_FRAMES - 1) * spec.hop_samples + spec.n_fft

    @tf.function(input_signature=[tf.TensorSpec([n_samples], tf.float32)], autograph=False)
    def log_power(samples: tf.Tensor) -> tf.Tensor:
        """Log power of one block: float32 [samples] -> float16 [frames, bins]."""
        stfts = stft.stft_of_padded(samples[None], spec)
        return tf.cast(stft.log_power_from_stft(stfts, spec)[0], tf.float16)

    return log_power


def log_power_of(waveform: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The stored target of a recording, block by block so that little beside it is in memory.

    Args:
      waveform: float32 [samples], at the spec's level.
      spec: how features are computed.

    Returns:
      float16 [1 + samples // hop_samples, bins]; equals `stft.log_power` of the whole, rounded.
    """
    n_frames = spec.n_frames(len(waveform))
    block_frames = _BLOCK_CHUNKS * records.CHUNK_FRAMES
    block_samples = (block_frames - 1) * spec.hop_samples + spec.n_fft
    n_blocks = -(-n_frames // block_frames)
    half = spec.n_fft // 2
    padded = np.zeros((n_blocks - 1) * block_frames * spec.hop_samples + block_samples, np.float32)
    padded[half : half + len(waveform)] = waveform
    log_power = np.empty((n_frames, spec.n_bins), np.float16)
    for first in range(0, n_frames, block_frames):
        start = first * spec.hop_samples
        block = _log_power_of_block(spec)(padded[start : start + block_samples])
        log_power[first : first + block_frames] = block.numpy()[: n_frames - first]
    return log_power


def _chunks(log_power: np.ndarray, rolls: roll.Rolls) -> Iterator[records.Chunk]:
    """The chunks of a recording, in order."""
    for first in range(0, len(log_power), records.CHUNK_FRAMES):
        frames = slice(first, first + records.CHUNK_FRAMES)
        yield records.Chunk(log_power[frames], rolls.pianoroll[frames], rolls.onset_offset[frames])
