"""`bea.attacks.saliency`: greedy choices are those of a naive loop, and never better than the best subset of pixels."""

from itertools import combinations, product

import numpy as np
import pytest

from bea import Activation, Dense, Network
from bea.attacks.saliency import RULES, saliency_attack
from oracles import HIDDEN, expand, image_network, random_images, random_network

RNG = np.random.default_rng
on_any_network = pytest.mark.parametrize("name", HIDDEN)
both_ways = pytest.mark.parametrize("targeted", [False, True])
MARGIN = 1e-3


def balanced(net, input_range, weights=4.0):
    """The network with larger logits, each zero on average over the range, so that no class wins everywhere."""
    low, high = input_range
    last = Dense(weights * net.layers[-1].matrix)
    net = Network((*net.layers[:-1], last), net.input_shape, input_range=input_range)
    mean = net(low + (high - low) * random_images(RNG(99), net, 500)).mean(axis=0)
    last = Dense(np.column_stack([last.kernel, last.matrix[:, -1] - mean]))
    return Network((*net.layers[:-1], last), net.input_shape, input_range=input_range)


def random_case(seed, name="two", n=20, input_range=(0.0, 1.0)):
    """A network, images some of whose pixels are black or white, their classes, and other classes."""
    rng, (low, high) = RNG(seed), input_range
    net = balanced(random_network(rng, HIDDEN[name]), input_range)
    x = low + (high - low) * random_images(rng, net, n)
    x[rng.random(x.shape) < 0.2] = high
    x[rng.random(x.shape) < 0.2] = low
    label = net.classify(x)
    return net, x, label, (label + rng.integers(1, net.classes, n)) % net.classes


def lead(logits, label, target):
    """Of the target, or of the best class but the label."""
    if target is None:
        return max(v for j, v in enumerate(logits) if j != label) - logits[label]
    return logits[target] - max(v for j, v in enumerate(logits) if j != target)


def naive(net, image, label, target, rule, most, take_back):
    """Return the change of one image, from explicit Jacobians: every free pixel, both ends, one after another."""
    z, low, high, chosen = image.ravel().copy(), *net.input_range, []

    def logits(z):
        return expand(net, z)[0]

    while lead(logits(z), label, target) < MARGIN:
        if len(chosen) == most:
            return None
        v, _, _, J = expand(net, z)
        top = target if target is not None else max((j for j in range(len(v)) if j != label), key=lambda j: v[j])
        options = []
        for k, end in product(range(len(z)), (high, low)):
            if k in chosen or z[k] == end or not J[:, k].any():
                continue
            if rule == "lead":
                value = lead(v + J[:, k] * (end - z[k]), label, target)
            elif rule == "random":
                value = RNG(0).permutation(len(z))[k], lead(v + J[:, k] * (end - z[k]), label, target)
            else:
                alpha, beta = J[top, k], sum(J[j, k] for j in range(len(v)) if j != top)
                if not (alpha > 0 > beta and end == high):
                    continue
                value = alpha * abs(beta)
            options.append((value, k, end))
        if not options:
            return None
        _, k, end = max(options, key=lambda option: option[0])
        z[k] = end
        chosen.append(k)
    for k in chosen if take_back else []:
        without = z.copy()
        without[k] = image.ravel()[k]
        if lead(logits(without), label, target) >= MARGIN:
            z = without
    return (z - image.ravel()).reshape(image.shape)


@both_ways
@pytest.mark.parametrize("take_back", [False, True])
@pytest.mark.parametrize("rule", RULES)
@on_any_network
def test_choices_are_those_of_the_naive_loop(name, rule, take_back, targeted):
    """The same pixels and ends, one image at a time, failures among them."""
    net, x, label, target = random_case(0, name)
    target = target if targeted else None
    result = saliency_attack(net, x, label, target=target, pixels=4, rule=rule, take_back=take_back)
    for i, dx in enumerate(result.dx):
        expected = naive(net, x[i], label[i], None if target is None else target[i], rule, 4, take_back)
        if expected is None:
            assert np.isnan(dx).all()
        else:
            np.testing.assert_array_equal(dx, expected)


def two_classes(seed, inputs=10):
    """One affine layer whose first class leads, by about as much as half of the pixels can undo."""
    rng = RNG(seed)
    kernel, x = rng.standard_normal((2, inputs)), rng.random((1, inputs))
    slope = kernel[1] - kernel[0]
    gains = np.maximum(slope * (1.0 - x[0]), -slope * x[0])
    bias = np.array([0.5 * gains.sum() + kernel[1] @ x[0] - kernel[0] @ x[0], 0.0])
    return Network((Dense(np.column_stack([kernel, bias])),), (inputs,), input_range=(0.0, 1.0)), x, gains


@both_ways
@pytest.mark.parametrize("seed", range(5))
def test_two_classes_of_an_affine_layer_get_the_smallest_subset(seed, targeted):
    """Gains add up there, so the largest first is best, and no subset of fewer pixels at the ends succeeds."""
    net, x, gains = two_classes(seed)
    gap = 0.5 * gains.sum() + MARGIN
    result = saliency_attack(net, x, [0], target=[1] if targeted else None, take_back=False)
    order = np.argsort(-gains)
    count = 1 + int(np.argmax(np.cumsum(gains[order]) >= gap))
    assert 2 <= count <= 7
    assert result.success.all()
    np.testing.assert_array_equal(np.flatnonzero(result.dx[0]), np.sort(order[:count]))
    assert max(sum(some) for some in combinations(gains, count - 1)) < gap


def fewest(net, image, label, target):
    """Return the smallest number of pixels that succeed, over all subsets and all ends; None if there is none."""
    pixels = image.size
    for count in range(pixels + 1):
        tries = []
        for subset, ends in product(combinations(range(pixels), count), product(net.input_range, repeat=count)):
            tries.append(image.ravel().copy())
            tries[-1][list(subset)] = ends
        logits = net(np.reshape(tries, (-1, *image.shape)))
        if max(lead(v, label, target) for v in logits) >= MARGIN:
            return count
    return None


@both_ways
def test_greedy_is_never_better_than_the_best_subset_and_seldom_much_worse(targeted):
    """Of all 729 choices of pixel and end, those of as few pixels as succeed; what greedy misses is counted."""
    gaps, missed, possible = [], 0, 0
    for seed, name in product(range(4), ("one", "two", "two-relu", "three")):
        net, x, label, target = random_case(10 + seed, name, n=6)
        target = target if targeted else None
        result = saliency_attack(net, x, label, target=target)
        for i in range(len(x)):
            best = fewest(net, x[i], label[i], None if target is None else target[i])
            possible += best is not None
            if best is None:
                assert not result.success[i]
            elif not result.success[i]:
                missed += 1
            else:
                assert result.l0[i] >= best
                gaps.append(result.l0[i] - best)
    print(len(gaps), missed, possible, np.bincount(np.array(gaps, int)))
    assert possible >= 40
    assert np.median(gaps) == 0
    assert np.mean(gaps) <= 0.1
    assert missed <= 0.05 * possible


@both_ways
@pytest.mark.parametrize("input_range", [(0.0, 1.0), (-0.1, 0.7), (1e-3, 1e3), (-3.0, -1.0)])
def test_the_range_is_kept_to_the_last_bit(input_range, targeted):
    """x + dx, added in floating point, lies within the ends, and changed pixels at one of them up to rounding."""
    net, x, label, target = random_case(3, "one", n=300, input_range=input_range)
    result = saliency_attack(net, x, label, target=target if targeted else None)
    won = result.success
    assert won.sum() > 50
    reached = (x + result.dx)[won]
    assert reached.min() >= input_range[0]
    assert reached.max() <= input_range[1]
    moved = result.dx[won] != 0
    distance = np.minimum(np.abs(reached - input_range[0]), np.abs(reached - input_range[1]))[moved]
    assert distance.max() <= 1e-15 * np.abs(input_range).max()
    np.testing.assert_array_equal(reached[~moved], x[won][~moved])


@both_ways
@pytest.mark.parametrize("name", ["max first", "two convolutions"])
def test_every_success_is_the_networks_own(name, targeted):
    """Images with channels, and kinks: the class is the one asked for, and it leads by the margin."""
    net = balanced(image_network(name, 0), (0.0, 1.0))
    x = random_images(RNG(4), net, 40)
    label = net.classify(x)
    target = (label + 1) % net.classes if targeted else None
    result = saliency_attack(net, x, label, target=target)
    won = np.flatnonzero(result.success)
    assert len(won) >= 10
    assert np.isnan(result.dx[~result.success]).all()
    logits = net(x[won] + result.dx[won])
    np.testing.assert_array_equal(logits.argmax(axis=1), result.found[won])
    leads = [lead(v, label[i], target[i] if targeted else None) for v, i in zip(logits, won, strict=True)]
    assert min(leads) >= MARGIN - 1e-12


def test_taking_back_only_saves_pixels():
    """The same images succeed, with pixels that are some of those chosen, fewer somewhere."""
    net, x, label, target = random_case(5, "three", n=200)
    short = saliency_attack(net, x, label, target=target)
    long = saliency_attack(net, x, label, target=target, take_back=False)
    np.testing.assert_array_equal(short.success, long.success)
    won = short.success
    assert (short.dx[won] == np.where(short.dx[won] != 0, long.dx[won], 0.0)).all()
    assert (short.l0[won] < long.l0[won]).any()


def test_the_random_order_is_that_of_the_seed():
    """Another seed, another order, and other pixels; more of them than by influence."""
    net, x, label, target = random_case(4, "three", n=100)
    one, two, best = (
        saliency_attack(net, x, label, target=target, take_back=False, **options)
        for options in ({"rule": "random"}, {"rule": "random", "seed": 1}, {})
    )
    assert (np.nan_to_num(one.dx) != np.nan_to_num(two.dx)).any()
    both = one.success & best.success
    assert one.l0[both].mean() > 1.2 * best.l0[both].mean()


def test_an_image_of_the_class_asked_for_stays():
    """Untargeted where the label is wrong already, targeted where the target has been reached: no pixel changes."""
    net, x, label, target = random_case(6)
    assert not saliency_attack(net, x, target).dx.any()
    result = saliency_attack(net, x, target, target=label)
    assert not result.dx.any()
    assert result.success.all()


def test_pixels_that_do_not_suffice_are_a_failure():
    """As many as the greedy attack needs succeed, one fewer does not; what succeeds with fewer stays the same."""
    net, x, label, target = random_case(7, n=60)
    whole = saliency_attack(net, x, label, target=target, take_back=False)
    for most in (1, 2, 3):
        result = saliency_attack(net, x, label, target=target, take_back=False, pixels=most)
        enough = whole.success & (whole.l0 <= most)
        assert 0 < enough.sum() < len(x)
        np.testing.assert_array_equal(result.success, enough)
        np.testing.assert_array_equal(result.dx, np.where(enough[:, None, None], whole.dx, np.nan))
        np.testing.assert_array_equal(result.found[~enough], label[~enough])


def test_no_derivative_no_pixel():
    """Dead units: all derivatives are zero, the attack gives up at once instead of changing pixels in their order."""
    last = Dense(np.array([[1.0, 1.0], [2.0, 0.0]]))
    net = Network((Dense(np.array([[-1.0, -1.0, -1.0]])), Activation("relu"), last), (2,), input_range=(0.0, 1.0))
    result = saliency_attack(net, np.full((2, 2), 0.5), [0, 0])
    assert not result.success.any()
    assert np.isnan(result.dx).all()
    np.testing.assert_array_equal(result.found, 0)


def test_an_empty_batch_has_an_empty_result():
    """With the shapes of one."""
    net, x, label, _ = random_case(8)
    result = saliency_attack(net, x[:0], label[:0])
    assert result.dx.shape == (0, 2, 3)
    assert result.success.shape == (0,)


def test_blocks_do_not_matter():
    """A sample's result does not depend on the others of its batch."""
    net, x, label, target = random_case(9, n=50)
    whole = saliency_attack(net, x, label, target=target)
    single = [saliency_attack(net, x[[i]], label[[i]], target=target[[i]]).dx[0] for i in range(50)]
    np.testing.assert_array_equal(whole.dx, single)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": 0}, "pixels: expected a whole number from 1 on, received 0"),
        ({"pixels": 7}, "pixels: expected at most the 6 coordinates of an image, received 7"),
        ({"pixels": 2.0}, "pixels: expected a whole number"),
        ({"margin": 0.0}, "margin: expected a positive number, received 0.0"),
        ({"margin": np.nan}, "margin: expected a positive number"),
        ({"rule": "largest"}, r"rule: expected one of \('lead', 'printed', 'random'\), received 'largest'"),
    ],
)
def test_bad_options_are_named(options, message):
    """One error, before any work."""
    net, x, label, _ = random_case(0)
    with pytest.raises(ValueError, match=message):
        saliency_attack(net, x, label, **options)


def test_bad_images_and_classes_are_named():
    """No range to go to, an image outside it, classes that are no integers."""
    net, x, label, _ = random_case(0)
    free = Network(net.layers, net.input_shape)
    with pytest.raises(ValueError, match="net: expected a network with an input_range"):
        saliency_attack(free, x, label)
    with pytest.raises(ValueError, match="x: expected pixels between 0 and 1"):
        saliency_attack(net, x + 0.1, label)
    with pytest.raises(TypeError, match="label: expected integers"):
        saliency_attack(net, x, label.astype(float))
