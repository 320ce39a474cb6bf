"""The whole network in NumPy, float64, one example at a time: the paper's plan written a second time.

It shares the names of layers and their weights with the model, and no code.
"""

import numpy as np

# Frames of the transposed kernel that leads up to a level, and how many of them lie before equal times.
KERNEL_FRAMES = {3: 6, 2: 4, 1: 3, 0: 2}
FRAMES_BEFORE = {6: 2, 4: 1, 3: 0, 2: 0}


def forward(model, pianoroll, onset_offset):
    """Log power [frames, bins] of one example, rolls [frames, pitches], by the weights of a Keras model."""
    return _Network(model, len(pianoroll)).draw(pianoroll, onset_offset)


class _Network:
    def __init__(self, model, n_frames):
        self.weights = {layer.name: [w.astype(np.float64) for w in layer.get_weights()] for layer in model.layers}
        self.n_frames = n_frames

    def draw(self, pianoroll, onset_offset):
        """Level n runs at 1 / 2**n of the frame rate; equal times meet at each concatenation."""
        missing = [(0, -self.n_frames % 16), (0, 0)]
        x = np.pad(onset_offset.astype(np.float64), missing)
        conditions = []
        for level in range(3):
            x = self.block(x, f"condition{level}_conv1", level)
            x = _larger_of_two(self.block(x, f"condition{level}_conv2", level))
            conditions.append(x)
        x = np.pad(pianoroll.astype(np.float64), missing)
        skips = []
        for level in range(5):
            x = self.block(x, f"encoder{level}_conv1", level)
            x = self.block(x, f"encoder{level}_conv2", level)
            skips.append(x)
            x = _larger_of_two(x)
        x = skips[4]
        for level, condition in ((3, conditions[2]), (2, conditions[1]), (1, None), (0, None)):
            x = _leaky(self.norm(self.up(x, level), level))
            x = self.block(np.concatenate([x, skips[level]], axis=1), f"decoder{level}_conv1", level)
            joined = x if condition is None else np.concatenate([x, condition], axis=1)
            x = self.block(joined, f"decoder{level}_conv2", level)
        for index in range(sum(name.startswith("texture") and name.endswith("_conv1") for name in self.weights)):
            y = _leaky(self.norm(self.banded(x, f"texture{index}_conv1"), 0))
            y = self.norm(self.banded(y, f"texture{index}_conv2"), 0)
            x = x + (x + y)
        return _leaky(_convolve(x, *self.weights["bins"]))[: self.n_frames]

    def block(self, x, name, level):
        return _leaky(self.norm(_convolve(x, *self.weights[name]), level))

    def norm(self, x, level):
        n_real = -(-self.n_frames // 2**level)
        real = x[:n_real]
        out = np.zeros_like(x)
        out[:n_real] = (real - real.mean(axis=0)) / np.sqrt(real.var(axis=0) + 1e-5)
        return out

    def up(self, x, level):
        """Frame t goes into as many frames as the kernel has, from 2t - before on."""
        kernel, bias = self.weights[f"decoder{level}_up"]  # [kernel frames, out, in]
        assert len(kernel) == KERNEL_FRAMES[level]
        before = FRAMES_BEFORE[len(kernel)]
        out = np.zeros((2 * len(x) + 8, kernel.shape[1]))
        for t in range(len(x)):
            for k in range(len(kernel)):
                out[4 + 2 * t - before + k] += kernel[k] @ x[t]
        return out[4 : 4 + 2 * len(x)] + bias

    def banded(self, x, name):
        *kernels, bias = self.weights[name]
        bands = np.split(x, len(kernels), axis=1)
        return np.concatenate([_convolve(band, kernel, 0) for band, kernel in zip(bands, kernels)], axis=1) + bias


def _convolve(x, kernel, bias):
    padded = np.pad(x, [(1, 1), (0, 0)])
    return sum(padded[k : k + len(x)] @ kernel[k] for k in range(3)) + bias


def _leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def _larger_of_two(x):
    return np.maximum(x[0::2], x[1::2])
