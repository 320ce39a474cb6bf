"""Waveform to WAV file, at once or block by block; it appears whole or not at all."""

import contextlib
import errno
import math
import pathlib
from collections.abc import Iterator

import numpy as np
import soundfile
from absl import logging

from pnet_tf.audio_file import AudioError
from pnet_tf.errors import InputError
from pnet_tf.files import put_in_place, temporary_beside
from pnet_tf.spec import FeatureSpec

_NO_NUMBERS = "the waveform holds samples that are no numbers (NaN or infinite)"
_PEAK_AFTER_SCALING = 0.999
_NO_SUCH_PLACE = (errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS)


def write_wav(path: pathlib.Path, waveform: np.ndarray, spec: FeatureSpec, *, subtype: str = "PCM_16") -> None:
    """Writes a WAV file whole or not at all.

    A waveform that goes beyond -1..1 is scaled down, with a warning, instead of being clipped.

    Args:
      path: the file; its folder is made when it is missing, an existing file is replaced.
      waveform: floating [samples], or [samples, channels].
      spec: gives the rate.
      subtype: soundfile's name of the sample format: `PCM_16`, `PCM_24` or `FLOAT`.

    Raises:
      InputError: the folder or file cannot be written (the disk is full, say); nothing is left behind.
      AudioError: the waveform holds samples that are no numbers.
    """
    path = pathlib.Path(path)
    waveform = _within_full_scale(np.asarray(waveform, np.float32), path)
    with _appears_whole(path, path) as temporary, writing_of(path):
        # soundfile cannot tell the format from a temporary name.
        soundfile.write(temporary, _rounded(waveform, subtype), spec.sample_rate_hz, format="WAV", subtype=subtype)
        _require_length(temporary, len(waveform))


class WavWriter:
    """A WAV file of one channel on its way, as `open_wav_writer` gives it."""

    def __init__(self, path: pathlib.Path, file: soundfile.SoundFile, subtype: str) -> None:
        self._path = path
        self._file = file
        self._subtype = subtype
        self.n_samples = 0

    def write(self, block: np.ndarray) -> None:
        """Appends samples; the subtypes of whole numbers clip what is beyond -1..1.

        Args:
          block: float32 [samples].

        Raises:
          InputError: they cannot be written.
          AudioError: a sample is no number.
        """
        if not np.isfinite(np.sum(block, dtype=np.float64)):
            raise AudioError(f"{self._path}: not written: {_NO_NUMBERS}")
        with writing_of(self._path):
            self._file.write(_rounded(np.asarray(block, np.float32), self._subtype))
        self.n_samples += len(block)


@contextlib.contextmanager
def open_wav_writer(
    path: pathlib.Path, sample_rate_hz: int, *, subtype: str = "PCM_16", named: pathlib.Path | None = None
) -> Iterator[WavWriter]:
    """Writes a WAV file of one channel block by block; it appears when the `with` ends, and not at all on an exception.

    Args:
      path: the file; its folder is made when it is missing, an existing file is replaced.
      sample_rate_hz: the rate.
      subtype: soundfile's name of the sample format: `PCM_16`, `PCM_24` or `FLOAT`.
      named: what errors call it, where it is a step on the way to another file.

    Yields:
      What takes the blocks.

    Raises:
      InputError: the folder or file cannot be written (the disk is full, say); nothing is left behind.
    """
    path = pathlib.Path(path)
    named = named or path
    with _appears_whole(path, named) as temporary:
        with writing_of(named):
            file = soundfile.SoundFile(temporary, "w", sample_rate_hz, 1, format="WAV", subtype=subtype)
        writer = WavWriter(named, file, subtype)
        try:
            yield writer
        finally:
            with writing_of(named):
                file.close()
        with writing_of(named):
            _require_length(temporary, writer.n_samples)


@contextlib.contextmanager
def _appears_whole(path: pathlib.Path, named: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary file beside `path`, put in its place when the `with` ends, deleted on an exception."""
    with writing_of(named):
        temporary = temporary_beside(path)
    try:
        yield temporary
        with writing_of(named):
            put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_of(path: pathlib.Path) -> Iterator[None]:
    """Makes what goes wrong while a sound is written into an `InputError` that names the file and what to do."""
    try:
        yield
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        advice = "choose another place" if getattr(error, "errno", None) in _NO_SUCH_PLACE else "is the disk full?"
        raise InputError(f"{path}: cannot write the sound ({reason}); {advice}") from error


def _rounded(waveform: np.ndarray, subtype: str) -> np.ndarray:
    """What soundfile is given: of 16-bit files the nearest whole numbers, int16, for libsndfile would round them down."""
    if subtype != "PCM_16":
        return waveform
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype(np.int16)


def _require_length(path: pathlib.Path, n_samples: int) -> None:
    # libsndfile does not report every failed write: a full disk may show only in the length.
    if (written := soundfile.info(path).frames) != n_samples:
        raise OSError(f"only {written} of {n_samples} samples arrived")


def _within_full_scale(waveform: np.ndarray, path: pathlib.Path) -> np.ndarray:
    peak = float(np.max(np.abs(waveform), initial=0.0))
    if not math.isfinite(peak):
        raise AudioError(f"{path}: not written: {_NO_NUMBERS}")
    factor = factor_within_full_scale(peak, path)
    return waveform if factor == 1 else waveform * factor


def factor_within_full_scale(peak: float, path: pathlib.Path) -> np.float32:
    """What a waveform is multiplied by so that nothing clips: 1 up to full scale; beyond it a warning says what is done.

    Args:
      peak: its largest sample, without its sign.
      path: the file that it goes to, for the warning.
    """
    if peak <= 1.0:
        return np.float32(1)
    logging.warning("%s: the peak was %.3f; scaled down to %.3f so that nothing clips", path, peak, _PEAK_AFTER_SCALING)
    return np.float32(_PEAK_AFTER_SCALING / peak)
