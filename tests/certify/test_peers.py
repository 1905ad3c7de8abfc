"""Where functions of other libraries overlap: prediction-powered inference, and the p-values of a decision.

mapie is installed for development. ppi-python needs numba, so it is not: `pip install ppi-python`.
"""

from __future__ import annotations

import numpy as np
import pytest

from gdw.certify import verified_sample
from gdw.certify.bounds import exact_p_value
from gdw.certify.estimates import assisted
from gdw.certify.platt import Platt
from tests.certify.populations import population


@pytest.mark.parametrize("count", [100, 300])
def test_the_share_is_that_of_ppi_python_with_the_same_curve(count: int) -> None:
    ppi = pytest.importorskip("ppi_py", reason="compares with ppi-python, which is not installed")
    scores, wrong = population(50_000, 0.2)
    rows = np.random.default_rng(1).choice(50_000, count, replace=False)
    sample = verified_sample(50_000, rows, wrong[rows])
    curve = Platt.fit(scores, sample.rows, sample.wrong, 1 / sample.probability)
    found = assisted(scores, sample)
    assert curve is not None
    assert found is not None
    p, observed = curve(scores), sample.wrong.astype(float)
    expected = ppi.ppi_mean_pointestimate(observed, p[sample.rows], p, lam=1)
    assert found.share == pytest.approx(float(expected[0]), abs=1e-12)
    # Its intervals are Wald's, which forget that the curve was fitted to the verified rows.
    low, high = ppi.ppi_mean_ci(observed, p[sample.rows], p, alpha=0.05, lam=1)
    ours = np.ptp(found.interval(0.95))
    assert 1.0 < ours / float(high[0] - low[0]) < 1.15


@pytest.mark.parametrize("count", [30, 100, 300])
def test_p_values_are_below_those_of_mapie(count: int) -> None:
    """Those of Hoeffding and Bentkus are upper limits; ours are exact for rows drawn from 10,000."""
    methods = pytest.importorskip(
        "mapie.risk_control.methods",
        reason="compares with mapie 1.6 or later, which is not installed",
    )
    for target in (0.03, 0.1, 0.3):
        wrong = np.arange(int(count * target) + 1)
        limits = methods.compute_hoeffding_bentkus_p_value(wrong / count, count, target)
        exact = exact_p_value(
            wrong, np.full(len(wrong), count), np.full(len(wrong), 10_000), target
        )
        assert (exact <= limits[:, 0] + 1e-12).all()
        # They differ by the factor e of Bentkus's limit, and by the rows that are not drawn.
        common = limits[:, 0] > 1e-3
        assert (exact[common] >= limits[common, 0] / 6).all()
