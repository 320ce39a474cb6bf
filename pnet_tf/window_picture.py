"""One window as TensorBoard shows it: roll, target, prediction and their difference over one time axis."""

import math
from typing import TYPE_CHECKING

import numpy as np

from pnet_tf import panels
from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_INCHES = (10.0, 8.4)
_DPI = 130
_MAX_PITCH_LABELS = 10
_DIFFERENCE_DB = 30.0
# A window in which nothing sounds is drawn against a level this far below a steady note, not against its own noise.
_QUIET_DB = -40.0


def _highest_log_power(spec: FeatureSpec) -> float:
    """Log power that no bin of a waveform within -1 to 1 exceeds: that of the sum of its Hann window."""
    return math.log1p((spec.target_gain * spec.n_fft / 2) ** 2)


def draw_window(
    *,
    pianoroll: np.ndarray,
    onset_offset: np.ndarray,
    target: np.ndarray,
    prediction: np.ndarray,
    spec: FeatureSpec,
    start_sec: float,
    title: str,
) -> np.ndarray:
    """A picture of what the network was given, what it should have said, what it said, and by how much it is off.

    0 dB is the target's loudest point in both spectrograms, so that pictures of one window at different steps compare.
    What a prediction says beyond the loudest that any waveform can be is drawn as that; where it is NaN it is grey, and
    the title says so.

    Args:
      pianoroll: float [frames, n_pitches], above 0 where a pitch sounds.
      onset_offset: float [frames, n_pitches], +1 at an onset, -1 at an offset.
      target: log power on the scale of `spec.target_scale`, float32 [frames, bins].
      prediction: the same of the network, float32 [frames, bins].
      spec: gives the frame grid, the frequencies and the target's gain.
      start_sec: where the window begins in its recording.
      title: the first line of the picture.

    Returns:
      uint8 [height, width, 3], 1300 pixels wide.
    """
    pianoroll, onset_offset = np.asarray(pianoroll), np.asarray(onset_offset)
    span_sec = (start_sec, start_sec + len(pianoroll) / float(spec.frame_rate_hz))
    pitches = np.flatnonzero((pianoroll > 0).any(axis=0))
    edges = panels.frequency_edges(spec, lowest_pitch=int(pitches[0]) if len(pitches) else None)
    target_levels, prediction_levels, label = _levels(np.asarray(target), np.asarray(prediction), spec, edges)
    figure, stack, (level_bar, difference_bar) = _figure()
    _draw_roll(stack[0], pianoroll, onset_offset, spec, span_sec)
    image = panels.draw_levels(stack[1], target_levels, edges=edges, frames_sec=span_sec)
    panels.draw_levels(stack[2], prediction_levels, edges=edges, frames_sec=span_sec)
    panels.draw_colour_bar(level_bar, image, label)
    _draw_difference(stack[3], difference_bar, prediction_levels - target_levels, edges, span_sec)
    stack[1].set_ylabel("target", fontsize=9)
    stack[2].set_ylabel("prediction", fontsize=9)
    stack[3].set_xlim(*span_sec)
    stack[3].set_xlabel("seconds", fontsize=9)
    figure.align_ylabels(stack)
    figure.suptitle(title + _what_is_missing(prediction), x=0.01, ha="left", fontsize=12, parse_math=False)
    return _pixels(figure)


def _levels(
    target: np.ndarray, prediction: np.ndarray, spec: FeatureSpec, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    """Target and prediction in dB, float [columns, rows] each, and what 0 dB is."""
    highest = _highest_log_power(spec)
    powers = [
        panels.power_from_log_power(panels.grouped(np.clip(values, 0, highest, dtype=np.float32)), spec)
        for values in (target, prediction)
    ]
    # A sine of the level that recordings are brought to.
    steady_note = (spec.level_rms * math.sqrt(2) * spec.n_fft / 4) ** 2
    quietest = steady_note * 10 ** (_QUIET_DB / 10)
    loudest, label = float(powers[0].max()), "dB below the target's loudest"
    if loudest < quietest:
        loudest, label = quietest, f"dB, 0 is {-_QUIET_DB:g} dB below a steady note"
    return *(panels.levels_db(power, loudest=loudest, spec=spec, edges=edges) for power in powers), label


def _figure() -> tuple["Figure", list["Axes"], tuple["Axes", "Axes"]]:
    """The figure, its four panels from the top, and the places of the two colour bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    grid = figure.add_gridspec(4, 2, height_ratios=(2.2, 3, 3, 3), width_ratios=(70, 1))
    top = figure.add_subplot(grid[0, 0])
    stack = [top, *(figure.add_subplot(grid[row, 0], sharex=top) for row in (1, 2, 3))]
    panels.share_look(stack)
    return figure, stack, (figure.add_subplot(grid[1:3, 1]), figure.add_subplot(grid[3, 1]))


def _draw_roll(
    axes: "Axes", pianoroll: np.ndarray, onset_offset: np.ndarray, spec: FeatureSpec, span_sec: tuple[float, float]
) -> None:
    frames, pitches = np.nonzero(onset_offset > 0)
    times = span_sec[0] + frames / float(spec.frame_rate_hz)
    onsets = list(zip(times.tolist(), pitches.tolist(), strict=True))
    panels.draw_notes(
        axes, pianoroll > 0, onsets, frames_sec=span_sec, view_sec=span_sec, max_labels=_MAX_PITCH_LABELS
    )


def _draw_difference(
    axes: "Axes", bar_axes: "Axes", difference_db: np.ndarray, edges: np.ndarray, span_sec: tuple[float, float]
) -> None:
    """Where the prediction is too loud (red) or too quiet (blue)."""
    image = panels.draw_levels(
        axes,
        difference_db,
        edges=edges,
        frames_sec=span_sec,
        colours="RdBu_r",
        limits_db=(-_DIFFERENCE_DB, _DIFFERENCE_DB),
    )
    axes.set_ylabel("prediction − target", fontsize=9)
    panels.draw_colour_bar(bar_axes, image, "dB, red too loud", extend="both")


def _what_is_missing(prediction: np.ndarray) -> str:
    n_missing = int(np.count_nonzero(np.isnan(prediction)))
    return f"  (NaN, grey, in {100 * n_missing / np.size(prediction):.2g} % of the prediction)" if n_missing else ""


def _pixels(figure: "Figure") -> np.ndarray:
    """Renders a figure without a file: uint8 [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with panels.missing_letters_are_boxes():
        canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3]
