"""What `bench` measures of long scores: memory and time beside those of a short one, and the joins inside."""

import dataclasses
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from pnet_tf import bench_made_up, bench_stages, render, savedmodel, stft, windows
from pnet_tf.bench_timing import Figure, seconds_of
from pnet_tf.inversion import BLOCK_FRAMES
from pnet_tf.score import Note, Score, read_score
from pnet_tf.spec import FeatureSpec
from pnet_tf.voice import Voice

_SHORT_MINUTES = 5
_STEP_FRAMES = 9  # about 50 ms
_NEAR_FRAMES = 5


def measure_length(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """The command on a long score and on five minutes of it, each in a process of its own."""
    model = pathlib.Path(flags.model) if flags.model else bench_stages.untrained_voice(flags, scratch)
    spec = FeatureSpec.read(model / "assets")
    score = read_score(flags.score) if flags.score else bench_made_up.made_up_score(60)
    figures = []
    for minutes in (_SHORT_MINUTES, flags.minutes):
        path = bench_stages.write_labels(_repeated(score, minutes * 60), spec, scratch / f"{minutes:g}.csv")
        out = scratch / f"{minutes:g}.wav"
        command = [sys.executable, "-m", "pnet_tf.perform_command", f"--model={model}", f"--score={path}", f"--out={out}"]
        taken, memory_mb = _run(command)
        out.unlink()
        figures += [
            Figure(f"{minutes:g} minutes: time, with start-up / duration", taken / (minutes * 60), "x"),
            Figure(f"{minutes:g} minutes: peak memory", memory_mb, "MB"),
        ]
    return [*figures, Figure(f"peak memory / that of {_SHORT_MINUTES} minutes", figures[3].value / figures[1].value, "x")]


def _repeated(score: Score, seconds: float) -> Score:
    """A score again and again until it lasts so long."""
    n_times = max(math.ceil(seconds / float(score.end_sec)), 1)
    notes = [
        Note(note.start_sec + k * score.end_sec, note.end_sec + k * score.end_sec, note.pitch)
        for k in range(n_times)
        for note in score.notes
    ]
    return dataclasses.replace(score, notes=tuple(note for note in notes if note.end_sec <= seconds), bars_sec=None)


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds that a command takes, and megabytes that it holds at most."""
    usage = None

    def work() -> None:
        """Runs it."""
        nonlocal usage
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)

    seconds = seconds_of(work)
    return seconds, usage.ru_maxrss / 1024


# --- joins


def measure_joins(flags: absl_flags.FlagValues, scratch: pathlib.Path) -> list[Figure]:
    """Level steps and spectral flux where windows and blocks meet, beside all other places of the same performance."""
    model = pathlib.Path(flags.model) if flags.model else bench_stages.untrained_voice(flags, scratch)
    voice = savedmodel.open_voice(model)
    score = read_score(flags.score) if flags.score else bench_made_up.made_up_score(180)
    piece = render.Piece(score, voice)
    starts, length = piece.windows()
    steps, apart = _window_steps_db(piece, starts, length)
    performance = render.performance_of(list(piece.blocks(render.Settings(flags.iterations))))
    flux = _flux(performance.waveform, voice)
    joins = (starts[1:] + starts[:-1] + length) / 2
    borders = np.arange(BLOCK_FRAMES, len(flux), BLOCK_FRAMES)
    figures = [
        Figure("windows", len(starts), ""),
        Figure("level apart of two windows where they share most, median", float(np.median(apart)), "dB"),
        Figure("level step over 50 ms that a join of windows makes, median", float(np.median(steps)), "dB"),
        Figure("level step over 50 ms that a join of windows makes, 95th percentile", float(np.percentile(steps, 95)), "dB"),
    ]
    for name, places in (("joins of windows", joins), ("borders of blocks", borders)):
        near = np.abs(np.arange(len(flux))[:, None] - places.astype(float)).min(axis=1, initial=np.inf) <= _NEAR_FRAMES
        ratio = np.percentile(flux[near], 95) / np.percentile(flux[~near], 95)
        figures.append(Figure(f"spectral flux at {name} / elsewhere, 95th percentiles", float(ratio), "x"))
    return figures


def _window_steps_db(piece: render.Piece, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame of each join, how much level changes in 50 ms by the windows' shares alone; and how far they are apart."""
    steps, apart, before = [], [], None
    for index, drawn in enumerate(piece.drawn_windows(starts, length)):
        if before is not None:
            overlap = int(starts[index - 1] + length - starts[index])
            old, new = before[length - overlap :], drawn[:overlap]
            share = windows.window_shares(starts, index, length)[:overlap]
            at = np.arange(_STEP_FRAMES // 2, overlap - _STEP_FRAMES // 2)
            levels = [
                _level_db(old[at] + share[at + shift][:, None] * (new[at] - old[at]))
                for shift in (-(_STEP_FRAMES // 2), _STEP_FRAMES // 2)
            ]
            steps.append(np.abs(levels[1] - levels[0]))
            middle = slice(overlap // 2 - 16, overlap // 2 + 16)
            apart.append(np.abs(_level_db(new[middle]) - _level_db(old[middle])).mean())
        before = drawn
    return np.concatenate(steps), np.array(apart)


def _level_db(log_power: np.ndarray) -> np.ndarray:
    """Level of each frame, float32 [frames, bins] -> float64 [frames]."""
    return 10 * np.log10(np.expm1(np.maximum(log_power.astype(np.float64), 0)).sum(axis=1) + 1e-9)


def _flux(waveform: np.ndarray, voice: Voice) -> np.ndarray:
    """Change of the spectrum from frame to frame, as a share of its size: float32 [frames - 1]."""
    spectra = tf.abs(stft.stft(tf.constant(waveform[None]), voice.spec)).numpy()[0]
    sizes = np.linalg.norm(spectra, axis=1)
    return np.linalg.norm(np.diff(spectra, axis=0), axis=1) / (sizes[1:] + sizes[:-1] + 1e-3)
