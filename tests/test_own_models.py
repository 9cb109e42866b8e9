"""`Network.from_keras`: every kind of layer that converts computes what Keras computes, and the others are refused."""

import numpy as np
import pytest

import own_models
from bea import Network
from bea.networks.activations import softmax
from oracles import relative_error

pytest.importorskip("jax")


def shown(net, x, model):
    """What the network says in the place of the outputs of the model."""
    name = getattr(getattr(model.layers[-1], "activation", None), "__name__", "")
    if net.layers[-1].matrix.tolist() == [[0.0], [1.0]]:
        return softmax(net(x))[:, 1:]
    return np.log(net.activate(net(x))) if name == "log_softmax" else net.activate(net(x))


@pytest.mark.parametrize("name", own_models.CONVERTED)
def test_a_converted_model_computes_what_keras_computes(name):
    """To single precision, on inputs that no reader has seen. (Layers that augment images do so unless told not to.)"""
    model = own_models.build(own_models.CONVERTED[name])
    net = Network.from_keras(model)
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (4, *net.input_shape))
    found = np.asarray(model(x.astype(np.float32), training=False))
    assert relative_error(shown(net, x, model), found.reshape(4, -1)) <= 5e-7


@pytest.mark.parametrize("name", own_models.REFUSED)
def test_a_model_without_counterpart_is_refused_in_one_line(name):
    """It names the layer, its kind, and what would work."""
    case = own_models.REFUSED[name]
    with pytest.raises(ValueError, match=case[2]) as caught:
        Network.from_keras(own_models.build(case))
    assert "\n" not in str(caught.value)
