"""`bea.attacks.black_box`: a substitute learns from labels alone, and every question is counted."""

import numpy as np
import pytest

from bea import Network
from bea.attacks.black_box import substitute
from lab import by_hand
from oracles import HIDDEN, expand, random_network

RNG = np.random.default_rng


class Victim:
    """Answers, and remembers what it was asked."""

    def __init__(self, net):
        self.net, self.asked = net, []

    def __call__(self, images):
        self.asked.append(np.array(images))
        return self.net.classify(images)


def fixed(seed=5, pixels=(2, 3), **options):
    """A fit that gives the same random networks in every run, whatever it is shown, and remembers it."""
    rng, shown = RNG(seed), []

    def fit(images, labels):
        shown.append((images.copy(), labels.copy()))
        return random_network(rng, HIDDEN["two"], 4, pixels, **options)

    return fit, shown


def naive_slope(net, image, label):
    """Gradient of the probability of a class, with the Jacobian written out."""
    logits, _, _, jacobian = expand(net, image)
    q = np.exp(logits) / np.exp(logits).sum()
    return (q[label] * (jacobian[label] - q @ jacobian)).reshape(image.shape)


@pytest.mark.parametrize("step", [0.1, -0.3])
def test_images_are_doubled_as_the_paper_says(step):
    """A loop over the samples with the definition gives the same images, labels and agreement."""
    victim = Victim(random_network(RNG(0), HIDDEN["two"], 4, (2, 3)))
    images = RNG(1).random((7, 2, 3))
    fit, shown = fixed()
    found = substitute(victim, fit, images, rounds=3, step=step)
    for k, net in enumerate(found.nets[:-1]):
        n = 7 * 2**k
        new = [
            np.clip(x + step * np.sign(naive_slope(net, x, y)), 0.0, 1.0)
            for x, y in zip(found.images[:n], found.labels[:n], strict=True)
        ]
        np.testing.assert_array_equal(found.images[n : 2 * n], new)
        assert found.agreement[k] == np.mean(net.classify(np.array(new)) == victim.net.classify(np.array(new)))
    assert found.images.shape == (56, 2, 3)
    np.testing.assert_array_equal(found.labels, victim.net.classify(found.images))
    for k, (x, y) in enumerate(shown):  # every training sees all images so far
        np.testing.assert_array_equal(x, found.images[: 7 * 2**k])
        np.testing.assert_array_equal(y, found.labels[: 7 * 2**k])


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_every_question_is_counted(rounds):
    """The victim was asked about the images returned, each once, in rounds + 1 calls, and nothing else."""
    victim = Victim(random_network(RNG(0), HIDDEN["two"], 4, (2, 3)))
    found = substitute(victim, fixed()[0], RNG(1).random((5, 2, 3)), rounds=rounds)
    assert len(victim.asked) == len(found.nets) == rounds + 1
    np.testing.assert_array_equal(np.cumsum([len(x) for x in victim.asked]), found.queries)
    np.testing.assert_array_equal(np.concatenate(victim.asked), found.images)
    assert found.agreement.shape == (rounds,)
    assert found.net is found.nets[-1]


def test_labels_are_all_that_comes_from_the_victim():
    """Two victims with other logits but the same classes lead to the same substitute."""
    net = random_network(RNG(0), HIDDEN["two"], 4, (2, 3))
    scaled = net.layers[-1].with_matrix(3.0 * net.layers[-1].matrix)
    twin = Network((*net.layers[:-1], scaled), net.input_shape)
    images = RNG(1).random((5, 2, 3))
    one, other = (substitute(v.classify, fixed()[0], images, rounds=2) for v in (net, twin))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.net(images), other.net(images))


def test_more_questions_make_a_better_substitute():
    """On fresh images the substitute of a small ReLU network agrees more often after four rounds than before."""
    rng = RNG(3)
    victim = random_network(rng, [(8, "relu")], 3, (10,))
    last = victim.layers[-1].matrix.copy()
    last[:, -1] -= victim(rng.random((500, 10))).mean(axis=0)  # so that each class occurs
    victim = Network((*victim.layers[:-1], victim.layers[-1].with_matrix(last)), (10,))

    def fit(images, labels):
        *_, weights = by_hand.train([16], images, labels, epochs=60, rate=0.1, batch_size=8, a=0.1, classes=3)
        return by_hand.to_network(weights, 0.1, (10,))

    found = substitute(victim.classify, fit, rng.random((20, 10)), rounds=4, step=0.3)
    fresh = rng.random((2000, 10))
    agree = [np.mean(net.classify(fresh) == victim.classify(fresh)) for net in found.nets]
    assert agree[-1] > agree[0] + 0.05


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 0.5)])
def test_new_images_stay_within_the_range(bounds):
    """However long the step."""
    net = random_network(RNG(0), HIDDEN["two"], 4, (2, 3))
    images = RNG(1).uniform(*bounds, (5, 2, 3))
    found = substitute(net.classify, fixed()[0], images, rounds=2, step=10.0, input_range=bounds)
    assert found.images.min() == bounds[0]
    assert found.images.max() == bounds[1]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"images": np.zeros(6)}, ValueError, r"images: expected a batch of shape \(n, ...\), received \(6,\)"),
        ({"images": np.zeros((0, 2, 3))}, ValueError, "images: expected a batch"),
        ({"images": np.full((5, 2, 3), 1.5)}, ValueError, "images: expected pixels between 0 and 1"),
        ({"images": np.full((5, 2, 3), np.nan)}, ValueError, "images: expected pixels between 0 and 1"),
        ({"input_range": (1.0, 0.0)}, ValueError, r"input_range: expected .* received \(1.0, 0.0\)"),
        ({"rounds": -1}, ValueError, "rounds: expected a whole number from 0 on, received -1"),
        ({"rounds": 1.5}, ValueError, "rounds: expected a whole number"),
        ({"step": 0.0}, ValueError, "step: expected a number other than 0, received 0.0"),
        ({"step": np.nan}, ValueError, "step: expected a number other than 0, received nan"),
        ({"ask": lambda x: np.zeros((len(x), 1), int)}, ValueError, r"ask: .* \(5,\), received shape \(5, 1\)"),
        ({"ask": lambda x: np.zeros(len(x))}, TypeError, "ask: expected integers, received float64"),
        ({"ask": lambda x: -np.ones(len(x), int)}, ValueError, "ask: expected classes from 0 on, received -1"),
        ({"ask": lambda x: np.full(len(x), 4)}, ValueError, "fit: expected more than 4 classes, received 4"),
        ({"fit": lambda x, y: None}, TypeError, "fit: expected a Network, received NoneType"),
        ({"fit": fixed(pixels=(6,))[0]}, ValueError, r"fit: expected a network for images \(2, 3\), received one"),
    ],
)
def test_bad_input_is_named(changed, error, message):
    """One clear error each."""
    net = random_network(RNG(0), HIDDEN["two"], 4, (2, 3))
    arguments = {"ask": net.classify, "fit": fixed()[0], "images": np.zeros((5, 2, 3)), "rounds": 1} | changed
    with pytest.raises(error, match=message):
        substitute(**arguments)


def test_bad_arguments_cost_no_question():
    """What is wrong at the door is found before the victim is asked."""
    victim = Victim(random_network(RNG(0), HIDDEN["two"], 4, (2, 3)))
    with pytest.raises(ValueError, match="rounds"):
        substitute(victim, fixed()[0], np.zeros((5, 2, 3)), rounds=-1)
    assert victim.asked == []
