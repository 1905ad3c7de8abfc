"""Pipelines, searches, routing, pickles and seeds."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import gdw
from gdw.errors import ConfigError
from gdw.estimator import NoCleanExamplesWarning
from tests.estimator.cases import FORMS, codes, labels, numbers, quick


def test_it_is_a_public_name():
    assert gdw.GDWClassifier is type(quick())
    assert "GDWClassifier" in dir(gdw)


@pytest.mark.parametrize("form", ["numbers", "sparse", "frame", "texts", "images"])
def test_a_pickle_predicts_the_same_and_holds_no_module(form):
    X = FORMS[form]()
    fitted = quick(epochs=2, model="mlp:8,dropout=0.2").fit(X, labels())
    saved = pickle.dumps(fitted)
    assert b"torch.nn" not in saved
    again = pickle.loads(saved)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    assert again.label_issues_.equals(fitted.label_issues_)
    assert fitted.module_ is not None


def test_a_pickle_after_a_change_of_parameters_is_that_of_the_fit():
    fitted = quick(epochs=1, model="mlp:8").fit(numbers(), labels())
    again = pickle.loads(pickle.dumps(fitted.set_params(model="mlp:5,5")))
    np.testing.assert_array_equal(again.predict(numbers()), fitted.predict(numbers()))


def test_a_pickle_with_a_module_of_ones_own():
    fitted = quick(epochs=2, module=torch.nn.Linear(4, 2)).fit(numbers(), labels())
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(numbers()), fitted.predict_proba(numbers()))


def test_a_clone_is_unfitted_and_has_the_same_parameters():
    fitted = quick(epochs=1).fit(numbers(), labels())
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copied.predict(numbers())


def test_one_seed_one_model_and_no_trace_in_global_state():
    state = torch.random.get_rng_state()
    one, same = (quick(epochs=2).fit(numbers(), labels()) for _ in range(2))
    other = quick(epochs=2, random_state=1).fit(numbers(), labels())
    np.testing.assert_array_equal(one.predict_proba(numbers()), same.predict_proba(numbers()))
    assert np.abs(one.predict_proba(numbers()) - other.predict_proba(numbers())).max() > 0
    assert torch.equal(torch.random.get_rng_state(), state)


def test_in_a_pipeline_and_a_search():
    pipeline = make_pipeline(StandardScaler(), quick(epochs=2))
    search = GridSearchCV(pipeline, {"gdwclassifier__lr": [1e-6, 0.03]}, cv=2)
    search.fit(numbers(), labels())
    assert search.best_params_ == {"gdwclassifier__lr": 0.03}
    assert search.predict(numbers()).shape == (90,)


def test_trusted_rows_are_divided_with_the_folds():
    trusted = np.arange(90) % 3 == 0
    estimator = quick(method="mwn", epochs=6)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator.set_fit_request(trusted=True, sample_weight=True, meta=False)
        p = cross_val_predict(
            estimator,
            numbers(),
            labels(),
            cv=3,
            method="predict_proba",
            params={"trusted": trusted, "sample_weight": 1.0 + codes()},
        )
    assert p.shape == (90, 2)
    assert (p.argmax(1) == codes()).mean() > 0.9


ORDERS = {
    "front": np.arange(90) < 8,
    "end": np.arange(90) >= 82,
    "all but some": np.arange(90) >= 8,
}


def sorted_by_class(order: str):
    rows = np.argsort(codes(), kind="stable")
    return numbers()[rows], labels()[rows], ORDERS[order][rows]


@pytest.mark.parametrize("order", ORDERS)
def test_folds_may_lack_verified_rows_in_any_order(order):
    X, y, trusted = sorted_by_class(order)
    with pytest.warns(NoCleanExamplesWarning, match="cv=StratifiedKFold"):
        p = cross_val_predict(
            quick(method="mwn", epochs=2),
            X,
            y,
            cv=5,
            method="predict_proba",
            params={"trusted": trusted},
        )
    assert np.isfinite(p).all()
    assert ((p.argmax(1) == 1) == (y == "yes")).mean() > 0.9


def test_a_shuffled_split_spreads_the_verified_rows():
    X, y, trusted = sorted_by_class("front")
    cv = StratifiedKFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(quick(method="mwn"), {"epochs": [1, 2]}, cv=cv, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoCleanExamplesWarning)
        search.fit(X, y, trusted=trusted)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("ensemble", [True, False])
def test_calibration_of_a_pipeline_with_verified_rows(ensemble):
    X, y, trusted = sorted_by_class("end")
    pipeline = make_pipeline(StandardScaler(), quick(method="mwn", epochs=2))
    calibrated = CalibratedClassifierCV(pipeline, cv=2, ensemble=ensemble)
    with pytest.warns(NoCleanExamplesWarning):
        calibrated.fit(pd.DataFrame(X), pd.Series(y, index=range(5, 95)),
                       gdwclassifier__trusted=pd.Series(trusted))  # fmt: skip
    assert (calibrated.predict(pd.DataFrame(X)) == y).mean() > 0.9


def test_meta_in_cross_val_predict_is_numbered_like_y():
    X, y, estimator = numbers(), labels(), quick(method="mwn", epochs=2)
    options = {"cv": 2, "method": "predict_proba"}
    with pytest.raises(ValueError, match=r"numpy.searchsorted\(numpy.unique\(y\), y_meta\)"):
        cross_val_predict(estimator, X, y, params={"meta": (X[:8], y[:8])}, **options)
    numbered = np.searchsorted(np.unique(y), y[:8])
    p = cross_val_predict(estimator, X, y, params={"meta": (X[:8], numbered)}, **options)
    assert p.shape == (90, 2)


def test_meta_goes_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = quick(method="mwn", epochs=6).set_fit_request(
            meta=True, trusted=False, sample_weight=False
        )
        pipeline = make_pipeline(estimator)
        pipeline.fit(numbers(), labels(), meta=(numbers(10, seed=1), labels(10)))
    assert pipeline.score(numbers(), labels()) > 0.9


def test_the_history_has_a_record_an_epoch():
    fitted = quick(epochs=3).fit(numbers(), labels())
    assert [record["epoch"] for record in fitted.history_] == [1, 2, 3]


def test_the_label_issues_and_the_noise_matrix():
    y = codes(240)
    wrong = np.arange(240) % 7 == 0
    X, linear = numbers(240) - [3, 0, 0, 0], torch.nn.Linear(4, 2)
    fitted = quick(epochs=20, lr=0.05, module=linear).fit(X, np.where(wrong, 1 - y, y))
    table = fitted.label_issues_
    assert sorted(table["index"]) == list(range(240))
    assert table["score"].is_monotonic_decreasing
    # a line cannot learn the exceptions by heart
    assert wrong[table["index"][: wrong.sum()]].mean() > 0.9
    assert fitted.noise_matrix_.probability.shape == (2, 2)
    # The clean examples were chosen, not verified.
    assert fitted.assessment_.level != "supported"
    assert fitted.assessment_.wrong_low < 0.16 < fitted.assessment_.wrong_high  # a seventh is wrong


def test_verified_examples_support_good_suggestions():
    y = codes(450)
    wrong = np.arange(450) % 3 == 0
    verified = np.arange(450) >= 300
    given = np.where(wrong & ~verified, 1 - y, y)
    linear = torch.nn.Linear(4, 2)
    fitted = quick(method="robust", epochs=8, lr=0.1, module=linear)
    fitted.fit(numbers(450) - [3, 0, 0, 0], given, trusted=verified)
    assert fitted.assessment_.level == "supported", fitted.assessment_


def test_progress_is_silent_unless_asked_for(capsys):
    quick(epochs=2).fit(numbers(), labels())
    assert capsys.readouterr() == ("", "")
    quick(epochs=2, progress=True).fit(numbers(), labels())
    assert "epoch 2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "gwd"}, "unknown method 'gwd'.*Did you mean 'gdw'"),
        ({"epochs": 0}, "epochs"),
        ({"lr": "fast"}, "lr"),
        ({"device": "cpuu"}, "device: expected one of .*Did you mean 'cpu'"),
        ({"model": "mpl"}, "unknown model 'mpl'"),
        ({"method": "gdw", "preset": "bold"}, "preset: expected 'paper' or 'short', found 'bold'"),
        ({"hypergradient": "head"}, "'plain' has no option 'hypergradient'"),
        (
            {"method": "robust", "preset": "paper"},
            "preset='paper' is for method='gdw', found method 'rob",
        ),
        ({"preset": "robust"}, "preset='robust' is for method='gdw', found method 'plain': leave"),
        (
            {"method": "gdw", "preset": "short", "method_options": {"preset": "short"}},
            "preset: expected it once, found preset='short' and method_options",
        ),
        ({"method": "robust", "add_clean": True}, "'robust' trains on the clean examples anyway"),
        ({"module": torch.nn.Linear(4, 2), "model": "mlp:4"}, "as model or as module, found both"),
    ],
)
def test_parameters_that_cannot_be_used(options, message):
    with pytest.raises(ConfigError, match=message):
        quick(**options).fit(numbers(), labels(), trusted=np.arange(90) < 10)


@pytest.mark.parametrize("options", [{}, {"method": "gdw"}])
def test_the_preset_robust_of_an_older_version_is_the_method_robust(options):
    trusted, defaults = np.arange(90) < 10, {"epochs": 1, "random_state": 0}
    now = gdw.GDWClassifier(**defaults).fit(numbers(), labels(), trusted=trusted)
    before = gdw.GDWClassifier(**options, preset="robust", **defaults)
    with pytest.warns(FutureWarning, match="preset 'robust' is now method 'robust'"):
        before.fit(numbers(), labels(), trusted=trusted)
    np.testing.assert_array_equal(before.predict_proba(numbers()), now.predict_proba(numbers()))
    assert now.method == "robust"


def test_adding_clean_examples_that_are_not_there_is_refused():
    with pytest.raises(ConfigError, match="add_clean needs clean examples: give meta= or trusted="):
        quick(add_clean=True).fit(numbers(), labels())
