"""Lower bounds of the smallest perturbation that could change the class: as printed, repaired, and tight."""

from bea.lazy import opening

HOMES = {
    "bea.bounds.ball_dense": "local_bound",
    "bea.bounds.ball_pieces": "pieces_bound",
    "bea.bounds.ball_pooling": "convolutional_bound",
    "bea.bounds.ball_windows": "windows_bound",
    "bea.bounds.branching": "ProvedDistance prove",
    "bea.bounds.kantorovich": "DistanceEnclosure distance_enclosure",
    "bea.bounds.lipschitz": "lipschitz_constant spectral_norm",
    "bea.bounds.methods": "LowerBound lower_bound proven_distances",
    "bea.bounds.outputs": "outputs_bound",
    "bea.bounds.printed": "chain convolution_bound fully_connected_bound pooling_bound softmax_bound",
    "bea.bounds.rounding": "logit_error",
}
__all__, __getattr__, __dir__ = opening(__name__, HOMES)
