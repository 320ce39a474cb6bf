"""The network without TensorFlow: a voice's weights laid out as an ONNX graph in memory, run by ONNX Runtime.

It shares the plan, and the names of layers and weights, with the Keras model; tests/test_light_network.py compares both.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pnet_tf import note_decay, onnx_graph
from pnet_tf.errors import InputError
from pnet_tf.model_config import EPSILON, FRAME_MULTIPLE, KERNEL_FRAMES, NEGATIVE_SLOPE, PAPER, ModelConfig
from pnet_tf.onnx_graph import Graph
from pnet_tf.processors import n_processors
from pnet_tf.spec import FeatureSpec

_N_LEVELS = len(PAPER.encoder)


def weight_shapes(spec: FeatureSpec, config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights of the network by name, as the Keras model's variables have them."""
    return {name: shape for layer in _layers(spec, config) for name, shape in layer}


def _layers(spec: FeatureSpec, config: ModelConfig) -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    """Each layer's weights, in the order in which the model has them."""
    for kind, plan in (("condition", PAPER.condition), ("encoder", PAPER.encoder)):
        n_in = spec.n_pitches
        for level, full in enumerate(plan):
            for conv in (1, 2):
                yield _convolution(f"{kind}{level}_conv{conv}", n_in, n_in := config.channels(full))
    for step, (full, kernel_frames, condition_level) in enumerate(PAPER.decoder):
        level, n_out = _N_LEVELS - 2 - step, config.channels(full)
        name = f"decoder{level}"
        yield [(f"{name}_up/kernel", (kernel_frames, n_out, n_in)), (f"{name}_up/bias", (n_out,))]
        yield _convolution(f"{name}_conv1", n_out + config.channels(PAPER.encoder[level]), n_out)
        n_condition = 0 if condition_level is None else config.channels(PAPER.condition[condition_level - 1])
        yield _convolution(f"{name}_conv2", n_out + n_condition, n_in := n_out)
    for index, n_bands in enumerate(config.bands):
        for conv in (1, 2):
            name, width = f"texture{index}_conv{conv}", n_in // n_bands
            kernels = [(f"{name}/kernel_{band}", (KERNEL_FRAMES, width, width)) for band in range(n_bands)]
            yield [*kernels, (f"{name}/bias", (n_in,))]
    yield _convolution("bins", n_in, spec.n_bins)
    if config.note_spectra is not None:
        kinds = {"held": note_decay.N_HELD, "struck": note_decay.N_STRUCK}
        shapes = {name: (config.n_spectra * n_filters, spec.n_bins) for name, n_filters in kinds.items()}
        yield [(f"{note_decay.LAYER}/{name}", shape) for name, shape in {**shapes, "background": (spec.n_bins,)}.items()]


def _convolution(name: str, n_in: int, n_out: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(f"{name}/kernel", (KERNEL_FRAMES, n_in, n_out)), (f"{name}/bias", (n_out,))]


def open_network(
    weights: Mapping[str, np.ndarray], spec: FeatureSpec, config: ModelConfig, *, where: str
) -> Callable[..., np.ndarray]:
    """The network, ready to draw.

    Args:
      weights: arrays of any float type, of the names and shapes of `weight_shapes`.
      spec: gives the number of pitches and bins.
      config: of the network.
      where: the voice, for messages.

    Returns:
      A function of `pianoroll` and `onset_offset`, float32 [batch, frames, n_pitches] by name, to log power,
      float32 [batch, frames, bins]; any number of frames from 1 on.

    Raises:
      InputError: the network is too large for this runtime.
    """
    n_bytes = 4 * sum(array.size for array in weights.values())
    if n_bytes > onnx_graph.MOST_BYTES:
        raise InputError(
            f"{where}: its network has {n_bytes / 2**30:.1f} GiB of weights, ONNX takes up to 2; use --runtime=tensorflow"
        )
    model = _Layout(weights, spec, config).model_bytes()
    session = _session(model)
    has_norms = config.norm == "instance"

    def draw(*, pianoroll: np.ndarray, onset_offset: np.ndarray) -> np.ndarray:
        """Float32 [batch, frames, n_pitches], twice, to float32 [batch, frames, bins]."""
        n_frames = pianoroll.shape[1]
        missing = ((0, 0), (0, -n_frames % FRAME_MULTIPLE), (0, 0))
        feed = {"pianoroll": np.pad(pianoroll, missing), "onset_offset": np.pad(onset_offset, missing)}
        (log_power,) = session.run(["log_power"], feed | (_real_steps(n_frames) if has_norms else {}))
        return log_power[:, :n_frames]

    return draw


def _session(model: bytes):
    """ONNX Runtime for the processors that this process may use, whose idle threads do not spin: others may want to work."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_processors()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors, no remarks about the machine
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _real_steps(n_frames: int) -> dict[str, np.ndarray]:
    """Of each level the steps that are no padding, int64 [1], and what `Pad` puts behind them, int64 [6]."""
    n_padded, feed = n_frames + -n_frames % FRAME_MULTIPLE, {}
    for level in range(_N_LEVELS):
        n_real = -(-n_frames // 2**level)
        feed[f"steps{level}"] = np.array([n_real], np.int64)
        feed[f"padding{level}"] = np.array([0, 0, 0, 0, 0, n_padded // 2**level - n_real], np.int64)
    return feed


class _Layout:
    """The plan walked once, with the weights; tensors are [batch, channels, steps], as ONNX has them."""

    def __init__(self, weights: Mapping[str, np.ndarray], spec: FeatureSpec, config: ModelConfig) -> None:
        self._weights, self._spec, self._config = weights, spec, config
        self._graph = Graph()
        self._has_norms = config.norm == "instance"
        if self._has_norms:
            self._first_step = self._graph.add_numbers(np.array([0], np.int64))
            self._time_axis = self._graph.add_numbers(np.array([2], np.int64))

    def model_bytes(self) -> bytes:
        """The network from rolls [batch, frames, pitches] to log power [batch, frames, bins], frames a multiple of 16."""
        graph = self._graph
        rolls = []
        for name in ("pianoroll", "onset_offset"):
            graph.add_input(name, ["batch", "frames", self._spec.n_pitches])
            rolls.append(graph.add_node("Transpose", [name], perm=[0, 2, 1]))
        for level in range(_N_LEVELS) if self._has_norms else ():
            graph.add_index_input(f"steps{level}", 1)
            graph.add_index_input(f"padding{level}", 6)
        x = self._decode(self._encode(rolls[0]), self._encode_condition(rolls[1]))
        for index, n_bands in enumerate(self._config.bands):
            x = self._refine(x, f"texture{index}", n_bands)
        x = self._convolve(x, "bins")
        if self._config.note_spectra is not None:
            x = graph.add_node("Add", [x, self._note_spectra(*rolls)])
        x = self._leaky(x)
        graph.add_node("Transpose", [x], name="log_power", perm=[0, 2, 1])
        graph.add_output("log_power", ["batch", "frames", self._spec.n_bins])
        return graph.to_bytes()

    def _encode_condition(self, x: str) -> dict[int, str]:
        outputs = {}
        for level in range(len(PAPER.condition)):
            for conv in (1, 2):
                x = self._block(x, f"condition{level}_conv{conv}", level)
            outputs[level + 1] = x = self._halve(x)
        return outputs

    def _encode(self, x: str) -> list[str]:
        levels = []
        for level in range(_N_LEVELS):
            x = self._halve(x) if level else x
            for conv in (1, 2):
                x = self._block(x, f"encoder{level}_conv{conv}", level)
            levels.append(x)
        return levels

    def _decode(self, levels: list[str], conditions: dict[int, str]) -> str:
        x = levels[-1]
        for step, (_, kernel_frames, condition_level) in enumerate(PAPER.decoder):
            level = _N_LEVELS - 2 - step
            x = self._leaky(self._norm(self._double(x, f"decoder{level}_up", kernel_frames), f"decoder{level}_up", level))
            x = self._block(self._graph.add_node("Concat", [x, levels[level]], axis=1), f"decoder{level}_conv1", level)
            if condition_level is not None:
                x = self._graph.add_node("Concat", [x, conditions[condition_level]], axis=1)
            x = self._block(x, f"decoder{level}_conv2", level)
        return x

    def _refine(self, x: str, name: str, n_bands: int) -> str:
        y = self._leaky(self._norm(self._convolve(x, f"{name}_conv1", n_bands), f"{name}_conv1", 0))
        y = self._norm(self._convolve(y, f"{name}_conv2", n_bands), f"{name}_conv2", 0)
        return self._graph.add_node("Sum", [x, x, y])  # the block's input, and the bands added to themselves

    def _note_spectra(self, pianoroll: str, onset_offset: str) -> str:
        """What `note_spectra.NoteSpectra` draws: its filters pitch by pitch, its spectra as one convolution of one frame."""
        graph, n_pitches = self._graph, self._config.n_spectra
        lowest, highest = self._config.note_spectra
        ours = graph.add_numbers(np.arange(lowest, highest + 1))
        power = []
        filters = {"held": note_decay.held_filters(), "struck": note_decay.struck_filters()}
        onsets = graph.add_node("Relu", [onset_offset])
        background = np.exp(note_decay.SCALE * self._weights[f"{note_decay.LAYER}/background"].astype(np.float32))
        for (name, taps), rolls in zip(filters.items(), (pianoroll, onsets), strict=True):
            x = graph.add_node("Gather", [rolls, ours], axis=1)
            kernel = graph.add_numbers(np.tile(taps.T[:, None], (n_pitches, 1, 1)))
            sides = [note_decay.BEHIND, note_decay.BEFORE]
            x = graph.add_node("Conv", [x, kernel], kernel_shape=[len(taps)], pads=sides, group=n_pitches)
            spectra = np.exp(note_decay.SCALE * self._weights[f"{note_decay.LAYER}/{name}"].astype(np.float32))
            numbers = [graph.add_numbers(spectra.T[:, :, None]), *([graph.add_numbers(background)] if not power else [])]
            power.append(graph.add_node("Conv", [x, *numbers], kernel_shape=[1]))
        one = graph.add_numbers(np.ones(1, np.float32))
        return graph.add_node("Log", [graph.add_node("Sum", [*power, one])])

    def _block(self, x: str, name: str, level: int) -> str:
        return self._leaky(self._norm(self._convolve(x, name), name, level))

    def _convolve(self, x: str, name: str, n_bands: int | None = None) -> str:
        """A convolution, of all channels or band by band; Keras has its kernel as [frames, in, out]."""
        names = [f"{name}/kernel"] if n_bands is None else [f"{name}/kernel_{band}" for band in range(n_bands)]
        kernels = [self._weights[one].transpose(2, 1, 0).astype(np.float32) for one in names]
        weights = [self._graph.add_numbers(np.concatenate(kernels)), self._numbers(f"{name}/bias")]
        sides = [KERNEL_FRAMES // 2] * 2
        return self._graph.add_node("Conv", [x, *weights], kernel_shape=[KERNEL_FRAMES], pads=sides, group=n_bands or 1)

    def _double(self, x: str, name: str, kernel_frames: int) -> str:
        """A transposed convolution by two that keeps equal times; Keras has its kernel as [frames, out, in]."""
        kernel = self._weights[f"{name}/kernel"].transpose(2, 1, 0).astype(np.float32)
        weights = [self._graph.add_numbers(kernel), self._numbers(f"{name}/bias")]
        before = (kernel_frames - 2) // 2
        sides = [before, kernel_frames - 2 - before]
        return self._graph.add_node("ConvTranspose", [x, *weights], kernel_shape=[kernel_frames], strides=[2], pads=sides)

    def _numbers(self, name: str) -> str:
        return self._graph.add_numbers(self._weights[name].astype(np.float32))

    def _leaky(self, x: str) -> str:
        return self._graph.add_node("LeakyRelu", [x], alpha=NEGATIVE_SLOPE)

    def _halve(self, x: str) -> str:
        return self._graph.add_node("MaxPool", [x], kernel_shape=[2], strides=[2])

    def _norm(self, x: str, name: str, level: int) -> str:
        """The instance norm over the steps that are no padding; what is padding becomes 0."""
        if not self._has_norms:
            return x
        graph, n_channels = self._graph, len(self._weights[f"{name}/bias"])
        one, none = (graph.add_numbers(np.full(n_channels, value, np.float32)) for value in (1, 0))
        real = graph.add_node("Slice", [x, self._first_step, f"steps{level}", self._time_axis])
        normed = graph.add_node("InstanceNormalization", [real, one, none], epsilon=EPSILON)
        return graph.add_node("Pad", [normed, f"padding{level}"])
