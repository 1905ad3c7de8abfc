"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from gdw import GDWClassifier

# As scikit-learn says of its own estimators that draw batches or resample: RandomForestClassifier,
# SGDClassifier, BaggingClassifier and others fail these two with the same reason.
NOT_EQUIVALENT = {
    f"check_sample_weight_equivalence_on_{kind}_data": (
        "sample_weight is not equivalent to removing/repeating samples: batches are drawn by row"
    )
    for kind in ("dense", "sparse")
}


def checks(estimator, **marks):
    for checked, check in estimator_checks_generator(estimator):
        name = check.func.__name__
        if name not in NOT_EQUIVALENT:
            yield pytest.param(checked, check, id=name, **marks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        *checks(GDWClassifier(method="plain", epochs=5)),
        *checks(GDWClassifier(epochs=2, lr=0.01), marks=pytest.mark.slow),
    ],
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def test_only_what_scikit_learn_excuses_is_left_out():
    names = {check.func.__name__ for _, check in estimator_checks_generator(GDWClassifier())}
    assert set(NOT_EQUIVALENT) < names
    assert len(names - set(NOT_EQUIVALENT)) > 40
