"""CROWN and α-CROWN of auto_LiRPA for one network file of ours; ``benchmarks.lower_bounds --crown`` calls it.

auto_LiRPA 0.7.1 comes from its public repository, not from the package index, whose 0.3 is of 2022, and needs PyTorch,
appdirs, graphviz and sortedcontainers. So it runs in an interpreter of its own, without ``bea``.
"""

import json
import sys
import time

import numpy as np
import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

STEPS = 10  # of bisection between zero and the attack: the radius is right to a thousandth of the latter


def to_torch(file) -> torch.nn.Sequential:
    """Return the network of a file of ours as a PyTorch module of images (n, channels, height, width)."""
    header = json.loads(str(file["header"]))
    shape = (*header["input_shape"], 1)[:3]
    modules, weighted, flat = [], 0, False
    for layer in header["layers"]:
        kind, size = layer["kind"], tuple(layer.get("size", ()))
        if kind in ("Dense", "Convolution"):
            weighted += 1
            matrix = file[f"A{weighted}"]
            kernel, bias = matrix[:, : matrix.shape[1] - layer["bias"]], matrix[:, -1]
        if kind == "Convolution":
            if layer["stride"] != [1, 1] or np.any(layer["padding"]):
                raise ValueError("expected convolutions without stride and padding")
            kernel = kernel.reshape(-1, *size, shape[2]).transpose(0, 3, 1, 2)
            modules.append(torch.nn.Conv2d(shape[2], len(kernel), size))
            shape = (shape[0] - size[0] + 1, shape[1] - size[1] + 1, len(kernel))
        elif kind == "MaxPool":
            modules.append(torch.nn.MaxPool2d(size, tuple(layer["stride"])))
            shape = (shape[0] // size[0], shape[1] // size[1], shape[2])
        elif kind == "Flatten":
            modules.append(torch.nn.Flatten())
        elif kind == "Dense":
            if not flat:  # PyTorch flattens channel by channel, we pixel by pixel
                kernel, flat = kernel.reshape(-1, *shape).transpose(0, 3, 1, 2).reshape(len(kernel), -1), True
            modules.append(torch.nn.Linear(kernel.shape[1], len(kernel)))
        else:
            modules.append({"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[layer["name"]]())
        if kind in ("Dense", "Convolution"):
            modules[-1].weight.data = torch.tensor(kernel.copy(), dtype=torch.float32)
            modules[-1].bias.data = torch.tensor(bias * layer["bias"], dtype=torch.float32)
    return torch.nn.Sequential(*modules).eval()


def radius(bounded, image, label: int, largest: float, method: str) -> float:
    """Return the largest radius tried at which the method proves that the label leads every other class."""
    rivals = [c for c in range(bounded(image).shape[1]) if c != label]
    differences = -torch.eye(len(rivals) + 1)[rivals]
    differences[:, label] = 1.0

    def proved(r):
        ball = BoundedTensor(image, PerturbationLpNorm(norm=2, eps=r))
        with torch.set_grad_enabled(method != "CROWN"):
            least, _ = bounded.compute_bounds(x=(ball,), C=differences[None], method=method, bound_upper=False)
        return bool((least > 0.0).all())

    low, high = 0.0, largest
    if proved(high):
        return high
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if proved(middle) else (low, middle)
    return low


def main(network: str, images: str, to: str, method: str) -> None:
    """Read a network and images with labels and radii to search up to; write radii proved, logits, seconds."""
    torch.set_num_threads(1)
    with np.load(network) as file:
        net = to_torch(file)
    with np.load(images) as file:
        x = torch.tensor(file["x"], dtype=torch.float32)
        labels, largest = file["label"].tolist(), file["largest"].tolist()
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    bounded = BoundedModule(net, x[:1], device="cpu", bound_opts={"conv_mode": "matrix"})
    start = time.process_time()
    radii = [radius(bounded, x[i : i + 1], labels[i], largest[i], method) for i in range(len(x))]
    seconds = time.process_time() - start
    np.savez(to, radius=np.array(radii), logits=net(x).detach().numpy(), seconds=seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
