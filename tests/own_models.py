"""Models of a reader's own, all kinds of layers in the smallest sizes: which of them convert, and which are refused.

Each case is a name, the shape of an input, and a function that returns the layers of Keras, or makes a model from its
input. Weights are random; none is trained.
"""

from contextlib import ExitStack
from unittest import mock

import numpy as np

from bea import Network
from lab.keras_backend import keras

layers = keras.layers
IMAGE, LINE, VECTOR = (6, 6, 2), (8, 3), (5,)
ACTIVATIONS = "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear"
ACTIVATIONS += " log_sigmoid mish relu relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid"
ACTIVATIONS += " squareplus swish tanh tanh_shrink"


def head(*first):
    """Layers with a dense one to the classes behind them."""
    return [*first, layers.Flatten(), layers.Dense(3)]


def graph(block, *, before=(), shape=IMAGE):
    """A model whose images go through a block, a function of a tensor, and a head."""
    image = y = keras.Input(shape)
    for layer in before:
        y = layer(y)
    y = block(y)
    for layer in head():
        y = layer(y)
    return keras.Model(image, y)


def basic_block(y):
    """Two convolutions with batch normalisation, and a shortcut around them."""
    z = y
    for activation in ("relu", "linear"):
        z = layers.Conv2D(2, 3, padding="same", use_bias=False)(z)
        z = layers.Activation(activation)(layers.BatchNormalization()(z))
    return layers.ReLU()(layers.Add()([z, y]))


def strided_block(y):
    """A block that halves the image, with a convolution on its shortcut."""
    z = layers.Conv2D(3, 3, 2, "same", activation="relu")(y)
    z = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(z))
    return layers.ReLU()(layers.Add()([layers.Conv2D(3, 1, 2)(y), z]))


def nested_block(y):
    """A block whose branch is a block."""
    return layers.Add()([y, layers.Conv2D(2, 1)(basic_block(y))])


def three_paths(y):
    """Three paths that meet in one sum."""
    return layers.Add()([y, layers.Conv2D(2, 1)(y), layers.ReLU()(y)])


def first_channels(*more):
    """Layers that have the channels first, on images (2, 6, 6)."""
    return [
        layers.ZeroPadding2D(1, data_format="channels_first"),
        layers.Conv2D(4, 3, 2, "same", data_format="channels_first", activation="relu"),
        layers.BatchNormalization(axis=1),
        layers.AveragePooling2D(2, data_format="channels_first"),
        *more,
    ]


def normalization():
    layer = layers.Normalization(axis=-1)
    layer.adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, *IMAGE)))
    return layer


CONVERTED = {
    **{
        f"Dense({name})": (VECTOR, lambda name=name: [layers.Dense(4, name), layers.Dense(3)])
        for name in ACTIVATIONS.split()
    },
    "Activation": (VECTOR, lambda: [layers.Activation("gelu"), layers.Dense(3)]),
    "Dense on images": (IMAGE, lambda: head(layers.Dense(4, "relu"), layers.Dense(2, use_bias=False))),
    "Dense on lines": (LINE, lambda: head(layers.Dense(4, "relu"))),
    "Dense(layer as activation)": (VECTOR, lambda: [layers.Dense(4, layers.ReLU(6.0)), layers.Dense(3)]),
    "Dense(relu) at the end": (VECTOR, lambda: [layers.Dense(3, "relu")]),
    "Dense(softmax)": (VECTOR, lambda: [layers.Dense(3, "softmax")]),
    "Dense(log_softmax)": (VECTOR, lambda: [layers.Dense(3, "log_softmax")]),
    "Dense(1, sigmoid)": (VECTOR, lambda: [layers.Dense(4, "relu"), layers.Dense(1, "sigmoid")]),
    "Softmax": (VECTOR, lambda: [layers.Dense(3), layers.Dropout(0.5), layers.Softmax()]),
    "ReLU": (VECTOR, lambda: [layers.ReLU(), layers.Dense(3)]),
    "ReLU(max_value)": (VECTOR, lambda: [layers.ReLU(1.0), layers.Dense(3)]),
    "ReLU(6)": (VECTOR, lambda: [layers.ReLU(6.0), layers.Dense(3)]),
    "ReLU(negative_slope)": (VECTOR, lambda: [layers.ReLU(negative_slope=0.1), layers.Dense(3)]),
    "ReLU(threshold)": (VECTOR, lambda: [layers.ReLU(threshold=0.5), layers.Dense(3)]),
    "ReLU(all)": (VECTOR, lambda: [layers.ReLU(1.5, 0.2, 0.5), layers.Dense(3)]),
    "LeakyReLU": (VECTOR, lambda: [layers.LeakyReLU(0.1), layers.Dense(3)]),
    "ELU": (VECTOR, lambda: [layers.ELU(0.5), layers.Dense(3)]),
    "PReLU": (IMAGE, lambda: head(layers.PReLU())),
    "PReLU(shared_axes)": (IMAGE, lambda: head(layers.PReLU(shared_axes=(1, 2)))),
    "Conv2D": (IMAGE, lambda: head(layers.Conv2D(4, 3, activation="relu"))),
    "Conv2D(strides, same)": (IMAGE, lambda: head(layers.Conv2D(3, (3, 2), (2, 3), "same"))),
    "Conv2D(dilation)": (IMAGE, lambda: head(layers.Conv2D(3, 2, dilation_rate=(2, 3), padding="same"))),
    "Conv2D(groups)": (IMAGE, lambda: head(layers.Conv2D(4, 3, groups=2))),
    "DepthwiseConv2D": (IMAGE, lambda: head(layers.DepthwiseConv2D(3, 2, "same", depth_multiplier=3))),
    "SeparableConv2D": (IMAGE, lambda: head(layers.SeparableConv2D(4, 3, 2, "same", depth_multiplier=2))),
    "Conv1D": (LINE, lambda: head(layers.Conv1D(4, 3, 2, "same", activation="relu"), layers.Conv1D(2, 2))),
    "Conv1D(causal)": (LINE, lambda: head(layers.Conv1D(4, 3, padding="causal", dilation_rate=2))),
    "DepthwiseConv1D": (LINE, lambda: head(layers.DepthwiseConv1D(3, depth_multiplier=2))),
    "SeparableConv1D": (LINE, lambda: head(layers.SeparableConv1D(4, 3, padding="same"))),
    "Conv2D(channels_first)": ((2, 6, 6), lambda: head(*first_channels())),
    "Conv1D(channels_first)": ((3, 8), lambda: head(layers.Conv1D(4, 3, data_format="channels_first"))),
    "Flatten(channels_first)": (
        (2, 6, 6),
        lambda: [*first_channels(layers.Flatten(data_format="channels_first")), layers.Dense(3)],
    ),
    "GlobalAveragePooling2D(channels_first)": (
        (2, 6, 6),
        lambda: [*first_channels(layers.GlobalAveragePooling2D(data_format="channels_first")), layers.Dense(3)],
    ),
    "MaxPooling2D": (IMAGE, lambda: head(layers.MaxPooling2D())),
    "MaxPooling2D(same)": (IMAGE, lambda: head(layers.MaxPooling2D(3, 2, "same"))),
    "AveragePooling2D(same)": (IMAGE, lambda: head(layers.AveragePooling2D((3, 2), (2, 3), "same"))),
    "MaxPooling1D": (LINE, lambda: head(layers.MaxPooling1D(3, 2, "same"))),
    "AveragePooling1D": (LINE, lambda: head(layers.AveragePooling1D(3, 2, "same"))),
    "GlobalAveragePooling2D": (IMAGE, lambda: [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]),
    "GlobalMaxPooling2D": (IMAGE, lambda: head(layers.GlobalMaxPooling2D(keepdims=True))),
    "GlobalAveragePooling1D": (LINE, lambda: [layers.GlobalAveragePooling1D(), layers.Dense(3)]),
    "GlobalMaxPooling1D": (LINE, lambda: [layers.GlobalMaxPooling1D(), layers.Dense(3)]),
    "pooling at the end": (IMAGE, lambda: [layers.Conv2D(3, 3), layers.GlobalAveragePooling2D(), layers.Softmax()]),
    "convolution at the end": (IMAGE, lambda: [layers.Conv2D(3, 6), layers.Flatten(), layers.Activation("softmax")]),
    "image of one pixel at the end": (IMAGE, lambda: [layers.Conv2D(3, 6, activation="softmax")]),
    "BatchNormalization behind Conv2D": (
        IMAGE,
        lambda: head(layers.Conv2D(4, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()),
    ),
    "BatchNormalization behind Conv1D": (LINE, lambda: head(layers.Conv1D(4, 3), layers.BatchNormalization())),
    "BatchNormalization behind Dense": (
        VECTOR,
        lambda: [layers.Dense(4), layers.BatchNormalization(), layers.Dense(3)],
    ),
    "BatchNormalization before Dense": (VECTOR, lambda: [layers.BatchNormalization(), layers.Dense(3)]),
    "BatchNormalization before Conv2D": (
        IMAGE,
        lambda: head(layers.BatchNormalization(scale=False), layers.Conv2D(4, 3), layers.ReLU()),
    ),
    "BatchNormalization alone": (
        IMAGE,
        lambda: head(layers.ReLU(), layers.BatchNormalization(center=False), layers.Conv2D(2, 3, padding="same")),
    ),
    "BatchNormalization(axis)": (IMAGE, lambda: head(layers.ReLU(), layers.BatchNormalization(axis=1))),
    "GroupNormalization": (IMAGE, lambda: head(layers.Conv2D(6, 3), layers.GroupNormalization(3), layers.ReLU())),
    "GroupNormalization(axis)": (IMAGE, lambda: head(layers.GroupNormalization(2, axis=1, epsilon=0.1, scale=False))),
    "GroupNormalization(-1)": (LINE, lambda: head(layers.GroupNormalization(-1, center=False), layers.Conv1D(2, 3))),
    "LayerNormalization": (IMAGE, lambda: head(layers.LayerNormalization())),
    "LayerNormalization(axis)": (IMAGE, lambda: head(layers.LayerNormalization((1, 2), center=False))),
    "Rescaling": (IMAGE, lambda: [layers.Rescaling(1 / 127.5, -1.0), *head(layers.Conv2D(2, 3))]),
    "Normalization": (IMAGE, lambda: [normalization(), *head(layers.Conv2D(2, 3))]),
    "ZeroPadding2D": (IMAGE, lambda: head(layers.ZeroPadding2D(((1, 2), (0, 3))), layers.Conv2D(2, 3))),
    "ZeroPadding1D": (LINE, lambda: head(layers.ZeroPadding1D((1, 2)))),
    "Cropping2D": (IMAGE, lambda: head(layers.Cropping2D(((1, 2), (0, 3))))),
    "Cropping1D": (LINE, lambda: head(layers.Cropping1D((1, 2)))),
    "Reshape": (IMAGE, lambda: head(layers.Reshape((9, -1)), layers.Conv1D(2, 3))),
    "Permute": (IMAGE, lambda: head(layers.Permute((3, 1, 2)))),
    "Identity": (IMAGE, lambda: head(layers.Identity())),
    "Dropout": (
        IMAGE,
        lambda: head(layers.SpatialDropout2D(0.5), layers.GaussianDropout(0.5), layers.AlphaDropout(0.5)),
    ),
    "GaussianNoise": (IMAGE, lambda: head(layers.GaussianNoise(1.0), layers.ActivityRegularization(0.1))),
    "augmentation": (IMAGE, lambda: head(layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1))),
    "Sequential in Sequential": (
        IMAGE,
        lambda: head(keras.Sequential([layers.Conv2D(4, 3), keras.Sequential([layers.ReLU(), layers.MaxPooling2D()])])),
    ),
    "functional in Sequential": (IMAGE, lambda: [graph(basic_block), layers.Activation("softmax")]),
    "Sequential in functional": (
        IMAGE,
        lambda: graph(lambda y: layers.Add()([y, keras.Sequential([layers.Conv2D(2, 1), layers.ReLU()])(y)])),
    ),
    "functional in functional": (IMAGE, lambda: graph(lambda y: layers.Add()([y, called_twice(y)]))),
    "residual block": (IMAGE, lambda: graph(basic_block)),
    "residual block behind a convolution": (IMAGE, lambda: graph(basic_block, before=[layers.Conv2D(2, 3)])),
    "residual blocks in a row": (IMAGE, lambda: graph(lambda y: strided_block(basic_block(y)))),
    "residual block in a residual block": (IMAGE, lambda: graph(nested_block)),
    "sum of three paths": (IMAGE, lambda: graph(three_paths)),
    "sum by +": (VECTOR, lambda: graph(lambda y: layers.Dense(5, "relu")(y) + y, shape=VECTOR)),
    "residual block of lines": (
        LINE,
        lambda: graph(lambda y: layers.Add()([layers.Conv1D(3, 3, padding="same")(y), y]), shape=LINE),
    ),
    "a layer without weights used twice": (VECTOR, lambda: graph(used_twice(layers.ReLU()), shape=VECTOR)),
}


def called_twice(y):
    """A model within a model that was called elsewhere before."""
    image = keras.Input(IMAGE)
    model = keras.Model(image, layers.Conv2D(2, 1, activation="relu")(image))
    model(keras.Input(IMAGE))
    return model(y)


def used_twice(layer):
    return lambda y: layer(layers.Dense(5)(layer(y)))


class OwnModel(keras.Model):
    """A model whose layers are used by its own code."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(x)


class OwnLayer(layers.Layer):
    """A layer that nobody knows."""

    def call(self, x):
        return x * x


def two_inputs():
    one, other = keras.Input(VECTOR), keras.Input(VECTOR)
    return keras.Model([one, other], layers.Dense(3)(layers.Add()([one, other])))


def two_outputs():
    image = keras.Input(VECTOR)
    return keras.Model(image, [layers.Dense(3)(image), layers.Dense(2)(image)])


def dense_sums(y):
    """Sums of paths that share a value: no residual block."""
    u = layers.Dense(5, name="u")(y)
    return layers.Add()([layers.Add()([u, y]), layers.Add()([u, layers.Dense(5)(y)])])


def own_model():
    model = OwnModel()
    model(np.zeros((1, 5), dtype=np.float32))
    return model


# The layers, or the model, and what the error says.
REFUSED = {
    "LSTM": (LINE, lambda: [layers.LSTM(4, name="l"), layers.Dense(3)], "layer 'l' of type LSTM .*without recurrence"),
    "GRU": (LINE, lambda: [layers.GRU(4, name="g"), layers.Dense(3)], "layer 'g' of type GRU .*without recurrence"),
    "Bidirectional": (
        LINE,
        lambda: [layers.Bidirectional(layers.SimpleRNN(4), name="b"), layers.Dense(3)],
        "layer 'b' of type Bidirectional .*without recurrence",
    ),
    "TimeDistributed": (
        LINE,
        lambda: head(layers.TimeDistributed(layers.Dense(3), name="t")),
        "layer 't' of type TimeDistributed",
    ),
    "Embedding": (
        VECTOR,
        lambda: head(layers.Embedding(7, 2, name="e")),
        "layer 'e' of type Embedding .*that takes numbers",
    ),
    "MultiHeadAttention": (
        LINE,
        lambda: graph(lambda y: layers.MultiHeadAttention(1, 2, name="m")(y, y), shape=LINE),
        "layer 'm' of type MultiHeadAttention .*dense or convolution",
    ),
    "Lambda": (VECTOR, lambda: [layers.Lambda(lambda y: y, name="f"), layers.Dense(3)], "layer 'f' of type Lambda"),
    "layer of one's own": (VECTOR, lambda: [OwnLayer(name="o"), layers.Dense(3)], "layer 'o' of type OwnLayer"),
    "layer of one's own in a graph": (VECTOR, lambda: graph(OwnLayer(name="o"), shape=VECTOR), "'o' of type OwnLayer"),
    "model of one's own": (VECTOR, own_model, "model: expected a Sequential or functional Keras model.*OwnModel"),
    "Conv2DTranspose": (
        IMAGE,
        lambda: head(layers.Conv2DTranspose(2, 2, name="c")),
        "layer 'c' of type Conv2DTranspose .*images of the size",
    ),
    "UpSampling2D": (IMAGE, lambda: head(layers.UpSampling2D(name="u")), "layer 'u' of type UpSampling2D"),
    "Conv3D": ((4, 4, 4, 1), lambda: head(layers.Conv3D(2, 2, name="c")), "layer 'c' of type Conv3D .*2D, 1D"),
    "RMSNormalization": (
        IMAGE,
        lambda: head(layers.RMSNormalization(name="r")),
        "layer 'r' of type RMSNormalization .*GroupNormalization or LayerNormalization",
    ),
    "AdaptiveAveragePooling2D": (
        IMAGE,
        lambda: head(layers.AdaptiveAveragePooling2D(4, name="a")),
        "layer 'a' of type AdaptiveAveragePooling2D .*GlobalAveragePooling2D",
    ),
    "Concatenate": (
        VECTOR,
        lambda: graph(lambda y: layers.Concatenate(name="c")([y, layers.Dense(2)(y)]), shape=VECTOR),
        r"layer 'c' of type Concatenate .*sums of two paths \(Add\)",
    ),
    "Multiply": (
        VECTOR,
        lambda: graph(lambda y: layers.Multiply(name="m")([y, layers.Dense(5)(y)]), shape=VECTOR),
        r"layer 'm' of type Multiply .*sums of two paths",
    ),
    "sums that share a path": (
        VECTOR,
        lambda: graph(dense_sums, shape=VECTOR),
        "model: expected a sequence of layers and residual blocks, .*two of them use 'u'",
    ),
    "a layer with weights used twice": (
        VECTOR,
        lambda: graph(used_twice(layers.Dense(5, name="d")), shape=VECTOR),
        "layer 'd' of type Dense is used 2 times",
    ),
    "two inputs": (VECTOR, two_inputs, "model: expected one input and one output, received several"),
    "two outputs": (VECTOR, two_outputs, "model: expected one input and one output, received several"),
    "one output without sigmoid": (
        VECTOR,
        lambda: [layers.Dense(1)],
        "model: expected at least two outputs.*regression",
    ),
    "an image as output": (IMAGE, lambda: [layers.Conv2D(3, 3)], r"an output of shape \(4, 4, 3\): pool or flatten it"),
    "softmax within": (
        VECTOR,
        lambda: [layers.Dense(4, "softmax", name="s"), layers.Dense(3)],
        "layer 's' of type Dense: expected a softmax at the end only",
    ),
    "Softmax over an axis": (IMAGE, lambda: head(layers.Softmax(1, name="s")), "layer 's' of type Softmax: .*axis 0"),
    "Dense(sparsemax)": (
        VECTOR,
        lambda: [layers.Dense(4, "sparsemax", name="d"), layers.Dense(3)],
        "layer 'd' of type Dense: expected an activation out of .* received 'sparsemax'",
    ),
    "a size that is open": ((None, 3), lambda: [layers.Dense(4)], r"an input of fixed shape, received \(None, 3\)"),
}


def build(case):
    """Return the model of a case, with random weights where a layer has any."""
    shape, make, *_ = case
    with ExitStack() as stack:
        for name in ("GlorotUniform", "Orthogonal"):
            # Nobody sees the first weights, and every shape of them would be compiled.
            kind = getattr(keras.initializers, name)
            stack.enter_context(mock.patch.object(kind, "__call__", lambda self, shape, dtype=None: np.zeros(shape)))
        model = make()
        if isinstance(model, list):
            model = keras.Sequential([keras.Input(shape), *model])
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if "count" not in variable.name and "seed" not in variable.path:
            value = rng.standard_normal(variable.shape) / 2
            variable.assign(np.abs(value) + 0.5 if "variance" in variable.name else value)
    return model


def outcome(case) -> str:
    """Return "converts", or what the error says: what a table of kinds shows."""
    try:
        Network.from_keras(build(case))
    except ValueError as error:
        return str(error)
    return "converts"
