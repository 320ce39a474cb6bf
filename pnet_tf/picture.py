"""Pictures: a performance as roll, spectrogram and waveform over one time axis, and the curves of a training run."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pnet_tf import panels
from pnet_tf.errors import InputError
from pnet_tf.panels import BLUE, GREY, LIGHT, RED
from pnet_tf.score_notes import Score
from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEFAULT_LENGTH_SEC = 30.0
_DPI = 130
_MAX_PITCH_LABELS = 20
_MAX_BAR_LABELS = 24
_CURVE_COLOURS = (BLUE, RED, "#4f9d69", "#8a6bbf", "#b08900")


@dataclasses.dataclass(frozen=True)
class _View:
    """The stretch of time that is drawn, in seconds."""

    start_sec: float
    end_sec: float
    total_sec: float

    @property
    def is_all(self) -> bool:
        """Whether nothing of the performance is left out."""
        return self.start_sec <= 0 and self.end_sec >= self.total_sec - 0.05


def draw_performance(
    path: str | os.PathLike[str],
    *,
    score: Score,
    roll: np.ndarray,
    log_power: np.ndarray,
    waveform: np.ndarray,
    spec: FeatureSpec,
    title: str,
    offset_sec: float = 0.0,
    length_sec: float | None = None,
    total_sec: float | None = None,
) -> None:
    """Writes a performance as one PNG: pianoroll, spectrogram and waveform that share the time axis.

    Only the stretch that is drawn is read from the arrays, so that they may be long, or memory maps.

    Args:
      path: the PNG to write; it appears whole or not at all.
      score: the notes as played (after transposition and tempo); onsets and bar lines come from it.
      roll: any number type [frames, pitches], above 0 where a pitch sounds.
      log_power: float [frames, bins], on the scale of `spec.target_scale`.
      waveform: float [samples] at the spec's rate.
      spec: gives the frame grid, the frequencies and the target's gain.
      title: the first line of the picture.
      offset_sec: where the picture begins, in seconds.
      length_sec: how many seconds it shows; None for all, at most the first 30, which the title then says.
      total_sec: how long the performance is where the arrays hold its beginning alone; None for as long as they are.

    Raises:
      InputError: nothing of the performance lies in that stretch, or the file's folder does not exist.
    """
    if total_sec is None:
        total_sec = max(max(len(roll), len(log_power)) / float(spec.frame_rate_hz), len(waveform) / spec.sample_rate_hz)
    view = _view(total_sec, offset_sec=offset_sec, length_sec=length_sec)
    figure, (roll_axes, power_axes, wave_axes), colour_axes = _figure()
    _draw_roll(roll_axes, roll, score, spec, view)
    _draw_log_power(power_axes, colour_axes, log_power, score, spec, view)
    _draw_waveform(wave_axes, waveform, spec, view)
    _draw_bars((roll_axes, power_axes, wave_axes), score, view)
    wave_axes.set_xlim(view.start_sec, view.end_sec)
    wave_axes.set_xlabel("seconds", fontsize=9)
    figure.align_ylabels([roll_axes, power_axes, wave_axes])
    _write_title(figure, title, view)
    save_figure(figure, path)


def draw_curve(
    path: str | os.PathLike[str],
    steps: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    title: str = "",
    value_label: str = "loss",
    reference: tuple[str, float] | None = None,
) -> None:
    """Writes training curves as one PNG.

    Args:
      path: the PNG to write; it appears whole or not at all.
      steps: optimiser steps, int [points], ascending.
      curves: for each name, float [points]; NaN where nothing was measured at that step.
      title: the line above.
      value_label: what the vertical axis counts.
      reference: a name and a value for a dashed line, such as the loss of a simpler predictor.

    Raises:
      InputError: a curve has another number of points than `steps`, or the file's folder does not exist.
    """
    from matplotlib.figure import Figure

    steps = np.asarray(steps)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for index, (name, values) in enumerate(curves.items()):
        values = np.asarray(values, np.float64)
        if values.shape != steps.shape:
            raise InputError(f"{path}: the curve {name!r} has {values.size} points, expected {steps.size}")
        measured = np.isfinite(values)
        colour = _CURVE_COLOURS[index % len(_CURVE_COLOURS)]
        marker = "o" if np.count_nonzero(measured) <= 60 else None
        axes.plot(steps[measured], values[measured], color=colour, lw=1.6, marker=marker, ms=3.5, label=name)
    if reference is not None:
        axes.axhline(reference[1], color=GREY, ls="--", lw=1.2, label=reference[0])
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(value_label)
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.grid(color=LIGHT, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    save_figure(figure, path)


def save_figure(figure: "Figure", path: str | os.PathLike[str], *, dots_per_inch: int = _DPI) -> None:
    """Renders a figure first, then writes it beside the target and renames: no reader ever sees half a picture.

    Args:
      figure: what to render.
      path: the PNG to write.
      dots_per_inch: pixels to an inch of the figure's size.

    Raises:
      InputError: the file's folder does not exist.
    """
    path = pathlib.Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    picture = io.BytesIO()
    with panels.missing_letters_are_boxes():
        figure.savefig(picture, format="png", dpi=dots_per_inch)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(picture.getbuffer())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


# --- the frame of the picture


def _view(total_sec: float, *, offset_sec: float, length_sec: float | None) -> _View:
    wanted_sec = _DEFAULT_LENGTH_SEC if length_sec is None else length_sec
    end_sec = min(offset_sec + wanted_sec, total_sec)
    if not 0 <= offset_sec < end_sec:
        raise InputError(
            f"nothing to draw from {offset_sec:g} s on for {wanted_sec:g} s: the performance lasts {total_sec:.1f} s"
        )
    return _View(offset_sec, end_sec, total_sec)


def _figure() -> tuple["Figure", Sequence["Axes"], "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.4), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(2.2, 3, 1.1), width_ratios=(70, 1))
    top = figure.add_subplot(grid[0, 0])
    stack = [top, *(figure.add_subplot(grid[row, 0], sharex=top) for row in (1, 2))]
    panels.share_look(stack)
    return figure, stack, figure.add_subplot(grid[1, 1])


def _write_title(figure: "Figure", title: str, view: _View) -> None:
    if not view.is_all:
        total, length_sec = _clock(view.total_sec), view.end_sec - view.start_sec
        if view.start_sec <= 0:
            title += f"  (first {length_sec:.3g} s of {total})"
        else:
            title += f"  ({_clock(view.start_sec)} to {_clock(view.end_sec)} of {total})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


# --- the three panels


def _frame_slice(values: np.ndarray, spec: FeatureSpec, view: _View) -> tuple[np.ndarray, tuple[float, float]]:
    """The frames in view, no more than the picture has columns for, and their first and last edge in seconds."""
    rate_hz = float(spec.frame_rate_hz)
    begin = int(view.start_sec * rate_hz)
    end = min(int(np.ceil(view.end_sec * rate_hz)) + 1, len(values))
    return values[begin:end], (begin / rate_hz, max(end, begin + 1) / rate_hz)


def _draw_roll(axes: "Axes", roll: np.ndarray, score: Score, spec: FeatureSpec, view: _View) -> None:
    """Sounding pitches, and the onsets of the score."""
    frames, frames_sec = _frame_slice(roll, spec, view)
    panels.draw_notes(
        axes,
        np.asarray(frames) > 0,
        [(float(note.start_sec), note.pitch) for note in score.notes if view.start_sec <= note.start_sec < view.end_sec],
        frames_sec=frames_sec,
        view_sec=(view.start_sec, view.end_sec),
        max_labels=_MAX_PITCH_LABELS,
    )


def _draw_log_power(
    axes: "Axes", colour_axes: "Axes", log_power: np.ndarray, score: Score, spec: FeatureSpec, view: _View
) -> None:
    """Level in dB below the loudest point in view, over a logarithmic frequency axis."""
    frames, frames_sec = _frame_slice(log_power, spec, view)
    edges = panels.frequency_edges(spec, lowest_pitch=min((note.pitch for note in score.notes), default=None))
    levels = np.zeros((1, 1))
    if len(frames):
        power = panels.power_from_log_power(panels.grouped(np.asarray(frames, np.float32)), spec)
        levels = panels.levels_db(power, loudest=max(float(power.max()), 1e-12), spec=spec, edges=edges)
    image = panels.draw_levels(axes, levels, edges=edges, frames_sec=frames_sec)
    axes.set_ylabel("frequency", fontsize=9)
    panels.draw_colour_bar(colour_axes, image, "dB below the loudest")


def _draw_waveform(axes: "Axes", waveform: np.ndarray, spec: FeatureSpec, view: _View) -> None:
    """The waveform, or its lowest and highest value in each column where it has more samples than that."""
    rate_hz = spec.sample_rate_hz
    begin = int(view.start_sec * rate_hz)
    samples = np.asarray(waveform[begin : int(np.ceil(view.end_sec * rate_hz))], np.float32)
    axes.set_ylabel("sound", fontsize=9)
    axes.axhline(0, color=LIGHT, lw=0.6)
    if not len(samples):
        return
    groups = panels.grouped(samples[:, np.newaxis])[:, :, 0]  # [columns, samples of a column]
    times = (begin + np.arange(len(groups)) * groups.shape[1]) / rate_hz
    if groups.shape[1] == 1:
        axes.plot(times, groups[:, 0], color=BLUE, lw=0.8)
    else:
        axes.fill_between(times, groups.min(axis=1), groups.max(axis=1), color=BLUE, lw=0.4)
    peak = max(float(np.abs(samples).max()), 1e-3)
    axes.set_ylim(-1.08 * peak, 1.08 * peak)


def _draw_bars(stack: Sequence["Axes"], score: Score, view: _View) -> None:
    """Light lines at the bars, and their numbers above the first panel."""
    starts = [float(start) for start in score.bars_sec or ()]
    bars = [(number, at) for number, at in enumerate(starts, 1) if view.start_sec <= at < view.end_sec]
    for axes in stack:
        for _, at in bars:
            axes.axvline(at, color=GREY, lw=0.6, alpha=0.45, zorder=1)
    labelled = bars[:: max(1, -(-len(bars) // _MAX_BAR_LABELS))]
    if not labelled:
        return
    above = stack[0].secondary_xaxis("top")
    above.set_xticks([at for _, at in labelled], [str(number) for number, _ in labelled])
    above.tick_params(labelsize=8, length=2, color=GREY, labelcolor=GREY)
    above.spines[:].set_visible(False)
    above.set_xlabel("bar", fontsize=8, color=GREY, loc="left")
