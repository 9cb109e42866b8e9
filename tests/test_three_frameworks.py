"""One classifier in Keras, PyTorch and ONNX is one network: equal logits, attacks and bounds."""

import numpy as np
import pytest

from bea import Network, attack, lower_bound
from bea.attacks import pgd
from oracles import relative_error
from three_frameworks import MODELS, SHAPE, grown, in_keras, in_onnx, in_torch

pytest.importorskip("jax")
WITHOUT = "no {} here, so its reader was not compared with that of Keras"
READERS = {
    "onnx": lambda steps: Network.from_onnx(in_onnx(steps), input_range=(-1.0, 1.0)),
    "torch": lambda steps: Network.from_torch(in_torch(steps), SHAPE, input_range=(-1.0, 1.0)),
}


def first(images):
    """Images of Keras with their channels first."""
    return np.moveaxis(images, -1, 1)


@pytest.fixture(scope="module", params=MODELS)
def kept(request):
    """The steps of a model, and its network as Keras' reader has it, with images, attacks and bounds."""
    steps = grown(request.param)
    net = Network.from_keras(in_keras(steps), input_range=(-1.0, 1.0))
    x = np.random.default_rng(1).uniform(-1.0, 1.0, (6, *net.input_shape))
    return steps, net, x, found_for(net, x)


def found_for(net, x):
    """Attacks and bounds of a network: what is compared, by name."""
    own = net.classify(x)
    target = (own + 1) % net.classes
    on_input, on_weights = (attack(net, x, target, on, margin=0.1) for on in ("input", "weights"))
    moved = pgd(net, x, own, epsilon=0.1, steps=3)
    return {
        "input": on_input.perturbation.dx,
        "pgd": moved.x - x,
        "weights": on_weights.perturbation.relative_norms,
        "perturbed": net.perturbed_logits(on_weights.perturbation),
        "margins": on_weights.margin,
        "bound": lower_bound(net, x).radius,
    }


@pytest.mark.parametrize("framework", READERS)
def test_keras_and_another_framework_give_one_network(framework, kept):
    """To 1e-6: the weights are the same in single precision, and all is computed in double."""
    pytest.importorskip(framework, reason=WITHOUT.format(framework))
    steps, net, x, expected = kept
    other = READERS[framework](steps)
    assert relative_error(other(first(x)), net(x)) <= 1e-6
    assert [layer.matrix.shape for layer in other.weighted] == [layer.matrix.shape for layer in net.weighted]
    found = found_for(other, first(x))
    for name, values in expected.items():
        values = first(values) if name in ("input", "pgd") else values
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6 * np.abs(values).max(), err_msg=name)


def test_pytorch_is_fooled_by_the_perturbed_network(kept):
    """The perturbed weights, put into the module as they are, give the perturbed logits: columns mean the same."""
    torch = pytest.importorskip("torch", reason=WITHOUT.format("torch"))
    steps = kept[0]
    if any(word in ("bn", "block") for word, *_ in steps):
        pytest.skip("weights with batch normalisation folded in are none of the module")
    module = in_torch(steps).double()
    net = Network.from_torch(module, SHAPE)
    x = np.random.default_rng(2).uniform(-1.0, 1.0, (2, *SHAPE))
    perturbation = attack(net, x, (net.classify(x) + 1) % net.classes, "weights", margin=0.1).perturbation
    expected = net.perturbed_logits(perturbation)
    own = [each for each in module if hasattr(each, "weight")]
    for i in range(2):
        other, image = net.perturbed(perturbation, i)
        for layer, changed in zip(own, other.weighted, strict=True):
            kernel = changed.kernel
            if layer.weight.ndim == 4:
                filters, channels, height, width = layer.weight.shape
                kernel = kernel.reshape(filters, height, width, channels).transpose(0, 3, 1, 2)
            layer.weight.data = torch.tensor(np.ascontiguousarray(kernel))
            layer.bias.data = torch.tensor(changed.matrix[:, -1].copy())
        found = module(torch.tensor(image[None])).detach().numpy()[0]
        if len(found) == 1:  # the sigmoid of the one output
            found = np.array([0.0, np.log(found[0] / (1.0 - found[0]))])
        assert relative_error(found, expected[i]) <= 1e-12
