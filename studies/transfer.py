"""Whether changes made to fool one network fool others: other architectures, other data, and one that only answers."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr, t

from bea import Network
from bea.attacks import (
    backward_error_attack,
    carlini_wagner,
    fgsm,
    lbfgs_attack,
    newton_attack,
    pgd,
    saliency_attack,
    substitute,
)
from bea.attacks.by_backward_error import nearest_classes
from bea.attacks.common import in_image_blocks
from bea.attacks.loss import loss_gradient
from bea.measures.rescaling import at_norm, wilson
from lab import by_hand
from lab.datasets import Dataset
from lab.trained import of_kind
from lab.witnesses import keras_classes

ATTACKS = ["FGSM", "PGD", "PGD, stopped", "backward error", "Carlini-Wagner", "L-BFGS", "Newton", "saliency"]
SLOW = ("Carlini-Wagner", "L-BFGS", "Newton")
NOISE = ["signs", "Gaussian"]
KINKED = ("ReLU", "LeNet")  # no second derivatives that mean anything
STEPS = 10  # of PGD
SHORT = {"weights": (1.0, 1e8), "halvings": 2}  # the size is given anyway
ARCHITECTURES = {"ReLU": ([64, 64, 10], ["relu", "relu", "linear"]), "tanh": ([100, 10], ["tanh", "linear"])}
MEMBERS = [("ReLU", 0), ("ReLU", 0), ("ReLU", 1), ("tanh", 0), ("tanh", 1)]  # architecture and half of the data
CASES = [  # victim, substitute, sign of λ
    ("smooth ReLU", "dense", -1),
    ("smooth ReLU", "dense", 1),
    ("LeNet", "dense", -1),
    ("LeNet", "convolutional", -1),
]
LEVELS = (0.1, 0.2, 0.3)  # ε through a substitute
WATCHED = {"smooth ReLU": 0.2, "LeNet": 0.3}  # ε from round to round


def by_kind(networks: Mapping[str, Network], kinds: Mapping[str, str]) -> dict[str, dict[str, Network]]:
    """Return title → name → network, for title → kind."""
    return {title: of_kind(networks, kind) for title, kind in kinds.items()}


def shaped(net: Network, x) -> np.ndarray:
    """Return images as the network takes them: LeNet wants a channel."""
    return x.reshape(len(x), *net.input_shape)


def classify(net: Network, x) -> np.ndarray:
    """Return the classes of images of any shape, blocks of them side by side."""
    return in_image_blocks(net, net.classify, shaped(net, x))


def right_everywhere(seeded: Mapping[str, Mapping[str, Network]], x, labels, most: int) -> np.ndarray:
    """Return which images are the first, at most so many, that all networks have right.

    Raises
    ------
    ValueError
        If there is none.
    """
    chosen = np.arange(min(len(x), 5 * most))
    for net in (net for nets in seeded.values() for net in nets.values()):
        chosen = chosen[classify(net, x[chosen]) == labels[chosen]]
    if not len(chosen):
        raise ValueError("images: no image that all networks have right")
    return chosen[:most]


def craft(attack: str, net: Network, x, y, *, epsilon: float, candidates: int) -> np.ndarray:
    """Return the change Δx that an attack makes on a network, of the shape of the images (n, …)."""
    x = shaped(net, x)
    box = {"clip": True} | ({"steps": STEPS} if attack.startswith("PGD") else {})
    if attack in ("L-BFGS", "Newton"):
        box = {"target": nearest_classes(net, x, y)[:, 0], **SHORT}
    match attack:
        case "FGSM":
            return fgsm(net, x, y, epsilon, **box).dx
        case "PGD":  # what has fooled its own network goes on: to stop at its boundary would fall short of others
            return pgd(net, x, y, epsilon, stop=False, **box).dx
        case "PGD, stopped":
            return pgd(net, x, y, epsilon, **box).dx
        case "backward error":
            return backward_error_attack(net, x, y, candidates=1 if len(net.input_shape) == 3 else candidates).dx
        case "Carlini-Wagner":
            return carlini_wagner(net, x, y, steps=60, **box, **SHORT).dx
        case "L-BFGS":
            return lbfgs_attack(net, x, y, clip=True, **box).dx
        case "Newton":
            return newton_attack(net, x, y, **box).dx
        case "saliency":
            return saliency_attack(net, x, y).dx
    raise ValueError(f"attack: expected one of {ATTACKS}, received {attack!r}")


def crafted(
    nets: Mapping[str, Network], x, y, *, slow_images: int, lenet_images: int, lenet_slow: int, **options
) -> dict[tuple[str, str], np.ndarray]:
    """Make the changes of every attack on every source, and noise.

    Returns (attack, source) → Δx like ``x``, NaN for images that are left out; the source of noise is "noise".
    """
    raw = {}
    for attack in ATTACKS:
        for source, net in nets.items():
            few = lenet_slow if attack in SLOW else lenet_images
            count = few if source == "LeNet" else slow_images if attack in SLOW else len(x)
            count = 0 if attack == "Newton" and source in KINKED else min(len(x), count)
            raw[attack, source] = np.full(x.shape, np.nan)
            if count:
                dx = craft(attack, net, x[:count], y[:count], **options)
                raw[attack, source][:count] = dx.reshape(count, *x.shape[1:])
    gauss = np.random.default_rng(0).standard_normal(x.shape)
    return raw | {("signs", "noise"): np.sign(gauss), ("Gaussian", "noise"): gauss}


def stretched(net: Network, x, raw: Mapping, norm: float) -> dict:
    """Bring all changes to one Euclidean norm; NaN where there is no room. ``net`` takes images of the shape of x."""
    return {key: at_norm(net, x, dx, norm) for key, dx in raw.items()}


def made(dx) -> np.ndarray:
    """Return which changes (n, …) there are, (n,)."""
    return ~np.isnan(dx).reshape(len(dx), -1).any(axis=1)


def wrong_in_both(net: Network, file, x, labels) -> tuple[np.ndarray, np.ndarray]:
    """Return whether network and Keras model both err, asked of images that fool the network; and whether it does."""
    ours = classify(net, x) != labels
    both, fooling = ours.copy(), np.flatnonzero(ours)
    if fooling.size:
        parts = np.array_split(shaped(net, x[fooling]), max(1, len(fooling) // 2000))
        both[fooling] = np.concatenate([keras_classes(file, part, net) for part in parts]) != labels[fooling]
    return both, ours


def shown(nets: Mapping[str, Network], files: Mapping, x, y, changes: Mapping) -> pd.DataFrame:
    """Show every victim the changed images.

    One row an image that was changed: ``attack``, ``source``, ``victim``, ``image``, ``claimed`` (the network errs)
    and ``fooled`` (it and its Keras model, of ``files``, err).
    """
    images = {key: np.flatnonzero(made(dx)) for key, dx in changes.items()}
    moved, chosen = np.concatenate([x + dx for dx in changes.values()]), np.concatenate([*images.values()])
    moved = moved[np.concatenate([made(dx) for dx in changes.values()])]
    keys = [np.repeat([key[k] for key in changes], [*map(len, images.values())]) for k in (0, 1)]
    frames = []
    for victim, net in nets.items():
        both, ours = wrong_in_both(net, files[victim], moved, y[chosen])
        columns = {"attack": keys[0], "source": keys[1], "victim": victim, "image": chosen}
        frames.append(pd.DataFrame(columns | {"claimed": ours, "fooled": both}))
    return pd.concat(frames, ignore_index=True)


def rates_of(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the transfer ``rate`` with its Wilson interval, ``low`` to ``high``, by attack, source and victim."""
    counts = answers.groupby(["attack", "source", "victim"], sort=False).fooled.agg(["sum", "count"])
    low, high = wilson(counts["sum"].to_numpy(), counts["count"].to_numpy())
    return pd.DataFrame({"rate": counts["sum"] / counts["count"], "low": low, "high": high}, counts.index).reset_index()


def between(rates: pd.DataFrame, attack: str, value: str, kinds) -> np.ndarray:
    """Return a column of ``rates_of`` for one attack as source × victim; NaN for what was not tried."""
    own = rates[rates.attack == attack].pivot(index="source", columns="victim", values=value)
    return own.reindex(index=kinds, columns=kinds).to_numpy()


def mean_rate(answers: pd.DataFrame, n: int, draws: int = 1000) -> tuple[float, float, float]:
    """Return the mean of the rates of pairs, with its 95 % bootstrap interval over the ``n`` images; NaN without."""
    if not len(answers):
        return np.nan, np.nan, np.nan
    each = answers.pivot(index=["source", "victim"], columns="image", values="fooled").reindex(columns=range(n))
    each = each.to_numpy(dtype=float)
    picks = np.random.default_rng(1).multinomial(n, np.full(n, 1 / n), draws)
    weights = np.concatenate([np.ones((1, n)), picks])
    with np.errstate(invalid="ignore"):
        shares = (weights @ np.nan_to_num(each).T) / (weights @ (~np.isnan(each)).T)
        means = np.nansum(shares, axis=1) / (~np.isnan(shares)).sum(axis=1)
    return means[0], *np.nanquantile(means[1:], [0.025, 0.975])


def by_attack(answers: pd.DataFrame, rates: pd.DataFrame, raw: Mapping, changes: Mapping, n: int) -> pd.DataFrame:
    """Summarise every attack and noise, over pairs of different networks.

    Indexed by the attack: ``mean``, ``low`` and ``high`` over all pairs, ``smooth``, ``smooth_low`` and
    ``smooth_high`` over those with a smooth source, the rate on ``itself``, in how many of the ``pairs`` its Wilson
    interval ``beats`` those of noise, and how many images were ``left_out`` for want of room.
    """
    top, rows = noise_top(rates), []
    for attack in [*ATTACKS, *NOISE]:
        own, tried = answers[answers.attack == attack], rates[rates.attack == attack]
        across, tried = (frame[frame.source != frame.victim] for frame in (own, tried))
        beats = 0 if attack in NOISE else np.sum(tried.low > tried.victim.map(top))
        there = {key: made(dx) & ~made(changes[key]) for key, dx in raw.items() if key[0] == attack}
        rows.append((
            *mean_rate(across, n), *mean_rate(across[~across.source.isin(KINKED)], n),
            mean_rate(own[own.source == own.victim], n)[0], beats, len(tried), sum(map(np.sum, there.values())),
        ))  # fmt: skip
    columns = ["mean", "low", "high", "smooth", "smooth_low", "smooth_high", "itself", "beats", "pairs", "left_out"]
    return pd.DataFrame(rows, [*ATTACKS, *NOISE], columns)


def noise_top(rates: pd.DataFrame) -> pd.Series:
    """Return the upper end of the Wilson interval of the worse noise, by victim."""
    return rates[rates.source == "noise"].groupby("victim").high.max()


def roles(rates: pd.DataFrame, kinds) -> pd.DataFrame:
    """Return every network's mean rate as ``source`` and as ``victim``, by the attacks that run on all networks."""
    own = rates[(rates.source != rates.victim) & ~rates.attack.isin(["Newton", "saliency", *NOISE])]
    means = {role: own.groupby(role).rate.mean() for role in ("source", "victim")}
    noise = rates[rates.source == "noise"].pivot(index="victim", columns="attack", values="rate")[NOISE]
    return pd.DataFrame(means).join(noise).loc[list(kinds)]


def by_size(nets: Mapping[str, Network], x, y, raw: Mapping, sizes, attacks) -> pd.DataFrame:
    """Return the mean transfer rate to other networks at several norms: norms × attacks."""
    flat, found = next(iter(nets.values())), {}
    for attack in attacks:
        own, found[attack] = {s: dx[: len(x)] for (name, s), dx in raw.items() if name == attack}, []
        for size in sizes:
            moved = stretched(flat, x, own, size)
            pairs = [(s, v) for s, dx in moved.items() for v in nets if v != s and made(dx).any()]
            wrong = [classify(nets[v], (x + moved[s])[made(moved[s])]) != y[made(moved[s])] for s, v in pairs]
            found[attack].append(np.mean([each.mean() for each in wrong]) if wrong else np.nan)
    return pd.DataFrame(found, index=np.asarray(sizes))


def at_own_size(nets: Mapping[str, Network], x, y, raw: Mapping, attack: str) -> dict[str, float]:
    """Show changes that fool their source as they are: ``share`` of others fooled, ``low``, ``high``, median ``size``.

    Some pixels may leave their range.
    """
    fooled, sizes = [], []
    for source, net in nets.items():
        dx = raw[attack, source]
        there = np.flatnonzero(made(dx))
        there = there[classify(net, (x + dx)[there]) != y[there]]
        sizes += list(np.linalg.norm(dx[there].reshape(len(there), -1), axis=1))
        others = [other for victim, other in nets.items() if victim != source]
        fooled += [classify(other, (x + dx)[there]) != y[there] for other in others]
    fooled = np.concatenate(fooled)
    low, high = wilson(fooled.sum(), len(fooled))
    size = np.median(sizes) if sizes else 0.0
    return {"share": fooled.sum() / max(len(fooled), 1), "low": low, "high": high, "size": size}


def between_seeds(seeded: Mapping[str, Mapping[str, Network]], x, y, *, epsilon: float, norm: float) -> pd.DataFrame:
    """Show a sign step on each network to every other: kinds ``source`` and ``victim``, ``rate``, one row a pair."""
    nets = [(kind, net) for kind, own in seeded.items() for net in own.values()]
    moved = [x + at_norm(net, x, fgsm(net, x, y, epsilon, clip=True).dx, norm) for _, net in nets]
    rows = []
    for i, j in permutations(range(len(nets)), 2):
        there = made(moved[i])
        rows.append((nets[i][0], nets[j][0], np.mean(nets[j][1].classify(moved[i][there]) != y[there])))
    return pd.DataFrame(rows, columns=["source", "victim", "rate"])


def cosines(nets: Mapping[str, Network], x, y, rates: pd.DataFrame) -> pd.DataFrame:
    """Return the mean ``cosine`` of the loss gradients of ``source`` and ``victim``, beside FGSM's ``rate``."""
    unit = {}
    for kind, net in nets.items():
        g = loss_gradient(net, shaped(net, x), y).reshape(len(x), -1)
        unit[kind] = g / np.maximum(np.linalg.norm(g, axis=1, keepdims=True), 1e-300)
    rows = [(s, v, np.mean(np.sum(unit[s] * unit[v], axis=1))) for s, v in permutations(nets, 2)]
    found = pd.DataFrame(rows, columns=["source", "victim", "cosine"])
    return found.merge(rates[rates.attack == "FGSM"][["source", "victim", "rate"]])


def rank_correlations(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return Spearman's correlation of cosine and rate over all pairs, and its median within victims; 0 for none."""
    within = [spearmanr(own.cosine, own.rate).statistic for _, own in pairs.groupby("victim")]
    across = spearmanr(pairs.cosine, pairs.rate).statistic
    return float(np.nan_to_num(across)), float(np.nan_to_num(np.median(within)))


def _compiled(model, optimizer):
    """Return the model and how the optimizer's memory looks before training: compiled once, it is trained often."""
    from lab.keras_backend import keras

    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    optimizer.build(model.trainable_variables)
    return model, [np.array(value) for value in optimizer.variables]


def _train_again(model, memory, weights, images, labels, passes, batch_size) -> Network:
    """Train from these weights as if never trained before."""
    model.set_weights(weights)
    for variable, value in zip(model.optimizer.variables, memory, strict=True):
        variable.assign(value)
    model.fit(images, labels, epochs=passes, batch_size=batch_size, verbose=0)
    return Network.from_keras(model, (0.0, 1.0))


def halves(
    data: Dataset, x_test, y_test, *, pairs: int, passes: int, most: int, images: int, epsilon: float, norm: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Train five networks on halves of the training images, ``pairs`` times, and show each what fools another.

    One row a ``division``, ``attack`` (FGSM, PGD, signs) and pair of the ``MEMBERS``, ``source`` and ``victim``:
    images ``shown`` that all five have right, ``claimed`` to be wrong and ``fooled`` with Keras' consent. Then the
    accuracies of the networks.
    """
    from lab.keras_backend import keras
    from lab.keras_models import dense_classifier, outputs

    def fresh(kind, seed):
        return dense_classifier(*ARCHITECTURES[kind], x_test.shape[1:], seed=seed)

    models = {kind: _compiled(fresh(kind, 0), keras.optimizers.Adam()) for kind in ARCHITECTURES}
    rows, accuracies = [], []
    for division in range(pairs):
        order = np.random.default_rng(division).permutation(min(len(data.x_train), most))
        parts, pool = np.split(order, [len(order) // 2]), []
        for k, (kind, half) in enumerate(MEMBERS):
            start, own = (
                fresh(kind, 10 * division + k).get_weights(),
                (data.x_train[parts[half]], data.y_train[parts[half]]),
            )
            net = _train_again(*models[kind], start, *own, passes=passes, batch_size=100)
            pool.append((models[kind][0], models[kind][0].get_weights(), net))
        nets = {str(k): net for k, (*_, net) in enumerate(pool)}
        accuracies += [np.mean(net.classify(x_test) == y_test) for net in nets.values()]
        chosen = right_everywhere({"all": nets}, x_test, y_test, images)
        x, y = x_test[chosen], y_test[chosen]
        made_on = {"FGSM": [fgsm(net, x, y, epsilon, clip=True).dx for net in nets.values()]}
        made_on["PGD"] = [pgd(net, x, y, epsilon, steps=STEPS, clip=True, stop=False).dx for net in nets.values()]
        made_on["signs"] = [np.random.default_rng(division).choice([-1.0, 1.0], x.shape)]
        for attack, i, dx in ((attack, i, dx) for attack, each in made_on.items() for i, dx in enumerate(each)):
            moved = x + at_norm(nets["0"], x, dx, norm)
            there = made(moved)
            for j, (model, weights, net) in enumerate(pool):
                if attack == "signs" or i != j:
                    ours = net.classify(moved[there]) != y[there]
                    model.set_weights(weights)
                    theirs = outputs(model, moved[there]).argmax(axis=1) != y[there]
                    rows.append((division, attack, i, j, there.sum(), ours.sum(), (ours & theirs).sum()))
    columns = ["division", "attack", "source", "victim", "shown", "claimed", "fooled"]
    return pd.DataFrame(rows, columns=columns), np.array(accuracies)


def settings(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the share fooled by division, ``data`` ("same", "disjoint", "noise"), ``architectures`` and attack."""
    kinds, parts = np.array(MEMBERS).T
    noise = counts[counts.attack == "signs"].assign(data="noise", architectures="any")
    own = counts[counts.attack != "signs"]
    alike, disjoint = kinds[own.source] == kinds[own.victim], parts[own.source] != parts[own.victim]
    own = own.assign(data=np.where(disjoint, "disjoint", "same"), architectures=np.where(alike, "one", "two"))
    own = pd.concat([own[~alike | (kinds[own.source] == "ReLU")], noise])
    sums = own.groupby(["data", "architectures", "attack", "division"])[["fooled", "shown"]].sum()
    return (sums.fooled / sums.shown.clip(lower=1)).rename("rate").reset_index()


def mean_interval(values) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval by Student's t."""
    values = np.asarray(values)
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1)
    return values.mean(), half / np.sqrt(len(values))


def means_of(rates: pd.DataFrame) -> pd.DataFrame:
    """Return the ``mean`` over the divisions and ``half`` the width of its interval, by data, architectures, attack."""
    groups = rates.groupby(["data", "architectures", "attack"]).rate
    rows = [(*key, *mean_interval(each)) for key, each in groups]
    return pd.DataFrame(rows, columns=["data", "architectures", "attack", "mean", "half"])


def costs(rates: pd.DataFrame) -> pd.DataFrame:
    """Return what disjoint data cost, division by division, as ``means_of`` does."""
    own = rates.set_index(["architectures", "attack", "division"])
    lost = own[own.data == "disjoint"].rate - own[own.data == "same"].rate
    return means_of(lost.reset_index().assign(data="disjoint less same"))


def beside_noise(counts: pd.DataFrame) -> pd.Series:
    """Return for every attack and pair with disjoint data whether its Wilson interval lies above that of noise."""
    low, high = wilson(counts.fooled.to_numpy(), counts["shown"].to_numpy())
    counts, parts = counts.assign(low=low, high=high), np.array([half for _, half in MEMBERS])
    noise = counts[counts.attack == "signs"][["division", "victim", "high"]]
    own = counts[(counts.attack != "signs") & (parts[counts.source] != parts[counts.victim])]
    own = own.drop(columns="high").merge(noise, on=["division", "victim"])
    return own.low > own.high


def _dense(seed: int):
    """Return a function that trains two layers of 64 smooth ReLUs from the start."""

    def fit(images, labels):
        way = {"epochs": int(np.clip(12000 // len(images), 8, 100)), "rate": 0.1, "batch_size": 32, "a": 0.1}
        *_, weights = by_hand.train([64, 64], images.reshape(len(images), -1), labels, seed=seed, **way)
        return by_hand.to_network(weights, 0.1, images.shape[1:])

    return fit


def _small_lenet(seed: int, shape):
    """Return two small convolutions and a dense layer, untrained."""
    from lab.keras_backend import keras

    keras.utils.set_random_seed(seed)
    layers = [keras.Input((*shape, 1))]
    for filters in (8, 16):
        layers += [keras.layers.Conv2D(filters, 5), keras.layers.MaxPooling2D(2)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(64, "relu"), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def substitutes(
    victims: Mapping[str, Network], own, *, seeds: int, rounds: int, step: float, training_steps: int
) -> dict:
    """Train substitutes on what the victims answer about images ``own`` (n, height, width), and more.

    Returns "victim/substitute/sign/seed" → ``SubstituteResult``, for all ``CASES``.
    """
    from lab.keras_backend import keras

    shape = own.shape[1:]
    compiled, found = _compiled(_small_lenet(0, shape), keras.optimizers.SGD(0.1)), {}

    def convolutional(seed):
        start = _small_lenet(seed, shape).get_weights()

        def fit(images, labels):
            passes = max(3, training_steps * 50 // len(images))
            return _train_again(*compiled, start, images, labels, passes, 50)

        return fit

    for victim, learner, way in CASES:
        for seed in range(seeds):
            fit, images = (_dense(seed), own) if learner == "dense" else (convolutional(seed), own[..., None])
            ask = lambda x, net=victims[victim]: classify(net, x)  # noqa: E731
            found[f"{victim}/{learner}/{way}/{seed}"] = substitute(ask, fit, images, rounds=rounds, step=way * step)
    return found


def taught(found: Mapping, way: int) -> float:
    """Return the share of new images that the smooth ReLU network's substitutes labelled like it before asking."""
    return float(
        np.mean([one.agreement for name, one in found.items() if name.startswith(f"smooth ReLU/dense/{way}/")])
    )


def through(found: Mapping, victims: Mapping[str, Network], files: Mapping, x, y, *, few: int) -> pd.DataFrame:
    """Attack victims through their substitutes, by noise, and directly; images (n, height, width) both have right.

    One row a ``victim``, ``attack``, ``level`` (ε), ``learner``, ``way``, ``seed`` and ``round``: images ``shown``,
    ``claimed`` to be wrong, and ``fooled`` with Keras' consent. Noise has the learner "noise", attacks on LeNet itself,
    on ``few`` images, have "itself"; both 0 elsewhere. Attacks of earlier rounds are FGSM at ``WATCHED`` only.
    """
    signs, frames = np.random.default_rng(2).choice([-1.0, 1.0], x.shape), []
    for victim, net in victims.items():
        tries = {("signs", level, "noise", 0, 0, 0): np.clip(x + level * signs, 0, 1) for level in LEVELS}
        sources = [("itself", 0, 0, 0, net, LEVELS)]
        for name, one in ((name, one) for name, one in found.items() if name.startswith(f"{victim}/")):
            _, learner, way, seed = name.split("/")
            for k, own in enumerate(one.nets):
                levels = LEVELS if own is one.net else ()
                sources.append((learner, int(way), int(seed), k, own, levels))
        for *key, own, levels in sources:
            most = few if key[0] == "itself" and victim == "LeNet" else len(x)
            wanted = {(attack, level) for attack in ("FGSM", "PGD") for level in levels}
            for attack, level in sorted(wanted | ({("FGSM", WATCHED[victim])} if key[0] != "itself" else set())):
                dx = craft(attack, own, x[:most], y[:most], epsilon=level, candidates=1)
                tries[attack, level, *key] = x[:most] + dx.reshape(-1, *x.shape[1:])
        labels, sizes = np.concatenate([y[: len(each)] for each in tries.values()]), [*map(len, tries.values())]
        both, ours = wrong_in_both(net, files[victim], np.concatenate([*tries.values()]), labels)
        columns = ["attack", "level", "learner", "way", "seed", "round"]
        frame = pd.DataFrame([*tries], columns=columns).assign(victim=victim, shown=sizes)
        place = np.repeat(np.arange(len(sizes)), sizes)
        counted = {"claimed": np.bincount(place, ours, len(sizes)), "fooled": np.bincount(place, both, len(sizes))}
        frames.append(frame.assign(**counted).astype({"claimed": int, "fooled": int}))
    answers = pd.concat(frames, ignore_index=True)
    low, high = wilson(answers.fooled.to_numpy(), answers["shown"].to_numpy())
    return answers.assign(share=answers.fooled / answers["shown"].clip(lower=1), low=low, high=high)


def agreements(found: Mapping, victims: Mapping[str, Network], x) -> pd.DataFrame:
    """Return the share of images labelled alike by ``victim`` and substitute, by learner, way, seed and ``round``."""
    answers, rows = {victim: classify(net, x) for victim, net in victims.items()}, []
    for name, one in found.items():
        victim, learner, way, seed = name.split("/")
        each = [np.mean(classify(net, x) == answers[victim]) for net in one.nets]
        rows += [(victim, learner, int(way), int(seed), k, share) for k, share in enumerate(each)]
    return pd.DataFrame(rows, columns=["victim", "learner", "way", "seed", "round", "share"])


def at_the_end(answers: pd.DataFrame, rounds: int) -> pd.DataFrame:
    """Summarise the last round over the seeds, by victim, way of attacking and level.

    ``share`` (mean), ``low`` and ``high`` (extreme ends of the Wilson intervals), ``clear`` (with every seed the
    interval lies above that of noise).
    """
    noise = answers[answers.learner == "noise"].set_index(["victim", "level"]).high
    last = answers[(answers["round"] == rounds) | answers.learner.isin(["noise", "itself"])]
    top = noise.loc[pd.MultiIndex.from_frame(last[["victim", "level"]])].to_numpy()
    groups = last.assign(clear=last.low > top).groupby(["victim", "learner", "way", "attack", "level"], sort=False)
    return groups.agg(
        share=("share", "mean"), low=("low", "min"), high=("high", "max"), clear=("clear", "all")
    ).reset_index()


def falls(ended: pd.DataFrame) -> pd.Series:
    """Return whether a victim falls at a level: one of its substitutes, by one attack, beats noise with every seed."""
    return ended[~ended.learner.isin(["noise", "itself"])].groupby(["victim", "level"]).clear.any()


def best_of_all(ended: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return for every victim the shares that ``through`` found, of the best substitute and attack at every level.

    ``small``, ``middle`` and ``large``; of noise at the last two, ``noise`` and ``noise_large``; and ``white``, FGSM on
    the victim itself at the middle level.
    """
    found, (_, middle, large) = {}, LEVELS
    for victim, own in ended.groupby("victim"):
        shares = own.set_index(["learner", "attack", "level"]).share
        best = own[~own.learner.isin(["noise", "itself"])].groupby("level").share.max()
        found[victim] = dict(zip(("small", "middle", "large"), best.loc[list(LEVELS)], strict=True)) | {
            "noise": shares["noise", "signs", middle], "noise_large": shares["noise", "signs", large],
            "white": shares["itself", "FGSM", middle],
        }  # fmt: skip
    return found


def of_case(frame: pd.DataFrame, victim: str, learner: str, way: int) -> np.ndarray:
    """Return the ``share`` of a kind of substitute by seed and round, (seeds, rounds + 1)."""
    own = frame[(frame.victim == victim) & (frame.learner == learner) & (frame.way == way)]
    return own.pivot(index="seed", columns="round", values="share").to_numpy()
