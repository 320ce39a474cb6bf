"""Makes torch_layers.npz: what PyTorch's layers give for small weights, to hold `blocks` against.

    python tests/golden/make_torch_layers.py        (needs torch, which the project does not; made with torch 2.14)
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.default_rng(7)
N_CHANNELS, N_BANDS, N_FRAMES = 8, 4, 12


def draw(*shape: int) -> torch.Tensor:
    return torch.tensor(random.normal(size=shape).astype(np.float32))


def main() -> None:
    """Everything is stored as Keras lays it out: [batch, frames, channels], kernels [frames, in, out]."""
    x = draw(2, N_CHANNELS, N_FRAMES)
    out = {"x": x.transpose(1, 2)}
    kernel, bias = draw(5, N_CHANNELS, 3), draw(5)
    normed = F.leaky_relu(torch.nn.InstanceNorm1d(5)(F.conv1d(x, kernel, bias, padding=1)), 0.01)
    out |= {"conv_kernel": kernel.permute(2, 1, 0), "conv_bias": bias, "conv_norm": normed.transpose(1, 2)}
    for width, padding in ((6, 2), (4, 1), (3, 0), (2, 0)):
        kernel, bias = draw(N_CHANNELS, 5, width), draw(5)
        y = F.conv_transpose1d(x, kernel, bias, stride=2, padding=padding)[:, :, : 2 * N_FRAMES]
        y = F.leaky_relu(torch.nn.InstanceNorm1d(5)(y), 0.01)
        out |= {f"up{width}_kernel": kernel.permute(2, 1, 0), f"up{width}_bias": bias, f"up{width}": y.transpose(1, 2)}
    kernels = [draw(N_CHANNELS, N_CHANNELS // N_BANDS, 3) for _ in range(2)]
    biases = [draw(N_CHANNELS) for _ in range(2)]
    norm = torch.nn.InstanceNorm1d(N_CHANNELS)
    y = F.leaky_relu(norm(F.conv1d(x, kernels[0], biases[0], padding=1, groups=N_BANDS)), 0.01)
    y = norm(F.conv1d(y, kernels[1], biases[1], padding=1, groups=N_BANDS))
    out["band_out"] = (x + (x + y)).transpose(1, 2)
    for index in range(2):
        out |= {f"band_kernel{index}": kernels[index].permute(2, 1, 0), f"band_bias{index}": biases[index]}
    arrays = {name: value.detach().numpy().astype(np.float32) for name, value in out.items()}
    np.savez(pathlib.Path(__file__).with_name("torch_layers.npz"), **arrays)


if __name__ == "__main__":
    main()
