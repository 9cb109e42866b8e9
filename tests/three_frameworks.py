"""Ten small classifiers with random weights, each built in Keras, PyTorch and ONNX from the same arrays.

A model is described by words, for images (channels, height, width) as PyTorch and ONNX have them; Keras gets them with
the channels last, and the weights in the order that this asks for.
"""

import numpy as np

SHAPE = (2, 6, 6)
MODELS = {
    "dense": "flatten, dense 6, tanh, dense 3",
    "convolution": "conv 3 3 same, relu, flatten, dense 3",
    "batch normalisation": "conv 4 3 valid, bn, relu, maxpool 2, flatten, dense 5, relu, dense 3",
    "stride": "conv 4 2 stride, sigmoid, avgpool 2, flatten, dense 3",
    "residual block": "conv 2 3 same, relu, block, relu, gap, dense 3",
    "two residual blocks": "block, relu, block, relu, flatten, dense 3",
    "elu": "conv 4 3 valid, elu, flatten, dense 3",
    "leaky relu": "conv 3 3 same, leaky_relu, maxpool 2, conv 2 3 same, leaky_relu, flatten, dense 3",
    "pooling at the end": "conv 4 3 same, relu, conv 3 3 valid, gap",
    "one sigmoid": "conv 3 3 valid, softplus, flatten, dense 4, relu, dense 1, sigmoid",
}


def grown(name) -> list[tuple]:
    """Return the steps of a model: words, and arrays, those of a convolution (filters, channels, height, width)."""
    rng, shape, steps = np.random.default_rng(len(name)), SHAPE, []

    def array(*sizes):
        return (rng.standard_normal(sizes) / 2).astype(np.float32)

    def convolution(filters, size, kind, shape):
        height, width = shape[1:]
        if kind != "same":
            height, width = (height - size, width - size) if kind == "valid" else ((height - size) // 2,) * 2
            height, width = height + 1, width + 1
        return ("conv", array(filters, shape[0], size, size), array(filters), kind), (filters, height, width)

    def normalisation(shape):
        return "bn", array(shape[0]), array(shape[0]), array(shape[0]), np.abs(array(shape[0])) + np.float32(0.5)

    for words in MODELS[name].split(", "):
        word, *rest = words.split()
        if word == "conv":
            step, shape = convolution(int(rest[0]), int(rest[1]), rest[2], shape)
        elif word == "bn":
            step = normalisation(shape)
        elif word == "block":
            inside = [convolution(shape[0], 3, "same", shape)[0], normalisation(shape), ("relu",)]
            step = ("block", [*inside, convolution(shape[0], 3, "same", shape)[0], normalisation(shape)])
        elif word in ("maxpool", "avgpool"):
            step, shape = (word, 2), (shape[0], shape[1] // 2, shape[2] // 2)
        elif word == "flatten":
            step, shape = (word, shape), (int(np.prod(shape)),)
        elif word == "gap":
            step, shape = (word,), shape[:1]
        elif word == "dense":
            step, shape = (word, array(int(rest[0]), shape[0]), array(int(rest[0]))), (int(rest[0]),)
        else:
            step = (word,)
        steps.append(step)
    return steps


def in_keras(steps):
    """Return the Keras model."""
    from lab.keras_backend import keras

    layers, weights = keras.layers, []

    def put(y, steps):
        before = None
        for word, *rest in steps:
            if word == "block":
                y = layers.Add()([put(y, rest[0]), y])
                continue
            if word == "conv":
                kernel, bias, kind = rest
                stride, padding = (2, "valid") if kind == "stride" else (1, kind)
                layer = layers.Conv2D(len(kernel), kernel.shape[2], stride, padding)
                weights.append((layer, [kernel.transpose(2, 3, 1, 0), bias]))
            elif word == "bn":
                layer = layers.BatchNormalization(epsilon=1e-3)
                weights.append((layer, rest))
            elif word == "dense":
                matrix, bias = rest
                if before is not None:  # the pixels of PyTorch, channel after channel, in the order of Keras
                    matrix = np.moveaxis(matrix.reshape(-1, *before), 1, -1).reshape(len(matrix), -1)
                    before = None
                layer = layers.Dense(len(matrix))
                weights.append((layer, [matrix.T, bias]))
            else:
                before = rest[0] if word == "flatten" else before
                made = {
                    "avgpool": lambda: layers.AveragePooling2D(2),
                    "flatten": layers.Flatten,
                    "gap": layers.GlobalAveragePooling2D,
                    "leaky_relu": lambda: layers.LeakyReLU(0.25),
                    "maxpool": layers.MaxPooling2D,
                }
                layer = made[word]() if word in made else layers.Activation(word)
            y = layer(y)
        return y

    image = keras.Input((*SHAPE[1:], SHAPE[0]))
    model = keras.Model(image, put(image, steps))
    for layer, arrays in weights:
        layer.set_weights(arrays)
    return model


def in_torch(steps):
    """Return the PyTorch module, in ``eval`` mode."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, branch):
            super().__init__()
            self.branch = branch

        def forward(self, y):
            return self.branch(y) + y

    plain = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "elu": nn.ELU, "softplus": nn.Softplus}

    def module(word, *rest):
        if word == "block":
            return Block(nn.Sequential(*(module(*step) for step in rest[0])))
        if word == "conv":
            kernel, bias, kind = rest
            stride, padding = (2, 0) if kind == "stride" else (1, kind)
            made = nn.Conv2d(kernel.shape[1], len(kernel), kernel.shape[2], stride, padding)
            arrays = {"weight": kernel, "bias": bias}
        elif word == "bn":
            made = nn.BatchNorm2d(len(rest[0]), eps=1e-3)
            arrays = dict(zip(("weight", "bias", "running_mean", "running_var"), rest, strict=True))
        elif word == "dense":
            made, arrays = nn.Linear(*rest[0].shape[::-1]), {"weight": rest[0], "bias": rest[1]}
        elif word == "gap":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        elif word == "leaky_relu":
            return nn.LeakyReLU(0.25)
        elif word in plain:
            return plain[word]()
        else:
            return {"flatten": nn.Flatten(), "maxpool": nn.MaxPool2d(2), "avgpool": nn.AvgPool2d(2)}[word]
        state = {name: torch.tensor(array) for name, array in arrays.items()}
        made.load_state_dict(state, strict=False)
        return made

    return nn.Sequential(*(module(*step) for step in steps)).eval()


def in_onnx(steps):
    """Return the ONNX model, written node by node."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, arrays = [], []
    plain = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "elu": "Elu", "softplus": "Softplus"}

    def node(kind, y, *constants, **attributes):
        names = [f"a{len(arrays) + number}" for number in range(len(constants))]
        arrays.extend(numpy_helper.from_array(array, name) for array, name in zip(constants, names, strict=True))
        nodes.append(helper.make_node(kind, [y, *names], [f"y{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def put(y, steps):
        for word, *rest in steps:
            if word == "block":
                other = put(y, rest[0])
                nodes.append(helper.make_node("Add", [other, y], [f"y{len(nodes)}"]))
                y = nodes[-1].output[0]
            elif word == "conv":
                kernel, bias, kind = rest
                if kind == "same":
                    y = node("Conv", y, kernel, bias, auto_pad="SAME_UPPER")
                else:
                    y = node("Conv", y, kernel, bias, strides=[1 + (kind == "stride")] * 2)
            elif word == "bn":
                y = node("BatchNormalization", y, *rest, epsilon=1e-3)
            elif word == "dense":
                y = node("Add", node("MatMul", y, rest[0].T.copy()), rest[1])
            elif word == "gap":
                y = node("Flatten", node("GlobalAveragePool", y))
            elif word == "leaky_relu":
                y = node("LeakyRelu", y, alpha=0.25)
            elif word == "flatten":
                y = node("Flatten", y)
            elif word in plain:
                y = node(plain[word], y)
            else:
                kind = {"maxpool": "MaxPool", "avgpool": "AveragePool"}[word]
                y = node(kind, y, kernel_shape=[2, 2], strides=[2, 2])
        return y

    output = put("x", steps)
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *SHAPE])
    target = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", "classes"])
    graph = helper.make_graph(nodes, "model", [source], [target], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model
