"""The layer that knows an instrument's notes: each pitch's spectrum as it begins, lasts and rings on, added up as power.

Pure Keras, so that any Keras backend runs it. Axes are [batch, frames, channels].
"""

from typing import Any

import keras
from keras import layers, ops

from pnet_tf import note_decay
from pnet_tf.blocks import whole_precision
from pnet_tf.note_decay import BEFORE, BEHIND, N_HELD, N_STRUCK, SCALE

_HELD, _STRUCK = 0.1, -0.1  # log power / SCALE to begin with


@keras.saving.register_keras_serializable(package="pnet_tf")
class NoteSpectra(layers.Layer):
    """Log power of the notes that sound and ring on: rolls [batch, frames, n_pitches] -> [batch, frames, bins].

    Each pitch has a spectrum for each filter of `note_decay`, learnt as log power; what is drawn is
    `log1p(sum of filtered roll * spectrum + background)`. Power is what adds up when notes sound together, and what a room's
    ring keeps: a network of convolutions has to find both out anew for each pitch. What they add to this layer's output is then
    what it cannot say.

    Each of `n_recordings` has a colour of its own: a level for each bin, one for each filter, and something for each bin that is
    added to the output. The third input, int32 [batch], says whose; a number outside draws none.

    Never in halves: float32 under a policy of mixed precision.
    """

    def __init__(self, lowest: int, highest: int, n_bins: int, *, n_recordings: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": whole_precision(), **kwargs})
        self.lowest, self.highest, self.n_bins, self.n_recordings = lowest, highest, n_bins, n_recordings

    def build(self, *_: Any) -> None:
        """Makes the weights, whatever the shape of the input."""
        n_pitches = self.highest - self.lowest + 1
        self.held = self._weight("held", n_pitches * N_HELD, self.n_bins, begin=_HELD)
        self.struck = self._weight("struck", n_pitches * N_STRUCK, self.n_bins, begin=_STRUCK)
        self.background = self._weight("background", self.n_bins, begin=_STRUCK)
        if self.n_recordings:
            sizes = {"levels": self.n_bins, "held": N_HELD, "struck": N_STRUCK, "bins": self.n_bins}
            self.own = {name: self._weight(f"recording_{name}", self.n_recordings, n) for name, n in sizes.items()}

    def _weight(self, name: str, *shape: int, begin: float = 0.0) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, initializer=keras.initializers.Constant(begin))

    def call(self, pianoroll: Any, onset_offset: Any, recording: Any = None) -> Any:
        """Draws rolls, [batch, frames, n_pitches]."""
        ours = slice(self.lowest, self.highest + 1)
        onsets = ops.relu(onset_offset[:, :, ours])
        held, struck = note_decay.held_filters(), note_decay.struck_filters()
        if recording is None:
            power = self._power(pianoroll[:, :, ours], held, self.held) + self._power(onsets, struck, self.struck)
            return ops.log1p(power + ops.exp(SCALE * self.background))
        whose = ops.one_hot(recording, self.n_recordings, dtype=self.compute_dtype)
        own = {name: ops.expand_dims(ops.matmul(whose, weight), 1) for name, weight in self.own.items()}
        power = self._power(pianoroll[:, :, ours], held, self.held, own["held"])
        power = power + self._power(onsets, struck, self.struck, own["struck"]) + ops.exp(SCALE * self.background)
        return ops.log1p(power * ops.exp(SCALE * own["levels"])) + own["bins"]

    def _power(self, rolls: Any, filters: Any, spectra: Any, decays: Any = None) -> Any:
        """Filtered rolls by their spectra: [batch, frames, pitches] -> [batch, frames, bins]."""
        n_frames, n_pitches, n_filters = ops.shape(rolls)[1], rolls.shape[2], filters.shape[1]
        lines = ops.reshape(ops.transpose(rolls, (0, 2, 1)), (-1, n_frames, 1))  # [batch * pitches, frames, 1]
        lines = ops.pad(lines, [[0, 0], [BEHIND, BEFORE], [0, 0]])
        kernel = ops.convert_to_tensor(filters[:, None, :], dtype=self.compute_dtype)
        filtered = ops.conv(lines, kernel, strides=1, padding="valid", data_format="channels_last")
        filtered = ops.reshape(filtered, (-1, n_pitches, n_frames, n_filters))
        filtered = ops.reshape(ops.transpose(filtered, (0, 2, 1, 3)), (-1, n_frames, n_pitches * n_filters))
        if decays is not None:
            filtered = filtered * ops.tile(ops.exp(SCALE * decays), (1, 1, n_pitches))
        return ops.matmul(filtered, ops.exp(SCALE * spectra))

    def compute_output_shape(self, shape: tuple[int | None, ...], *_: Any) -> tuple[int | None, ...]:
        """The output's shape for given input shapes."""
        return (*shape[:2], self.n_bins)

    def get_config(self) -> dict[str, Any]:
        """What the layer is made again from."""
        names = ("lowest", "highest", "n_bins", "n_recordings")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
