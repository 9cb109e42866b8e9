"""`bea.measures.truncated_normal`: SciPy's laws, fits of the largest likelihood, p-values that are what they say."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize

from bea.measures.truncated_normal import (
    TruncatedNormal,
    fit_truncated_normal,
    goodness_of_fit,
    ks_distance,
    simulate_distances,
)

RNG = np.random.default_rng
# (a, b, mu, sigma): the report's; cut in the middle; bulk at the right; in a far tail; nearly normal; nearly uniform.
LAWS = [(0, 0.166, 0.042, 0.03), (0, 1, 0, 1), (-1, 2, 5, 1.5), (0, 1, -8, 0.5), (-9, 9, 0, 1), (2, 3, 2.6, 50)]
on_any_law = pytest.mark.parametrize("parameters", LAWS)


def scipy_law(a, b, mu, sigma):
    """The same law in SciPy's notation."""
    return stats.truncnorm((a - mu) / sigma, (b - mu) / sigma, mu, sigma)


def sample(parameters, shape, seed=0):
    return scipy_law(*parameters).rvs(shape, random_state=RNG(seed))


@on_any_law
def test_law_is_that_of_scipy(parameters):
    """Density, distribution function and quantiles, all over the interval."""
    law, theirs = TruncatedNormal.from_normal(*parameters), scipy_law(*parameters)
    a, b, mu, sigma = parameters
    x, p = np.linspace(a, b, 101), np.linspace(0, 1, 101)
    np.testing.assert_allclose(law.pdf(x), theirs.pdf(x), rtol=1e-11)
    np.testing.assert_allclose(law.cdf(x), theirs.cdf(x), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(law.cdf(law.quantile(p)), p, atol=1e-13)
    np.testing.assert_allclose((law.mu, law.sigma), (mu, sigma), rtol=1e-12)
    assert law.quantile(p).min() >= a
    assert law.quantile(p).max() <= b


@on_any_law
def test_law_ends_at_its_limits(parameters):
    """No density outside, and the distribution function is 0 before and 1 after."""
    law, (a, b, *_) = TruncatedNormal.from_normal(*parameters), parameters
    outside = np.array([a - 0.1, b + 0.1])
    np.testing.assert_array_equal(law.pdf(outside), 0.0)
    np.testing.assert_array_equal(law.cdf(outside), (0.0, 1.0))
    assert law.log_likelihood(outside) == -np.inf


@pytest.mark.parametrize("slope", [-300.0, -2.0, 0.0, 2.0, 300.0])
def test_zero_curvature_is_an_exponential_law(slope):
    """Density by its formula, distribution function by integrating it, quantiles as the inverse."""
    law = TruncatedNormal(1.0, 3.0, slope, 0.0)
    x = np.linspace(1, 3, 41)
    mass = -np.expm1(-2 * abs(slope)) / abs(slope) if slope else 2.0
    expected = np.exp(slope * (x - 1) - max(2 * slope, 0)) / mass
    np.testing.assert_allclose(law.pdf(x), expected, rtol=1e-11)
    areas = [quad(lambda t: law.pdf(t)[0], low, high, epsabs=1e-14)[0] for low, high in pairwise(x)]
    np.testing.assert_allclose(law.cdf(x), np.concatenate([[0], np.cumsum(areas)]), atol=1e-12)
    p = np.linspace(0, 1, 41)
    np.testing.assert_allclose(law.cdf(law.quantile(p)), p, atol=1e-13)
    assert law.sigma == np.inf


@on_any_law
def test_log_likelihood_is_the_sum_of_logarithms(parameters):
    """As SciPy adds them up."""
    x = sample(parameters, (3, 200))
    law = TruncatedNormal.from_normal(*parameters)
    np.testing.assert_allclose(
        law.log_likelihood(x), scipy_law(*parameters).logpdf(x).sum(axis=1), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("parameters", LAWS[:3] + LAWS[4:5])
def test_fit_is_where_scipy_finds_the_largest_likelihood(parameters):
    """A general minimiser of SciPy's own negative log-likelihood ends at the same place, and no higher."""
    a, b, mu, sigma = parameters
    x = sample(parameters, 2000)
    law = fit_truncated_normal(x, a, b)

    def loss(values):
        m, s = values[0], np.exp(values[1])
        return stats.truncnorm.nnlf(((a - m) / s, (b - m) / s, m, s), x)

    found = minimize(loss, (mu, np.log(sigma)), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-10})
    assert -law.log_likelihood(x) <= found.fun + 1e-8
    # The likelihood is flat at its top, so the place is known to half of the digits of the value.
    np.testing.assert_allclose((law.mu, law.sigma), (found.x[0], np.exp(found.x[1])), rtol=1e-5, atol=1e-5 * law.sigma)


@on_any_law
def test_fit_has_mean_and_mean_square_of_the_sample(parameters):
    """The equations of largest likelihood, moments by numerical integration; if sigma is infinite, the mean alone."""
    a, b, *_ = parameters
    x = sample(parameters, (4, 300), seed=1)
    laws = fit_truncated_normal(x, a, b)
    nodes, weights = np.polynomial.legendre.leggauss(300)
    grid = a + (b - a) * (nodes + 1) / 2
    density = laws.pdf(grid) * weights * (b - a) / 2
    np.testing.assert_allclose(density @ grid, x.mean(axis=1), rtol=1e-10, atol=1e-10)
    curved = laws.curvature > 0
    assert curved.any()
    np.testing.assert_allclose((density @ grid**2)[curved], (x**2).mean(axis=1)[curved], rtol=1e-10)


def test_likelihood_depends_on_mean_and_mean_square_alone():
    """Two values with the moments of a thousand give the same law."""
    x = sample(LAWS[0], 1000)
    pair = x.mean() + x.std() * np.array([-1, 1])
    many, two = fit_truncated_normal(x, 0, 0.166), fit_truncated_normal(pair, 0, 0.166)
    assert two.mu == pytest.approx(many.mu, rel=1e-9)
    assert two.sigma == pytest.approx(many.sigma, rel=1e-9)


def test_fit_recovers_the_law_of_simulated_data():
    """Within four standard errors of the mean over many samples, and the spread shrinks like one over √n."""
    spreads = []
    for n in (1000, 4000):
        laws = fit_truncated_normal(TruncatedNormal.from_normal(*LAWS[0]).quantile(RNG(2).random((400, n))), 0, 0.166)
        for values, truth in ((laws.mu, 0.042), (laws.sigma, 0.03)):
            # Largest likelihood is biased by a multiple of 1/n, far below the spread here.
            assert abs(values.mean() - truth) <= 4 * values.std() / np.sqrt(400) + 0.1 / n
        spreads.append(laws.mu.std())
    assert spreads[0] / spreads[1] == pytest.approx(2, rel=0.15)


def test_fit_without_b_takes_the_largest_value():
    """Any larger b has a smaller likelihood."""
    x = sample(LAWS[0], 500)
    law = fit_truncated_normal(x)
    assert law.b == x.max()
    tops = [fit_truncated_normal(x, 0, b).log_likelihood(x) for b in (x.max() * 1.01, 0.166, 0.3)]
    assert max(tops) < law.log_likelihood(x)


@pytest.mark.parametrize("power", [-6, 0, 6])
def test_fit_moves_with_the_units(power):
    """Shifted and stretched data have the shifted and stretched law."""
    x, scale = sample(LAWS[0], 400), 10.0**power
    law, moved = fit_truncated_normal(x, 0, 0.166), fit_truncated_normal(scale * (x + 3), 3 * scale, 3.166 * scale)
    assert moved.mu == pytest.approx(scale * (law.mu + 3), rel=1e-9)
    assert moved.sigma == pytest.approx(scale * law.sigma, rel=1e-9)


def test_samples_flatter_than_any_normal_law_give_its_limit():
    """U-shaped data have infinite sigma; decreasing ones with a heavy tail the exponential law of their mean."""
    u_shaped = np.concatenate([RNG(3).beta(0.5, 0.5, 500), [0, 1]])
    law = fit_truncated_normal(u_shaped, 0, 1)
    assert law.curvature == 0
    assert law.sigma == np.inf
    heavy = RNG(4).pareto(2.5, 500)
    law = fit_truncated_normal(heavy, 0, 1e3 * heavy.max())
    assert law.curvature == 0
    assert -1 / law.slope == pytest.approx(heavy.mean(), rel=1e-9)  # b is too far to matter
    assert fit_truncated_normal(np.array([0.0, 1.0])).slope == pytest.approx(0, abs=1e-12)  # the uniform law


def test_samples_in_a_narrow_place_give_the_plain_normal():
    """Limits a million standard deviations away do not matter."""
    x = 0.5 + 1e-6 * RNG(5).standard_normal(300)
    law = fit_truncated_normal(x, 0, 1)
    assert law.mu == pytest.approx(x.mean(), rel=1e-12)
    assert law.sigma == pytest.approx(x.std(), rel=1e-9)


def test_a_batch_is_many_samples():
    """Each with the law it has alone, its limit included."""
    x = np.concatenate([sample(LAWS[0], (2, 50)), RNG(6).uniform(0, 0.16, (1, 50)) ** 4])
    laws = fit_truncated_normal(x)
    distances = ks_distance(x, laws.cdf)
    assert laws.mu.shape == laws.sigma.shape == distances.shape == (3,)
    for i, values in enumerate(x):
        law = fit_truncated_normal(values)
        assert laws.slope[i] == pytest.approx(law.slope, rel=1e-9)
        assert laws.curvature[i] == pytest.approx(law.curvature, rel=1e-9)
        assert distances[i] == pytest.approx(ks_distance(values, law.cdf), rel=1e-9)


def test_distance_is_that_of_scipy():
    """With ties too: values at zero are one step of the empirical distribution."""
    law = TruncatedNormal.from_normal(*LAWS[0])
    x = np.concatenate([np.zeros(30), sample(LAWS[0], 100)])
    assert ks_distance(x, law.cdf) == pytest.approx(stats.kstest(x, law.cdf).statistic, rel=1e-12)


def test_p_values_are_uniform_when_the_family_is_right():
    """Those of the parametric bootstrap; the plain ones, made for a law fixed beforehand, are far too large."""
    rng = RNG(7)
    tests = [goodness_of_fit(values, 0, 0.166, resamples=99, rng=rng) for values in sample(LAWS[0], (100, 100), seed=8)]
    ours = np.array([test.p_value for test in tests])
    plain = np.array([test.plain_p_value for test in tests])
    # 100 values of a grid of step 0.01: their distance from uniform exceeds 0.163 once in a hundred times.
    assert stats.kstest(ours, "uniform").statistic <= 0.163
    assert stats.kstest(plain, "uniform").statistic >= 0.3
    assert np.mean(ours <= 0.05) <= 0.1
    assert np.mean(plain <= 0.05) == 0


def test_a_wrong_family_is_found_out():
    """A gamma law of equal mean and spread, 1000 values; the smallest p-value there is."""
    result = goodness_of_fit(RNG(9).gamma(3, 0.015, 1000), resamples=99, rng=RNG(10))
    assert result.p_value == 0.01
    assert result.distance > result.null.max()
    assert result.plain_p_value == stats.kstwo.sf(result.distance, 1000)


def test_simulated_distances_are_those_of_refitted_samples():
    """Same distribution as from samples drawn by SciPy one by one, with and without b fitted."""
    law = TruncatedNormal.from_normal(*LAWS[1])
    for fit_b in (False, True):
        ours = simulate_distances(law, 50, 1000, RNG(11), fit_b=fit_b)
        x = sample(LAWS[1], (1000, 50), seed=12)
        theirs = ks_distance(x, fit_truncated_normal(x, 0, None if fit_b else 1).cdf)
        assert stats.ks_2samp(ours, theirs).statistic <= 0.073  # exceeded once in a hundred times


def test_blocks_make_no_difference(monkeypatch):
    """The simulated distances are the same however many are held at once."""
    law = TruncatedNormal.from_normal(*LAWS[0])
    whole = simulate_distances(law, 40, 25, RNG(13))
    monkeypatch.setattr("bea.measures.truncated_normal.BLOCK", 300)
    np.testing.assert_allclose(simulate_distances(law, 40, 25, RNG(13)), whole, rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([], {}, r"x: expected samples of shape \(\*batch, n\) with n > 0, received shape \(0,\)"),
        (0.5, {}, r"x: expected samples of shape"),
        ([0.1, np.nan], {}, "x: expected finite values, received nan"),
        ([0.1, np.inf], {}, "x: expected finite values, received inf"),
        ([0.1, 0.2, 0.3], {"b": 0.25}, "x: expected values from a to b, received 0.3"),
        ([-0.1, 0.2], {}, "x: expected values from a to b, received -0.1"),
        ([0.1, 0.2], {"b": np.inf}, "a, b: expected finite limits"),
        ([0.2, 0.2, 0.2], {}, "x: expected different values in each sample, received 3 equal ones"),
        ([[0.1, 0.2], [0.3, 0.3]], {"b": 1.0}, "x: expected different values"),
    ],
)
def test_bad_samples_are_refused(x, options, message):
    """Empty, not finite, outside [a, b], all equal."""
    with pytest.raises(ValueError, match=message):
        fit_truncated_normal(x, **options)


def test_bad_parameters_are_refused():
    """Limits out of order, a sigma that is none, more than one sample to test, no resamples."""
    with pytest.raises(ValueError, match="a, b: expected finite limits with a < b"):
        TruncatedNormal.from_normal(1, 0, 0.5, 1)
    with pytest.raises(ValueError, match="mu, sigma: expected finite numbers"):
        TruncatedNormal.from_normal(0, 1, 0.5, 0)
    with pytest.raises(ValueError, match=r"x: expected one sample of shape \(n,\)"):
        goodness_of_fit(np.ones((2, 3)), resamples=9, rng=RNG(0))
    with pytest.raises(ValueError, match="resamples: expected at least 1"):
        goodness_of_fit(np.arange(5.0), resamples=0, rng=RNG(0))
