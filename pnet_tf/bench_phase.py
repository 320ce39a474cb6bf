"""What `bench` measures of the inversion: how near it comes in how much time, beside librosa's, and what a listener gets."""

import functools
import pathlib
import statistics
from collections.abc import Callable

import librosa
import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from pnet_tf import audio_file, bench_made_up, griffin_lim, render, savedmodel, stft
from pnet_tf.bench_timing import Figure, seconds_of, take_turns
from pnet_tf.errors import InputError
from pnet_tf.inversion import Inverter
from pnet_tf.metrics_sound import FLOOR_DB, HOP_SAMPLES, LEAST_POWER, N_MELS, Sound
from pnet_tf.phase_start import PHASE_STARTS
from pnet_tf.score import read_score
from pnet_tf.spec import FeatureSpec

_SECONDS, _LEAST_SECONDS = 30.0, 1.0
_ITERATIONS = (0, 1, 2, 4, 8, 16, 32, 64)
_PLAIN_ITERATIONS = 300
_BEST_DB = -36.0


def measure_phase(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """The first seconds of a recording through its true magnitudes; with a model and a score, predicted ones too."""
    spec = FeatureSpec()
    seconds = _SECONDS if flags.seconds is None else flags.seconds
    if flags.audio:
        waveform = audio_file.read_waveform(pathlib.Path(flags.audio), spec)
    else:
        waveform = bench_made_up.made_up_sound(bench_made_up.made_up_score(int(seconds)), spec)
    waveform = waveform[: int(seconds * spec.sample_rate_hz)]
    sound = Sound(waveform, spec)
    if sound.seconds < _LEAST_SECONDS or sound.is_silent:
        raise InputError(f"{flags.audio}: {sound.seconds:.1f} s, or silence; expected at least {_LEAST_SECONDS:g} s of sound")
    waveform = sound.waveform
    figures = [Figure("seconds of sound", len(waveform) / spec.sample_rate_hz, "s")]
    figures += _true_magnitudes(waveform, spec, flags.rounds)
    if flags.model:
        figures += _predicted_magnitudes(flags, waveform if flags.audio else None, seconds)
    return figures


# --- true magnitudes


def _true_magnitudes(waveform: np.ndarray, spec: FeatureSpec, rounds: int) -> list[Figure]:
    log_power = stft.log_power(tf.constant(waveform[None], tf.float32), spec).numpy()[0]
    magnitude = stft.magnitude_from_log_power(tf.constant(log_power), spec).numpy()
    far = functools.partial(convergence_db, magnitude=magnitude, spec=spec)
    ours, theirs = functools.partial(invert, log_power, spec), functools.partial(librosas, magnitude, spec)
    curve = {n: (far(ours(iterations=n)), _median_seconds(lambda n=n: ours(iterations=n), rounds)) for n in _ITERATIONS}
    figures = [figure for n, (db, sec) in curve.items() for figure in _pair(f"spsi, {n} iterations", db, sec)]
    for start in PHASE_STARTS[1:]:
        db = far(ours(iterations=32, phase_start=start))
        figures += _pair(f"{start}, 32 iterations", db, _median_seconds(lambda s=start: ours(phase_start=s), rounds))
    graph = functools.partial(griffin_lim.griffin_lim, tf.constant(magnitude[None]), spec)
    figures.append(Figure("griffin_lim called eagerly, 32 iterations", _median_seconds(graph, rounds), "s"))
    rivals = (("librosa, 32 iterations", 32, 0.99, rounds), ("librosa, 64 iterations", 64, 0.99, min(rounds, 2)))
    for name, n, momentum, turns in (*rivals, (f"plain, {_PLAIN_ITERATIONS} iterations", _PLAIN_ITERATIONS, 0.0, 1)):
        peer = functools.partial(theirs, iterations=n, momentum=momentum)
        db = far(peer())
        enough = next((k for k, (ours_db, _) in curve.items() if ours_db <= db), _ITERATIONS[-1])
        mine, peers, ratio = _turns(lambda k=enough: ours(iterations=k), peer, turns)
        figures += [*_pair(name, db, peers), Figure(f"  as near with spsi, {enough} iterations: share of its time", ratio, "x")]
        if n == 64:
            best = next((k for k, (ours_db, _) in curve.items() if ours_db <= _BEST_DB), None)
            if best is not None:
                name = f"  {_BEST_DB:g} dB with spsi, {best} iterations: share of its time"
                figures.append(Figure(name, curve[best][1] / peers, "x"))
    return figures


def _turns(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """As `take_turns`, without the round before for a peer that takes a minute."""
    if rounds > 1:
        return take_turns(ours, peer, rounds=rounds)
    ours()
    mine, theirs = seconds_of(ours), seconds_of(peer)
    return mine, theirs, mine / theirs


def _pair(name: str, db: float, seconds: float) -> list[Figure]:
    return [Figure(f"{name}: spectral convergence", db, "dB"), Figure(f"{name}: time", seconds, "s")]


def _median_seconds(work: Callable[[], object], rounds: int) -> float:
    work()
    return statistics.median(seconds_of(work) for _ in range(rounds))


def invert(
    log_power: np.ndarray, spec: FeatureSpec, *, iterations: int = 32, phase_start: str = "spsi"
) -> np.ndarray:
    """Log power, float32 [frames, bins], in blocks as a performance is inverted: float32 [samples]."""
    inverter = Inverter(spec, iterations=iterations, phase_start=phase_start)
    return np.concatenate([inverter.add(log_power), inverter.finish()])


def librosas(magnitude: np.ndarray, spec: FeatureSpec, *, iterations: int, momentum: float = 0.99) -> np.ndarray:
    """What `librosa.griffinlim` makes of a magnitude, float32 [frames, bins]: float32 [samples]."""
    return librosa.griffinlim(
        magnitude.T,
        n_iter=iterations,
        hop_length=spec.hop_samples,
        n_fft=spec.n_fft,
        pad_mode="constant",
        momentum=momentum,
        random_state=0,
    )


def convergence_db(waveform: np.ndarray, *, magnitude: np.ndarray, spec: FeatureSpec) -> float:
    """Spectral convergence of a waveform, float32 [samples], to a magnitude, float32 [frames, bins]: dB, by librosa's STFT."""
    rebuilt = np.abs(librosa.stft(waveform, n_fft=spec.n_fft, hop_length=spec.hop_samples, pad_mode="constant")).T
    n_frames = min(len(rebuilt), len(magnitude))
    difference = np.linalg.norm(rebuilt[:n_frames] - magnitude[:n_frames])
    return float(20 * np.log10(max(difference / np.linalg.norm(magnitude[:n_frames]), 1e-12)))


# --- predicted magnitudes


def _predicted_magnitudes(
    flags: absl_flags.FlagValues, recording: np.ndarray | None, seconds: float
) -> list[Figure]:
    """Log-mel error of a voice's drawing of a score, through the default setting and through librosa's 64 iterations."""
    voice = savedmodel.open_voice(pathlib.Path(flags.model))
    spec = voice.spec
    score = read_score(flags.score) if flags.score else bench_made_up.made_up_score(int(seconds))
    blocks = render.performance_of(list(render.Piece(score, voice).blocks(render.Settings(iterations=0))))
    log_power = blocks.log_power[: int(seconds * spec.frame_rate_hz)]
    magnitude = stft.magnitude_from_log_power(tf.constant(log_power), spec).numpy()
    wanted = {"the magnitudes drawn": _log_mel_of_magnitude(magnitude, spec)}
    if recording is not None:
        wanted["the recording"] = Sound(recording, spec).log_mel
    sounds = {"spsi, 32 iterations": invert(log_power, spec), "librosa, 64 iterations": librosas(magnitude, spec, iterations=64)}
    figures = [
        Figure(f"predicted, {name}: spectral convergence", convergence_db(sound, magnitude=magnitude, spec=spec), "dB")
        for name, sound in sounds.items()
    ]
    for what, levels in wanted.items():
        for name, sound in sounds.items():
            found = Sound(sound, spec).log_mel
            n = min(len(found), len(levels))
            error = float(np.abs(found[:n] - levels[:n]).mean())
            figures.append(Figure(f"predicted, {name}: log-mel error against {what}", error, "dB"))
    return figures


def _log_mel_of_magnitude(magnitude: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """What `Sound.log_mel` would be of a sound with this magnitude, float32 [frames, bins]: float32 [fewer frames, bands]."""
    power = np.square(magnitude[:: HOP_SAMPLES // spec.hop_samples])
    mel = power @ librosa.filters.mel(sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=N_MELS).T
    return librosa.power_to_db(mel, ref=np.max, amin=LEAST_POWER, top_db=FLOOR_DB)
