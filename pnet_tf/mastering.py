"""The last step before a listener: a performance brought to a loudness, its peaks held under a ceiling.

A file takes two passes over a temporary WAV file of float samples, one to measure and one to write; no length costs memory.
A stream cannot be measured first, so it takes the gain that a voice's stored mean loudness asks for, and the same limiter.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
from absl import logging

from pnet_tf.audio_file import audio_info, waveform_blocks
from pnet_tf.limiter import Limiter
from pnet_tf.loudness import LoudnessMeter
from pnet_tf.wav_file import factor_within_full_scale, open_wav_writer

# More than that lifts the noise of a network, or of 16 bits, to where music should be.
MAX_GAIN_DB = 40.0
_WORTH_A_PASS_LU, _WORTH_TELLING_LU = 0.1, 1.0
_MOST_PASSES = 4


@dataclasses.dataclass(frozen=True)
class Mastered:
    """What was done to a performance.

    Attributes:
      source_lufs: its integrated loudness before; None for less than 0.4 s, and for silence.
      gain_db: the gain before the limiter; with `loudness_lufs=None`, what keeps it within full scale.
      limited_lu: how much loudness the limiter took off.
      lufs: its integrated loudness as written; None as above.
    """

    source_lufs: float | None
    gain_db: float
    limited_lu: float
    lufs: float | None


class StreamLevel:
    """A constant gain and a limiter, for a signal that comes in blocks; how it is cut changes nothing."""

    def __init__(self, sample_rate_hz: int, gain_db: float) -> None:
        self._gain = _factor(gain_db)
        self._limiter = Limiter(sample_rate_hz)

    def add(self, block: np.ndarray) -> np.ndarray:
        """Takes the next samples, float32 [samples]; gives back float32 [samples out], later by the limiter's look-ahead.

        Raises:
          ValueError: a sample is no number (NaN or infinite).
        """
        return self._limiter.add(np.asarray(block, np.float32) * self._gain)

    def flush(self) -> np.ndarray:
        """What is still held, float32 [samples]: all outputs together are now as long as all inputs."""
        return self._limiter.flush()


def gain_to_loudness_db(*, from_lufs: float, to_lufs: float) -> float:
    """The gain that brings a loudness to another one, at most `MAX_GAIN_DB`.

    Args:
      from_lufs: integrated loudness of the signal, or the mean of what a voice plays.
      to_lufs: the loudness wanted.

    Returns:
      dB, negative where the signal has to become quieter.
    """
    return min(to_lufs - from_lufs, MAX_GAIN_DB)


def set_loudness(
    source: pathlib.Path,
    target: pathlib.Path,
    *,
    loudness_lufs: float | None,
    source_lufs: float | None = None,
) -> Mastered:
    """Writes a file again as 16-bit WAV with another loudness, whole or not at all.

    Peaks over -1 dBFS after the gain are limited; where that leaves up to 1 LU missing, further passes make up for it. What
    misses more comes out quieter, and a warning tells the loudness that was measured in the end. What is quieter than
    -60 LUFS may come out quieter too, for the gate at -70 LUFS shut out a part of it while it was measured.

    Two things keep their level: what is asked to (`loudness_lufs=None`), and what has no loudness (less than 0.4 s, or
    silence). As `wav_file.write_wav` does, they are scaled down as a whole where they go beyond full scale, and not limited.

    Args:
      source: a WAV file of float samples, mono.
      target: the file to write; its folder is made when it is missing, an existing file is replaced. Not `source`.
      loudness_lufs: the integrated loudness wanted; None keeps the level.
      source_lufs: the integrated loudness of the source where it is known, which saves the pass that measures it.

    Returns:
      What was done.

    Raises:
      InputError: the target cannot be written (the disk is full, say); nothing is left behind.
      AudioError: the source cannot be read, or holds samples that are no numbers.
    """
    if loudness_lufs is None or source_lufs is None:
        source_lufs, peak = _loudness_and_peak(source)
    if loudness_lufs is None or source_lufs is None:
        factor = factor_within_full_scale(peak, target)
        with contextlib.closing(waveform_blocks(source)) as blocks:
            lufs = _write(target, audio_info(source).sample_rate_hz, (block * factor for block in blocks))
        return Mastered(source_lufs, 20 * float(np.log10(factor)), 0.0, lufs)
    gain_db = gain_to_loudness_db(from_lufs=source_lufs, to_lufs=loudness_lufs)
    mastered = _write_limited(source, target, source_lufs, gain_db)
    for _ in range(_MOST_PASSES):
        missing_lu = 0.0 if mastered.lufs is None else loudness_lufs - mastered.lufs
        # What is missing without a limiter, near the gate or at the largest gain, no gain brings.
        if not (mastered.limited_lu and _WORTH_A_PASS_LU < missing_lu <= _WORTH_TELLING_LU):
            break
        mastered = _write_limited(source, target, source_lufs, min(mastered.gain_db + missing_lu, MAX_GAIN_DB))
    _tell_what_is_missing(mastered, loudness_lufs, target)
    return mastered


def _loudness_and_peak(source: pathlib.Path) -> tuple[float | None, float]:
    meter = LoudnessMeter(audio_info(source).sample_rate_hz)
    with contextlib.closing(waveform_blocks(source)) as blocks:
        peak = max(float(np.max(np.abs(block))) for block in _metered(blocks, meter))
    return meter.integrated_lufs(), peak


def _write_limited(source: pathlib.Path, target: pathlib.Path, source_lufs: float, gain_db: float) -> Mastered:
    sample_rate_hz, gain = audio_info(source).sample_rate_hz, _factor(gain_db)
    unlimited = LoudnessMeter(sample_rate_hz)
    # Closed here: an error that is kept would keep the file open, and its room on a full disk.
    with contextlib.closing(waveform_blocks(source)) as blocks:
        amplified = _metered((block * gain for block in blocks), unlimited)
        lufs = _write(target, sample_rate_hz, _limited(amplified, Limiter(sample_rate_hz)))
    # Measured, not source_lufs + gain_db: near the absolute gate a gain lets in blocks that were shut out.
    unlimited_lufs = unlimited.integrated_lufs()
    limited_lu = 0.0 if lufs is None or unlimited_lufs is None else unlimited_lufs - lufs
    return Mastered(source_lufs, gain_db, limited_lu, lufs)


def _metered(blocks: Iterator[np.ndarray], meter: LoudnessMeter) -> Iterator[np.ndarray]:
    for block in blocks:
        meter.add(block)
        yield block


def _limited(blocks: Iterator[np.ndarray], limiter: Limiter) -> Iterator[np.ndarray]:
    for block in blocks:
        yield limiter.add(block)
    yield limiter.flush()


def _write(target: pathlib.Path, sample_rate_hz: int, blocks: Iterator[np.ndarray]) -> float | None:
    """Writes blocks, float32 [samples] each, and measures them: LUFS."""
    meter = LoudnessMeter(sample_rate_hz)
    with open_wav_writer(target, sample_rate_hz) as writer:
        for block in _metered(blocks, meter):
            writer.write(block)
    return meter.integrated_lufs()


def _tell_what_is_missing(mastered: Mastered, wanted_lufs: float, target: pathlib.Path) -> None:
    wanted = f"{target}: {wanted_lufs:.1f} LUFS was wanted"
    if mastered.gain_db == MAX_GAIN_DB:
        logging.warning(
            "%s, but the sound is at %.1f LUFS, close to silence: raised by %.0f dB and no more",
            *(wanted, mastered.source_lufs, mastered.gain_db),
        )
    if mastered.limited_lu and wanted_lufs - mastered.lufs > _WORTH_TELLING_LU:
        logging.warning(
            "%s, %.1f LUFS came out: the limiter took %.1f LU off the peaks; a lower loudness leaves them whole",
            *(wanted, mastered.lufs, mastered.limited_lu),
        )


def _factor(gain_db: float) -> np.float32:
    return np.float32(10 ** (gain_db / 20))
