"""Audio file to mono waveform at the spec's rate.

soundfile opens, checks and decodes; tensorflow-io resamples. soundfile has to read every file through in any case: it
refuses damaged files cleanly where tensorflow-io's native decoders crash or loop. Decoding again with tensorflow-io
gave the same samples later, measured on 60 s of mono violin (2 CPU cores, soundfile 0.14, tensorflow-io 0.37.1)::

    | file | soundfile | tensorflow-io | largest difference |
    |---|---|---|---|
    | WAV, 16 bit | 3.6 ms | 2.1 ms | 0 |
    | WAV, 24 bit | 7.7 ms | 9.7 ms | 0 |
    | WAV, float32 (MusicNet's) | 0.7 ms | refused | |
    | WAV, 16 bit, written into a pipe | 3.6 ms | refused | |
    | FLAC, 16 bit | 22.8 ms | 156 ms | 0 |
    | MP3 | 24.5 ms | 100 ms | 7e-7 |
    | Ogg Vorbis | 41.2 ms | 216 ms | 2e-7 |

So tensorflow-io decodes no format here: for none is there a gain, and its refusals and crashes would be ours.
"""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np
import soundfile

from pnet_tf import limits
from pnet_tf.errors import InputError
from pnet_tf.spec import FeatureSpec

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")
_BLOCK_SAMPLES = 1 << 20
# Of recordings; the delay of the resampler is found with as many samples as a rate has in 100 ms.
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1000, 768_000
_WAV_DATA_CUT = re.compile(r"^\s*data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# Integers of 32 bits written as floats without scaling: beyond that a sample is damaged, and alone would set the level of all.
_HIGHEST_SAMPLE = 2.0**31
# Programs that write into a pipe cannot know the length and leave the largest 32-bit sizes in the header.
_WAV_LENGTH_UNKNOWN = 0xFFFF0000
_OGG_LONGEST_PAGE = 65307
_OGG_LAST_PAGE_FLAG = 4


class AudioError(InputError):
    """An audio file cannot be used; the message names the file, what is wrong with it and what to do."""


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Attributes:
      sample_rate_hz: the file's own rate.
      n_samples: samples in each channel.
      n_channels: channels.
      format: soundfile's name of the container, such as `WAV`.
      subtype: soundfile's name of the sample format, such as `PCM_16`.
    """

    sample_rate_hz: int
    n_samples: int
    n_channels: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz


def audio_info(path: pathlib.Path) -> AudioInfo:
    """What the header of an audio file says, without reading its samples.

    Args:
      path: WAV, FLAC, MP3, Ogg Vorbis or anything else that soundfile opens.

    Raises:
      AudioError: there is no such file, or it is no audio file.
    """
    with _open(pathlib.Path(path)) as file:
        return _info(file)


def read_waveform(path: pathlib.Path, spec: FeatureSpec, *, max_sec: float | None = None) -> np.ndarray:
    """The sound of a file as one channel at the spec's rate; several channels are averaged.

    A file at another rate is resampled, and comes out `ceil(n * spec.sample_rate_hz / rate)` samples long with every
    sound at its own time (the resampler's delay is taken out).

    Args:
      path: WAV, FLAC, MP3 or Ogg Vorbis.
      spec: gives the rate.
      max_sec: the longest recording that is read; None for the limit in force.

    Returns:
      float32 [samples], nominally in -1..1 (files with float samples may go beyond, and are left as they are).

    Raises:
      AudioError: the file cannot be opened or decoded, ends too soon, is empty or too long, holds samples that are no
        numbers, or has a rate that no recording has.
    """
    path = pathlib.Path(path)
    waveform, info = _read_checked(path, limits.current().audio_sec if max_sec is None else max_sec)
    if info.sample_rate_hz != spec.sample_rate_hz:
        waveform = resample(waveform, from_hz=info.sample_rate_hz, to_hz=spec.sample_rate_hz)
    return waveform


def waveform_blocks(path: pathlib.Path) -> Generator[np.ndarray, None, None]:
    """The sound of a file as one channel at its own rate, block by block, so that its length costs no memory.

    Args:
      path: WAV, FLAC, MP3 or Ogg Vorbis.

    Yields:
      float32 [samples]; several channels are averaged.

    Raises:
      AudioError: as `read_waveform`, on the way: that a file ends too soon shows after its last block.
    """
    path = pathlib.Path(path)
    with _open(path) as file:
        yield from _checked_blocks(path, file)


def resample(waveform: np.ndarray, *, from_hz: int, to_hz: int) -> np.ndarray:
    """A waveform at another rate, every sound at its own time.

    tensorflow-io's resampler answers late by half its filter (0.7 ms from 48 kHz to 44.1 kHz, 4 ms from 8 kHz): the
    delay is measured with an impulse, once for each pair of rates, and cut off.

    Args:
      waveform: float32 [samples].
      from_hz: its rate.
      to_hz: the rate wanted.

    Returns:
      float32 [ceil(samples * to_hz / from_hz)].
    """
    if from_hz == to_hz:
        return waveform
    n_samples = -(-len(waveform) * to_hz // from_hz)
    delay_samples = _resampling_delay_samples(from_hz, to_hz)
    # Silence at the end pushes out what the resampler still holds when the sound is over.
    n_silence = math.ceil(delay_samples * from_hz / to_hz) + 1
    late = _resample_late(np.pad(waveform, (0, n_silence)), from_hz, to_hz)
    resampled = late[delay_samples : delay_samples + n_samples]
    return np.pad(resampled, (0, n_samples - len(resampled)))


def _open(path: pathlib.Path) -> soundfile.SoundFile:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "not a regular file" if path.exists() else "does not exist"
        raise AudioError(f"{path}: {what}, expected an audio file ({', '.join(AUDIO_SUFFIXES)})")
    try:
        return soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        # TypeError: what soundfile says to a .raw file, which has no header.
        raise AudioError(
            f"{path}: cannot open it as audio ({_one_line(error)}); expected WAV, FLAC, MP3 or Ogg Vorbis"
        ) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".")


def _info(file: soundfile.SoundFile) -> AudioInfo:
    return AudioInfo(file.samplerate, file.frames, file.channels, file.format, file.subtype)


def _read_checked(path: pathlib.Path, max_sec: float) -> tuple[np.ndarray, AudioInfo]:
    """Reads a whole file with soundfile: float32 [samples], channels averaged, and its header."""
    with _open(path) as file:
        if not _LOWEST_RATE_HZ <= file.samplerate <= _HIGHEST_RATE_HZ:
            raise AudioError(
                f"{path}: says that it has {file.samplerate} samples a second, expected {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ}; "
                "convert it, or copy it again"
            )
        # In blocks, so that a header that lies about the length costs no memory.
        blocks, n_left = [], int(max_sec * file.samplerate)
        for block in _checked_blocks(path, file):
            blocks.append(block)
            if (n_left := n_left - len(block)) < 0:
                raise AudioError(
                    f"{path}: longer than {max_sec / 3600:g} hours, the limit for one recording (cut it in pieces, or raise "
                    "--max_audio_hours)"
                )
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), _info(file)


def _checked_blocks(path: pathlib.Path, file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    n_read = 0
    while len(block := _read_block(path, file)):
        n_read += len(block)
        peak = float(max(-np.min(block), np.max(block)))
        if not math.isfinite(peak):
            raise AudioError(f"{path}: holds samples that are no numbers (NaN or infinite); export the file again")
        if peak > _HIGHEST_SAMPLE:
            raise AudioError(f"{path}: holds a sample of {peak:.3g}, where full scale is 1; export the file again")
        yield block
    _require_complete(path, file, n_read)
    if n_read == 0:
        raise AudioError(f"{path}: holds no samples at all; record or copy it again, or leave it out")


def _read_block(path: pathlib.Path, file: soundfile.SoundFile) -> np.ndarray:
    try:
        return _mono(file.read(max(_BLOCK_SAMPLES // file.channels, 1), dtype="float32"))
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path}: damaged audio ({_one_line(error)}); copy or encode the file again") from error


def _mono(samples: np.ndarray) -> np.ndarray:
    if samples.ndim == 1:
        return samples
    return samples[:, 0] if samples.shape[1] == 1 else np.mean(samples, axis=1)


def _require_complete(path: pathlib.Path, file: soundfile.SoundFile, n_read: int) -> None:
    """Refuses a file that ends before its own header says; each format shows it in its own way."""
    n_expected = file.frames
    if file.format in ("WAV", "WAVEX"):
        cut = _WAV_DATA_CUT.search(file.extra_info)
        if cut and int(cut[2]) < int(cut[1]) < _WAV_LENGTH_UNKNOWN:
            n_expected = n_read * int(cut[1]) // max(int(cut[2]), 1)
            n_expected = max(n_expected, n_read + 1)
    if n_read < n_expected:
        raise AudioError(
            f"{path}: ends too soon: {n_read} of the {n_expected} samples of its header are there; copy the file again"
        )
    if file.format == "OGG" and not _has_last_ogg_page(path):
        raise AudioError(f"{path}: ends too soon: its last Ogg page is missing; copy the file again")


def _has_last_ogg_page(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _OGG_LONGEST_PAGE, 0))
        tail = file.read()
    page = tail.rfind(b"OggS")
    return 0 <= page < len(tail) - 5 and bool(tail[page + 5] & _OGG_LAST_PAGE_FLAG)


@functools.lru_cache(maxsize=32)
def _resampling_delay_samples(from_hz: int, to_hz: int) -> int:
    """How many samples (at `to_hz`) late the resampler answers, to the nearest sample."""
    # The impulse lies where an output sample falls on it exactly, some 50 ms from both ends.
    step = from_hz // math.gcd(from_hz, to_hz)
    at = -(-from_hz // (20 * step)) * step
    impulse = np.zeros(2 * at + 1, np.float32)
    impulse[at] = 1.0
    answer = _resample_late(impulse, from_hz, to_hz).astype(np.float64)
    # The filter is symmetric: the centre of its answer is its delay, finer than the peak.
    centre = np.sum(np.arange(len(answer)) * answer) / np.sum(answer)
    return round(centre - at * to_hz / from_hz)


def _resample_late(waveform: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    import tensorflow as tf

    samples, rates = tf.constant(waveform[:, np.newaxis]), (tf.constant(hz, tf.int64) for hz in (from_hz, to_hz))
    return _resampler()(samples, *rates).numpy()[:, 0]


@functools.lru_cache(maxsize=1)
def _resampler() -> Callable[..., Any]:
    """tensorflow-io's resampler, traced once for every length and rate."""
    import tensorflow as tf
    import tensorflow_io as tfio

    rate = tf.TensorSpec([], tf.int64)
    traced = tf.function(tfio.audio.resample, input_signature=[tf.TensorSpec([None, 1], tf.float32), rate, rate])
    logger = tf.get_logger()
    level = logger.level
    try:
        # Tracing warns that a loop over the batch stays a loop; the batch is one channel.
        logger.setLevel("ERROR")
        return traced.get_concrete_function()
    finally:
        logger.setLevel(level)
