"""Pictures of an evaluation: notes over the spectrogram of one sound, and every value with its interval."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pnet_tf import panels
from pnet_tf.metrics_sound import HOP_SAMPLES, N_FFT, Sound
from pnet_tf.panels import BLUE, GREY, LIGHT, RED
from pnet_tf.picture import save_figure
from pnet_tf.roll import rolls_from_score
from pnet_tf.score import Score
from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 100
_MAX_PITCH_LABELS = 7
_CHARTS_PER_ROW = 5
_COLOURS = {"model": RED, "ceiling": GREY, "control": BLUE}


def draw_sound(path: pathlib.Path, sound: Sound, score: Score) -> None:
    """Writes the notes of a score above the spectrogram of a sound as one PNG.

    Args:
      path: the PNG; it appears whole or not at all.
      sound: what is drawn from end to end.
      score: its notes; those that begin after the end of the sound are not shown.
    """
    from matplotlib.figure import Figure

    grid = FeatureSpec(sample_rate_hz=sound.spec.sample_rate_hz, n_fft=N_FFT, hop_samples=HOP_SAMPLES)
    n_frames = grid.n_frames(len(sound.waveform))
    frames_sec = (0.0, n_frames / float(grid.frame_rate_hz))
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    notes, levels = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    panels.share_look([notes, levels])
    onsets = [(float(note.start_sec), note.pitch) for note in score.notes if note.start_sec < sound.seconds]
    sounding = rolls_from_score(score, grid, n_frames=n_frames).pianoroll > 0
    panels.draw_notes(
        notes, sounding, onsets, frames_sec=frames_sec, view_sec=(0.0, sound.seconds), max_labels=_MAX_PITCH_LABELS
    )
    edges = panels.frequency_edges(grid, lowest_pitch=min((pitch for _, pitch in onsets), default=None))
    power = np.concatenate([block**2 for block in sound.magnitudes(N_FFT, HOP_SAMPLES, centred=True)])
    loudest = max(float(power.max()), 1e-12)
    columns = panels.grouped(power).mean(axis=1)
    shown = panels.levels_db(columns, loudest=loudest, spec=grid, edges=edges)
    panels.draw_levels(levels, shown, edges=edges, frames_sec=frames_sec)
    levels.set_xlim(0, sound.seconds)
    levels.set_xlabel("seconds", fontsize=8)
    notes.set_ylabel("notes", fontsize=8)
    save_figure(figure, path, dots_per_inch=_DPI)


def draw_values(path: pathlib.Path, report: Mapping[str, Any]) -> None:
    """Writes every metric of every candidate with its interval as one PNG.

    Args:
      path: the PNG; it appears whole or not at all.
      report: from `evaluation_report.make_report`.
    """
    from matplotlib.figure import Figure

    metrics, candidates = report["metrics"], report["candidates"]
    n_rows = -(-len(metrics) // _CHARTS_PER_ROW)
    figure = Figure(figsize=(14, n_rows * (1.1 + 0.3 * len(candidates))), layout="constrained")
    charts = figure.subplots(n_rows, _CHARTS_PER_ROW, sharey=True, squeeze=False).ravel()
    for axes, metric in zip(charts, metrics):
        _draw_metric(axes, metric, candidates)
    for axes in charts[len(metrics) :]:
        axes.set_visible(False)
    charts[0].set_yticks(range(len(candidates)), [candidate["name"] for candidate in candidates], parse_math=False)
    charts[0].set_ylim(len(candidates) - 0.5, -0.5)
    save_figure(figure, path, dots_per_inch=_DPI)


def _draw_metric(axes: "Axes", metric: Mapping[str, str], candidates: list[Mapping[str, Any]]) -> None:
    for row, candidate in enumerate(candidates):
        figures, colour = candidate["values"][metric["name"]], _COLOURS[candidate["kind"]]
        if figures["low"] is not None:
            axes.plot([figures["low"], figures["high"]], [row, row], color=colour, lw=2, alpha=0.5)
        if figures["value"] is not None:
            axes.plot(figures["value"], row, "o", color=colour, ms=5)
    arrow = "←" if metric["better"] == "lower" else "→"
    axes.set_title(f"{metric['label']}  (nearer {arrow})", fontsize=9, loc="left")
    axes.grid(color=LIGHT, lw=0.6)
    axes.tick_params(labelsize=8, color=GREY)
    axes.spines[:].set_color(LIGHT)
