"""A laid-out piece to a sound file or a stream, in memory that does not grow with its length."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import logging

from pnet_tf import mastering
from pnet_tf.files import temporary_beside
from pnet_tf.loudness import LoudnessMeter
from pnet_tf.render import Performance, Piece, Settings, performance_of
from pnet_tf.voice import Voice
from pnet_tf.wav_file import open_wav_writer, writing_of

LOUDNESS_LUFS = -16.0
# A picture shows so much of a performance.
SHOWN_SEC = 30


@dataclasses.dataclass(frozen=True)
class Written:
    """What `write_performance` did.

    Attributes:
      beginning: the first `SHOWN_SEC` of the performance, before its loudness was set; None if it was not asked for.
      mastered: what was done to its level.
    """

    beginning: Performance | None
    mastered: mastering.Mastered


def write_performance(
    piece: Piece,
    voice: Voice,
    out: Path,
    *,
    settings: Settings,
    loudness_lufs: float | None = LOUDNESS_LUFS,
    keep_beginning: bool = False,
    progress: Callable[[int], object] = lambda n_samples: None,
    on_block: Callable[[Performance], object] = lambda block: None,
) -> Written:
    """Performs a piece into a WAV file, which appears whole or not at all.

    The sound goes to a temporary file beside `out` as it is made, and from there to `out` once its loudness is known.

    Args:
      piece: from `render.Piece`.
      voice: that it was laid out for.
      out: the file.
      settings: how the spectrogram becomes sound.
      loudness_lufs: integrated loudness wanted; None keeps the level.
      keep_beginning: whether the first `SHOWN_SEC` are wanted for a picture.
      progress: called with the number of new samples.
      on_block: called with each block as it is made, before its loudness is set; what it raises ends the performance, and
        leaves no file.

    Raises:
      InputError: the file cannot be written.
      AudioError: the voice makes something that is no number.
    """
    kept, n_kept = [], 0
    meter = LoudnessMeter(voice.spec.sample_rate_hz)
    with _temporary_wav(out) as performed:
        with open_wav_writer(performed, voice.spec.sample_rate_hz, subtype="FLOAT", named=out) as writer:
            for block in piece.blocks(settings):
                writer.write(block.waveform)
                meter.add(block.waveform)
                if keep_beginning and n_kept < SHOWN_SEC * voice.spec.sample_rate_hz:
                    kept.append(block)
                    n_kept += len(block.waveform)
                progress(len(block.waveform))
                on_block(block)
        mastered = mastering.set_loudness(
            performed, out, loudness_lufs=loudness_lufs, source_lufs=meter.integrated_lufs()
        )
    return Written(performance_of(kept) if keep_beginning else None, mastered)


@contextlib.contextmanager
def _temporary_wav(out: Path) -> Iterator[Path]:
    """A file beside `out` that is gone when the `with` ends.

    Raises:
      InputError: none can be made.
    """
    with writing_of(out):
        path = temporary_beside(out)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def stream_performance(
    piece: Piece, voice: Voice, *, settings: Settings, loudness_lufs: float | None = LOUDNESS_LUFS
) -> Iterator[np.ndarray]:
    """Performs a piece for somebody who listens already.

    A stream cannot be measured first: it gets the gain that the voice's stored mean loudness asks for, and the limiter.

    Args:
      piece: from `render.Piece`.
      voice: that it was laid out for.
      settings: how the spectrogram becomes sound.
      loudness_lufs: mean loudness wanted; None keeps the level, and limits nothing.

    Yields:
      float32 [samples] at the spec's rate, some seconds each; together `piece.n_samples`.
    """
    sounds = (block.waveform for block in piece.blocks(settings))
    if loudness_lufs is None:
        yield from (sound for sound in sounds if len(sound))
        return
    level = mastering.StreamLevel(voice.spec.sample_rate_hz, stream_gain_db(voice, loudness_lufs))
    for sound in sounds:
        levelled = level.add(sound)
        if len(levelled):
            yield levelled
    yield level.flush()


def stream_gain_db(voice: Voice, loudness_lufs: float = LOUDNESS_LUFS) -> float:
    """The gain that brings what a voice plays to a mean loudness; 0, and a warning, where it does not say how loud it plays."""
    if voice.loudness_lufs is None:
        logging.warning("the voice does not say how loud it plays, so the stream keeps its level; export it again")
        return 0.0
    return mastering.gain_to_loudness_db(from_lufs=voice.loudness_lufs, to_lufs=loudness_lufs)
