"""A loop of one's own: void labels, targets in other forms, and one line for each common mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.reweight import METHODS, Plain, build
from tests.reweight.setting import Labels, Setting, batches, indices_of

F64 = torch.float64


def dense(void: int = 255, kind: torch.dtype = torch.int64) -> tuple[Tensor, Tensor]:
    """Four images `(2, 6)` with void positions at the same places."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(4, 2, 6, dtype=F64, generator=generator)
    y = torch.randint(3, (4, 6), generator=generator).to(kind)
    y[:, ::2] = void
    y[0] = void
    return x, y


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv1d(2, 3, 3, padding=1).double()


@pytest.mark.parametrize(
    ("method", "kind"),
    [(m, torch.int64) for m in METHODS if m not in ("robust", "posterior")]
    + [("gdw", torch.uint8), ("gdw", torch.int32)],
)
def test_void_positions_count_as_in_pytorch(method: str, kind: torch.dtype) -> None:
    marked, reference = (
        Setting.of(method, convolution(), **options) for options in ({"ignore_index": 255}, {})
    )
    x, y = dense(kind=kind)
    usual = torch.where(y.long() == 255, -100, y.long())
    steps = [
        setting.reweighter.backward((x, t), (x.flip(0), t.flip(0)), indices=range(4))
        for setting, t in ((marked, y), (reference, usual))
    ]
    assert torch.equal(steps[0].weights, steps[1].weights)
    for a, b in zip(marked.gradient(), reference.gradient(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"ignore_index": 255},
        {"loss": nn.CrossEntropyLoss(ignore_index=255, reduction="none")},
        {
            "loss": lambda z, t: F.cross_entropy(z, t, reduction="none"),
            "ignore_index": 255,
        },
    ],
)
def test_the_mean_and_gradient_of_void_labels_are_those_of_cross_entropy(
    options: dict[str, Any],
) -> None:
    model = convolution()
    x, y = dense()
    expected = F.cross_entropy(model(x), y, ignore_index=255)
    gradient = torch.autograd.grad(expected, list(model.parameters()))
    plain = Plain(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)
    step = plain.backward((x, y))
    torch.testing.assert_close(step.loss, expected.detach())
    for p, g in zip(model.parameters(), gradient, strict=True):
        torch.testing.assert_close(p.grad, g)


@pytest.mark.parametrize("hypergradient", ["forward", "reference", "finite_difference"])
def test_void_positions_have_no_hypergradient_and_no_meta_loss(hypergradient: str) -> None:
    model = convolution()
    x, y = dense()
    # Without weights the virtual step does not move the model.
    reweighter = build(
        "l2rw",
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        ignore_index=255,
        hypergradient=hypergradient,
    )
    step = reweighter.backward((x, y), (x + 0.1, y))
    assert step.hypergradient is not None
    void = (y == 255).unsqueeze(1).expand_as(step.hypergradient)
    assert not step.hypergradient[void].any()
    assert step.hypergradient[~void].all()
    expected = F.cross_entropy(model(x + 0.1), y, ignore_index=255).detach()
    torch.testing.assert_close(step.meta_loss, expected)


def test_void_rows_in_head_mode() -> None:
    ((x, y),), (meta,) = batches(1), batches(1, seed=1)
    y[::3] = 9
    setting = Setting.of("gdw", nn.Linear(5, 3).double(), hypergradient="head", ignore_index=9)
    step = setting.reweighter.backward((x, y), (meta[0], y))
    exact = Setting.of("gdw", nn.Linear(5, 3).double(), hypergradient="forward", ignore_index=9)
    exact.model.load_state_dict(setting.model.state_dict())
    expected = exact.reweighter.backward((x, y), (meta[0], y))
    torch.testing.assert_close(step.hypergradient, expected.hypergradient)
    torch.testing.assert_close(step.meta_loss, expected.meta_loss)
    assert step.hypergradient is not None
    assert not step.hypergradient[::3].any()


class Series:
    """Something with an array inside, as a pandas Series."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return self._values


FORMS: list[Any] = [
    tuple,
    Series,
    np.uint8,
    lambda a: a.astype(np.int32),
    lambda a: a[::-1].copy()[::-1],
]


@pytest.mark.parametrize(
    ("method", "form"), [*((m, list) for m in METHODS), *(("gdw", f) for f in FORMS)]
)
def test_targets_as_lists_and_arrays(method: str, form: Any) -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    steps = []
    for change in (lambda y: y, lambda y: form(y.numpy())):
        setting = Setting.of(method)
        pair = (batch[0], change(batch[1]))
        other = (meta[0], change(meta[1]))
        steps.append(setting.reweighter.backward(pair, other, indices=indices_of(batch[0])))
    assert torch.equal(steps[0].weights, steps[1].weights)


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float64])
def test_several_labels_as_integers(kind: torch.dtype) -> None:
    ((x, _),) = batches(1)
    labels = (x[:, :3] > 0).double()
    steps = []
    for given in (labels.float(), labels.to(kind)):
        setting = Setting.of("gdw", loss="binary_cross_entropy")
        steps.append(setting.reweighter.backward((x, given), (x, given)))
    torch.testing.assert_close(steps[0].weights, steps[1].weights)
    torch.testing.assert_close(steps[0].loss, steps[1].loss)


def test_every_kind_of_model_is_prepared_for_void_labels() -> None:
    # A prepared method gets the labels of the data set as they are.
    setting = Setting.of("class_balanced", labels=Labels(), ignore_index=255)
    ((x, y),) = batches(1)
    y[0] = 255
    step = setting.reweighter.backward((x, y))
    assert step.weights.isfinite().all()
