"""Options of the comparison methods that cannot be used, and what a loop of one's own must give."""

from __future__ import annotations

from typing import Any

import pytest

from gdw.errors import ConfigError
from gdw.reweight import build
from tests.reweight.setting import Setting, batches

COUNTS = [600.0, 30.0, 90.0]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("class_balanced", {"beta": 1.0}, "beta: .*found"),
        ("class_balanced", {"class_counts": [3, -1]}, "class_counts must be one number per class"),
        (
            "inverse_frequency",
            {"class_counts": "many"},
            "class_counts must be one number per class",
        ),
        ("focal", {"gamma": -1}, "gamma: .* 0, found -1"),
        ("focal", {"gamma": "two"}, "gamma: found 'two', expected a number"),
        ("ldam", {"deferred": 1.5}, "deferred: .* 1, found 1.5"),
        ("logit_adjustment", {"tau": True}, "tau: found True, expected a number"),
        ("soft_bootstrap", {"beta": 1.1}, "beta: .*found"),
        ("hard_bootstrap", {"beta": -0.1}, "beta: .*found"),
        ("label_smoothing", {"smoothing": 2}, "smoothing: .* 1, found 2"),
        ("label_smoothing", {"label_smoothing": 0.1}, "leave label_smoothing at 0"),
        ("forward", {"matrix": [[0.5, 0.6], [0, 1]]}, r"row sums \[1.1, 1.0\]"),
        ("forward", {"matrix": [[1.0, 0.0]]}, r"got shape \(1, 2\)"),
        ("glc", {"matrix": "none"}, r"matrix must be \(C, C\)"),
        ("fine_tune", {"share": 30}, "share: .* 1, found 30"),
        ("co_teaching", {"forget_rate": 2}, "forget_rate: .* 1, found 2"),
        ("co_teaching", {"ramp": 0}, "ramp: .* 1, found 0"),
        ("co_teaching", {"reset": "none"}, "reset: expected 'all' or 'head', found 'none'"),
        ("elr", {"strength": -3}, "strength: .* 0, found -3"),
        ("cleanlab", {"folds": 1}, "folds: .* 2, found 1"),
        ("posterior", {"folds": 2.5}, "folds: found 2.5, expected a whole number"),
        ("posterior", {"fold_epochs": 0}, "fold_epochs: .* 1, found 0"),
        ("gce", {"q": 0}, "q: .* 0, found 0"),
        ("sce", {"log_zero": 1}, "log_zero: .* 0, found 1"),
        ("focal", {"gama": 1}, "Did you mean 'gamma'"),
    ],
)
def test_options_out_of_range_are_one_line(
    method: str, options: dict[str, Any], message: str
) -> None:
    setting = Setting.of("plain")
    with pytest.raises(ConfigError, match=message) as raised:
        build(method, setting.model, setting.optimizer, **options)
    assert "\n" not in str(raised.value)


def test_options_for_another_number_of_classes_are_refused() -> None:
    for method in ("class_balanced", "ldam", "logit_adjustment"):
        with pytest.raises(ConfigError, match="for 2 classes, but the model has 3 logits"):
            Setting.of(method, class_counts=[1, 2]).step(batches(1)[0])
    with pytest.raises(ConfigError, match="for 2 classes, but the model has 3 logits"):
        Setting.of("forward", matrix=[[1, 0], [0, 1]]).step(batches(1)[0])


def test_what_a_loop_of_ones_own_must_give_is_said() -> None:
    for method in (
        "class_balanced",
        "ldam",
        "logit_adjustment",
        "forward",
        "cleanlab",
        "posterior",
    ):
        with pytest.raises(ConfigError, match=r"call gdw\.prepare\(.*or train with gdw\.Trainer"):
            Setting.of(method, labels=None).step(batches(1)[0])
    for method in ("elr", "cleanlab", "posterior"):
        with pytest.raises(ConfigError, match=r"backward\(batch, indices=...\)"):
            Setting.of(method).reweighter.backward(batches(1)[0])
    counted = Setting.of("ldam", labels=None, class_counts=COUNTS).step(batches(1)[0])
    assert counted.weights.eq(1).all()
