"""The studies of how the smallest ε is distributed, on made-up samples."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bea.measures.truncated_normal import TruncatedNormal, fit_truncated_normal
from studies import law_of_epsilon as study

LAW = TruncatedNormal.from_normal(0.0, 0.2, 0.042, 0.03)
SAMPLES = [LAW.quantile(np.random.default_rng(seed).random(300)) for seed in range(2)]
SAID = {"a": 0, "b": 0.2, "mu": 0.042, "sigma": 0.03}


def test_samples_lose_nan_and_zeros():
    positive, every = study.samples(np.array([[0.0, 0.1, np.nan, 0.2]]))
    assert (positive[0].tolist(), every[0].tolist()) == ([0.1, 0.2], [0.0, 0.1, 0.2])
    assert study.finite([np.inf, 1.0]).tolist() == [1.0]
    assert study.finite([np.nan]).tolist() == [0.0]


def test_scipy_finds_the_same_law():
    found, fit = study.by_scipy(SAMPLES[0]), fit_truncated_normal(SAMPLES[0])
    assert found["mu"] == pytest.approx(fit.mu, rel=1e-3)
    assert found["sigma"] == pytest.approx(fit.sigma, rel=1e-3)
    assert found["log_likelihood"] <= fit.log_likelihood(SAMPLES[0]) + 1e-9


def test_a_law_is_found_again_from_its_moments():
    law = stats.truncnorm((0 - 0.042) / 0.03, (0.2 - 0.042) / 0.03, 0.042, 0.03)
    found = study.from_moments({"mean": law.mean(), "std": law.std()}, SAID)
    assert found["mu"] == pytest.approx(0.042, rel=1e-6)
    assert found["sigma"] == pytest.approx(0.03, rel=1e-6)
    assert found["apart"] < 1e-6
    assert found["mean"] == pytest.approx(law.mean(), rel=1e-3)
    assert found["std"] == pytest.approx(law.std(), rel=1e-3)


def test_distances_are_those_of_scipy():
    fits, reports = [fit_truncated_normal(v) for v in SAMPLES], study.printed_laws(SAMPLES, SAID)
    laws = study.laws_of(SAMPLES, fits, reports)
    assert laws.report[1] == pytest.approx(stats.kstest(SAMPLES[1], reports[1].cdf).statistic)
    assert laws.normal.all()
    whole = study.with_all([np.append(SAMPLES[0], np.zeros(100))], reports[:1])
    assert whole.spike[0] == 0.25
    assert whole.distance[0] >= 0.25
    assert study.described(SAMPLES, 0.1).beyond[0] == np.mean(SAMPLES[0] > 0.1)


def test_what_is_drawn():
    """From samples of a truncated normal law: most intervals hold its parameters, few samples are rejected."""
    options = {"resamples": 60, "simulations": 39, "sizes": [30, 100, 1000], "subsamples": 20}
    drawn = study.draws(SAMPLES, [np.append(v, np.zeros(60)) for v in SAMPLES], **options, seed=0)
    summary = study.interval_summary(drawn["intervals"], SAID | {"mean": SAMPLES[0].mean(), "std": 9.0})
    assert summary.name.tolist() == ["mu", "sigma", "mean", "std"]
    assert summary.inside.tolist()[2:] in ([1, 0], [2, 0])
    assert (drawn["intervals"].low <= drawn["intervals"].value).all()
    assert (drawn["tests"].p > 0.05).all()
    assert (drawn["all"].p <= 0.05).all()
    assert drawn["sizes"].images.tolist() == [30, 100] * 2
    assert drawn["sizes"].share.max() <= 0.5
    pd.testing.assert_frame_equal(drawn["tests"], study.draws(SAMPLES, SAMPLES, **options, seed=0)["tests"])


def test_quantiles_and_what_is_left_over():
    table = study.against_law(SAMPLES[0], LAW)
    np.testing.assert_allclose(LAW.cdf(table.expected.to_numpy()), table.level)
    left = study.left_over(SAMPLES[0], LAW.cdf, np.sort(SAMPLES[0]))
    assert np.abs(left).max() <= stats.kstest(SAMPLES[0], LAW.cdf).statistic + 1e-12


def test_rivals_and_their_criteria():
    table = study.rivals([values[:80] for values in SAMPLES])
    law, own = study.rival_law(table, "Weibull"), table[(table.net == 0) & (table.family == "Weibull")]
    assert law.logpdf(SAMPLES[0][:80]).sum() == pytest.approx(own.likelihood.item())
    families, best = study.criteria(table, [80, 80])
    assert families.first_aic.sum() == 2
    assert families.aic.is_monotonic_increasing
    made = pd.DataFrame({
        "net": 0, "family": [study.OURS, "gamma"], "parameters": [3, 2], "likelihood": [10.0, 8.0], "distance": 0.1
    })  # fmt: skip
    families, best = study.criteria(made, [100])
    assert (best["rival"], best["gain"]) == ("gamma", 2.0)
    assert families.set_index("family").bic.to_dict() == pytest.approx({study.OURS: np.log(100) - 4, "gamma": 0.0})
