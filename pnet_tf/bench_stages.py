"""What `bench` measures of preparation, input and performing."""

import dataclasses
import pathlib
import platform
import statistics
import subprocess
import sys
from fractions import Fraction

import keras
import librosa
import numpy as np
import soundfile
import tensorflow as tf
from absl import flags as absl_flags

from pnet_tf import bench_made_up, bench_step, dataset, export, preparer, render, run_folder, savedmodel, unet
from pnet_tf.bench_timing import Figure, seconds_of, take_turns
from pnet_tf.checkpoint import save_weights, weights_of
from pnet_tf.model_config import ModelConfig
from pnet_tf.processors import n_processors
from pnet_tf.run_folder import Run
from pnet_tf.score import Score, read_score
from pnet_tf.spec import FeatureSpec

_PIECE_SEC = 180
_RECORDING_SEC = 60.0


def machine() -> dict[str, str | int]:
    """The machine and the versions that figures belong to."""
    names = [line.split(":")[1].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": n_processors(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "librosa": librosa.__version__,
    }


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


# --- input where none is given


def _seconds(flags: absl_flags.FlagValues) -> float:
    return _RECORDING_SEC if flags.seconds is None else flags.seconds


def _recording(flags: absl_flags.FlagValues, scratch: pathlib.Path, spec: FeatureSpec) -> preparer.Job:
    """The first seconds of the given recording, or a made-up one, as FLAC at the spec's rate."""
    score = read_score(flags.score) if flags.score else bench_made_up.made_up_score(int(_seconds(flags)))
    if flags.audio:
        from pnet_tf import audio_file

        waveform = audio_file.read_waveform(pathlib.Path(flags.audio), spec)
    else:
        waveform = bench_made_up.made_up_sound(score, spec)
    waveform = waveform[: int(_seconds(flags) * spec.sample_rate_hz)]
    end_sec = Fraction(len(waveform), spec.sample_rate_hz)
    score = dataclasses.replace(score, notes=tuple(note for note in score.notes if note.end_sec <= end_sec))
    path = scratch / "recording.flac"
    soundfile.write(path, np.clip(waveform, -1, 1), spec.sample_rate_hz, subtype="PCM_16")
    return preparer.Job("recording", path, score, "train", "bench", scratch, spec, max_bad_labels=0.01)


# --- prepare


def measure_prepare(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """One recording through `preparer.prepare_recording`, beside librosa's STFT and logarithm of the same samples."""
    spec = FeatureSpec()
    job = _recording(flags, scratch, spec)
    waveform, _ = soundfile.read(job.audio, dtype="float32")
    before = _peak_memory_mb(reset=True)
    entry = preparer.prepare_recording(job)  # the first time: with tracing and the first use of each library
    memory_mb = _peak_memory_mb() - before

    def peer() -> np.ndarray:
        """librosa's transform and logarithm of the same samples, float32 [bins, frames]."""
        transform = librosa.stft(waveform, n_fft=spec.n_fft, hop_length=spec.hop_samples, pad_mode="constant")
        return np.log1p((spec.target_gain * np.abs(transform)) ** 2)

    ours, theirs, ratio = take_turns(lambda: preparer.prepare_recording(job), peer, rounds=flags.rounds)
    minutes = entry.seconds / 60
    return [
        Figure("seconds of audio", entry.seconds, "s"),
        Figure("preparation", ours, "s"),
        Figure("preparation, a minute of audio", ours / minutes, "s"),
        Figure("librosa.stft + log1p", theirs, "s"),
        Figure("preparation / librosa", ratio, "x"),
        Figure("shards, a minute of audio", entry.size_bytes / 1e6 / minutes, "MB"),
        Figure("memory while preparing, above that of the imports", memory_mb, "MB"),
    ]


def _peak_memory_mb(*, reset: bool = False) -> float:
    """Resident memory at its highest since the last reset, or now if it is reset; in megabytes (Linux)."""
    if reset:
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    field = "VmRSS" if reset else "VmHWM"
    line = next(line for line in _read("/proc/self/status").splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


# --- input


def measure_input(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """Windows a second that the input pipeline gives, beside those that a training step takes."""
    width = 0.125 if flags.width is None else flags.width
    shards = bench_made_up.shards_for(flags, scratch)
    plan = dataset.plan_windows(shards, "train", window_frames=bench_step.WINDOW_FRAMES)
    batches = iter(dataset.training_windows(shards, plan, batch_size=flags.batch_size, seed=0))
    step, batch, _ = bench_step.training_step(width, flags.batch_size)
    n_batches = max(40, 160 // flags.batch_size)

    def read() -> None:
        """Takes some batches out of the pipeline."""
        for _ in range(n_batches):
            next(batches)

    reading_sec, step_sec, _ = take_turns(read, lambda: step(batch).numpy(), rounds=flags.rounds)
    given, taken = n_batches * flags.batch_size / reading_sec, flags.batch_size / step_sec
    return [
        Figure("windows a second from the pipeline", given, "1/s"),
        Figure(f"windows a second that a step at width {width:g} takes", taken, "1/s"),
        Figure("pipeline / step", given / taken, "x"),
    ]


# --- perform


def measure_perform(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """A score performed with the model loaded, and by the command from its start."""
    model = pathlib.Path(flags.model) if flags.model else untrained_voice(flags, scratch)
    voice = savedmodel.open_voice(model)
    score = read_score(flags.score) if flags.score else bench_made_up.made_up_score(_PIECE_SEC)
    settings = render.Settings(flags.iterations)
    performance = render.perform(score, voice, settings=settings)
    loaded = [
        seconds_of(lambda: render.perform(score, voice, settings=settings)) for _ in range(flags.rounds)
    ]
    path = pathlib.Path(flags.score) if flags.score else write_labels(score, voice.spec, scratch / "score.csv")
    arguments = [f"--model={model}", f"--score={path}", f"--out={scratch}/out.wav", f"--iterations={flags.iterations}"]
    command = [sys.executable, "-m", "pnet_tf.perform_command", *arguments]
    from_start = [
        seconds_of(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(min(flags.rounds, 3))
    ]
    duration = len(performance.waveform) / voice.spec.sample_rate_hz
    return [
        Figure("duration of the performance", duration, "s"),
        Figure("performing, model loaded", statistics.median(loaded), "s"),
        Figure("performing, model loaded / duration", statistics.median(loaded) / duration, "x"),
        Figure("performing, with start-up", statistics.median(from_start), "s"),
        Figure("performing, with start-up / duration", statistics.median(from_start) / duration, "x"),
    ]


def write_labels(score: Score, spec: FeatureSpec, path: pathlib.Path) -> pathlib.Path:
    """Writes a score as a csv of MusicNet's columns; gives back `path`."""
    lines = ["start_time,end_time,instrument,note,start_beat,end_beat,note_value"]
    for note in score.notes:
        first, end = (int(time * spec.sample_rate_hz) for time in (note.start_sec, note.end_sec))
        lines.append(f"{first},{end},41,{note.pitch},0,0,Quarter")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def untrained_voice(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> pathlib.Path:
    """A SavedModel with first weights: it takes as long as a trained one."""
    spec, config = FeatureSpec(), ModelConfig(width=0.125 if flags.width is None else flags.width)
    voice = {"instrument": "violin", "pitch_frames": [1] * spec.n_pitches, "window_frames": bench_step.WINDOW_FRAMES}
    run = Run(scratch / "run", spec, config, training={}, voice=voice)
    run_folder.start_run(run, flag_text="")
    save_weights(run.best_weights, weights_of(unet.build_performance_net(spec, config)))
    return export.export_savedmodel(run.folder, scratch / "model")
