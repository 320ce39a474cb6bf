"""Makes features_v1.npz: the features of half a second, by NumPy and librosa alone, to hold the package against.

    python tests/golden/make_features.py        (made with numpy 1.26 and librosa 0.11)

The number in the name is the `schema_version` whose features these are. Features that change get a new version and a
new file beside this one.
"""

import pathlib

import librosa
import numpy as np

SCHEMA_VERSION = 1
RATE_HZ, N_FFT, HOP_SAMPLES, N_PITCHES = 44100, 2048, 256, 128
TARGET_GAIN, LEVEL_RMS = 100.0, 0.05
N_SAMPLES = RATE_HZ // 2
# First sample, end sample, pitch: between frames, a re-attack, a pitch held by two notes, one sample, to the end.
NOTES = (
    (300, 6000, 69),
    (6000, 11264, 69),
    (2560, 9000, 57),
    (5120, 12800, 57),
    (12900, 12901, 76),
    (13056, N_SAMPLES, 72),
)


def make_waveform() -> np.ndarray:
    """A few fading partials of each note and a faint hum: float32 [samples]."""
    time_sec = np.arange(N_SAMPLES) / RATE_HZ
    waveform = 1e-3 * np.sin(2 * np.pi * 50 * time_sec)
    for start, end, pitch in NOTES:
        since_sec, hz = time_sec[start:end] - time_sec[start], 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * since_sec) / k for k in range(1, 9))
        waveform[start:end] += 0.2 * np.exp(-4 * since_sec) * partials
    return waveform.astype(np.float32)


def make_rolls(n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Pianoroll and onsets, frame by frame: int8 [frames, pitches] twice."""
    pianoroll, onset_offset = np.zeros((2, n_frames, N_PITCHES), np.int8)
    firsts, afters = [], []
    for start, end, pitch in NOTES:
        active = [t for t in range(n_frames) if start <= t * HOP_SAMPLES < end] or [-(-start // HOP_SAMPLES)]
        pianoroll[active, pitch] = 1
        firsts.append((active[0], pitch))
        afters += [(active[-1] + 1, pitch)] if active[-1] + 1 < n_frames else []
    for frame, pitch in afters:
        onset_offset[frame, pitch] = 0 if pianoroll[frame, pitch] else -1
    for frame, pitch in firsts:
        onset_offset[frame, pitch] = 1
    return pianoroll, onset_offset


def main() -> None:
    """All arrays as the package has them: [frames, bins] and [frames, pitches]."""
    waveform = make_waveform()
    pianoroll, onset_offset = make_rolls(1 + N_SAMPLES // HOP_SAMPLES)
    hops = waveform[: N_SAMPLES // HOP_SAMPLES * HOP_SAMPLES].astype(np.float64).reshape(-1, HOP_SAMPLES)
    level_gain = LEVEL_RMS / np.sqrt(np.mean(hops[pianoroll.any(axis=1)[: len(hops)]] ** 2))
    transform = librosa.stft(
        level_gain * waveform.astype(np.float64),
        n_fft=N_FFT,
        hop_length=HOP_SAMPLES,
        window="hann",
        center=True,
        pad_mode="constant",
        dtype=np.complex128,
    )
    log_power = np.log1p((TARGET_GAIN * np.abs(transform.T)) ** 2)
    np.savez_compressed(
        pathlib.Path(__file__).with_name(f"features_v{SCHEMA_VERSION}.npz"),
        notes=np.array(NOTES, np.int64),
        waveform=waveform,
        level_gain=level_gain,
        pianoroll=pianoroll,
        onset_offset=onset_offset,
        log_power=log_power.astype(np.float16),
    )


if __name__ == "__main__":
    main()
