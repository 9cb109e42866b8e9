"""Truncated normal laws: maximum likelihood, and a test whether they fit (paper D, section 5.2.2).

A batch of samples is an array (*batch, n), its laws have parameters of shape batch, and nothing loops over samples.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import kstwo

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
# exp(-DROP) is far below the rounding of one, so an integral may stop where its integrand has fallen by that.
DROP = 40.0
# Numbers held at once while samples are simulated.
BLOCK = 2_000_000


@dataclass(frozen=True, eq=False)
class TruncatedNormal:
    """Law on [a, b] with density proportional to ``exp(slope t - curvature t²/2)``, ``t = x - a``.

    For a positive curvature it is the normal law of mean ``mu`` and standard deviation ``sigma``, cut off at a and b.
    Zero curvature is the limit of ever larger sigma: an exponential law, cut off, or the uniform one.

    Attributes
    ----------
    a, b, slope, curvature : float or array of shape batch
        The parameters; ``curvature`` is not negative.
    """

    a: np.ndarray
    b: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray

    @classmethod
    def from_normal(cls, a, b, mu, sigma) -> "TruncatedNormal":
        """Return the normal law of ``mu`` and ``sigma`` (before the cut) on [a, b]."""
        a, b, mu, sigma = (np.asarray(value, dtype=float) for value in (a, b, mu, sigma))
        _check_limits(a, b)
        if not (np.isfinite(mu).all() and np.isfinite(sigma).all() and (sigma > 0.0).all()):
            raise ValueError(f"mu, sigma: expected finite numbers, sigma positive, received {mu}, {sigma}")
        return cls(a, b, (mu - a) / sigma**2, 1.0 / sigma**2)

    @property
    def sigma(self):
        """Standard deviation before the cut; infinite for zero curvature."""
        with np.errstate(divide="ignore"):
            return 1.0 / np.sqrt(self.curvature)

    @property
    def mu(self):
        """Mean before the cut; infinite for zero curvature, NaN for the uniform law."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.a + self.slope / self.curvature

    def pdf(self, x) -> np.ndarray:
        """Return the density at x, (*batch, n)."""
        inside, log_density = self._log_density(x)
        return np.where(inside, np.exp(log_density), 0.0)

    def log_likelihood(self, x) -> np.ndarray:
        """Return the sum of the log-densities of every sample of x, (*batch, n); -inf for a value outside [a, b]."""
        inside, log_density = self._log_density(x)
        return np.where(inside, log_density, -np.inf).sum(axis=-1)

    def cdf(self, x) -> np.ndarray:
        """Return the probability of a value up to x, (*batch, n)."""
        a, b, *_ = self._columns()
        mirrored, log_survival, _ = self._survival()
        t = np.clip(x, a, b) - a
        below = np.expm1(log_survival(np.where(mirrored, b - a - t, t))) / np.expm1(log_survival(b - a))
        return np.where(mirrored, 1.0 - below, below)

    def quantile(self, p) -> np.ndarray:
        """Return the value below which a share p, (*batch, n), of the law lies."""
        a, b, *_ = self._columns()
        mirrored, log_survival, inverse = self._survival()
        share = np.where(mirrored, 1.0 - np.asarray(p), p)
        with np.errstate(divide="ignore"):  # a share of one, and b too far to matter
            t = np.clip(inverse(np.log1p(share * np.expm1(log_survival(b - a)))), 0.0, b - a)
        return a + np.where(mirrored, b - a - t, t)

    def _survival(self):
        """Return whether t is to be mirrored, the logarithm of the share above t if only a cuts, and its inverse.

        Mirrored, so that the bulk of the law is at the left. Then neither that share nor the one between a and b is a
        small difference of large numbers, and the logarithm does not underflow.
        """
        a, b, slope, curvature = self._columns()
        width = b - a
        mirrored = slope > curvature * width / 2.0
        rate = np.where(mirrored, slope - curvature * width, -slope)  # of decay at the left end
        limit = curvature == 0.0
        sigma = 1.0 / np.sqrt(np.where(limit, 1.0, curvature))
        start = rate * sigma
        flat = limit & (rate == 0.0)  # the uniform law: a rate that leaves the share above t linear to rounding
        decay = np.where(flat, 1e-20 / width, rate)

        def log_survival(t):
            return np.where(limit, -decay * t, log_ndtr(-start - t / sigma) - log_ndtr(-start))

        def inverse(value):
            return np.where(
                limit, -value / np.where(limit, decay, 1.0), -sigma * (ndtri_exp(value + log_ndtr(-start)) + start)
            )

        return mirrored, log_survival, inverse

    def _log_density(self, x):
        """Return where x lies in [a, b], and the logarithm of the density there."""
        a, b, slope, curvature = self._columns()
        t = np.asarray(x, dtype=float) - a
        inside = (t >= 0.0) & (t <= b - a)
        t = np.where(inside, t, 0.0)
        return inside, slope * t - curvature * t**2 / 2.0 - _moments(np.zeros_like(b), b - a, slope, curvature)[0]

    def _columns(self):
        """Return the parameters with an axis for the values of a sample."""
        return [
            np.asarray(value, dtype=float)[..., None]
            for value in np.broadcast_arrays(self.a, self.b, self.slope, self.curvature)
        ]


@dataclass(frozen=True, eq=False)
class GoodnessOfFit:
    """What came of a test of the truncated normal family.

    Attributes
    ----------
    fit : TruncatedNormal
        The law of largest likelihood.
    distance : float
        Largest distance between its distribution function and that of the sample (Kolmogorov and Smirnov).
    p_value : float
        Share of samples from ``fit`` that lie at least as far from the law fitted to *them*, the sample itself counted.
    plain_p_value : float
        What the tables of Kolmogorov and Smirnov give: wrong here, as they hold for a law fixed beforehand.
    null : array (resamples,)
        Distances of the simulated samples.
    """

    fit: TruncatedNormal
    distance: float
    p_value: float
    plain_p_value: float
    null: np.ndarray


def fit_truncated_normal(x, a=0.0, b=None) -> TruncatedNormal:
    """Fit a truncated normal law by maximum likelihood.

    Over slope and curvature the family is exponential: the likelihood depends on the sample through its mean and mean
    square, and its logarithm is concave. Newton's method finds the largest value over ``curvature >= 0``. For samples
    spread more evenly than any normal law on [a, b] that is zero curvature, and ``sigma`` is infinite.

    Parameters
    ----------
    x : array (*batch, n)
        Samples of at least two different values within [a, b].
    a, b : float
        Ends of the interval; without b, the largest value of each sample, which is the b of largest likelihood.

    Returns
    -------
    TruncatedNormal

    Raises
    ------
    ValueError
        For a sample that is empty, not finite, outside [a, b] or of equal values, and for limits out of order.
    """
    x = np.asarray(x, dtype=float)
    if x.ndim < 1 or not x.size:
        raise ValueError(f"x: expected samples of shape (*batch, n) with n > 0, received shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"x: expected finite values, received {x[~np.isfinite(x)][0]}")
    a = np.broadcast_to(np.asarray(a, dtype=float), x.shape[:-1])
    b = x.max(axis=-1) if b is None else np.broadcast_to(np.asarray(b, dtype=float), x.shape[:-1])
    if (x.min(axis=-1) == x.max(axis=-1)).any():
        raise ValueError(f"x: expected different values in each sample, received {x.shape[-1]} equal ones")
    if (outside := (x < a[..., None]) | (x > b[..., None])).any():
        raise ValueError(f"x: expected values from a to b, received {x[outside][0]} with a = {a.min()}, b = {b.max()}")
    _check_limits(a, b)
    mean, scale = x.mean(axis=-1), x.std(axis=-1)
    # In units of the sample, u = (x - mean) / scale, the law sought has mean 0 and mean square 1.
    low, high = (a - mean) / scale, (b - mean) / scale
    slope, zero = _newton(low, high, np.zeros_like(mean), np.zeros_like(mean), curved=False)
    curved = _moments(low[..., None], high[..., None], slope[..., None], zero[..., None])[2][..., 0] > 1.0
    curvature = zero
    if curved.any():
        start = np.zeros(curved.sum())
        slope[curved], curvature[curved] = _newton(low[curved], high[curved], start, start + 1.0, curved=True)
    # t = x - a = scale (u - low), so slope u - curvature u²/2 becomes the following, and a constant.
    return TruncatedNormal(a, b, (slope - curvature * low) / scale, curvature / scale**2)


def ks_distance(x, cdf) -> np.ndarray:
    """Return the largest distance between the distribution function of each sample, (*batch, n), and ``cdf``."""
    x = np.sort(x, axis=-1)
    n, values = x.shape[-1], cdf(x)
    steps = np.arange(n + 1) / n
    return np.maximum(steps[1:] - values, values - steps[:-1]).max(axis=-1)


def simulate_distances(law: TruncatedNormal, n, resamples, rng, *, fit_b=False) -> np.ndarray:
    """Return the distances between samples of one law and the law fitted to each of them, (resamples,).

    That is their distribution when the family is right, with parameters fitted (Lilliefors' idea; here a parametric
    bootstrap, since the shape of a truncated normal depends on its parameters).

    Parameters
    ----------
    law : TruncatedNormal
        One law.
    n : int
        Values a sample.
    resamples : int
        Number of samples.
    rng : numpy.random.Generator
    fit_b : bool
        Whether b is fitted as well.
    """
    distances = []
    for start in range(0, resamples, rows := max(BLOCK // n, 1)):
        # Sums of exponential numbers, divided by the last, are uniform numbers in order: nothing is to be sorted.
        sums = rng.standard_exponential((min(rows, resamples - start), n + 1)).cumsum(axis=-1)
        x = law.quantile(sums[:, :-1] / sums[:, -1:])
        distances.append(ks_distance(x, fit_truncated_normal(x, law.a, None if fit_b else law.b).cdf))
    return np.concatenate(distances)


def goodness_of_fit(x, a=0.0, b=None, *, resamples, rng) -> GoodnessOfFit:
    """Fit a truncated normal to one sample and test, by parametric bootstrap, whether the family fits.

    Parameters
    ----------
    x : array (n,)
    a, b
        As in ``fit_truncated_normal``; without b, it is fitted to every simulated sample as well.
    resamples : int
        Samples simulated; no p-value can be below ``1 / (resamples + 1)``.
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        As ``fit_truncated_normal``, and for more than one sample or no resamples.
    """
    if np.ndim(x) != 1:
        raise ValueError(f"x: expected one sample of shape (n,), received shape {np.shape(x)}")
    if resamples < 1:
        raise ValueError(f"resamples: expected at least 1, received {resamples!r}")
    fit = fit_truncated_normal(x, a, b)
    distance = float(ks_distance(x, fit.cdf))
    null = simulate_distances(fit, len(x), resamples, rng, fit_b=b is None)
    p_value = (1 + np.sum(null >= distance)) / (1 + resamples)
    return GoodnessOfFit(fit, distance, float(p_value), float(kstwo.sf(distance, len(x))), null)


def _moments(low, high, slope, curvature):
    """Return the logarithm of ``∫ exp(slope u - curvature u²/2) du`` from low to high, and the means of u, u², u³, u⁴.

    All arguments (*batch, 1), curvature not negative. Gauss's rule on the part of the interval that matters.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(curvature > 0.0, slope / curvature, np.where(slope > 0.0, np.inf, -np.inf))
        top = np.clip(top, low, high)
        rise = slope - curvature * top
        # How far from the top the exponent has fallen by DROP: the root of |rise| h + curvature h²/2 = DROP.
        left, right = (
            2.0 * DROP / (fall + np.sqrt(fall**2 + 2.0 * DROP * curvature))
            for fall in (np.maximum(rise, 0.0), np.maximum(-rise, 0.0))
        )
    left, right = np.maximum(low, top - left), np.minimum(high, top + right)
    half = (right - left) / 2.0
    step = half * NODES
    u = (left + right) / 2.0 + step
    exponent = rise * (u - top) - curvature * (u - top) ** 2 / 2.0
    density = np.exp(exponent) * WEIGHTS * half
    mass = density.sum(axis=-1, keepdims=True)
    density /= mass
    log_mass = np.log(mass) + slope * top - curvature * top**2 / 2.0
    return log_mass, *((density * u**k).sum(axis=-1, keepdims=True) for k in (1, 2, 3, 4))


def _newton(low, high, slope, curvature, *, curved):
    """Return slope and curvature of the law on [low, high] with mean 0 and, if ``curved``, mean square 1.

    They minimise the convex ``log ∫ exp(slope u - curvature u²/2) du + curvature/2``.
    """
    low, high, slope, curvature = (np.array(value)[..., None] for value in (low, high, slope, curvature))

    def evaluate(slope, curvature):
        log_mass, *moments = _moments(low, high, slope, curvature)
        return log_mass + curvature / 2.0, moments

    value, (m1, m2, m3, m4) = evaluate(slope, curvature)
    for _ in range(200):
        g, h = m1, (1.0 - m2) / 2.0
        if max(np.abs(g).max(), np.abs(h).max() if curved else 0.0) < 1e-13:
            break
        gg, gh, hh = m2 - m1**2, (m1 * m2 - m3) / 2.0, (m4 - m2**2) / 4.0
        if curved:
            det = gg * hh - gh**2
            step, bend = (gh * h - hh * g) / det, (gh * g - gg * h) / det
            decrease = -(g * step + h * bend)
        else:
            step, bend = -g / gg, np.zeros_like(g)
            decrease = g**2 / gg
        # Never more than nine tenths of the way to zero curvature, and shorter until the function falls.
        with np.errstate(divide="ignore", invalid="ignore"):
            length = np.where(bend < -0.9 * curvature, -0.9 * curvature / bend, 1.0)
        for _ in range(50):
            new_value, new_moments = evaluate(slope + length * step, curvature + length * bend)
            worse = ~(new_value <= value - 0.1 * length * decrease + 1e-13 * (1.0 + np.abs(value)))
            if not worse.any():
                break
            length = np.where(worse, length / 2.0, length)
        slope, curvature = slope + length * step, curvature + length * bend
        value, (m1, m2, m3, m4) = new_value, new_moments
        if decrease.max() < 1e-24:
            break
    return slope[..., 0], curvature[..., 0]


def _check_limits(a, b):
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (a < b).all()):
        raise ValueError(f"a, b: expected finite limits with a < b, received {a}, {b}")
