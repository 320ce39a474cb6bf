"""Draws the pictures of docs/how_it_works.md from a bundled score and a shipped voice.

The pictures in docs/figures were made by: python tools/draw_features.py
"""

import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags as absl_flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pnet_tf import command, panels, picture
from pnet_tf.score import Score, read_score
from pnet_tf.spec import FeatureSpec

INK, GREY, BLUE, RED, CLAY = "#22303c", "#7d8790", "#2a6f97", "#c8553d", "#c07a2c"
EXCERPT_SEC, SHOWN_SEC = 12, 6
GAINS = (1.0, 100.0)
LOUD_LUFS = -9.0


def define_flags(flags: absl_flags.FlagValues) -> None:
    """The flags of this script."""
    score = "examples/greensleeves_violin.musicxml"
    absl_flags.DEFINE_string("out", "docs/figures", "folder for the pictures", flag_values=flags)
    absl_flags.DEFINE_string("voice", "violin", "the shipped voice that plays", flag_values=flags)
    absl_flags.DEFINE_string("score", score, "the score; its beginning is drawn", flag_values=flags)


@dataclasses.dataclass(frozen=True)
class Played:
    """The beginning of a score on a voice, in all stages.

    Attributes:
      voice: its name.
      score: its notes.
      spec: of the voice.
      starts: first frames of the windows, int64 [windows].
      windows: what the network drew in each, float32 [windows, length, bins].
      joined: those as one, float32 [frames, bins].
      log_power: that behind the gate, float32 [frames, bins].
      waveform: its sound, float32 [samples].
      floor, ceiling: levels of the voice's recordings, [bins].
    """

    voice: str
    score: Score
    spec: FeatureSpec
    starts: np.ndarray
    windows: np.ndarray
    joined: np.ndarray
    log_power: np.ndarray
    waveform: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray

    def seconds(self, n_frames: int) -> np.ndarray:
        """Times of the first frames, float64 [n_frames]."""
        return np.arange(n_frames) / float(self.spec.frame_rate_hz)


def play(score: Score, voice_name: str) -> Played:
    """Performs the first seconds of a score, and keeps what lies between."""
    from pnet_tf import render, savedmodel, voice_folder

    notes = tuple(note for note in score.notes if note.end_sec <= EXCERPT_SEC)
    score = dataclasses.replace(score, notes=notes)
    voice = savedmodel.open_voice(voice_folder.find_voice(voice_name))
    piece = render.Piece(score, voice)
    starts, length = piece.windows()
    windows = np.stack(list(piece.drawn_windows(starts, length)))
    done = render.perform(score, voice)
    joined = np.concatenate(list(piece.log_power()))
    levels = {"floor": np.array(voice.noise_floor), "ceiling": np.array(voice.ceiling)}
    return Played(voice_name, score, voice.spec, starts, windows, joined, done.log_power, done.waveform, **levels)


# --- one picture each


def axes_of(rows: int, columns: int = 1, *, size: tuple[float, float], **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure and its panels, [rows, columns]."""
    figure = Figure(figsize=size, layout="constrained")
    panes = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in panes.flat:
        axes.tick_params(labelsize=8, color=GREY)
        axes.spines[:].set_color("#d5dade")
    return figure, panes


def title(axes: Axes, text: str) -> None:
    """A small title at the left."""
    axes.set_title(text, loc="left", fontsize=9, color=INK)


def levels(axes: Axes, log_power: np.ndarray, spec: FeatureSpec, *, loudest: float, lowest: int) -> Any:
    """Draws log power, [frames, bins], in dB below `loudest`; returns the image."""
    edges = panels.frequency_edges(spec, lowest_pitch=lowest)
    power = panels.power_from_log_power(log_power[:, None], spec)
    shown = panels.levels_db(power, loudest=loudest, spec=spec, edges=edges)
    return panels.draw_levels(axes, shown, edges=edges, frames_sec=(0, len(log_power) / float(spec.frame_rate_hz)))


def loudest_of(log_power: np.ndarray, spec: FeatureSpec) -> float:
    """The largest power of a spectrogram, [frames, bins]."""
    return float(panels.power_from_log_power(log_power[:, None], spec).max())


def draw_rolls(played: Played) -> Figure:
    """Notes, their two rolls, and the sound that they became."""
    from pnet_tf import roll

    spec, score = played.spec, played.score
    n_frames = round(SHOWN_SEC * float(spec.frame_rate_hz))
    rolls = roll.rolls_from_score(score, spec, n_frames=n_frames)
    pitches = [note.pitch for note in score.notes]
    low, high = min(pitches) - 1, max(pitches) + 2
    figure, ((top,), (middle,), (bottom,)) = axes_of(3, size=(8, 6), sharex=True)
    extent = (0, SHOWN_SEC, low - 0.5, high - 0.5)
    options = dict(extent=extent, origin="lower", aspect="auto", interpolation="nearest", vmin=-1, vmax=1, cmap="RdBu_r")
    top.imshow(-0.8 * rolls.pianoroll[:, low:high].T, **options)
    title(top, "pianoroll: 1 while a note sounds")
    # A frame is narrower than a pixel: each mark is drawn over five.
    marks = rolls.onset_offset[:, low:high].astype(int)
    wide = sum(np.roll(marks, k, axis=0) for k in range(5)).clip(-1, 1)
    middle.imshow(0.8 * wide.T, **options)
    title(middle, "onset/offset roll: red +1 on a note's first frame, blue -1 on the first frame after it (drawn 5 frames wide)")
    for axes in (top, middle):
        ticks = sorted(set(pitches))
        axes.set_yticks(ticks, [panels.pitch_name(pitch) for pitch in ticks], fontsize=7)
    drawn = played.log_power[:n_frames]
    levels(bottom, drawn, spec, loudest=loudest_of(drawn, spec), lowest=min(pitches))
    title(bottom, f"log power: what the {played.voice} draws for it (80 dB from black to white)")
    bottom.set_xlabel("seconds", fontsize=9)
    return figure


def draw_knee(played: Played) -> Figure:
    """The same sound as the loss sees it with either gain."""
    from pnet_tf import stft

    spec = played.spec
    waveform = played.waveform[: SHOWN_SEC * spec.sample_rate_hz]
    waveform = waveform * spec.level_rms / np.sqrt(np.mean(waveform**2))
    magnitude = np.abs(stft.stft(waveform[None], spec).numpy()[0])
    figure, ((curve, *images),) = axes_of(1, 3, size=(9, 3.4), width_ratios=(1, 1.1, 1.1))
    decibels = np.linspace(-80, 40, 400)
    for gain, colour in zip(GAINS, (CLAY, BLUE), strict=True):
        curve.plot(decibels, np.log1p((gain * 10 ** (decibels / 20)) ** 2), color=colour, lw=1.5, label=f"gain {gain:g}")
        curve.axvline(-20 * np.log10(gain), color=colour, lw=0.8, ls=":")
    curve.set_xlabel("magnitude |STFT|, dB", fontsize=9)
    curve.legend(fontsize=8, frameon=False)
    title(curve, "log1p((gain · |STFT|)²)")
    for axes, gain in zip(images, GAINS, strict=True):
        target = np.log1p((gain * magnitude) ** 2)
        half = target[:, : spec.n_bins // 2]
        extent = (0, SHOWN_SEC, 0, spec.sample_rate_hz / 4000)
        axes.imshow(half.T, extent=extent, origin="lower", aspect="auto", cmap="magma", interpolation="antialiased")
        title(axes, f"gain {gain:g}: {np.mean(half < 0.1):.0%} of it below 0.1")
        axes.set_xlabel("seconds", fontsize=9)
    images[0].set_ylabel("kHz", fontsize=9)
    return figure


def draw_inversion(played: Played) -> Figure:
    """What was drawn, what the sound of it has, and how they differ; and how the iterations bring them together."""
    from pnet_tf import griffin_lim, stft

    spec = played.spec
    drawn = played.log_power[: round(SHOWN_SEC * float(spec.frame_rate_hz))]
    magnitude = stft.magnitude_from_log_power(drawn[None], spec)

    def sounded(iterations: int) -> np.ndarray:
        """Log power of the sound, float32 [frames, bins]."""
        return stft.log_power(griffin_lim.griffin_lim(magnitude, spec, iterations=iterations), spec).numpy()[0]

    figure, panes = axes_of(2, 2, size=(8, 4.8))
    loudest, lowest = loudest_of(drawn, spec), min(note.pitch for note in played.score.notes)
    for axes, frames, text in (
        (panes[0, 0], drawn, "drawn by the network, behind the gate"),
        (panes[0, 1], sounded(0), "of the sound, phases of the first guess"),
        (panes[1, 0], sounded(32), "of the sound after 32 iterations"),
    ):
        levels(axes, frames, spec, loudest=loudest, lowest=lowest)
        title(axes, text)
    panes[1, 0].set_xlabel("seconds", fontsize=9)
    curve, rounds = panes[1, 1], [0, 1, 2, 4, 8, 16, 32, 64]
    # Spectral convergence: the difference of the magnitudes over the drawn ones, in dB.
    wanted = magnitude.numpy()[0]
    misses = [stft.magnitude_from_log_power(sounded(n)[None], spec).numpy()[0] - wanted for n in rounds]
    error_db = [20 * np.log10(np.linalg.norm(miss) / np.linalg.norm(wanted)) for miss in misses]
    curve.plot(rounds, error_db, color=BLUE, marker="o", ms=3, lw=1)
    curve.set_xscale("symlog", linthresh=1)
    curve.set_xticks(rounds, rounds)
    curve.set_xlabel("iterations of Griffin-Lim", fontsize=9)
    curve.grid(color="#e3e7ea", lw=0.6)
    title(curve, "distance of magnitudes from the drawn ones, dB")
    return figure


def draw_joins(played: Played) -> Figure:
    """The windows' shares, and their levels beside that of the whole."""
    from pnet_tf.windows import window_shares

    spec, (n_windows, length, _) = played.spec, played.windows.shape
    figure, ((top,), (middle,), (bottom,)) = axes_of(3, size=(8, 5.4), sharex=True)

    def level_db(log_power: np.ndarray) -> np.ndarray:
        """Power of each frame, float64 [frames]."""
        return 10 * np.log10(panels.power_from_log_power(log_power[:, None], spec).sum(axis=1) + 1e-9)

    colours = (BLUE, RED, CLAY, "#4f9d69", "#8a6bbf")
    whole = level_db(played.joined)
    for index in range(n_windows):
        colour = colours[index % len(colours)]
        times = played.seconds(len(played.joined))[played.starts[index] :][:length]
        top.fill_between(times, window_shares(played.starts, index, length), color=colour, alpha=0.3, lw=0)
        own = level_db(played.windows[index])
        middle.plot(times, own, color=colour, lw=0.8)
        bottom.plot(times, own - whole[played.starts[index] :][:length], color=colour, lw=0.8)
    middle.plot(played.seconds(len(whole)), whole, color=INK, lw=0.8, ls=(0, (1, 1)))
    title(top, f"share of each window of {length / float(spec.frame_rate_hz):.1f} s in the whole")
    title(middle, "level, dB: each window, and dotted what they become together")
    title(bottom, "level of each window beside the whole, dB")
    middle.set_ylim(whole.max() - 60, whole.max() + 5)
    bottom.set_ylim(-6, 6)
    bottom.grid(color="#e3e7ea", lw=0.6)
    bottom.set_xlabel("seconds", fontsize=9)
    return figure


def draw_gate(played: Played) -> Figure:
    """What the gate makes of a bin's log power, how it closes in a rest, and the levels that it keeps to."""
    from pnet_tf import hiss_gate

    spec = played.spec
    figure, ((curve, rest, bounds),) = axes_of(1, 3, size=(9, 3.2))
    drawn = np.linspace(0, 1, 500, dtype=np.float32)
    for floor, colour in ((0.0, CLAY), (0.06, BLUE)):
        kept = hiss_gate.gate(drawn[None, :, None], np.ones((1, len(drawn)), np.float32), noise_floor=floor, ceiling=0.8)
        curve.plot(drawn, kept.numpy()[0, :, 0], color=colour, lw=1.5, label=f"floor {floor:g}")
    curve.set_xlabel("log power as drawn", fontsize=9)
    curve.legend(fontsize=8, frameon=False)
    title(curve, "log power behind the gate (ceiling 0.8)")
    times = np.arange(round(4 * float(spec.frame_rate_hz))) / float(spec.frame_rate_hz)
    sounding = (times < 1) | (times > 3)
    rest.fill_between(times, sounding, color=GREY, alpha=0.25, lw=0, label="a note sounds")
    rest.plot(times, hiss_gate.rest_gain(sounding[None], spec).numpy()[0], color=BLUE, lw=1.5, label="gain")
    rest.legend(fontsize=8, frameon=False)
    rest.set_xlabel("seconds", fontsize=9)
    title(rest, "a rest of two seconds")
    hz = np.arange(spec.n_bins) * spec.sample_rate_hz / spec.n_fft
    bounds.plot(hz / 1000, np.minimum(played.floor, hiss_gate.FLOOR), color=CLAY, lw=1, label="floor")
    bounds.plot(hz / 1000, played.ceiling, color=RED, lw=1, label="ceiling")
    bounds.plot(hz / 1000, played.log_power.max(axis=0), color=BLUE, lw=0.8, label="largest in this excerpt")
    bounds.set_xlabel("kHz", fontsize=9)
    bounds.set_yscale("symlog", linthresh=0.1)
    bounds.set_yticks([0, 0.1, 1, 10], [0, 0.1, 1, 10])
    bounds.set_ylim(0, 60)
    bounds.legend(fontsize=8, frameon=False)
    title(bounds, f"log power of the {played.voice}'s recordings")
    return figure


def draw_mastering(played: Played) -> Figure:
    """Peaks before and behind the limiter, where more loudness is asked for than the peaks have room for."""
    from pnet_tf import limiter, loudness, mastering

    rate_hz = played.spec.sample_rate_hz
    meter = loudness.LoudnessMeter(rate_hz)
    meter.add(played.waveform)
    gain_db = mastering.gain_to_loudness_db(from_lufs=meter.integrated_lufs(), to_lufs=LOUD_LUFS)
    raised = played.waveform * np.float32(10 ** (gain_db / 20))
    held = limiter.Limiter(rate_hz)
    limited = np.concatenate([held.add(raised), held.flush()])
    figure, ((top,), (bottom,)) = axes_of(2, size=(8, 3.8), sharex=True)
    step = rate_hz // 100
    n_steps = len(raised) // step
    times = np.arange(n_steps) * step / rate_hz
    before, behind = (np.abs(one[: n_steps * step]).reshape(n_steps, step).max(axis=1) for one in (raised, limited))
    top.plot(times, before, color=CLAY, lw=0.8, label=f"raised by {gain_db:.1f} dB to {LOUD_LUFS:g} LUFS")
    top.plot(times, behind, color=BLUE, lw=0.8, label="behind the limiter")
    top.axhline(10 ** (limiter.CEILING_DBFS / 20), color=GREY, lw=0.8, ls="--")
    top.set_ylim(0, 1.9)
    top.legend(fontsize=8, frameon=False, ncols=2)
    title(top, "peak of each 10 ms; dashed: the ceiling of -1 dBFS")
    ratio = np.where(np.abs(raised) > 1e-3, limited / np.where(raised == 0, 1, raised), np.nan)[: n_steps * step]
    bottom.plot(times, 20 * np.log10(np.nanmin(ratio.reshape(n_steps, step), axis=1, initial=1.0)), color=BLUE, lw=0.8)
    title(bottom, "gain of the limiter, dB")
    bottom.set_xlabel("seconds", fontsize=9)
    return figure


PICTURES = {
    "rolls": draw_rolls,
    "knee": draw_knee,
    "inversion": draw_inversion,
    "joins": draw_joins,
    "gate": draw_gate,
    "mastering": draw_mastering,
}


def main(flags: absl_flags.FlagValues) -> None:
    """Performs, draws and writes the pictures."""
    out = pathlib.Path(flags.out)
    out.mkdir(parents=True, exist_ok=True)
    played = play(read_score(flags.score), flags.voice)
    for name, draw in PICTURES.items():
        path = out / f"how_{name}.png"
        picture.save_figure(draw(played), path, dots_per_inch=110)
        # 256 colours are enough for these, and a third of the bytes.
        Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(command.run(define_flags, main))
