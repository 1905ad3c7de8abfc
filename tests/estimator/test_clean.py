"""Clean examples given apart, as trusted rows, or not at all; and what each example counts."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from gdw.errors import ConfigError, DataError
from gdw.estimator import AuditWarning, NoCleanExamplesWarning
from gdw.reweight import METHODS
from gdw.train import Trainer
from gdw.train.chosen_clean import _most_certain
from tests.estimator.cases import codes, labels, numbers, quick

MWN = {"method": "mwn", "epochs": 2}


@pytest.fixture
def seen(monkeypatch):
    """What reaches the trainer: its sets, by name."""
    found = {}

    def fit(self, model, train, meta=None, **options):
        found.update(train=train, meta=meta)
        return original(self, model, train, meta, **options)

    original = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", fit)
    return found


def mask(count=20):
    return np.arange(len(labels())) < count


def test_meta_is_the_clean_set(seen):
    quick(**MWN).fit(numbers(), labels(), meta=(numbers(10, seed=1), labels(10)))
    assert (len(seen["train"]), len(seen["meta"])) == (90, 10)
    assert seen["meta"].targets.tolist() == codes(10).tolist()


@pytest.mark.parametrize(("add_clean", "size"), [(False, 70), (True, 90)])
def test_trusted_rows_are_not_doubted(seen, add_clean, size):
    fitted = quick(**MWN, add_clean=add_clean).fit(numbers(), labels(), trusted=mask())
    assert (len(seen["train"]), len(seen["meta"])) == (size, 20)
    assert sorted(fitted.label_issues_["index"]) == list(range(20, 90))
    given = fitted.label_issues_.set_index("index")["given_label"]
    assert given.loc[21] == labels()[21]


def test_trusted_rows_equal_the_same_rows_as_meta():
    X, y = numbers(), labels()
    # one scale for both: the encoder sees all rows of X, trusted or not
    X = (X - X.mean(0)) / X.std(0)
    by_mask = quick(**MWN, module=torch.nn.Linear(4, 2)).fit(X, y, trusted=mask())
    apart = quick(**MWN, module=torch.nn.Linear(4, 2))
    apart.module.load_state_dict(by_mask.module.state_dict())
    apart.fit(X[20:], y[20:], meta=(X[:20], y[:20]))
    np.testing.assert_array_equal(by_mask.predict_proba(X), apart.predict_proba(X))


def test_without_clean_examples_some_stand_in_and_the_user_is_told(seen):
    with pytest.warns(NoCleanExamplesWarning, match="10 of the 90 given ones.*meta=.*trusted="):
        fitted = quick(**MWN).fit(numbers(), labels())
    assert len(seen["train"]) == 90
    assert np.bincount(seen["meta"].targets).tolist() == [5, 5]
    assert len(fitted.label_issues_) == 90


def test_methods_without_need_of_clean_examples_do_without():
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoCleanExamplesWarning)
        quick(epochs=1).fit(numbers(), labels())


def test_those_that_stand_in_are_agreed_on_and_of_every_class():
    given = np.repeat([0, 1, 2], [40, 40, 3])
    p, agreed = np.linspace(0.2, 0.8, 83, dtype=np.float32), np.arange(83) != 39
    chosen = _most_certain(p, agreed, given, np.array([83, 83, 83]), seed=0)
    assert chosen.tolist() == [*range(35, 39), *range(76, 80), 82]
    few = _most_certain(p, agreed, given, np.array([0, 2, 2]), seed=0)
    assert few.tolist() == [78, 79, 82]


def test_wrong_labels_seldom_stand_in(seen):
    rng = np.random.default_rng(0)
    y = codes(300)
    wrong = rng.random(300) < 0.3
    with pytest.warns(NoCleanExamplesWarning):
        quick(method="mwn", epochs=2).fit(numbers(300), np.where(wrong, 1 - y, y))
    rows = [int(row) for row in seen["meta"].inputs._rows]
    assert len(rows) == 30
    assert wrong[rows].mean() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meta": numbers()}, "meta: expected a pair"),
        ({"meta": (numbers(5), labels(4))}, "meta: X has 5 rows, y has 4"),
        (
            {"meta": (numbers(2), ["no", "yess"])},
            "'yess' in row 1 never occurs in y. Did you mean 'yes'",
        ),
        ({"meta": (numbers(2)[:, :3], labels(2))}, "3 features, but GDWClassifier is expecting 4"),
        ({"trusted": mask()[:5]}, r"trusted: expected 90 times true or false.*shape \(5,\)"),
        ({"trusted": np.arange(90)}, "trusted: expected 90 times true or false.*int64"),
    ],
)
def test_clean_examples_that_cannot_be_used(options, message):
    with pytest.raises(DataError if "features" not in message else ValueError, match=message):
        quick(**MWN).fit(numbers(), labels(), **options)


@pytest.mark.parametrize(
    ("trusted", "message", "trained", "clean"),
    [
        (mask(0), "trusted: no row is verified: 10 of the 90 given ones", 90, [5, 5]),
        (
            codes() * mask(21) == 1,
            r"trusted: 1 class has no verified row \('no'\): 5 of the 80",
            80,
            [5, 10],
        ),
        (mask(90), "every row of X is trusted, so no label is in doubt", 90, [45, 45]),
    ],
)
def test_classes_without_a_verified_row_get_some_that_look_right(
    seen, trusted, message, trained, clean
):
    with pytest.warns(
        NoCleanExamplesWarning, match=message + ".*shuffle=True, random_state=0"
    ) as w:
        fitted = quick(**MWN).fit(numbers(), labels(), trusted=trusted)
    assert [warning.filename for warning in w] == [__file__]
    assert len(seen["train"]) == trained
    assert np.bincount(seen["meta"].targets).tolist() == clean
    assert fitted.assessment_.level != "supported"


def test_meta_may_lack_classes_and_have_few_of_others(seen):
    X, y = numbers(6, seed=1), labels(6)
    with pytest.warns(NoCleanExamplesWarning, match="meta: 1 class has no verified row .'no'"):
        quick(**MWN).fit(numbers(), labels(), meta=(X[y == "yes"], y[y == "yes"]))
    assert np.bincount(seen["meta"].targets).tolist() == [5, 3]
    message = "meta: 2 of 2 classes have fewer than 5 verified rows .'no', 'yes'.: 4 of the 90"
    with pytest.warns(NoCleanExamplesWarning, match=message):
        fitted = quick(method="robust", epochs=1).fit(numbers(), labels(), meta=(X, y))
    assert fitted._learned[1].tolist() == [3, 3], "verified"


def test_too_few_verified_rows_for_the_method_get_some_of_every_class():
    with pytest.warns(NoCleanExamplesWarning, match="2 verified rows are too few: 10 of the 88"):
        quick(method="robust", epochs=1).fit(numbers(), labels(), trusted=mask(2))


def test_clean_examples_to_add_may_be_missing_in_a_fold(seen):
    quick(add_clean=True, epochs=1).fit(numbers(), labels(), trusted=mask(0))
    assert len(seen["train"]) == 90


def test_two_ways_at_once_are_refused():
    with pytest.raises(ConfigError, match="as meta or as trusted, found both"):
        quick().fit(numbers(), labels(), meta=(numbers(), labels()), trusted=mask())


def proba(sample_weight=None, X=None, y=None, **options):
    X, y = numbers() if X is None else X, labels() if y is None else y
    fitted = quick(epochs=3, **options).fit(X, y, sample_weight)
    return fitted.predict_proba(numbers())


def test_weights_of_one_size_change_nothing():
    np.testing.assert_array_equal(proba(), proba(np.full(90, 3.0)))


def test_weight_zero_is_absence():
    kept = np.arange(90) % 3 > 0
    np.testing.assert_array_equal(
        proba(kept.astype(float)), proba(X=numbers()[kept], y=labels()[kept])
    )


def test_only_the_ratio_of_weights_counts():
    weights = np.random.default_rng(0).uniform(0.5, 2, 90)
    np.testing.assert_allclose(proba(weights), proba(8 * weights), rtol=1e-4)
    assert np.abs(proba(weights) - proba()).max() > 1e-3


def test_weights_pull_towards_the_heavier_label():
    X, y = np.zeros((90, 1)), labels()
    heavy = np.where(y == "yes", 4.0, 1.0)
    fitted = quick(epochs=20, lr=0.03).fit(X, y, heavy)
    # without a feature to go by the weighted share of each label is all there is to learn
    assert fitted.predict_proba(X)[0, 1] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("method", ["plain", "gdw"])
@pytest.mark.parametrize("joined", [0, 2])
def test_a_weight_is_a_factor_of_the_gradient(method, joined):
    """Against autograd: examples beyond those weighed count once."""
    torch.manual_seed(0)
    model, weights = torch.nn.Linear(4, 3), torch.tensor([0.5, 0.0, 2.0, 1.5, 1.0])
    x, y = torch.randn(5 + joined, 4), torch.tensor([0, 1, 2, 0, 1, 2, 2])[: 5 + joined]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    # no step of the weights: only those of the examples are left
    options = {} if method == "plain" else {"clip": 0.0, "weighting_network": "none"}
    reweighter = METHODS[method](model, optimizer, **options)
    reweighter.count_examples_as(weights)
    order = torch.randperm(5 + joined)
    reweighter.backward((x[order], y[order]), (x, y), indices=order.tolist())
    factors = torch.cat([weights, torch.ones(joined)])
    losses = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
    expected = torch.autograd.grad((factors * losses).mean(), model.weight)[0]
    torch.testing.assert_close(model.weight.grad, expected)
    with pytest.raises(ConfigError, match=r"indices=\.\.\."):
        reweighter.backward((x, y), (x, y))


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        quick().fit(numbers(), labels(), -np.ones(90))


@pytest.mark.parametrize("weights", [mask(), mask().tolist(), pd.Series(mask())])
def test_a_mask_in_the_place_of_the_weights_is_refused(weights):
    with pytest.raises(DataError, match=r"sample_weight: .*true and false: did you mean trusted="):
        quick().fit(numbers(), labels(), weights)


def test_a_poor_audit_is_said_once_with_what_to_do(recwarn):
    by_chance = np.random.default_rng(0).integers(0, 2, 90)
    fitted = quick(epochs=1, model="mlp:4").fit(numbers(seed=1)[:, 1:], by_chance)
    assert fitted.assessment_.level == "poor"
    (said,) = [each for each in recwarn if each.category is AuditWarning]
    assert fitted.assessment_.reason in str(said.message)
    assert "Train longer (epochs=) or verify more examples" in str(said.message)
    assert said.filename == __file__


def test_an_audit_that_is_only_unproven_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", AuditWarning)
        fitted = quick().fit(numbers(), labels())
    assert fitted.assessment_.level == "unproven"
