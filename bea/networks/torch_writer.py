"""From networks back to PyTorch modules. PyTorch is there when a module is, and imported only then."""

import copy

import numpy as np

from bea.networks.torch_reader import reading_of
from bea.networks.torch_step import numbers
from bea.networks.windows import Convolution
from bea.networks.writing import changed_layers, weighted_layers


def perturbed_copy(module, perturbation, i: int):
    """Return what ``Perturbation.torch_model`` does, and raise the same."""
    import torch

    shape = perturbation.x.shape[1:]
    weighted = weighted_layers(reading_of(module, shape))
    changed = changed_layers(weighted, perturbation, i)
    made, chosen = copy.deepcopy(module), []
    parts = [part for part in made.modules() if isinstance(getattr(part, "weight", None), torch.nn.Parameter)]
    for number, layer in enumerate(weighted, start=1):
        part = next((part for part in parts if _has_weights_of(part, layer)), None)
        if part is None:
            raise ValueError(
                f"model: expected every layer with weights to be a module with the same weights, received none for "
                f"layer {number}: fuse batch normalisation before it is read, as by torch.nn.utils.fuse_conv_bn_eval"
            )
        parts.remove(part)
        chosen.append(part)
    # In the precision of the module, so that what is read again can be compared to the last bit.
    wanted = [torch.tensor(layer.matrix).to(part.weight.dtype) for layer, part in zip(changed, chosen, strict=True)]
    with torch.no_grad():
        for layer, matrix, part in zip(changed, wanted, chosen, strict=True):
            kernel = _kernel(layer.with_matrix(numbers(matrix)))
            part.weight.copy_(torch.tensor(kernel).reshape(part.weight.shape))
            if layer.bias:
                part.bias.copy_(matrix[:, -1])
    found = [layer.matrix for layer in weighted_layers(reading_of(made, shape))]
    if not all(map(np.array_equal, found, map(numbers, wanted))):
        raise ValueError("model: expected weights of its own for every module, received some that are the same")
    return made


def _kernel(layer) -> np.ndarray:
    """Return the kernel of a layer with the axes in PyTorch's order."""
    if isinstance(layer, Convolution):
        windows = layer.kernel.reshape(len(layer.matrix), *layer.size, -1)
        return np.moveaxis(windows, -1, 1)
    return layer.kernel


def _has_weights_of(part, layer) -> bool:
    """Return whether a module has the weights of a layer, and no others."""
    weight, bias = numbers(part.weight), numbers(getattr(part, "bias", None))
    kernel = _kernel(layer)
    if weight.size != kernel.size or (bias is not None) != layer.bias:
        return False
    return np.array_equal(weight, kernel.reshape(weight.shape)) and (
        bias is None or np.array_equal(bias, layer.matrix[:, -1])
    )
