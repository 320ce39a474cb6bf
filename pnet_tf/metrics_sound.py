"""A sound as the metrics see it: brought to one level, its spectra in blocks, and what is read off them once."""

import functools
import math
import warnings
from collections.abc import Iterator

import librosa
import numpy as np
import scipy.fft
import scipy.signal

from pnet_tf.spec import FeatureSpec

# What the figures of the field are computed with.
LEVEL_RMS = 0.05
N_FFT, HOP_SAMPLES = 2048, 512
FLOOR_DB = 80.0
N_MELS = 128
LEAST_POWER = 1e-12
_CHROMA_HOP_SAMPLES, _CHROMA_LOWEST, _CHROMA_OCTAVES = 1024, "C2", 7
# The longest filter of the chroma's transform; librosa warns of anything shorter.
_CHROMA_LEAST_SEC = 1.5
# Pitch is looked for at half the rate, every 23 ms, in steps of 20 cents: a fifth of the work of librosa's own numbers.
PITCH_HOP_SAMPLES = 1024
# How far the tracker's window of 2048 samples, at half the rate, reaches to both sides.
PITCH_REACH_SAMPLES = N_FFT
_PITCH_STEP_SEMITONES = 0.2
_PITCH_BLOCK_HOPS = 1290
# How much less likely each longer period is of those that fit as well. With librosa's 2 the tracker hears one frame in twenty of
# clean tones that leap in fast music an octave too low, with this one in sixty.
_PITCH_BOLTZMANN = 8
_PITCH_LOWEST_HZ = 25.0
_BLOCK_VALUES = 1 << 22


class Sound:
    """A waveform at one level, and its features, each computed when it is first asked for.

    Attributes:
      waveform: float32 [samples], at an RMS of `LEVEL_RMS`; silence stays silence.
      spec: gives the sample rate alone.
    """

    def __init__(self, waveform: np.ndarray, spec: FeatureSpec) -> None:
        """Brings the waveform to the level.

        Args:
          waveform: float [samples], any level, at the spec's rate.
          spec: gives the sample rate.
        """
        rms = math.sqrt(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
        self.waveform = (waveform * (LEVEL_RMS / rms if rms else 1.0)).astype(np.float32)
        self.spec = spec

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.waveform) / self.spec.sample_rate_hz

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing in it at all."""
        return not self.waveform.any()

    @functools.cached_property
    def log_mel(self) -> np.ndarray:
        """Levels of mel bands in dB below the loudest, float32 [1 + samples // 512, 128], at least -80; -80 in silence.

        Source: `librosa.power_to_db(melspectrogram(n_fft=2048, hop_length=512, n_mels=128), ref=np.max, amin=1e-12,
        top_db=80)`; tests/test_metrics_sound.py.
        """
        bands = librosa.filters.mel(sr=self.spec.sample_rate_hz, n_fft=N_FFT, n_mels=N_MELS).T  # [bins, mels]
        power = np.concatenate([block**2 @ bands for block in self.magnitudes(N_FFT, HOP_SAMPLES, centred=True)])
        if self.is_silent:
            return np.full(power.shape, -FLOOR_DB, np.float32)
        return librosa.power_to_db(power, ref=np.max, amin=LEAST_POWER, top_db=FLOOR_DB)

    @functools.cached_property
    def peak_power(self) -> float:
        """The power of the loudest bin of the centred transform of 2048 samples every 512."""
        return max(float(block.max()) ** 2 for block in self.magnitudes(N_FFT, HOP_SAMPLES, centred=True))

    @functools.cached_property
    def chroma(self) -> np.ndarray:
        """Strength of the twelve pitch classes, float32 [1 + samples // 1024, 12]; 0 where nothing sounds.

        Source: `librosa.feature.chroma_cqt`, hop 1024, from C2, 7 octaves, its own estimate of the tuning.
        """
        n_frames = 1 + len(self.waveform) // _CHROMA_HOP_SAMPLES
        if self.is_silent:
            return np.zeros((n_frames, 12), np.float32)
        rate_hz = self.spec.sample_rate_hz
        missing = max(math.ceil(_CHROMA_LEAST_SEC * rate_hz) - len(self.waveform), 0)
        with warnings.catch_warnings():
            # Of a hum without partials; its tuning is then that of A = 440 Hz.
            warnings.filterwarnings("ignore", message="Trying to estimate tuning from empty frequency set")
            chroma = librosa.feature.chroma_cqt(
                y=np.pad(self.waveform, (0, missing)),
                sr=rate_hz,
                hop_length=_CHROMA_HOP_SAMPLES,
                fmin=librosa.note_to_hz(_CHROMA_LOWEST),
                n_octaves=_CHROMA_OCTAVES,
            )
        return chroma.T[:n_frames]

    @functools.cached_property
    def level_db(self) -> np.ndarray:
        """RMS of 2048 samples every 512 in dB below the loudest, float64 [1 + samples // 512], at least -80."""
        energy = np.concatenate([[0.0], np.cumsum(np.square(np.pad(self.waveform, N_FFT // 2), dtype=np.float64))])
        first = np.arange(1 + len(self.waveform) // HOP_SAMPLES) * HOP_SAMPLES
        power = (energy[first + N_FFT] - energy[first]) / N_FFT
        return librosa.power_to_db(power, ref=np.max, amin=LEAST_POWER, top_db=FLOOR_DB)

    @functools.cached_property
    def onsets_sec(self) -> np.ndarray:
        """When something begins, float64 [onsets], ascending.

        Source: `librosa.onset.onset_detect` with its own settings, on the log-mel spectrogram above.
        """
        rate_hz = self.spec.sample_rate_hz
        strength = librosa.onset.onset_strength(S=self.log_mel.T, sr=rate_hz, hop_length=HOP_SAMPLES)
        onsets = librosa.onset.onset_detect(
            onset_envelope=strength, sr=rate_hz, hop_length=HOP_SAMPLES, units="time"
        )
        return np.asarray(onsets, np.float64)

    def magnitudes(self, n_fft: int, hop_samples: int, *, centred: bool) -> Iterator[np.ndarray]:
        """Magnitudes of the transform with a periodic Hann window, some frames at a time.

        Args:
          n_fft: samples in a frame.
          hop_samples: samples from one frame to the next.
          centred: frame t is centred on sample `t * hop_samples`, with zeros beyond the ends, and there are
            `1 + samples // hop_samples`; otherwise it begins there, and there are `ceil(samples / hop_samples)`.

        Yields:
          float32 [frames, n_fft // 2 + 1].
        """
        if centred:
            padded = np.pad(self.waveform, n_fft // 2)
        else:
            n_frames = max(-(-len(self.waveform) // hop_samples), 1)
            padded = np.pad(self.waveform, (0, (n_frames - 1) * hop_samples + n_fft - len(self.waveform)))
        window = scipy.signal.get_window("hann", n_fft).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_samples]
        n_at_once = max(_BLOCK_VALUES // n_fft, 1)
        for first in range(0, len(frames), n_at_once):
            yield np.abs(scipy.fft.rfft(frames[first : first + n_at_once] * window))

    def pitch_hz(self, lowest_hz: float, highest_hz: float) -> np.ndarray:
        """The most likely fundamental every 1024 samples, float64 [1 + samples // 1024]; 0 in silence.

        A frame that the tracker takes for unvoiced has its best guess all the same.

        Args:
          lowest_hz: where to look.
          highest_hz: where to look.

        Source: `librosa.pyin` at half the rate, in blocks of half a minute.
        """
        n_frames = 1 + len(self.waveform) // PITCH_HOP_SAMPLES
        if self.is_silent:
            return np.zeros(n_frames)
        rate_hz = self.spec.sample_rate_hz
        halved = librosa.resample(self.waveform, orig_sr=rate_hz, target_sr=rate_hz / 2)
        hop = PITCH_HOP_SAMPLES // 2
        # At least an octave between the two, and both where the tracker hears anything.
        lowest_hz = min(max(lowest_hz, _PITCH_LOWEST_HZ), rate_hz / 20)
        highest_hz = min(max(highest_hz, 2 * lowest_hz), rate_hz / 5)
        found = []
        for first in range(0, len(halved), _PITCH_BLOCK_HOPS * hop):
            guess_hz, _, _ = librosa.pyin(
                halved[first : first + _PITCH_BLOCK_HOPS * hop],
                fmin=lowest_hz,
                fmax=highest_hz,
                sr=rate_hz / 2,
                frame_length=N_FFT,
                hop_length=hop,
                resolution=_PITCH_STEP_SEMITONES,
                boltzmann_parameter=_PITCH_BOLTZMANN,
                fill_na=None,
            )
            # A block's last frame is the first of the next.
            found.append(guess_hz[:_PITCH_BLOCK_HOPS])
        heard = np.concatenate(found)[:n_frames]
        return np.pad(heard, (0, n_frames - len(heard)), mode="edge")
