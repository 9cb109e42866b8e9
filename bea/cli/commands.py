"""The commands of ``bea``: each reads a model and images, asks the package, and says and keeps what came of it."""

import math

import click
import numpy as np

from bea.attacks.epsilon_search import METHODS as EPSILON_METHODS
from bea.attacks.epsilon_search import smallest_epsilon
from bea.backward.closed_form import backward_error, changing
from bea.backward.smallest_attack import METHODS as ATTACK_METHODS
from bea.backward.smallest_attack import attack as smallest_attack
from bea.bounds.methods import METHODS as BOUND_METHODS
from bea.bounds.methods import lower_bound
from bea.cli.images import read_array, read_classes, read_images
from bea.cli.models import read_model
from bea.cli.options import (
    CLIP,
    LABEL,
    MODEL,
    PATH,
    RANGE,
    OneLine,
    changing_option,
    check_limits,
    choices,
    images_only,
    reading,
)
from bea.cli.reports import EXACT, LINEARISED, NOT_FOUND, OPTIMAL, PROVEN, show, write
from bea.networks.layers import Dense, Flatten, Weighted
from bea.networks.perturbation import Perturbation
from bea.networks.sequence import shapes_of
from bea.numerics.arrays import flat, image_norms
from bea.precision.products import ORDERS
from bea.precision.table import columns, summary


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bea", message="%(prog)s %(version)s")
def bea():
    r"""Say how little must change for a classifier to give another answer.

    MODEL is a network file (.npz), a Keras model (.keras, .h5), an ONNX model (.onnx) or an exported PyTorch programme
    (.pt2). IMAGES are an array (.npy, .npz) whose first axis is the image, a folder of .png files, whose pixels are
    read as numbers between 0 and 1, or a table (.csv) with a row an image.

    \b
    bea info model.keras
    bea attack model.keras images.npy --target 3 --on input --range 0 1 --clip --out found
    bea bound model.keras images.npy --method local

    Each row that is printed says what its number is: exact, the smallest there is; proven, by a bound that holds in
    spite of rounding; locally optimal, so that none nearby is smaller; linearised, the smallest to first order.
    """


@bea.command()
@MODEL
@RANGE
def info(model, input_range):
    """Say what a model consists of.

    Every layer with the shape of its output, and the shape and the norm of its weights; the range of the pixels, the
    classes, and what the model makes of the logits.
    """
    net = read_model(model, input_range).net
    norms, rows = iter(zip(range(1, len(net.weighted) + 1), net.weight_norms, strict=True)), []
    for layer, _, shape in shapes_of(net.layers, net.input_shape):
        i, norm = next(norms) if isinstance(layer, Weighted) else (None, "")
        size = "" if i is None else f"{i}: {' × '.join(map(str, layer.matrix.shape))}"
        rows.append((type(layer).__name__, "×".join(map(str, shape)), size, norm))
    low, high = net.input_range or (-math.inf, math.inf)
    click.echo(f"input {'×'.join(map(str, net.input_shape))}, pixels between {low:g} and {high:g}")
    columns = ("layer", "output", "weights", "norm")
    click.echo(show(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)), rows=None))
    click.echo(f"{net.classes} classes, output activation {net.output_activation}")


@bea.command()
@reading
@click.option(
    "--target", required=True, metavar="CLASS", help="Class that shall win, or a .npy file with one an image."
)
@changing_option("weights")
@choices(ATTACK_METHODS)
@click.option(
    "--margin", type=float, default=1e-3, show_default=True, help="By how much the target's logit shall lead."
)
@CLIP
@click.option("--starts", type=click.IntRange(min=1), help="How many searches for each image (converged).")
def attack(model, images, input_range, divide, array, first, out, target, on, method, margin, clip, starts):
    """Find the smallest change to another class.

    Of the weights, the input or both, each measured by its own norm. Images that are of this class already are left
    out, and said so.
    """
    model = read_model(model, input_range)
    net = model.net
    check_limits(net, clip)
    names, x = read_images(images, net, array, divide, first)
    target = net.check_classes(read_classes(target, len(x), "target"), len(x), "target")
    some = np.flatnonzero(net.classify(x) != target)
    if len(some) < len(x):
        click.echo(f"{len(x) - len(some)} of {len(x)} images are of the class asked for already and are left out")
    if not len(some):
        return
    names, x, target = [names[i] for i in some], x[some], target[some]
    found = smallest_attack(net, x, target, on, method=method, margin=margin, clip=clip, starts=starts)
    change = found.perturbation
    best = EXACT if _is_affine(net, on) else OPTIMAL if method == "converged" else LINEARISED
    table = {
        "image": names,
        "class_before": net.classify(x),
        "target": target,
        "class_after": net.perturbed_logits(change).argmax(axis=1),
        "class_in_model": model.classify_changed(change),
        "norm": np.sqrt(np.sum(change.norms**2, axis=1)),
        "relative_norm": np.sqrt(found.objective),
        "kind": np.where(found.success, best, NOT_FOUND),
    }
    arrays = {"target": target, "success": found.success, "margin": found.margin}
    _report(out, table, _arrays(change) | arrays, None if change.dx is None else (x, change.dx))


@bea.command("backward-error")
@reading
@click.option("--outputs", type=PATH, required=True, metavar="FILE", help="The outputs to be explained, a .npy file.")
@changing_option("weights")
@click.option("--activated", is_flag=True, help="They are activated outputs, not logits.")
@click.option("--plain", is_flag=True, help="Measure changes by their norms, not relative to what they change.")
def backward_errors(model, images, input_range, divide, array, first, out, outputs, on, activated, plain):
    """Find the smallest change that explains outputs.

    In closed form, to first order; exact for a single affine layer. The outputs are (images, classes): those of the
    same model in lower precision, say.
    """
    model = read_model(model, input_range)
    net = model.net
    names, x = read_images(images, net, array, divide, first)
    y_hat = read_array(outputs)[: len(x)]
    change = backward_error(net, x, y_hat, on, relative=not plain, activated=activated)
    best = EXACT if _is_affine(net, on) and not activated else LINEARISED
    table = {
        "image": names,
        "class_before": net.classify(x),
        "class_asked_for": y_hat.argmax(axis=1),
        "class_after": _classes(net.perturbed_logits(change), change.attained),
        "class_in_model": model.classify_changed(change),
        "norm": np.sqrt(np.sum(change.norms**2, axis=1)),
        "relative_norm": np.sqrt(change.objective),
        "kind": np.where(change.attained, best, NOT_FOUND),
    }
    _report(out, table, _arrays(change), None if change.dx is None else (x, change.dx))


@bea.command()
@reading
@LABEL
@changing_option("input")
@choices(tuple(BOUND_METHODS))
def bound(model, images, input_range, divide, array, first, out, label, on, method):
    """Say how much must change at least.

    With "lipschitz" and "local" no smaller change can do it, which is proven in spite of rounding; "peck" are the
    theorems as they were printed, which are not, and are about the input. The column norm is for the input alone.
    """
    net = read_model(model, input_range).net
    names, x = read_images(images, net, array, divide, first)
    label = None if label is None else read_classes(label, len(x), "label")
    found = lower_bound(net, x, label, on=on, method=method)
    sizes, missing = image_norms(x), np.full(len(x), np.nan)
    relative = found.radius if on != "input" else np.divide(found.radius, sizes, out=missing.copy(), where=sizes > 0.0)
    table = {
        "image": names,
        "class_before": net.classify(x),
        "rival": found.rival,
        "norm": found.radius if on == "input" else missing,
        "relative_norm": relative,
        "kind": np.full(len(x), "as printed" if method == "peck" else PROVEN),
    }
    _report(out, table, {"radius": found.radius, "layers": found.layers, "rival": found.rival})


@bea.command()
@reading
@LABEL
@click.option("--target", metavar="CLASS", help="Class that shall win, or a .npy file. [default: any but the label]")
@choices(EPSILON_METHODS)
@click.option("--largest", type=float, default=1.0, show_default=True, help="Longest step tried.")
@click.option("--step", type=float, default=0.001, show_default=True, help="Step of the scan.")
@click.option("--tolerance", type=float, default=1e-6, show_default=True, help="Accuracy of the other methods.")
@CLIP
def epsilon(
    model, images, input_range, divide, array, first, out, label, target, method, largest, step, tolerance, clip
):
    """Find the smallest step of the gradient's sign.

    Along the sign of the loss gradient, until the class changes. All in units of the pixels. With "exact" it is proven
    that no smaller step does it, up to the tolerance.
    """
    model = read_model(model, input_range)
    net = model.net
    check_limits(net, clip)
    names, x = read_images(images, net, array, divide, first)
    before = net.classify(x)
    label = before if label is None else read_classes(label, len(x), "label")
    target = None if target is None else read_classes(target, len(x), "target")
    options = {"method": method, "largest": largest, "step": step, "tolerance": tolerance, "clip": clip}
    found = smallest_epsilon(net, x, label, target=target, **options)
    table = {
        "image": names,
        "class_before": before,
        "target": np.full(len(x), None) if target is None else target,
        "class_after": found.found,
        "class_in_model": model.classify_changed(_of_input(net, x, found.dx)),
        "epsilon": found.epsilon,
        "norm": found.l2,
        "relative_norm": found.norm,
        "kind": np.where(found.proved, PROVEN, np.where(np.isnan(found.epsilon), NOT_FOUND, "found")),
    }
    arrays = {"dx": found.dx, "epsilon": found.epsilon, "success": found.success, "proved": found.proved}
    _report(out, table, arrays, (x, found.dx))


@bea.command()
@images_only
@click.option(
    "--order", type=click.Choice(ORDERS), default=ORDERS[0], show_default=True, help="In which sums are added up."
)
def precision(model, images, input_range, divide, array, first, order):
    """Say which number formats are good enough.

    A row a format and accumulator: the median and largest relative change of the weights that explains the logits, to
    first order; whether that is stable, that is at most ten units of roundoff; for how many images no rounding can
    change the class, which is proven; the others; and those whose class did change.
    """
    net = read_model(model, input_range).net
    _, x = read_images(images, net, array, divide, first)
    shown = ("format", "accumulator", "backward_error", "largest_error", "stable", "certified", "at_risk", "flipped")
    table = columns(summary(net, x, order=order))
    click.echo(show({name: table[name] for name in (*shown, "not_finite")}, rows=None))


def _is_affine(net, on) -> bool:
    """Return whether only the weights or only the input of one affine layer change, so that nothing is neglected."""
    *before, last = net.layers
    change = changing(net, on)
    one = isinstance(last, Dense) and all(isinstance(layer, Flatten) for layer in before)
    return one and any(change.layers) != change.input


def _classes(logits, there) -> np.ndarray:
    """Return the classes of logits, None where there are none."""
    return np.where(there, np.nan_to_num(logits).argmax(axis=1), None)


def _of_input(net, x, dx) -> Perturbation:
    """Return a change of the input alone, missing where it is NaN."""
    there = ~np.isnan(flat(dx)).any(axis=1)
    return Perturbation([None] * len(net.weighted), dx, x, net.weight_norms, there)


def _arrays(change) -> dict[str, np.ndarray]:
    """Return what a perturbation consists of: dx, and left and right factors or entries of the change of a layer."""
    found = {} if change.dx is None else {"dx": change.dx}
    for number, part in enumerate(change.dA, start=1):
        if isinstance(part, tuple):
            found |= {f"left_{number}": part[0], f"right_{number}": part[1]}
        elif part is not None:
            found[f"change_{number}"] = part
    return found | {"relative_norms": change.relative_norms}


def _report(out, table, arrays, images=None) -> None:
    click.echo(show(table))
    if out is not None:
        written = write(out, arrays, table, images)
        missing = "" if "picture.png" in written else '; for a picture: pip install "bea[plot]"'
        click.echo(f"written to {out}: {', '.join(written)}{missing}")
