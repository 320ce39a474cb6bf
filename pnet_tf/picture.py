"""Pictures: a performance as roll, spectrogram and waveform over one time axis, and the curves of a training run."""

import dataclasses
import io
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pnet_tf.errors import InputError
from pnet_tf.score_notes import Score
from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEFAULT_LENGTH_SEC = 30.0
_MAX_COLUMNS = 2400
_ROWS = 420
_SAMPLES_PER_ROW = 4
_TOP_HZ = 12000.0
_RANGE_DB = 80.0
_A4_HZ, _A4_PITCH = 440.0, 69
_DPI = 130
_MAX_PITCH_LABELS = 20
_MAX_BAR_LABELS = 24

_BLUE, _RED, _GREY, _LIGHT = "#2a6f97", "#c8553d", "#5c6670", "#d9dee3"
_CURVE_COLOURS = (_BLUE, _RED, "#4f9d69", "#8a6bbf", "#b08900")
_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_HZ_TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10000)


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

    Raises:
      InputError: nothing of the performance lies in that stretch, or the file's folder does not exist.
    """
    view = _view(roll, log_power, waveform, spec, offset_sec=offset_sec, length_sec=length_sec)
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
        axes.axhline(reference[1], color=_GREY, ls="--", lw=1.2, label=reference[0])
    axes.set_xlabel("optimiser steps")
    axes.set_ylabel(value_label)
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.grid(color=_LIGHT, lw=0.6)
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
    with warnings.catch_warnings():
        # A title may hold letters that the font lacks; a box in their place is no reason for a warning on the screen.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(picture, format="png", dpi=dots_per_inch)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(picture.getbuffer())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def pitch_name(pitch: int) -> str:
    """The name of a MIDI pitch: `A4` for 69, `C♯4` for 61."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


# --- the frame of the picture


def _view(
    roll: np.ndarray,
    log_power: np.ndarray,
    waveform: np.ndarray,
    spec: FeatureSpec,
    *,
    offset_sec: float,
    length_sec: float | None,
) -> _View:
    frames_sec = max(len(roll), len(log_power)) / float(spec.frame_rate_hz)
    total_sec = max(frames_sec, len(waveform) / spec.sample_rate_hz)
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
    panels = [top, *(figure.add_subplot(grid[row, 0], sharex=top) for row in (1, 2))]
    for axes in panels[:2]:
        axes.tick_params(labelbottom=False)
    for axes in panels:
        axes.tick_params(labelsize=8, color=_GREY)
        axes.spines[:].set_color(_LIGHT)
    return figure, panels, figure.add_subplot(grid[1, 1])


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


def _frame_slice(values: np.ndarray, spec: FeatureSpec, view: _View) -> tuple[np.ndarray, float, float]:
    """The frames in view, no more than the picture has columns for, and their first and last edge in seconds."""
    rate_hz = float(spec.frame_rate_hz)
    begin = int(view.start_sec * rate_hz)
    end = min(int(np.ceil(view.end_sec * rate_hz)) + 1, len(values))
    return values[begin:end], begin / rate_hz, max(end, begin + 1) / rate_hz


def _grouped(frames: np.ndarray) -> np.ndarray:
    """Splits [frames, features] into [columns, group, features]; the last group is filled up with its last frame."""
    size = max(1, -(-len(frames) // _MAX_COLUMNS))
    missing = -len(frames) % size
    if missing:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    return frames.reshape(-1, size, frames.shape[1])


def _draw_roll(axes: "Axes", roll: np.ndarray, score: Score, spec: FeatureSpec, view: _View) -> None:
    """Sounding pitches as bars, onsets as marks, and the names of the pitches that occur."""
    frames, begin_sec, end_sec = _frame_slice(roll, spec, view)
    onsets = [note for note in score.notes if view.start_sec <= note.start_sec < view.end_sec]
    sounding = np.flatnonzero((np.asarray(frames) > 0).any(axis=0)) if len(frames) else np.array([], int)
    used = sorted({int(pitch) for pitch in sounding} | {note.pitch for note in onsets}) or [60]
    low, high = used[0] - 1, used[-1] + 1
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_yticks(ticks := _spaced(used, (high - low + 1) / _MAX_PITCH_LABELS), [pitch_name(p) for p in ticks])
    axes.set_ylabel("notes (onsets red)", fontsize=9)
    axes.hlines(used, view.start_sec, view.end_sec, color=_LIGHT, lw=0.6, zorder=0)
    if len(frames):
        shown = _grouped(np.asarray(frames) > 0).any(axis=1)[:, max(low, 0) : high + 1]
        _draw_image(axes, shown.T, (begin_sec, end_sec, max(low, 0) - 0.5, max(low, 0) - 0.5 + shown.shape[1]))
    times, pitches = [float(note.start_sec) for note in onsets], np.array([note.pitch for note in onsets])
    axes.vlines(times, pitches - 0.45, pitches + 0.45, color=_RED, lw=1.6, zorder=3)


def _spaced(values: Sequence[int], gap: float) -> list[int]:
    """Those of ascending values that lie at least `gap` above the one kept before."""
    kept: list[int] = []
    for value in values:
        if not kept or value - kept[-1] >= gap:
            kept.append(value)
    return kept


def _draw_image(axes: "Axes", shown: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Draws bool [rows, columns] in one colour on a transparent ground."""
    from matplotlib.colors import ListedColormap

    image = np.ma.masked_equal(shown, 0)
    colour = ListedColormap([_BLUE])
    axes.imshow(image, cmap=colour, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=2)


def _draw_log_power(
    axes: "Axes", colour_axes: "Axes", log_power: np.ndarray, score: Score, spec: FeatureSpec, view: _View
) -> None:
    """Level in dB below the loudest point in view, over a logarithmic frequency axis."""
    frames, begin_sec, end_sec = _frame_slice(log_power, spec, view)
    top_hz = min(_TOP_HZ, spec.sample_rate_hz / 2)
    lowest_hz = _A4_HZ * 2 ** ((min((note.pitch for note in score.notes), default=0) - _A4_PITCH) / 12)
    # Half an octave below the lowest note, and never below the second bin: there is nothing to see.
    bottom_hz = min(max(2 * spec.sample_rate_hz / spec.n_fft, 0.7 * lowest_hz), top_hz / 4)
    edges = np.log2([bottom_hz, top_hz])
    levels_db = _levels_db(_grouped(np.asarray(frames, np.float32)), spec, edges) if len(frames) else np.zeros((1, 1))
    image = axes.imshow(
        levels_db.T,
        cmap="magma",
        vmin=-_RANGE_DB,
        vmax=0,
        extent=(begin_sec, end_sec, *edges),
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
    )
    ticks = [hz for hz in _HZ_TICKS if bottom_hz <= hz <= top_hz]
    axes.set_yticks(np.log2(ticks), [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in ticks])
    axes.set_ylabel("frequency", fontsize=9)
    bar = axes.figure.colorbar(image, cax=colour_axes)
    bar.set_label("dB below the loudest", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _levels_db(groups: np.ndarray, spec: FeatureSpec, edges: np.ndarray) -> np.ndarray:
    """Log power [columns, group, bins] to dB below its loudest point, float32 [columns, rows] over log frequency."""
    power = np.expm1(np.maximum(groups, 0)).mean(axis=1) / spec.target_gain**2  # [columns, bins]
    loudest = max(float(power.max()), 1e-12)
    levels_db = 10 * np.log10(np.maximum(power / loudest, 10 ** (-_RANGE_DB / 10)))
    # A high row spans several bins: the loudest of a few places in it, or single partials would be skipped over.
    n_places = _ROWS * _SAMPLES_PER_ROW
    bins = np.exp2(np.linspace(*edges, n_places)) * spec.n_fft / spec.sample_rate_hz
    below = np.minimum(bins.astype(int), levels_db.shape[1] - 2)
    share = (bins - below).astype(np.float32)
    places = levels_db[:, below] * (1 - share) + levels_db[:, below + 1] * share
    return places.reshape(len(places), _ROWS, _SAMPLES_PER_ROW).max(axis=2)


def _draw_waveform(axes: "Axes", waveform: np.ndarray, spec: FeatureSpec, view: _View) -> None:
    """The waveform, or its lowest and highest value in each column where it has more samples than that."""
    rate_hz = spec.sample_rate_hz
    begin = int(view.start_sec * rate_hz)
    samples = np.asarray(waveform[begin : int(np.ceil(view.end_sec * rate_hz))], np.float32)
    axes.set_ylabel("sound", fontsize=9)
    axes.axhline(0, color=_LIGHT, lw=0.6)
    if not len(samples):
        return
    groups = _grouped(samples[:, np.newaxis])[:, :, 0]  # [columns, samples of a column]
    times = (begin + np.arange(len(groups)) * groups.shape[1]) / rate_hz
    if groups.shape[1] == 1:
        axes.plot(times, groups[:, 0], color=_BLUE, lw=0.8)
    else:
        axes.fill_between(times, groups.min(axis=1), groups.max(axis=1), color=_BLUE, lw=0.4)
    peak = max(float(np.abs(samples).max()), 1e-3)
    axes.set_ylim(-1.08 * peak, 1.08 * peak)


def _draw_bars(panels: Sequence["Axes"], score: Score, view: _View) -> None:
    """Light lines at the bars, and their numbers above the first panel."""
    starts = [float(start) for start in score.bars_sec or ()]
    bars = [(number, at) for number, at in enumerate(starts, 1) if view.start_sec <= at < view.end_sec]
    for axes in panels:
        for _, at in bars:
            axes.axvline(at, color=_GREY, lw=0.6, alpha=0.45, zorder=1)
    labelled = bars[:: max(1, -(-len(bars) // _MAX_BAR_LABELS))]
    if not labelled:
        return
    above = panels[0].secondary_xaxis("top")
    above.set_xticks([at for _, at in labelled], [str(number) for number, _ in labelled])
    above.tick_params(labelsize=8, length=2, color=_GREY, labelcolor=_GREY)
    above.spines[:].set_visible(False)
    above.set_xlabel("bar", fontsize=8, color=_GREY, loc="left")
