"""Backward error analysis of neural networks: the mathematics, in NumPy and SciPy."""

from bea.lazy import opening

HOMES = {
    "bea.backward.closed_form": "backward_error",
    "bea.backward.condition": "condition_number",
    "bea.backward.result": "AttackResult",
    "bea.backward.smallest_attack": "attack",
    "bea.bounds.methods": "LowerBound lower_bound",
    "bea.networks.folding": "batch_normalisation fold_scales",
    "bea.networks.global_pooling": "GlobalAveragePool GlobalMaxPool",
    "bea.networks.layers": "Activation Dense Flatten Readout",
    "bea.networks.network": "Network",
    "bea.networks.normalisation": "LayerNormalization PReLU Scale",
    "bea.networks.perturbation": "Perturbation",
    "bea.networks.quantiser": "Quantise",
    "bea.networks.radial": "RadialBasis",
    "bea.networks.reshaping": "Crop Pad Permute Reshape",
    "bea.networks.residual": "Residual",
    "bea.networks.windows": "AveragePool Convolution MaxPool",
    "bea.precision.forward": "LowPrecision low_precision",
    "bea.version": "__version__",
}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
