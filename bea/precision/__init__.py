"""Low-precision inference: formats, the pass with its roundings, its backward error bounds, and certificates."""

from bea.lazy import opening

HOMES = {
    "bea.precision.certificate": "certified enclosed_logits",
    "bea.precision.componentwise": "layer_errors",
    "bea.precision.conditioning": "Recomputed component_conditions recompute",
    "bea.precision.formats": "Format round_to unit_roundoff",
    "bea.precision.forward": "LowPrecision low_precision",
    "bea.precision.growth": "WeightBound deterministic_bound likely_growth probabilistic_bound worst_growth",
    "bea.precision.quantisation": "quantised",
    "bea.precision.table": "FormatReport report summary",
}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
