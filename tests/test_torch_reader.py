"""`Network.from_torch`: modules, functions and methods compute what PyTorch computes, and others are refused."""

import re

import numpy as np
import pytest

from bea import Convolution, Dense, Network, Residual
from oracles import relative_error

torch = pytest.importorskip("torch", reason="no PyTorch here, so no module was read")
nn, functional = torch.nn, torch.nn.functional
IMAGE, LINE, VECTOR = (2, 6, 6), (3, 8), (5,)


class Own(nn.Module):
    """A module whose ``forward`` is a function of itself and the input."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.way = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.way(self, x)


class Block(nn.Module):
    """A residual block as torchvision has it: one ReLU used twice, and the shortcut added in place."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(filters), nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.down = None
        if stride > 1:
            self.down = nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


def by_functions(self, x):
    x = functional.max_pool2d(torch.relu(self.conv(x)), 2)
    x = functional.avg_pool2d(x, kernel_size=2, stride=1, padding=1)
    x = functional.dropout(functional.pad(x, (1, 0)), 0.5, self.training)
    x = functional.leaky_relu(self.dense(torch.flatten(x, 1)), 0.2)
    return functional.log_softmax(x, dim=1)


def with_weights(self, x):
    x = functional.conv2d(x, self.kernel, self.bias, padding="same", groups=2)
    x = functional.conv2d(functional.prelu(x, self.slopes), self.other, stride=(2, 1), dilation=2)
    x = functional.batch_norm(x, self.mean, self.variance, self.slopes, self.bias, False, 0.1, 0.01)
    return functional.linear(functional.layer_norm(x, (1, 2), self.gain), self.matrix)


def normalised(self, x):
    x = functional.group_norm(functional.instance_norm(x, weight=self.mean), 1, self.mean, eps=0.1)
    return functional.instance_norm(x, self.mean, self.mean, None, self.mean, False, 0.1, 0.2)


def by_methods(self, x):
    x = (x - self.mean) / 0.5
    x = self.conv(x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).tanh()
    return self.dense(x.mean((2, 3)).unsqueeze(1).squeeze(1).clamp(-0.5, 0.5))


WAYS_TO_FLATTEN = {
    "x.view(x.size(0), -1)": lambda x: x.view(x.size(0), -1),
    "x.reshape(x.shape[0], …)": lambda x: x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3]),
    "x.view(-1, 72)": lambda x: x.view(-1, 72),
    "x.flatten(1)": lambda x: x.flatten(1),
}
ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.1),
    nn.ELU(0.7),
    nn.CELU(0.7),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
]
ACTIVATIONS += [nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.Tanh(), nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(-0.5, 0.7)]
ACTIVATIONS += [nn.LogSigmoid(), nn.Softplus(), nn.Softplus(2.0), nn.Softsign(), nn.Softshrink(0.3), nn.Hardshrink(0.3)]
ACTIVATIONS += [nn.Tanhshrink(), nn.Threshold(0.2, 0.1), nn.PReLU(), nn.PReLU(5), nn.Identity()]
MODULES = {
    **{str(module): (VECTOR, lambda module=module: [module, nn.Linear(5, 3)]) for module in ACTIVATIONS},
    "Linear": (VECTOR, lambda: [nn.Linear(5, 3, bias=False)]),
    "Linear, weights made of others": (VECTOR, lambda: [nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))]),
    "Linear on lines": (LINE, lambda: [nn.Linear(8, 2), nn.Flatten()]),
    "Conv2d": (IMAGE, lambda: [nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0)), nn.Flatten()]),
    "Conv2d, same": (IMAGE, lambda: [nn.Conv2d(2, 4, (3, 2), padding="same", dilation=(1, 2)), nn.Flatten()]),
    "Conv2d, groups": (IMAGE, lambda: [nn.Conv2d(2, 4, 3, groups=2, bias=False), nn.Flatten()]),
    "Conv1d": (LINE, lambda: [nn.Conv1d(3, 4, 3, 2, 1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten()]),
    "BatchNorm1d": (VECTOR, lambda: [nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)]),
    "LayerNorm": (IMAGE, lambda: [nn.LayerNorm((6, 6)), nn.Flatten(), nn.LayerNorm(72, bias=False)]),
    "GroupNorm": (IMAGE, lambda: [nn.Conv2d(2, 6, 3), nn.GroupNorm(3, 6), nn.ReLU(), nn.Flatten()]),
    "GroupNorm of a vector": (VECTOR, lambda: [nn.Linear(5, 6), nn.GroupNorm(2, 6, affine=False)]),
    "InstanceNorm2d": (IMAGE, lambda: [nn.InstanceNorm2d(2, affine=True), nn.Flatten()]),
    "InstanceNorm1d": (LINE, lambda: [nn.InstanceNorm1d(3, 0.1), nn.ReLU(), nn.Conv1d(3, 2, 3), nn.Flatten()]),
    "InstanceNorm2d, running statistics": (
        IMAGE,
        lambda: [nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, affine=True, track_running_stats=True), nn.Flatten()],
    ),
    "normalising functions": (IMAGE, lambda: [Own(normalised, mean=nn.Buffer(torch.ones(2))), nn.Flatten()]),
    "PReLU of channels": (IMAGE, lambda: [nn.Conv2d(2, 3, 3), nn.PReLU(3), nn.Flatten()]),
    "MaxPool2d": (IMAGE, lambda: [nn.MaxPool2d(3, 2, 1), nn.Flatten()]),
    "MaxPool2d, ceil": (IMAGE, lambda: [nn.MaxPool2d(3, 2, ceil_mode=True), nn.Flatten()]),
    "AvgPool2d": (IMAGE, lambda: [nn.AvgPool2d(3, 2, 1), nn.Flatten()]),
    "AvgPool2d, ceil": (
        IMAGE,
        lambda: [nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.Flatten()],
    ),
    "AdaptiveAvgPool2d": (IMAGE, lambda: [nn.AdaptiveAvgPool2d((3, 2)), nn.Flatten()]),
    "AdaptiveAvgPool2d(1)": (IMAGE, lambda: [nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1)]),
    "AdaptiveMaxPool2d(1)": (IMAGE, lambda: [nn.AdaptiveMaxPool2d((1, 1)), nn.Flatten()]),
    "ZeroPad2d": (IMAGE, lambda: [nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(2, 2, 3), nn.Flatten()]),
    "Unflatten": (VECTOR, lambda: [nn.Unflatten(1, (1, -1)), nn.Flatten()]),
    "Dropout": (IMAGE, lambda: [nn.Dropout2d(), nn.Flatten(), nn.Dropout(), nn.AlphaDropout()]),
    "one sigmoid": (VECTOR, lambda: [nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1), nn.Sigmoid()]),
    "residual blocks": (IMAGE, lambda: [Block(2, 2, 1), Block(2, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()]),
    "a block behind a convolution": (IMAGE, lambda: [nn.Conv2d(2, 3, 3), Block(3, 3, 1), nn.Flatten()]),
    "functions": (IMAGE, lambda: [Own(by_functions, conv=nn.Conv2d(2, 3, 3), dense=nn.Linear(36, 3))]),
    "methods": (
        IMAGE,
        lambda: [Own(by_methods, conv=nn.Conv2d(2, 3, 3), dense=nn.Linear(3, 3), mean=nn.Buffer(torch.rand(2, 1, 1)))],
    ),
    "functions with weights": (
        IMAGE,
        lambda: [
            Own(
                with_weights,
                **{name: parameter(4) for name in ("bias", "slopes")},
                **{name: nn.Buffer(torch.ones(4)) for name in ("mean", "variance")},
                kernel=parameter(4, 1, 3, 3),
                other=parameter(4, 4, 3, 3),
                gain=parameter(1, 2),
                matrix=parameter(3, 2),
            ),
            nn.Flatten(),
        ],
    ),
    **{
        name: (IMAGE, lambda way=way: [nn.Conv2d(2, 2, 1), Own(lambda self, x: way(x)), nn.Linear(72, 3)])
        for name, way in WAYS_TO_FLATTEN.items()
    },
}


def parameter(*shape):
    return nn.Parameter(torch.ones(shape))


def sharing(one, other):
    other.weight = one.weight
    return nn.Sequential(one, other)


def twice(module):
    return Own(lambda self, x: self.part(self.part(x)), part=module)


REFUSED = {
    "LSTM": (
        LINE,
        lambda: Own(lambda self, x: self.part(x)[0], part=nn.LSTM(8, 4)),
        "'part' of type LSTM .*recurrence",
    ),
    "Embedding": (VECTOR, lambda: nn.Embedding(5, 2), "'0' of type Embedding .*that takes numbers"),
    "RMSNorm": (VECTOR, lambda: nn.RMSNorm(5), "of type RMSNorm .*expected BatchNorm, GroupNorm or LayerNorm"),
    "Upsample": (IMAGE, lambda: nn.Upsample(scale_factor=2), "of type Upsample .*images of the size"),
    "Conv3d": (IMAGE, lambda: nn.Conv3d(2, 2, 1), "of type Conv3d has no counterpart here"),
    "one output": (VECTOR, lambda: nn.Linear(5, 1), "expected at least two outputs.*regression"),
    "torch.cat": (VECTOR, lambda: Own(lambda self, x: torch.cat([x, x + 1], 1)), "function cat .*sums of two paths"),
    "product of paths": (VECTOR, lambda: Own(lambda self, x: x * x.tanh()), "function mul .*sums of two paths"),
    "a module used twice": (VECTOR, lambda: twice(nn.Linear(5, 5)), "'part' of type Linear is used twice"),
    "weights used twice": (
        VECTOR,
        lambda: Own(lambda self, x: functional.linear(functional.linear(x, self.w), self.w), w=parameter(5, 5)),
        r"function linear \(linear_1\): expected weights of its own, received those of another layer",
    ),
    "weights of two modules": (
        VECTOR,
        lambda: sharing(nn.Linear(5, 5), nn.Linear(5, 5)),
        "module '1' of type Linear: expected weights of its own, received those of another layer",
    ),
    "branches of control": (
        VECTOR,
        lambda: Own(lambda self, x: x if x.sum() > 0 else -x),
        "expected a module that does the same for every input",
    ),
    "dropout that never stops": (
        VECTOR,
        lambda: Own(lambda self, x: functional.dropout(x, 0.5)),
        r"expected outputs that equal those of its copy on random inputs, .* differ by \d",
    ),
    "average without statistics": (
        IMAGE,
        lambda: nn.BatchNorm2d(2, track_running_stats=False),
        "of type BatchNorm2d: expected running statistics",
    ),
    "average that trains": (
        IMAGE,
        lambda: Own(
            lambda self, x: functional.batch_norm(x, self.m, self.m, training=True), m=nn.Buffer(torch.ones(2))
        ),
        "function batch_norm .*: expected running statistics, received .* one that trains",
    ),
    "the samples reshaped": (
        IMAGE,
        lambda: Own(lambda self, x: x.view(-1, 36)),
        "method view .*expected the samples to stay the first axis",
    ),
    "another shape": (VECTOR, lambda: nn.Linear(4, 2), "of type Linear: matrix: expected 5 input columns"),
}


def with_random_weights(module):
    torch.manual_seed(0)
    for array in (*module.parameters(), *module.buffers()):
        if array.is_floating_point():
            array.data = (
                torch.rand(array.shape) + 0.5 if array in set(module.buffers()) else torch.randn(array.shape) / 2
            )
    return module


@pytest.mark.parametrize("name", MODULES)
def test_a_module_computes_what_pytorch_computes(name):
    """To rounding, in double precision, on inputs that no reader has seen; and the module stays as it was."""
    shape, make = MODULES[name]
    module = with_random_weights(nn.Sequential(*make()))
    net = Network.from_torch(module, shape)
    assert module.training
    assert all(array.dtype == torch.float32 for array in module.parameters())
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (3, *shape))
    with torch.no_grad():
        expected = module.double().eval()(torch.tensor(x)).numpy()
    found = net.activate(net(x))
    found = found[:, 1:] if name == "one sigmoid" else np.log(found) if name == "functions" else found
    assert relative_error(found, expected) <= 1e-14


EXPORTED = [
    "functions",
    "functions with weights",
    "methods",
    "residual blocks",
    "Conv1d",
    "AvgPool2d",
    "PReLU of channels",
]
EXPORTED += ["GroupNorm", "InstanceNorm2d, running statistics", "normalising functions"]
EXPORTED += ["x.view(x.size(0), -1)", "LayerNorm", "Hardtanh(min_val=-0.5, max_val=0.7)", "GELU(approximate='tanh')"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_programme_is_the_module_it_was_exported_from(name):
    """Layer by layer, whether it takes any number of samples or that of its example only."""
    for needed in ("networkx", "sympy"):
        pytest.importorskip(needed, reason=f"PyTorch exports nothing without {needed}")
    from torch import export

    shape, make = MODULES[name]
    module = with_random_weights(nn.Sequential(*make())).eval()
    x = np.random.default_rng(5).uniform(-3.0, 3.0, (3, *shape))
    expected = Network.from_torch(module, shape)
    for sizes in (None, ({0: export.Dim("n", min=2)},)):
        program = export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=sizes)
        net = Network.from_torch(program)
        assert net.input_shape == shape
        assert [str(layer) for layer in net.layers] == [str(layer) for layer in expected.layers]
        assert relative_error(net(x), expected(x)) <= 1e-14
    assert all(array.dtype == torch.float32 for array in module.parameters())
    with pytest.raises(ValueError, match=r"input_shape: expected that of the programme, .* received \(7,\)"):
        Network.from_torch(program, (7,))


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_without_counterpart_is_refused_in_one_line(name):
    """It names the module, its kind, and what would work."""
    shape, make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        Network.from_torch(make(), shape)
    assert "\n" not in str(caught.value)


def test_what_is_no_module_or_no_shape_is_refused():
    """One error that names the argument."""
    with pytest.raises(
        TypeError, match=r"module: expected a torch.nn.Module or an exported programme, received a function"
    ):
        Network.from_torch(lambda x: x, VECTOR)
    for shape in ((None, 5), None):
        message = re.escape(f"input_shape: expected the sizes of one input, received {shape}")
        with pytest.raises(ValueError, match=message):
            Network.from_torch(nn.Linear(5, 2), shape)


def test_a_lack_of_memory_says_nothing_about_the_module():
    """It is raised as what it is."""

    class TooLarge(torch.nn.Module):
        def forward(self, x):
            raise MemoryError("Unable to allocate 9 TiB")

    with pytest.raises(MemoryError, match="Unable to allocate 9 TiB"):
        Network.from_torch(TooLarge(), (4,))


def test_weights_are_those_of_the_module():
    """A convolution has the windows with the channel fastest; a dense layer behind it the columns of the module."""
    conv, dense = nn.Conv2d(2, 3, 3), nn.Linear(48, 3)
    net = Network.from_torch(nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense), IMAGE)
    first, last = net.weighted
    assert isinstance(first, Convolution)
    assert isinstance(last, Dense)
    np.testing.assert_array_equal(last.matrix[:, :-1], dense.weight.detach().numpy())
    np.testing.assert_array_equal(first.kernel.reshape(3, 3, 3, 2).transpose(0, 3, 1, 2), conv.weight.detach().numpy())


def test_batch_normalisation_becomes_part_of_the_convolutions():
    """Also in residual blocks, on both ways: no layer of its own is left."""
    net = Network.from_torch(nn.Sequential(nn.Conv2d(2, 2, 3), Block(2, 3, 2), nn.Flatten()), IMAGE)
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds == ["Permute", "Convolution", "Residual", "Activation", "Permute", "Flatten", "Readout"]
    block = next(layer for layer in net.layers if isinstance(layer, Residual))
    assert [[type(layer).__name__ for layer in path] for path in block.paths] == [
        ["Convolution", "Activation", "Convolution"],
        ["Convolution"],
    ]
