"""Draws the model for the README: rolls in, ContourNet, TextureNet, spectrogram, Griffin-Lim, sound out.

The numbers come from the model's own plan. docs/figures/model.png was made by: python tools/draw_model.py
"""

import sys

import numpy as np
from absl import flags as absl_flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from pnet_tf import command, picture
from pnet_tf.spec import FeatureSpec

BLUE, GREEN, ORANGE, PURPLE = "#dbe8f1", "#e0efe3", "#fbe8d6", "#e9e2f3"
INK, GREY, PALE, CLAY = "#22303c", "#7d8790", "#f6f7f8", "#c07a2c"
ROWS = (6.55, 5.25, 3.95, 2.65, 1.25)
LEFT, MIDDLE, RIGHT, LAST = 1.95, 4.75, 7.55, 16.55
WIDTH, HEIGHT, SKIP_LANE, CONDITION_LANE = 1.7, 0.74, 0.2, -0.17


def define_flags(flags: absl_flags.FlagValues) -> None:
    """The flags of this script."""
    absl_flags.DEFINE_string("out", "docs/figures/model.png", "the picture to write", flag_values=flags)


def box(axes: Axes, x: float, y: float, text: str, fill: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> None:
    """A rounded box around a text, both centred on (x, y)."""
    look = dict(boxstyle="round,pad=0,rounding_size=0.1", fc=fill, ec=INK, lw=0.7, zorder=3)
    axes.add_patch(FancyBboxPatch((x - size[0] / 2, y - size[1] / 2), *size, **look))
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=INK, zorder=4)


def arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str = INK, line: str = "-") -> None:
    """An arrow from one point to another."""
    shape = dict(arrowstyle="-|>", mutation_scale=8, color=colour, lw=1, ls=line, shrinkA=0, shrinkB=0)
    axes.annotate("", end, begin, arrowprops=shape, zorder=2)


def note(axes: Axes, x: float, y: float, text: str, **options: object) -> None:
    """A small text in grey."""
    axes.text(x, y, text, **{"fontsize": 8, "color": GREY, "ha": "center", "va": "center", **options})


def draw_contour_net(axes: Axes, plan: object) -> None:
    """Encoder at the left, conditions in the middle, decoder at the right; rows are time resolutions."""
    axes.add_patch(Rectangle((0.05, 0.55), 8.65, 6.75, fc=PALE, ec="none"))
    note(axes, 0.2, 0.8, "ContourNet", ha="left", fontsize=10, color=INK)
    for level, (y, n_channels) in enumerate(zip(ROWS, plan.encoder, strict=True)):
        note(axes, 0.2, y, "T" if not level else f"T/{2**level}", ha="left")
        box(axes, MIDDLE if level == len(ROWS) - 1 else LEFT, y, str(n_channels), BLUE)
        if 0 < level < len(ROWS) - 1:
            arrow(axes, (LEFT, ROWS[level - 1] - HEIGHT / 2), (LEFT, y + HEIGHT / 2))
    arrow(axes, (LEFT, ROWS[-2] - HEIGHT / 2), (MIDDLE - WIDTH / 2, ROWS[-1]))
    above = ROWS[0] + HEIGHT / 2 + 0.55
    for level, n_channels in enumerate(plan.condition, 1):
        y = ROWS[level] + CONDITION_LANE
        arrow(axes, (MIDDLE, above), (MIDDLE, y + 0.19))
        above = y - 0.19
        box(axes, MIDDLE, y, str(n_channels), ORANGE, (1.2, 0.38))
    below = (MIDDLE + WIDTH / 2, ROWS[-1])
    for step, (n_channels, _, condition) in enumerate(plan.decoder):
        y = ROWS[-2 - step]
        box(axes, RIGHT, y, str(n_channels), GREEN)
        arrow(axes, below, (RIGHT, y - HEIGHT / 2))
        below = (RIGHT, y + HEIGHT / 2)
        arrow(axes, (LEFT + WIDTH / 2, y + SKIP_LANE), (RIGHT - WIDTH / 2, y + SKIP_LANE), GREY)
        if condition is not None:
            arrow(axes, (MIDDLE + 0.6, y + CONDITION_LANE), (RIGHT - WIDTH / 2, y + CONDITION_LANE), CLAY, "--")


def draw_texture_net(axes: Axes, bands: tuple[int, ...], n_channels: int) -> None:
    """The residual blocks, each with lines for its bands."""
    axes.add_patch(Rectangle((9.05, 5.05), 6.2, 2.25, fc=PALE, ec="none"))
    note(axes, 9.2, 5.3, f"TextureNet: multi-band residual, {n_channels} channels", ha="left", fontsize=9, color=INK)
    before = RIGHT + WIDTH / 2
    for index, n_bands in enumerate(bands):
        x = 9.95 + 1.48 * index
        axes.add_patch(Rectangle((x - 0.5, ROWS[0] - 0.42), 1, 0.84, fc=PURPLE, ec=INK, lw=0.7, zorder=3))
        heights = ROWS[0] - 0.42 + 0.84 * np.arange(1, n_bands) / n_bands
        axes.hlines(heights, x - 0.5, x + 0.5, color=INK, lw=0.5, zorder=4)
        note(axes, x, ROWS[0] - 0.64, f"{n_bands} bands", color=INK)
        arrow(axes, (before, ROWS[0]), (x - 0.5, ROWS[0]))
        before = x + 0.5
    arrow(axes, (before, ROWS[0]), (LAST - 0.95, ROWS[0]))


def draw_inputs(axes: Axes, n_pitches: int) -> None:
    """A few notes as pianoroll, and their onsets and offsets."""
    notes = ((0.1, 0.5, 0.2), (0.5, 0.75, 0.42), (0.75, 1.15, 0.62), (1.15, 1.6, 0.32))
    for x, title in ((LEFT, f"pianoroll\nT × {n_pitches}"), (MIDDLE, f"onsets and offsets\nT × {n_pitches}")):
        axes.add_patch(Rectangle((x - WIDTH / 2, 7.5), WIDTH, 0.85, fc="white", ec=GREY, lw=0.7))
        note(axes, x, 8.78, title, color=INK)
    for begin, end, height in notes:
        y = 7.5 + height
        axes.add_patch(Rectangle((LEFT - WIDTH / 2 + begin, y), end - begin - 0.02, 0.12, fc="#2a6f97"))
        for at, colour in ((begin, "#c8553d"), (end - 0.06, "#2a6f97")):
            axes.add_patch(Rectangle((MIDDLE - WIDTH / 2 + at, y), 0.05, 0.12, fc=colour))
    arrow(axes, (LEFT, 7.5), (LEFT, ROWS[0] + HEIGHT / 2))
    axes.vlines(MIDDLE, ROWS[0] + HEIGHT / 2 + 0.5, 7.5, color=INK, lw=1)


def draw_sound(axes: Axes, n_bins: int) -> None:
    """Spectrogram, Griffin-Lim and waveform."""
    edges = (LAST - 0.95, LAST + 0.95, ROWS[0] - 0.7, ROWS[0] + 0.7)
    heights, times = np.mgrid[0:1:90j, 0:1:120j]
    partials = np.where(times < 0.3, 0.09, np.where(times < 0.65, 0.12, 0.105))
    levels = np.cos(2 * np.pi * heights / partials).clip(0) ** 2 * np.exp(-2.2 * heights) * (1 - (times * 3.0 % 1) ** 8)
    axes.imshow(levels, extent=edges, origin="lower", aspect="auto", cmap="magma", zorder=3)
    note(axes, LAST, ROWS[0] + 1.12, f"log power\nT × {n_bins} bins", color=INK)
    arrow(axes, (LAST, ROWS[0] - 0.7), (LAST, ROWS[2] + 0.45))
    note(axes, LAST - 0.15, 4.72, "exact inverse: magnitude", ha="right")
    box(axes, LAST, ROWS[2], "Griffin-Lim", "#e8ebee", (2, 0.9))
    arrow(axes, (LAST, ROWS[2] - 0.45), (LAST, 2.5))
    seconds = np.linspace(0, 1, 900)
    envelope = np.abs(np.sin(np.pi * seconds * 3)) ** 0.4 * (0.6 + 0.4 * np.sin(7 * seconds))
    axes.plot(LAST - 0.95 + 1.9 * seconds, 1.95 + 0.5 * envelope * np.sin(700 * seconds), color="#2a6f97", lw=0.5)
    note(axes, LAST, 1.1, "sound", color=INK, fontsize=10)


def draw_key(axes: Axes, frame_ms: float) -> None:
    """What the arrows and colours mean."""
    meanings = ("down: half the frames; up: twice", "skip, equal times joined", "condition")
    for y, colour, line, text in zip((3.6, 3.1, 2.6), (INK, GREY, CLAY), ("-", "-", "--"), meanings, strict=True):
        arrow(axes, (9.4, y), (10.3, y), colour, line)
        note(axes, 10.55, y, text, ha="left", color=INK)
    note(axes, 9.4, 1.9, "numbers in boxes: channels at width 1", ha="left")
    note(axes, 9.4, 1.55, f"T: frames, one in {frame_ms:.1f} ms", ha="left")


def main(flags: absl_flags.FlagValues) -> None:
    """Draws and writes the picture."""
    from pnet_tf import unet  # here, so that --help does not wait for Keras

    spec = FeatureSpec()
    axes = (figure := Figure(figsize=(9, 4.6))).add_axes((0, 0, 1, 1))
    draw_contour_net(axes, unet.PAPER)
    draw_texture_net(axes, unet.ModelConfig().bands, unet.PAPER.decoder[-1][0])
    draw_inputs(axes, spec.n_pitches)
    draw_sound(axes, spec.n_bins)
    draw_key(axes, 1000 / float(spec.frame_rate_hz))
    axes.set(xlim=(0, 18), ylim=(0.4, 9.2))
    axes.axis("off")
    picture.save_figure(figure, flags.out, dots_per_inch=200)


if __name__ == "__main__":
    sys.exit(command.run(define_flags, main))
