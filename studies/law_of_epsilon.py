"""How the smallest ε that fools is distributed: truncated normal laws and their rivals (paper D, section 5.2.2).

Samples are lists of arrays, one a network; every ε is in units of the pixels. A distance is the largest one between
the distribution functions of a sample and of a law. What draws takes a generator, one after the other: their order
fixes the numbers.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from bea.measures.truncated_normal import (
    TruncatedNormal,
    fit_truncated_normal,
    goodness_of_fit,
    ks_distance,
    simulate_distances,
)

OURS = "truncated normal"
FAMILIES = {
    "folded normal": (stats.foldnorm, 2, {"floc": 0}),
    "generalised gamma": (stats.gengamma, 3, {"floc": 0}),
    "Nakagami": (stats.nakagami, 2, {"floc": 0}),
    "Weibull": (stats.weibull_min, 2, {"floc": 0}),
    "gamma": (stats.gamma, 2, {"floc": 0}),
    "beta": (stats.beta, 2, {"floc": 0, "fscale": 1}),
    "log-normal": (stats.lognorm, 2, {"floc": 0}),
    "Rayleigh": (stats.rayleigh, 1, {"floc": 0}),
    "half-normal": (stats.halfnorm, 1, {"floc": 0}),
}  # family, number of its parameters that are fitted, those that are not


def finite(values) -> np.ndarray:
    """Return the finite ones among the values, a single 0 if there are none."""
    values = np.asarray(values, dtype=float)[np.isfinite(values)]
    return values if values.size else np.zeros(1)


def samples(epsilon) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return, from ε_min (networks, n), those of the images correct at the start and all; without the NaN."""
    every = [values[~np.isnan(values)] for values in epsilon]
    return [values[values > 0] for values in every], every


def described(positive: Sequence, b: float) -> pd.DataFrame:
    """Return a row a network: ``images``, ``mean``, ``std``, ``largest``, ``beyond`` (share above b)."""
    rows = [(len(v), v.mean(), v.std(), v.max(), np.mean(v > b)) for v in positive]
    return pd.DataFrame(rows, columns=["images", "mean", "std", "largest", "beyond"])


def printed_laws(positive: Sequence, said: Mapping) -> list[TruncatedNormal]:
    """Return the law with the printed μ and σ on [a, largest value] for every sample."""
    return [TruncatedNormal.from_normal(said["a"], v.max(), said["mu"], said["sigma"]) for v in positive]


def laws_of(positive: Sequence, fits: Sequence, reports: Sequence) -> pd.DataFrame:
    """Return a row a network: ``mu`` and ``sigma`` of largest likelihood, ``wide`` (μ for b = 1), ``normal``.

    ``normal`` tells whether the fit is a normal law, not its limit; ``report`` is the distance of the printed law.
    """
    wide = [fit_truncated_normal(values, 0, 1).mu for values in positive]
    rows = [
        (float(fit.mu), float(fit.sigma), float(mu), bool(fit.curvature > 0), float(ks_distance(values, report.cdf)))
        for values, fit, mu, report in zip(positive, fits, wide, reports, strict=True)
    ]
    return pd.DataFrame(rows, columns=["mu", "sigma", "wide", "normal", "report"])


def by_scipy(values) -> dict[str, float]:
    """Fit with b the largest value by SciPy's general minimiser: ``mu``, ``sigma`` and ``log_likelihood``."""

    def loss(parameters):
        m, s = parameters[0], np.exp(parameters[1])
        return stats.truncnorm.nnlf((-m / s, (values.max() - m) / s, m, s), values)

    start, options = (values.mean(), np.log(values.std())), {"xatol": 1e-8, "fatol": 1e-8}
    found = optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    return {"mu": found.x[0], "sigma": np.exp(found.x[1]), "log_likelihood": -found.fun}


def from_moments(moments: Mapping, said: Mapping) -> dict[str, float]:
    """Fit the report's own data, by their printed mean and standard deviation.

    Returns ``mu`` and ``sigma`` of largest likelihood, ``apart`` (distance from the printed law), ``mean`` and ``std``
    of the printed law.
    """
    own = fit_truncated_normal(moments["mean"] + moments["std"] * np.array([-1.0, 1.0]), said["a"], said["b"])
    printed = TruncatedNormal.from_normal(*(said[key] for key in ("a", "b", "mu", "sigma")))
    grid = np.linspace(said["a"], said["b"], 2001)
    density = printed.pdf(grid) / printed.pdf(grid).sum()
    mean = density @ grid
    return {
        "mu": float(own.mu), "sigma": float(own.sigma), "apart": np.abs(own.cdf(grid) - printed.cdf(grid)).max(),
        "mean": mean, "std": np.sqrt(density @ (grid - mean) ** 2),
    }  # fmt: skip


def draws(positive, every, *, resamples, simulations, sizes, subsamples, seed) -> dict[str, pd.DataFrame]:
    """Return the tables of all that is drawn: ``intervals``, ``tests``, ``sizes``, and ``all`` (tests of ``every``)."""
    rng = np.random.default_rng(seed)
    return {
        "intervals": intervals(rng, positive, resamples), "tests": tests(rng, positive, simulations),
        "sizes": smaller_samples(rng, positive, sizes, subsamples, max(simulations, 99)),
        "all": tests(rng, every, simulations),
    }  # fmt: skip


def intervals(rng, positive: Sequence, resamples: int) -> pd.DataFrame:
    """Draw the images of every network again, with replacement, and fit: 95% percentile intervals.

    One row a network and parameter: ``net`` (number), ``name`` ("mu", "sigma", "mean", "std"), ``value``, ``low``,
    ``high``. b stays the largest value.
    """
    rows = []
    for k, values in enumerate(positive):
        fit, again = fit_truncated_normal(values), values[rng.integers(0, len(values), (resamples, len(values)))]
        refits = fit_truncated_normal(again, 0, values.max())
        found = {
            "mu": (float(fit.mu), refits.mu), "sigma": (float(fit.sigma), refits.sigma),
            "mean": (values.mean(), again.mean(axis=1)), "std": (values.std(), again.std(axis=1)),
        }  # fmt: skip
        rows += [(k, name, own, *np.percentile(finite(drawn), (2.5, 97.5))) for name, (own, drawn) in found.items()]
    return pd.DataFrame(rows, columns=["net", "name", "value", "low", "high"])


def interval_summary(table: pd.DataFrame, published: Mapping) -> pd.DataFrame:
    """Return a row a parameter: ``name``, ``median``, ``half`` an interval, ``lowest``, ``highest``, ``published``.

    ``inside`` counts the intervals with the published value in them.
    """
    rows = []
    for name, own in table.groupby("name", sort=False):
        value, said = finite(own.value), published[name]
        inside = int(((own.low <= said) & (said <= own.high)).sum())
        half = np.median(own.high - own.low) / 2
        rows.append((name, np.median(value), half, value.min(), value.max(), said, inside))
    return pd.DataFrame(rows, columns=["name", "median", "half", "lowest", "highest", "published", "inside"])


def tests(rng, data: Sequence, simulations: int) -> pd.DataFrame:
    """Test every sample, b fitted: ``distance``, ``critical`` (exceeded in 5% of simulations), ``p``, ``plain``."""
    found = [goodness_of_fit(values, resamples=simulations, rng=rng) for values in data]
    rows = [(test.distance, np.quantile(test.null, 0.95), test.p_value, test.plain_p_value) for test in found]
    return pd.DataFrame(rows, columns=["distance", "critical", "p", "plain"])


def smaller_samples(rng, positive: Sequence, sizes: Sequence[int], subsamples: int, simulations: int) -> pd.DataFrame:
    """Return a row a network and size: ``net``, ``images``, ``share`` of smaller samples rejected at 5%."""
    fewest, rows = min(map(len, positive)), []
    fitting = [n for n in sizes if n < fewest] or [fewest // 2]
    for k, values in enumerate(positive):
        law, shuffled = fit_truncated_normal(values), rng.permuted(np.tile(values, (subsamples, 1)), axis=1)
        for n in fitting:
            null, drawn = simulate_distances(law, n, simulations, rng, fit_b=True), shuffled[:, :n]
            apart = ks_distance(drawn, fit_truncated_normal(drawn).cdf)
            rows.append((k, n, np.mean(apart > np.quantile(null, 0.95))))
    return pd.DataFrame(rows, columns=["net", "images", "share"])


def against_law(values, law) -> pd.DataFrame:
    """Return the sample in order, ``value``, with its ``expected`` quantile, and its ``level`` between 0 and 1."""
    level = (np.arange(len(values)) + 0.5) / len(values)
    return pd.DataFrame({"value": np.sort(values), "expected": law.quantile(level), "level": level})


def left_over(values, cdf, points) -> np.ndarray:
    """Return the share of the sample up to each of the points less that of the law, (points,)."""
    return np.searchsorted(np.sort(values), points, side="right") / len(values) - cdf(points)


def rivals(positive: Sequence) -> pd.DataFrame:
    """Fit every family by largest likelihood, its left end at 0.

    One row a network and family: ``net``, ``family``, ``parameters`` (number of), ``likelihood`` (logarithm),
    ``distance``, and SciPy's parameters ``p0``, …, NaN where there are fewer.
    """
    rows = []
    for k, values in enumerate(positive):
        fit = fit_truncated_normal(values)
        rows.append((k, OURS, 3, float(fit.log_likelihood(values)), float(ks_distance(values, fit.cdf))))
        for name, (family, number, fixed) in FAMILIES.items():
            fitted = family.fit(values, **fixed)
            law = family(*fitted)
            own = law.logpdf(values).sum(), float(ks_distance(values, law.cdf))
            rows.append((k, name, number, *own, *fitted))
    columns = ["net", "family", "parameters", "likelihood", "distance", "p0", "p1", "p2", "p3"]
    return pd.DataFrame([row + (np.nan,) * (len(columns) - len(row)) for row in rows], columns=columns)


def criteria(table: pd.DataFrame, sizes) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a row a family, the best first by Akaike's criterion, and what is said of the best rival.

    Columns, medians over networks: ``family``, ``parameters``, ``likelihood``, ``aic`` and ``bic`` above the best,
    ``distance``; the lowest and highest, ``aic_lowest`` and ``aic_highest``; networks where it is best, ``first_aic``,
    ``first_bic``. Of the ``rival``: by how much its criterion is larger than ours, ``gain``, and ``rival_distance``.
    """
    wide = table.pivot(index="family", columns="net")
    number, above = wide["parameters"].iloc[:, 0], {}
    for kind, factor in (("aic", np.full(len(sizes), 2.0)), ("bic", np.log(sizes))):
        values = np.multiply.outer(number.to_numpy(), factor) - 2 * wide["likelihood"]
        above[kind] = values - values.min()
    aic = above["aic"]
    found = pd.DataFrame({
        "parameters": number, "likelihood": wide["likelihood"].median(axis=1), "aic": aic.median(axis=1),
        "aic_lowest": aic.min(axis=1), "aic_highest": aic.max(axis=1), "bic": above["bic"].median(axis=1),
        "distance": wide["distance"].median(axis=1), "first_aic": (aic == 0).sum(axis=1),
        "first_bic": (above["bic"] == 0).sum(axis=1),
    }).sort_values("aic").reset_index()  # fmt: skip
    rival = found.family[found.family != OURS].iloc[0]
    gain = aic.loc[rival] - aic.loc[OURS]
    said = {"rival": rival, "gain": gain.median(), "gain_lowest": gain.min(), "gain_highest": gain.max()}
    return found, said | {"rival_distance": found.set_index("family").distance[rival]}


def rival_law(table: pd.DataFrame, family: str, net: int = 0):
    """Return SciPy's law of a family as it was fitted to a network."""
    row = table[(table.net == net) & (table.family == family)].iloc[0]
    return FAMILIES[family][0](*row[["p0", "p1", "p2", "p3"]].astype(float).dropna())


def with_all(every: Sequence, reports: Sequence) -> pd.DataFrame:
    """Fit all images: ``spike`` (share at 0), ``sigma``, ``distance``, ``report`` (distance of the printed law)."""
    rows = []
    for values, report in zip(every, reports, strict=True):
        fit = fit_truncated_normal(values)
        distances = [float(ks_distance(values, law.cdf)) for law in (fit, report)]
        rows.append((np.mean(values == 0), float(fit.sigma), *distances))
    return pd.DataFrame(rows, columns=["spike", "sigma", "distance", "report"])
