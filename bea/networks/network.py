"""Networks as compositions of layers (paper B, eq. 3), and their first-order expansion (section 2.4).

A network is the map ``x -> y_p`` with ``y_i = f_i(A_i h_{i-1})``, where ``h_{i-1}`` is ``y_{i-1}`` with a one
appended when the layer has a bias, so that the bias is the last column of ``A_i``. Here the affine maps, the
activations and the reshapes are separate layers in one sequence; the *weighted* ones carry the index i.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bea.networks.activations import ACTIVATIONS, softmax
from bea.networks.inputs import check_classes, check_images
from bea.networks.layers import Dense, Readout, Weighted
from bea.networks.linearisation import Linearisation
from bea.networks.perturbation import Perturbation
from bea.networks.sequence import expand, forward_changed, leaves, pull_back, replaced, shapes_of, trace
from bea.numerics.arrays import flat
from bea.reports.texts import listed

# Maps after the logits that leave the order of the classes as it is, so that attacks may work on the logits.
OUTPUT_ACTIVATIONS = ("linear", "sigmoid", "softmax", "tanh")


@dataclass(frozen=True, eq=False)
class Network:
    """An immutable feed-forward classifier in float64 (paper B, eq. 3).

    Parameters
    ----------
    layers : sequence of layers
        Applied in order; the last one is ``Dense``, or a ``Readout`` behind any others, and has the logits as output.
    input_shape : tuple of int
        Shape of one image.
    output_activation : {"linear", "sigmoid", "softmax", "tanh"}
        What the trained model applies to the logits; it does not change the order of the classes.
    input_range : pair of float, optional
        Smallest and largest pixel value that an image may have; None for no limits.

    Raises
    ------
    ValueError
        If shapes do not fit together, weights are not finite, or the last layer has no weights.
    """

    layers: tuple
    input_shape: tuple[int, ...]
    output_activation: str = "linear"
    input_range: tuple[float, float] | None = None

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "input_shape", tuple(int(size) for size in self.input_shape))
        if self.output_activation not in OUTPUT_ACTIVATIONS:
            raise ValueError(
                f"output_activation: expected one of {OUTPUT_ACTIVATIONS}, received {self.output_activation!r}"
            )
        if self.input_range is not None:
            limits = np.asarray(self.input_range, dtype=float)
            if limits.shape != (2,) or not limits[0] < limits[1]:
                raise ValueError(f"input_range: expected (low, high) with low < high, received {self.input_range!r}")
            object.__setattr__(self, "input_range", tuple(limits.tolist()))
        if not self.layers or not isinstance(self.layers[-1], Dense | Readout):
            raise ValueError(
                "layers: expected a last layer with weights, whose output is the logits, or a Readout behind it"
            )
        shape = self.input_shape
        for number, layer in enumerate(self.layers):
            try:
                shape = layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"layers[{number}]: {error}") from None
        if shape[0] < 2:
            raise ValueError(f"layers: expected at least two classes, received {shape[0]}")

    def __repr__(self) -> str:
        numbers = sum(layer.matrix.size for layer in self.weighted)
        head = (
            f"Network: inputs {self.input_shape} within {self.input_range or 'no limits'}, {self.classes} classes, "
            f"{numbers:,} weights, output {self.output_activation}"
        )
        lines, shape = [], self.input_shape
        for layer in self.layers:
            shape = layer.output_shape(shape)
            lines.append(f"{layer} → {shape}")
        return listed(head, lines)

    @cached_property
    def weighted(self) -> tuple[Weighted, ...]:
        """The weighted layers, i = 1, …, p."""
        return tuple(layer for layer in leaves(self.layers) if isinstance(layer, Weighted))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.layers[-1].matrix)

    @cached_property
    def weight_norms(self) -> np.ndarray:
        """‖A_i‖ (Frobenius) of every weighted layer, (p,)."""
        norms = np.array([np.linalg.norm(layer.matrix) for layer in self.weighted])
        norms.flags.writeable = False
        return norms

    def numbers(self, layers) -> int:
        """Return about how many numbers ``linearise`` and what is made of it hold for a sample.

        ``layers`` says which of the weighted layers are wanted, as in ``linearise``.
        """
        wanted, total, widest = iter(layers), 0, math.prod(self.input_shape)
        for layer, _, output in shapes_of(self.layers, self.input_shape):
            size = math.prod(output)
            total, widest = total + size, max(widest, size)
            if isinstance(layer, Weighted) and next(wanted):
                positions = size // len(layer.matrix)
                total += positions * layer.matrix.shape[1] + self.classes * size
                total += 3 * self.classes * layer.matrix.size * (not isinstance(layer, Dense))
        return total + 2 * self.classes * widest

    def check_images(self, x, name="x") -> np.ndarray:
        """Return ``x`` as a float64 batch ``(n, *input_shape)``, or raise ``ValueError``."""
        return check_images(x, self.input_shape, self.input_range, name)

    def check_classes(self, values, n, name) -> np.ndarray:
        """Return ``values`` as n classes, one an image; or raise ``TypeError`` or ``ValueError``."""
        return check_classes(values, n, self.classes, name)

    def __call__(self, x) -> np.ndarray:
        """Return the logits (n, classes): the output of the last weighted layer, before any output activation."""
        return self.trace(x)[-1]

    def classify(self, x) -> np.ndarray:
        """Return the class of every image, (n,): the index of the largest logit."""
        return self(x).argmax(axis=1)

    def activate(self, logits) -> np.ndarray:
        """Return the activated outputs (n, classes) that belong to the logits."""
        if self.output_activation == "softmax":
            return softmax(logits)
        return ACTIVATIONS[self.output_activation][0](logits)

    def linearise(self, x, activated=False, layers=None) -> Linearisation:
        """Expand the logits, or the activated outputs, to first order in all weights and in the input (section 2.4).

        With ``layers``, one True or False for each weighted layer, only in the weights of those; h and S of the others
        are None.
        """
        values = self.trace(x)
        outputs, rows = values[-1], np.eye(self.classes)[None]
        if activated and self.output_activation != "linear":
            outputs = self.activate(values[-1])
            if self.output_activation == "softmax":
                rows = outputs[:, :, None] * (rows - outputs[:, None])
            else:
                rows = rows * ACTIVATIONS[self.output_activation][1](values[-1], outputs)[:, None]
        found, wanted = [], [True] * len(self.weighted) if layers is None else list(layers)
        jacobian = flat(expand(self.layers, values, rows, wanted[::-1], found), keep=2)
        return Linearisation(outputs, [h for h, _ in found], [rows for _, rows in found], jacobian)

    def gradient(self, x, weights) -> np.ndarray:
        """Return the derivative of ``Σ_k weights_k logits_k`` with respect to x, of its shape.

        ``weights`` (n, classes), or a function that returns them for the logits.
        """
        values = self.trace(x)
        rows = np.asarray(weights(values[-1]) if callable(weights) else weights, dtype=float)[:, None]
        return pull_back(self.layers, rows, values)[:, 0]

    def perturbed_logits(self, perturbation: Perturbation) -> np.ndarray:
        """Return the logits (n, classes) when sample i goes through the network perturbed for sample i."""
        y = perturbation.x if perturbation.dx is None else perturbation.x + perturbation.dx
        return forward_changed(self.layers, y, iter(perturbation.dA))

    def perturbed(self, perturbation: Perturbation, i: int) -> tuple["Network", np.ndarray]:
        """Return network and image of sample ``i`` with its perturbation put in."""
        image = perturbation.x[i] if perturbation.dx is None else perturbation.x[i] + perturbation.dx[i]
        changes = (perturbation.matrix(number, i) for number in range(len(self.weighted)))

        def change(layer):
            return layer.with_matrix(layer.matrix + next(changes)) if isinstance(layer, Weighted) else layer

        return replace(self, layers=replaced(self.layers, change)), image

    @classmethod
    def from_keras(cls, model, input_range=None) -> "Network":
        """Convert a built Keras model, of any backend, and compare the copy with it on random inputs.

        Parameters
        ----------
        model : keras.Model
            A ``Sequential`` or functional model, models within models included, of dense, convolution (also depthwise,
            separable, with groups or dilation, along lines), pooling, normalisation, padding, reshaping and activation
            layers, and of the ``RadialBasis`` of ``lab.keras_models``. ``Add`` may end residual blocks. What only acts
            in training, as ``Dropout``, is left out; batch normalisation is folded into the weights next to it. A final
            softmax, sigmoid or tanh becomes the output activation, and a single sigmoid output two classes.
        input_range : pair of float, optional
            Smallest and largest pixel value; Keras does not store it.

        Raises
        ------
        ValueError
            For a layer that has no counterpart, naming it, for a graph that is neither a sequence nor made of residual
            blocks, and for a model that computes something else than its layers say.
        """
        from bea.networks.keras_reader import reading_of

        return cls._copied(reading_of(model), input_range)

    @classmethod
    def from_torch(cls, module, input_shape=None, input_range=None) -> "Network":
        """Convert a PyTorch module as it is in ``eval`` mode, and compare the copy with it on random inputs.

        Images are as the module takes them, (channels, height, width), and the columns of a dense layer are in its
        order. What converts is as in ``from_keras``, from modules, functions and methods of PyTorch.

        Parameters
        ----------
        module : torch.nn.Module or torch.export.ExportedProgram
            One that ``torch.fx`` can trace: its ``forward`` does the same for every input.
        input_shape : tuple of int, optional
            Shape of one input, without the axis of the samples; only a programme stores it.
        input_range : pair of float, optional
            Smallest and largest pixel value.

        Raises
        ------
        ValueError
            As in ``from_keras``.
        """
        from bea.networks.torch_reader import reading_of

        return cls._copied(reading_of(module, input_shape), input_range)

    @classmethod
    def from_onnx(cls, model, input_range=None) -> "Network":
        """Convert an ONNX model, and compare the copy with what ONNX' reference computes for it on random inputs.

        Inputs are as the model takes them. What converts is as in ``from_keras``; of a classifier of scikit-learn the
        output with the probabilities is taken.

        Parameters
        ----------
        model : path or onnx.ModelProto
        input_range : pair of float, optional
            Smallest and largest pixel value.

        Raises
        ------
        ImportError
            Without the package ``onnx``.
        FileNotFoundError
            If there is no such file.
        ValueError
            As in ``from_keras``, and for a file that is no ONNX model.
        """
        from bea.networks.onnx_reader import reading_of

        return cls._copied(reading_of(model), input_range)

    @classmethod
    def _copied(cls, reading, input_range) -> "Network":
        """Return the network that was read from a model, after a comparison."""
        from bea.networks.reading import check_copy

        net = cls(reading.layers, reading.input_shape, reading.output_activation, input_range)
        check_copy(net, reading)
        return net

    @classmethod
    def load(cls, path) -> "Network":
        """Read a network written by ``save``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, not a network, or holds weights that are not finite or of the wrong shape.
        """
        from bea.networks.archive import read

        arguments = read(path)
        try:
            return cls(*arguments)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def save(self, path) -> None:
        """Write the network to ``path`` (.npz, without pickle)."""
        from bea.networks.archive import write

        write(self, path)

    def trace(self, x) -> list[np.ndarray]:
        """Return the input, and the output of every layer, for a batch (n, *input_shape); the last are the logits."""
        y = np.asarray(x, dtype=float)
        if y.shape[1:] != self.input_shape or y.ndim != len(self.input_shape) + 1:
            raise ValueError(f"x: expected a batch of shape (n, {str(self.input_shape)[1:]}, received {y.shape}")
        return trace(self.layers, y)
