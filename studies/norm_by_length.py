"""The norm of paper B's Table 1 after trainings of several lengths: one training passes through all of them."""

import numpy as np
import pandas as pd

from bea.networks.network import Network
from lab.attempts import first_right
from lab.datasets import Dataset
from lab.keras_backend import keras
from lab.keras_models import dense_classifier
from lab.training import fit
from studies.one_layer import weight_attacks


def norms(data: Dataset, *, seed, epochs, digits, margin, batch_size, images, training) -> pd.DataFrame:
    """Attack the weights of a one-layer network after some numbers of epochs, as Table 1 does and on more images.

    Parameters
    ----------
    data : Dataset
    seed : int
        Of the initial weights and the order of the images.
    epochs : list of int
        The network after each is the one that a training of this length would have left.
    digits : list of int
        Of Table 1; the first test image of each that the network has right becomes every other digit.
    margin : float
        By which a target's logit must lead.
    batch_size : int
    images : int
        First test images that are attacked besides.
    training : int
        Training images at most.

    Returns
    -------
    DataFrame
        One row a length: ``epochs``; ``accuracy`` on the test images; ``size`` ‖A₁‖; median ``norm`` ‖ΔA₁‖/‖A₁‖ of
        Table 1's attacks; ``wide``, the same on the first images; ``success``, the share of all that reach their aim.
    """
    model, kept = dense_classifier([10], ["linear"], data.x_train.shape[1:], seed), {}
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def keep(epoch, _logs):
        if epoch + 1 in epochs:
            kept[epoch + 1] = Network.from_keras(model)

    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=keep)]
    x, y = data.x_train[:training], data.y_train[:training]
    fit(model, x, y, batch_size, epochs=max(epochs), callbacks=callbacks)
    rows = []
    for length in epochs:
        net = {length: kept[length]}
        chosen = first_right(net, data.x_test, data.y_test, digits)
        table, wide = (
            weight_attacks(net, data.x_test[part], data.y_test[part], margin=margin) for part in (chosen, slice(images))
        )
        accuracy = np.mean(kept[length].classify(data.x_test) == data.y_test)
        rows.append({
            "epochs": length, "accuracy": accuracy, "size": kept[length].weight_norms[0], "norm": table.norm.median(),
            "wide": wide.norm.median(), "success": pd.concat([table, wide]).success.mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)
