"""Magnitude to waveform: fast Griffin-Lim with a phase start read off the magnitude, in-graph and seeded."""

import math

import tensorflow as tf

from pnet_tf import stft as stft_room
from pnet_tf.spec import FeatureSpec

MOMENTUM = 0.99
PHASE_STARTS = ("advance", "random")
# A Hann window of n samples is nearest to a Gaussian exp(-pi t^2 / g) at g = 0.25645 n^2 (Prusa 2017, table 1).
_HANN_AS_GAUSSIAN = 0.25645
# A frequency read off the slope of the log magnitude means something inside the window's main lobe alone.
_MAIN_LOBE_BINS = 4.0
_TINY = 1e-20


def _advance_phase(magnitude: tf.Tensor, spec: FeatureSpec) -> tf.Tensor:
    """Phase that each bin gathers when it turns with the frequency that the slope of its log magnitude shows.

    Float32 [batch, frames, bins] -> radians of the same shape.

    Source: the time derivative of phase-gradient heap integration (Prusa, Balazs, Sondergaard 2017, equation 19),
    summed along time alone: no heap, so it lives in a graph.
    """
    log_magnitude = tf.math.log(magnitude + 1e-8)
    edges = tf.pad(log_magnitude, [[0, 0], [0, 0], [1, 1]], mode="SYMMETRIC")
    slope = 0.5 * (edges[:, :, 2:] - edges[:, :, :-2])
    offset_bins = tf.clip_by_value(slope / (2 * math.pi * _HANN_AS_GAUSSIAN), -_MAIN_LOBE_BINS, _MAIN_LOBE_BINS)
    bins = tf.range(spec.n_bins, dtype=tf.float32)
    cycles_per_hop = (bins + offset_bins) * (spec.hop_samples / spec.n_fft)
    # Whole cycles go before the sum, so that float32 holds it for hours.
    cycles = tf.cumsum(cycles_per_hop - tf.round(cycles_per_hop), axis=1)
    # A frame's phase counts from its first sample: neighbouring bins of one partial stand half a cycle apart.
    return 2 * math.pi * (cycles - tf.round(cycles)) + math.pi * bins


def _start_phase(magnitude: tf.Tensor, spec: FeatureSpec, *, phase_start: str, seed: int | tf.Tensor) -> tf.Tensor:
    """Phases to start from: radians, float32 [batch, frames, bins]."""
    if phase_start == "advance":
        return _advance_phase(magnitude, spec)
    if phase_start == "random":
        seeds = tf.stack([tf.cast(seed, tf.int32), 0])
        return tf.random.stateless_uniform(tf.shape(magnitude), seeds, maxval=2 * math.pi)
    raise ValueError(f"phase_start is {phase_start!r}, expected one of {', '.join(PHASE_STARTS)}")


def griffin_lim(
    magnitude: tf.Tensor,
    spec: FeatureSpec,
    *,
    iterations: int | tf.Tensor = 32,
    seed: int | tf.Tensor = 0,
    phase_start: str = "advance",
) -> tf.Tensor:
    """A waveform whose spectrogram is near to `magnitude`.

    Args:
      magnitude: float32 [batch, frames, bins], at least 0.
      spec: gives window, hop and frame length.
      iterations: rounds of projection; 0 takes the phase start as it is. An int32 scalar tensor is welcome.
      seed: of the random phase start; the other start does not use it.
      phase_start: `advance`, read off the magnitude, or `random`.

    Returns:
      float32 [batch, (frames - 1) * hop_samples].

    Raises:
      ValueError: an unknown `phase_start`.

    Source: Perraudin, Balazs, Sondergaard 2013; with the random start and `MOMENTUM` it converges as
    `librosa.griffinlim` does; tests/test_griffin_lim.py.
    """
    phase = _start_phase(magnitude, spec, phase_start=phase_start, seed=seed)
    estimate = tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))

    def improve(step: tf.Tensor, estimate: tf.Tensor, previous: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """One round: nearest consistent transform, momentum, magnitude; complex64 [batch, frames, bins]."""
        rebuilt = stft_room.stft(stft_room.inverse_stft(estimate, spec), spec)
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * previous
        real, imag = tf.math.real(moved), tf.math.imag(moved)
        scale = magnitude * tf.math.rsqrt(tf.square(real) + tf.square(imag) + _TINY)
        return step + 1, tf.complex(real * scale, imag * scale), rebuilt

    shape = [None, None, spec.n_bins]
    _, estimate, _ = tf.while_loop(
        lambda step, *_: step < iterations,
        improve,
        [tf.constant(0), estimate, tf.zeros_like(estimate)],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape(shape), tf.TensorShape(shape)],
    )
    return stft_room.inverse_stft(estimate, spec)
