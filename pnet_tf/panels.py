"""What pictures are made of: a panel of notes, a panel of levels over log frequency, and their look."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pnet_tf.spec import FeatureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar

RANGE_DB = 80.0
BLUE, RED, GREY, LIGHT = "#2a6f97", "#c8553d", "#5c6670", "#d9dee3"

_MAX_COLUMNS = 2400
_ROWS = 420
_SAMPLES_PER_ROW = 4
_TOP_HZ = 12000.0
_A4_HZ, _A4_PITCH = 440.0, 69
_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_HZ_TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10000)


def pitch_name(pitch: int) -> str:
    """The name of a MIDI pitch: `A4` for 69, `C♯4` for 61."""
    return f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"


def name_pitches(counts: Mapping[int, int]) -> str:
    """MIDI pitches with how many notes lie on each: `F3 (2 notes), G3 (1 note)`."""
    return ", ".join(f"{pitch_name(pitch)} ({n} {'note' if n == 1 else 'notes'})" for pitch, n in counts.items())


@contextlib.contextmanager
def missing_letters_are_boxes() -> Iterator[None]:
    """A title may hold letters that the font lacks; a box in their place is no reason for a warning on the screen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def share_look(panels: Sequence["Axes"]) -> None:
    """Light frames, and labels at the seconds of the lowest panel alone."""
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    for axes in panels:
        axes.tick_params(labelsize=8, color=GREY)
        axes.spines[:].set_color(LIGHT)


def grouped(frames: np.ndarray) -> np.ndarray:
    """Frames gathered into no more columns than a picture has.

    Args:
      frames: any type [frames, features].

    Returns:
      The same type [columns, group, features]; the last group is filled up with its last frame.
    """
    size = max(1, -(-len(frames) // _MAX_COLUMNS))
    missing = -len(frames) % size
    if missing:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    return frames.reshape(-1, size, frames.shape[1])


# --- notes


def draw_notes(
    axes: "Axes",
    sounding: np.ndarray,
    onsets: Sequence[tuple[float, int]],
    *,
    frames_sec: tuple[float, float],
    view_sec: tuple[float, float],
    max_labels: int,
) -> None:
    """Sounding pitches as bars, onsets as marks, and the names of the pitches that occur.

    Args:
      axes: where.
      sounding: bool [frames, pitches].
      onsets: seconds and MIDI pitch of each.
      frames_sec: first and last edge of the frames.
      view_sec: first and last edge of the panel.
      max_labels: names that there is room for.
    """
    heard = np.flatnonzero(sounding.any(axis=0)) if len(sounding) else np.array([], int)
    used = sorted({int(pitch) for pitch in heard} | {pitch for _, pitch in onsets})
    axes.set_ylabel("notes (onsets red)", fontsize=9)
    if not used:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no notes", color=GREY, fontsize=9, ha="center", va="center", transform=axes.transAxes)
        return
    low, high = used[0] - 1, used[-1] + 1
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_yticks(ticks := _spaced(used, (high - low + 1) / max_labels), [pitch_name(p) for p in ticks])
    axes.hlines(used, *view_sec, color=LIGHT, lw=0.6, zorder=0)
    if len(sounding):
        shown = grouped(sounding).any(axis=1)[:, max(low, 0) : high + 1]
        bottom = max(low, 0) - 0.5
        _draw_cells(axes, shown.T, (*frames_sec, bottom, bottom + shown.shape[1]))
    times, pitches = [time for time, _ in onsets], np.array([pitch for _, pitch in onsets])
    axes.vlines(times, pitches - 0.45, pitches + 0.45, color=RED, lw=1.6, zorder=3)


def _spaced(values: Sequence[int], gap: float) -> list[int]:
    """Those of ascending values that lie at least `gap` above the one kept before."""
    kept: list[int] = []
    for value in values:
        if not kept or value - kept[-1] >= gap:
            kept.append(value)
    return kept


def _draw_cells(axes: "Axes", shown: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """Draws bool [rows, columns] in one colour on a transparent ground."""
    from matplotlib.colors import ListedColormap

    image = np.ma.masked_equal(shown, 0)
    colour = ListedColormap([BLUE])
    axes.imshow(image, cmap=colour, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=2)


# --- levels over log frequency


def frequency_edges(spec: FeatureSpec, *, lowest_pitch: int | None) -> np.ndarray:
    """The stretch of frequencies to draw, as float64 [2] in octaves above 1 Hz.

    Half an octave below the lowest note, and never below the second bin: there is nothing to see.

    Args:
      spec: gives the distance of the bins.
      lowest_pitch: MIDI pitch of the lowest note; None when there is no note.
    """
    top_hz = min(_TOP_HZ, spec.sample_rate_hz / 2)
    lowest_hz = 0.0 if lowest_pitch is None else _A4_HZ * 2 ** ((lowest_pitch - _A4_PITCH) / 12)
    return np.log2([min(max(2 * spec.sample_rate_hz / spec.n_fft, 0.7 * lowest_hz), top_hz / 4), top_hz])


def power_from_log_power(groups: np.ndarray, spec: FeatureSpec) -> np.ndarray:
    """The exact inverse of the target's scale, `expm1(max(log_power, 0)) / target_gain ** 2`, averaged over each group.

    Args:
      groups: float [columns, group, bins]; NaN stays NaN.
      spec: gives the gain.

    Returns:
      Power of the transform, float [columns, bins].
    """
    return np.expm1(np.maximum(groups, 0)).mean(axis=1) / spec.target_gain**2


def levels_db(power: np.ndarray, *, loudest: float, spec: FeatureSpec, edges: np.ndarray) -> np.ndarray:
    """Power in dB against the loudest, over log frequency; never below `-RANGE_DB`.

    Args:
      power: float [columns, bins]; NaN stays NaN.
      loudest: the power that counts as 0 dB.
      spec: gives the distance of the bins.
      edges: from `frequency_edges`.

    Returns:
      Float [columns, rows], lowest frequency first.
    """
    bin_levels = 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE_DB / 10)))
    # A high row spans several bins: the loudest of a few places in it, or single partials would be skipped over.
    n_places = _ROWS * _SAMPLES_PER_ROW
    bins = np.exp2(np.linspace(*edges, n_places)) * spec.n_fft / spec.sample_rate_hz
    below = np.minimum(bins.astype(int), bin_levels.shape[1] - 2)
    share = (bins - below).astype(np.float32)
    places = bin_levels[:, below] * (1 - share) + bin_levels[:, below + 1] * share
    return places.reshape(len(places), _ROWS, _SAMPLES_PER_ROW).max(axis=2)


def draw_levels(
    axes: "Axes",
    levels: np.ndarray,
    *,
    edges: np.ndarray,
    frames_sec: tuple[float, float],
    colours: str = "magma",
    limits_db: tuple[float, float] = (-RANGE_DB, 0.0),
) -> "ScalarMappable":
    """Draws levels, with ticks at round frequencies; what is no number is grey.

    Args:
      axes: where.
      levels: float [columns, rows] in dB, lowest frequency first.
      edges: of the rows, from `frequency_edges`.
      frames_sec: first and last edge of the columns.
      colours: name of a colour map.
      limits_db: levels of its first and last colour.

    Returns:
      The image, for `draw_colour_bar`.
    """
    import matplotlib

    image = axes.imshow(
        np.ma.masked_invalid(levels.T),
        cmap=matplotlib.colormaps[colours].with_extremes(bad=GREY),
        vmin=limits_db[0],
        vmax=limits_db[1],
        extent=(*frames_sec, *edges),
        origin="lower",
        aspect="auto",
        interpolation="antialiased",
    )
    ticks = [hz for hz in _HZ_TICKS if edges[0] <= np.log2(hz) <= edges[1]]
    axes.set_yticks(np.log2(ticks), [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in ticks])
    return image


def draw_colour_bar(axes: "Axes", image: "ScalarMappable", label: str, *, extend: str = "neither") -> "Colorbar":
    """The scale of a panel of levels.

    Args:
      axes: where.
      image: from `draw_levels`.
      label: what the levels are.
      extend: which ends get an arrow, as Matplotlib names them.
    """
    bar = axes.figure.colorbar(image, cax=axes, extend=extend)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return bar
