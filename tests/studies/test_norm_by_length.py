"""A training that passes through several lengths leaves what trainings of these lengths leave."""

import numpy as np
import pytest

from lab import datasets
from lab.training import opened, train_from_seed
from studies.norm_by_length import norms
from studies.one_layer import weight_attacks


def test_every_length_is_a_training_of_its_own():
    """The norm of the attacks on it, its accuracy and its size are those of the network that Keras trains so long."""
    from lab.keras_models import dense_classifier

    data = datasets.load("digits")
    way = {"digits": [7, 8], "margin": 1e-3, "batch_size": 32, "images": 30, "training": 400}
    found = norms(data, seed=3, epochs=[1, 3], **way).set_index("epochs")
    for epochs in (1, 3):
        layer = {"widths": [10], "activations": ["linear"]}
        alone = train_from_seed(dense_classifier, data, seed=3, batch_sizes=[32], epochs=epochs, images=400, **layer)
        nets, _ = opened({"one": alone})
        (net,) = nets.values()
        attacks = weight_attacks(nets, data.x_test[:30], data.y_test[:30], margin=1e-3)
        assert found.wide[epochs] == pytest.approx(attacks.norm.median(), rel=1e-12)
        assert found["size"][epochs] == pytest.approx(net.weight_norms[0], rel=1e-12)
        assert found.accuracy[epochs] == np.mean(net.classify(data.x_test) == data.y_test)
    assert (found.success == 1).all()
