"""`AttackResult.torch_model`: a copy of the module with the weights of one sample, which computes what bea says."""

from dataclasses import replace

import numpy as np
import pytest

from bea import Network, attack
from oracles import relative_error

torch = pytest.importorskip("torch", reason="no PyTorch here, so no module was written")
nn = torch.nn
IMAGE, LINE, VECTOR = (2, 6, 6), (3, 8), (5,)


class Block(nn.Module):
    """A residual block whose shortcut comes before its branch among the modules."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(2, 4, 1, 2, bias=False)
        self.first, self.second = nn.Conv2d(2, 4, 3, 2, 1, groups=2), nn.Conv2d(4, 4, (3, 1), padding=(1, 0), groups=4)

    def forward(self, x):
        return torch.relu(self.second(torch.tanh(self.first(x))) + self.down(x))


MODULES = {
    "dense": (VECTOR, lambda: [nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 6, bias=False), nn.PReLU(6), nn.Linear(6, 4)]),
    "residual block with groups": (IMAGE, lambda: [Block(), nn.LayerNorm((3, 3)), nn.Flatten(), nn.Linear(36, 3)]),
    "lines": (LINE, lambda: [nn.Conv1d(3, 4, 3, dilation=2), nn.SiLU(), nn.Linear(4, 2), nn.Flatten()]),
    "fused": (
        IMAGE,
        lambda: [
            nn.utils.fuse_conv_bn_eval(nn.Conv2d(2, 4, 3, bias=False).eval(), nn.BatchNorm2d(4).eval()),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ],
    ),
}


def attacked(module, shape, on="both", n=2):
    """The network of a module, and changes of it."""
    net = Network.from_torch(module, shape)
    x = np.random.default_rng(1).uniform(-1.0, 1.0, (n, *shape))
    return net, attack(net, x, (net.classify(x) + 1) % net.classes, on, margin=0.3)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_a_result_gives_the_perturbed_module(name, double):
    """Its logits of the perturbed image are those of the perturbed network; the module that was read stays as it is."""
    torch.manual_seed(0)
    shape, make = MODULES[name]
    module = nn.Sequential(*make()).to(torch.float64 if double else torch.float32)
    before = {key: array.clone() for key, array in module.state_dict().items()}
    net, result = attacked(module, shape)
    assert result.perturbation.attained.any()
    for i in np.flatnonzero(result.perturbation.attained):
        changed = result.torch_model(module, i).eval()
        other, image = net.perturbed(result.perturbation, i)
        with torch.no_grad():
            found = changed(torch.tensor(image[None]).to(before[next(iter(before))].dtype)).double().numpy()
        assert relative_error(found, other(image[None])) <= (1e-14 if double else 1e-6)
        assert relative_error(found, net(image[None])) > 1e-3
    assert module.training
    for key, array in module.state_dict().items():
        assert torch.equal(array, before[key])


class Paths(nn.Module):
    """Two paths with equal weights: the second among the layers is the first among the modules."""

    def __init__(self):
        super().__init__()
        self.down, self.first, self.second = nn.Linear(5, 3), nn.Linear(5, 3), nn.Linear(3, 3)
        self.first.load_state_dict(self.down.state_dict())

    def forward(self, x):
        return self.second(torch.tanh(self.first(x))) + self.down(x)


def of_convolution():
    return nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            of_convolution,
            IMAGE,
            "every layer with weights to be a module .* none for layer 1: fuse batch normalisation",
        ),
        (
            lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))),
            VECTOR,
            "every layer with weights to be a module with the same weights, received none for layer 1",
        ),
        (Paths, VECTOR, "weights of its own for every module, received some that are the same"),
    ],
    ids=["batch normalisation", "weights made of others", "equal weights"],
)
def test_weights_that_no_module_has_alone_are_refused_in_one_line(make, shape, message):
    """As a copy would compute something else."""
    torch.manual_seed(0)
    module = make()
    _, result = attacked(module, shape, "weights")
    with pytest.raises(ValueError, match=f"^model: expected {message}") as caught:
        result.torch_model(module, 0)
    assert "\n" not in str(caught.value)


def test_another_module_has_no_such_perturbation():
    """Its norms tell; nor has a sample that has none."""
    module = nn.Sequential(nn.Linear(5, 3))
    _, result = attacked(module, VECTOR, "weights")
    with pytest.raises(ValueError, match=r"^model: expected the one that was read, with weights of the norms"):
        result.torch_model(nn.Sequential(nn.Linear(5, 3)), 0)
    lost = replace(result.perturbation, attained=np.array([False, True]))
    with pytest.raises(ValueError, match=r"^i: expected a sample with a perturbation, received 0, which has none"):
        lost.torch_model(module, 0)
    with pytest.raises(TypeError, match=r"^module: expected a torch.nn.Module"):
        lost.torch_model(None, 1)
