"""What several benchmarks need: folders, seconds, date and machine, and our networks as PyTorch modules."""

import datetime
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bea import Activation, Convolution, Dense, Flatten, MaxPool
from lab.peers import FOLDER

OUT = FOLDER
NETWORKS = Path("results/networks")
ANEW = Path("_build/trained_anew")  # networks from several seeds
MARGIN = 1e-6  # by which another class leads, in our attacks on them


def machine(*packages: str) -> dict:
    """Return date, machine (processor and cores only), and versions."""
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model[0].partition(": ")[2] if model else platform.machine(),
        "cores": len(model),
        "python": platform.python_version(),
        "versions": {name: version(name).partition("+")[0] for name in packages},
    }


def timed(function) -> tuple[object, float]:
    """Return what ``function`` returns, and the seconds it took."""
    start = time.perf_counter()
    value = function()
    return value, time.perf_counter() - start


def to_torch(net):
    """Return a network as a PyTorch module of images (n, …), in single precision; padded layers are left out."""
    import torch

    class SmoothReLU(torch.nn.Module):
        def __init__(self, a):
            super().__init__()
            self.square = a * a

        def forward(self, v):
            return 0.5 * (v + torch.sqrt(v * v + self.square))

    class Permuted(torch.nn.Module):
        def __init__(self, *order):
            super().__init__()
            self.order = order

        def forward(self, v):
            return v.permute(self.order)

    def with_weights(module, kernel, matrix):
        module.weight.data = torch.tensor(kernel, dtype=torch.float32)
        module.bias.data = torch.tensor(matrix[:, -1], dtype=torch.float32)
        return module

    windows = len(net.input_shape) == 3  # PyTorch has the channels first
    modules = [Permuted(0, 3, 1, 2)] if windows else []
    for layer in net.layers:
        if isinstance(layer, Flatten):
            modules += [Permuted(0, 2, 3, 1), torch.nn.Flatten()] if windows else [torch.nn.Flatten()]
        elif isinstance(layer, Dense):
            linear = torch.nn.Linear(layer.kernel.shape[1], len(layer.kernel))
            modules.append(with_weights(linear, layer.kernel, layer.matrix))
        elif isinstance(layer, Convolution):
            kernel = np.moveaxis(layer.kernel.reshape(len(layer.matrix), *layer.size, -1), -1, 1)
            found = torch.nn.Conv2d(kernel.shape[1], len(kernel), layer.size, layer.stride)
            modules.append(with_weights(found, kernel, layer.matrix))
        elif isinstance(layer, MaxPool):
            modules.append(torch.nn.MaxPool2d(layer.size, layer.stride))
        elif isinstance(layer, Activation):
            kinds = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
            modules.append(SmoothReLU(layer.parameter) if layer.name == "smooth_relu" else kinds[layer.name]())
        else:
            raise TypeError(f"net: expected dense layers, convolutions and maxima, received {type(layer).__name__}")
    return torch.nn.Sequential(*modules).eval()
