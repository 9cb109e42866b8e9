"""What the printed chain of bounds costs for one image of a LeNet (paper P, abstract), counted in multiplications."""

import numpy as np
from scipy.sparse.linalg import LinearOperator, svds

from bea.bounds.printed import convolution_bound, softmax_bound
from bea.networks.layers import Dense
from bea.networks.network import Network
from bea.networks.windows import Convolution


def multiplications(net: Network) -> tuple[int, int]:
    """Return the number of parameters, and the multiplications of the chain for one image but for ‖J‖.

    A forward pass, the hyperplanes at the output (one product a weight and a division a class), and ‖W‖_F of the
    kernels.
    """
    parameters, products, shape = 0, net.layers[-1].kernel.size + net.classes, net.input_shape
    for layer in net.layers:
        shape = layer.output_shape(shape)
        if isinstance(layer, Convolution | Dense):
            parameters += layer.matrix.size
            products += np.prod(shape) // len(layer.matrix) * layer.kernel.size
            products += layer.kernel.size * isinstance(layer, Convolution)  # its Frobenius norm
    return int(parameters), int(products)


def lanczos_products(J, seed: int) -> int:
    """Return how many products with J or Jᵀ Lanczos takes until the norm of J is right to six digits.

    Parameters
    ----------
    J : array (rows, columns)
    seed : int
        Of the vector to start from.
    """
    calls = []

    def counting(A):
        return lambda v: (calls.append(1), A @ v)[1]

    operator = LinearOperator(J.shape, matvec=counting(J), rmatvec=counting(J.T))
    start = np.random.default_rng(seed).standard_normal(min(J.shape))
    svds(operator, 1, tol=1e-6, v0=start, return_singular_vectors=False)
    return len(calls)


def chain_without_norm(net: Network, x) -> np.ndarray:
    """Return κ (n,) of the first convolution's input, with ‖J‖ = 1 put for the norm that costs most."""
    κ = softmax_bound(net.layers[-1], net.trace(x)[-2])
    return convolution_bound(convolution_bound(κ, net.layers[2].kernel), net.layers[0].kernel)
