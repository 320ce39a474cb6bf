"""A performance as a page hears it while it is made: blocks to messages of sound and of spectrogram, and their frames.

A message is one letter, its length in four bytes (little-endian), and that many bytes: `j` JSON; `s` sound, 16-bit samples,
little-endian; `c` columns of the spectrogram, `N_ROWS` bytes each from the lowest frequency up, 0 (silent) to 255 (loudest).
"""

import json
import struct
from typing import Any, Protocol

import numpy as np

from pnet_tf import panels
from pnet_tf.spec import FeatureSpec

N_ROWS = 140
COLUMN_FRAMES = 8
# The loudest that the shipped voices draw, in log power.
_LOUDEST = 17.5
_HEADER = struct.Struct("<cI")


class Level(Protocol):
    """Of `mastering.StreamLevel`."""

    def add(self, block: np.ndarray) -> np.ndarray:
        """float32 [samples] in, float32 [samples out] out."""

    def flush(self) -> np.ndarray:
        """What is still held, float32 [samples]."""


def frame(kind: bytes, payload: bytes) -> bytes:
    """A message with its header."""
    return _HEADER.pack(kind, len(payload)) + payload


def say(**fields: Any) -> bytes:
    """A message of JSON."""
    return frame(b"j", json.dumps(fields).encode())


class LiveSound:
    """Turns the blocks of one performance into messages."""

    def __init__(self, spec: FeatureSpec, level: Level, *, lowest_pitch: int) -> None:
        """Begins.

        Args:
          spec: of the voice.
          level: gain and limiter of its stream.
          lowest_pitch: of the score, MIDI.
        """
        self._spec, self._level = spec, level
        self._edges = panels.frequency_edges(spec, lowest_pitch=lowest_pitch)
        self._pending = np.zeros((0, spec.n_bins), np.float32)
        self._loudest = float(np.expm1(_LOUDEST)) / spec.target_gain**2

    def scales(self) -> dict[str, Any]:
        """What a page needs to know to play and draw: rates, and the spectrogram's edges in octaves above 1 Hz."""
        return {
            "rate_hz": self._spec.sample_rate_hz,
            "n_rows": N_ROWS,
            "columns_per_sec": float(self._spec.frame_rate_hz / COLUMN_FRAMES),
            "edges": [float(edge) for edge in self._edges],
            "range_db": panels.RANGE_DB,
        }

    def add(self, waveform: np.ndarray, log_power: np.ndarray) -> list[bytes]:
        """Messages of a block.

        Args:
          waveform: float32 [samples].
          log_power: float32 [frames, bins].
        """
        self._pending = np.concatenate([self._pending, log_power])
        n_columns = len(self._pending) // COLUMN_FRAMES
        done, self._pending = np.split(self._pending, [n_columns * COLUMN_FRAMES])
        return [*self._columns(done), *_sound(self._level.add(waveform))]

    def finish(self) -> list[bytes]:
        """Messages of what is still held."""
        missing = -len(self._pending) % COLUMN_FRAMES
        return [*self._columns(np.pad(self._pending, ((0, missing), (0, 0)))), *_sound(self._level.flush())]

    def _columns(self, frames: np.ndarray) -> list[bytes]:
        if not len(frames):
            return []
        groups = frames.reshape(-1, COLUMN_FRAMES, frames.shape[1])
        power = panels.power_from_log_power(groups, self._spec)
        levels = panels.levels_db(power, loudest=self._loudest, spec=self._spec, edges=self._edges)
        rows = levels.reshape(len(levels), N_ROWS, -1).max(axis=2)
        shades = np.clip(np.rint((rows / panels.RANGE_DB + 1) * 255), 0, 255).astype(np.uint8)
        return [frame(b"c", shades.tobytes())]


def _sound(waveform: np.ndarray) -> list[bytes]:
    if not len(waveform):
        return []
    return [frame(b"s", np.clip(np.rint(waveform * 32767), -32768, 32767).astype("<i2").tobytes())]
