"""Every witness of the componentwise attack holds in the original Keras model, in single precision."""

import numpy as np
import pytest

from bea import Network
from bea.attacks import componentwise_attack
from keras_support import build
from lab.keras_models import outputs, put_weights
from oracles import with_changes

MARGIN = 1e-3


def blank_in_places(rng, shape):
    """Images in [0, 1) a third of whose pixels are zero."""
    return rng.random(shape) * (rng.random(shape) > 0.3)


@pytest.mark.parametrize("name", ["one layer", "hidden", "no bias", "lenet"])
def test_every_witness_on_the_input_holds_in_keras(name):
    model = build(name)
    net = Network.from_keras(model, input_range=(0.0, 1.0))
    x = blank_in_places(np.random.default_rng(0), (12, *net.input_shape))
    label = net.classify(x)
    for clip in (False, True):
        found = componentwise_attack(net, x, label, margin=MARGIN, clip=clip)
        won = found.success
        # Random models prefer one class so much that some images have no way out.
        assert won.sum() >= 3
        changed = (x + np.nan_to_num(found.dx))[won]
        np.testing.assert_array_equal(outputs(model, changed).argmax(axis=1), found.found[won])
        assert (found.found[won] != label[won]).all()
        assert not found.dx[won][x[won] == 0.0].any()


def test_a_witness_on_the_weights_holds_in_keras():
    model = build("hidden")
    net = Network.from_keras(model)
    x = blank_in_places(np.random.default_rng(1), (6, 2, 3))
    found = componentwise_attack(net, x, net.classify(x), on="weights", margin=MARGIN)
    assert found.success.any()
    for i in np.flatnonzero(found.success):
        put_weights(model, with_changes(net, found.dA, i))
        assert outputs(model, x[i : i + 1]).argmax() == found.found[i]
