"""What several benchmarks need: seconds, and our networks as PyTorch modules."""

import time
from pathlib import Path

from bea import Activation, Dense

NETWORKS = Path("results/networks")


def timed(function) -> tuple[object, float]:
    """Return what ``function`` returns, and the seconds it took."""
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def to_torch(net):
    """Return a dense network as a PyTorch module of images (n, …), in single precision."""
    import torch

    class SmoothReLU(torch.nn.Module):
        def __init__(self, a):
            super().__init__()
            self.square = a * a

        def forward(self, v):
            return 0.5 * (v + torch.sqrt(v * v + self.square))

    modules = [torch.nn.Flatten()]
    for layer in net.layers:
        if isinstance(layer, Dense):
            linear = torch.nn.Linear(layer.kernel.shape[1], len(layer.kernel))
            linear.weight.data = torch.tensor(layer.kernel, dtype=torch.float32)
            linear.bias.data = torch.tensor(layer.matrix[:, -1], dtype=torch.float32)
            modules.append(linear)
        elif isinstance(layer, Activation):
            kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
            modules.append(SmoothReLU(layer.parameter) if layer.name == "smooth_relu" else kinds[layer.name]())
    return torch.nn.Sequential(*modules).eval()
