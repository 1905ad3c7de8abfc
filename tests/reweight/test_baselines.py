"""The comparison methods: each against its formula, and where it is plain training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.reweight.baselines.imbalance import effective_number_weights
from gdw.reweight.baselines.noise_losses import LabelSmoothing
from tests.reweight.setting import F64, Labels, Setting, assert_close, batches, indices_of

COUNTS = [600.0, 30.0, 90.0]
MATRIX = [[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]]
BALANCED = {"class_counts": [7, 7, 7]}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("plain_clean", {}),
        ("clean_only", {}),
        ("fine_tune", {}),
        ("class_balanced", BALANCED),
        ("class_balanced", {"beta": 0.0, "class_counts": COUNTS}),
        ("inverse_frequency", BALANCED),
        ("focal", {"gamma": 0.0}),
        ("ldam", {"max_m": 0.0, "class_counts": COUNTS}),
        ("logit_adjustment", BALANCED),
        ("logit_adjustment", {"tau": 0.0, "class_counts": COUNTS}),
        ("label_smoothing", {"smoothing": 0.0}),
        ("soft_bootstrap", {"beta": 1.0}),
        ("hard_bootstrap", {"beta": 1.0}),
        ("forward", {"matrix": torch.eye(3)}),
        ("glc", {"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}),
        ("co_teaching", {"forget_rate": 0.0}),
        ("elr", {"strength": 0.0}),
        ("gce", {"q": 1e-13}),
        ("sce", {"alpha": 1.0, "beta": 0.0}),
    ],
)
def test_where_a_method_is_plain_training(method: str, options: dict[str, Any]) -> None:
    train = batches(5)
    plain, other = Setting.of("plain"), Setting.of(method, **options)
    plain.train(train, train)
    other.train(train, train)
    assert_close(other.parameters(), plain.parameters(), rtol=1e-11, atol=1e-13)
    started = Setting.of("plain").parameters()
    assert max(float((a - b).abs().max()) for a, b in zip(started, plain.parameters())) > 0.1  # noqa: B905


def label_log_p(z: Tensor, y: Tensor) -> Tensor:
    return torch.stack([z[i].log_softmax(0)[t] for i, t in enumerate(y)])


def focal(z: Tensor, y: Tensor) -> Tensor:
    log_p = label_log_p(z, y)
    return -((1 - log_p.exp()) ** 1.5) * log_p


def ldam(z: Tensor, y: Tensor) -> Tensor:
    margins = torch.tensor([0.7 * (30 / n) ** 0.25 for n in COUNTS], dtype=F64)
    lowered = z.clone()
    for i, t in enumerate(y):
        lowered[i, t] = lowered[i, t] - margins[t]
    return -label_log_p(3 * lowered, y)


def deferred_ldam(z: Tensor, y: Tensor) -> Tensor:
    raw = [(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS]
    mean = sum(n * w for n, w in zip(COUNTS, raw, strict=True)) / sum(COUNTS)
    return ldam(z, y) * torch.tensor([raw[t] / mean for t in y], dtype=F64)


def logit_adjustment(z: Tensor, y: Tensor) -> Tensor:
    prior = torch.tensor([n / 720 for n in COUNTS], dtype=F64)
    p = z.exp() * prior**0.5
    return -torch.stack([(p[i, t] / p[i].sum()).log() for i, t in enumerate(y)])


def soft_bootstrap(z: Tensor, y: Tensor) -> Tensor:
    p = z.softmax(1)
    return -0.9 * label_log_p(z, y) - 0.1 * (p * p.log()).sum(1)


def hard_bootstrap(z: Tensor, y: Tensor) -> Tensor:
    return -0.6 * label_log_p(z, y) - 0.4 * z.log_softmax(1).max(1).values


def smoothing(z: Tensor, y: Tensor) -> Tensor:
    return -0.8 * label_log_p(z, y) - 0.2 * z.log_softmax(1).mean(1)


def forward(z: Tensor, y: Tensor) -> Tensor:
    noisy = z.softmax(1) @ torch.tensor(MATRIX, dtype=F64)
    return -torch.stack([noisy[i, t].log() for i, t in enumerate(y)])


def class_balanced(z: Tensor, y: Tensor) -> Tensor:
    raw = [(1 - 0.99) / (1 - 0.99**n) for n in COUNTS]
    mean = sum(n * w for n, w in zip(COUNTS, raw, strict=True)) / sum(COUNTS)
    return -label_log_p(z, y) * torch.tensor([raw[t] / mean for t in y], dtype=F64)


def inverse_frequency(z: Tensor, y: Tensor) -> Tensor:
    return -label_log_p(z, y) * torch.tensor([720 / 3 / COUNTS[t] for t in y], dtype=F64)


def gce(z: Tensor, y: Tensor) -> Tensor:
    return (1 - label_log_p(z, y).exp() ** 0.6) / 0.6


def sce(z: Tensor, y: Tensor) -> Tensor:
    log_zero, p = -5.0, z.softmax(1)
    log_y = torch.tensor([[0.0 if k == t else log_zero for k in range(3)] for t in y], dtype=F64)
    return -0.5 * label_log_p(z, y) - 2.0 * (p * log_y).sum(1)


FORMULAS: list[tuple[str, dict[str, Any], Callable[[Tensor, Tensor], Tensor], tuple[int, int]]] = [
    ("focal", {"gamma": 1.5}, focal, (1, 4)),
    ("ldam", {"max_m": 0.7, "scale": 3.0, "class_counts": COUNTS}, ldam, (8, 10)),
    ("ldam", {"max_m": 0.7, "scale": 3.0, "class_counts": COUNTS}, deferred_ldam, (9, 10)),
    ("logit_adjustment", {"tau": 0.5, "class_counts": COUNTS}, logit_adjustment, (1, 4)),
    ("soft_bootstrap", {"beta": 0.9}, soft_bootstrap, (1, 4)),
    ("hard_bootstrap", {"beta": 0.6}, hard_bootstrap, (1, 4)),
    ("label_smoothing", {"smoothing": 0.2}, smoothing, (1, 4)),
    ("gce", {"q": 0.6}, gce, (1, 4)),
    ("sce", {"alpha": 0.5, "beta": 2.0, "log_zero": -5.0}, sce, (1, 4)),
    ("forward", {"matrix": MATRIX}, forward, (1, 4)),
    ("class_balanced", {"beta": 0.99, "class_counts": COUNTS}, class_balanced, (1, 4)),
    ("inverse_frequency", {"class_counts": COUNTS}, inverse_frequency, (1, 4)),
]


@pytest.mark.parametrize(("method", "options", "formula", "epoch"), FORMULAS)
def test_the_gradient_is_that_of_the_formula(
    method: str, options: dict[str, Any], formula: Any, epoch: tuple[int, int]
) -> None:
    ((x, y),) = batches(1, n=40)
    setting = Setting.of(method, **options)
    setting.reweighter.begin_epoch(*epoch)
    twin = copy.deepcopy(setting.model)
    setting.step((x, y))
    expected = torch.autograd.grad(formula(twin(x), y).mean(), list(twin.parameters()))
    assert_close(setting.gradient(), list(expected), rtol=1e-10, atol=1e-12)
    plain = Setting.of("plain")
    plain.step((x, y))
    assert (setting.gradient()[0] - plain.gradient()[0]).abs().max() > 1e-3
    soft = Setting.of(method, **options)
    soft.reweighter.begin_epoch(*epoch)
    soft.step((x, nn.functional.one_hot(y, 3).double()))
    assert_close(soft.gradient(), setting.gradient(), rtol=1e-12, atol=1e-14)


def test_gce_of_exponent_one_is_half_the_mean_absolute_error() -> None:
    ((x, y),) = batches(1, n=40)
    setting = Setting.of("gce", q=1.0)
    twin = copy.deepcopy(setting.model)
    setting.step((x, y))
    error = (twin(x).softmax(1) - nn.functional.one_hot(y, 3)).abs().sum(1) / 2
    expected = torch.autograd.grad(error.mean(), list(twin.parameters()))
    assert_close(setting.gradient(), list(expected), rtol=1e-10, atol=1e-12)


def test_elr_holds_each_example_to_its_own_past() -> None:
    ((x, y),) = batches(1)
    setting = Setting.of("elr", strength=2.0, beta=0.6)
    twin, memory = copy.deepcopy(setting.model), torch.zeros(8, 3, dtype=F64)
    order = torch.tensor([5, 3, 0, 1, 7, 2, 6, 4])
    for turn in (torch.arange(8), order):
        p = twin(x[turn]).softmax(1)
        memory[turn] = 0.6 * memory[turn] + 0.4 * p.detach()
        loss = -label_log_p(p.log(), y[turn]) + 2.0 * (1 - (p * memory[turn]).sum(1)).log()
        expected = torch.autograd.grad(loss.mean(), list(twin.parameters()))
        setting.optimizer.zero_grad()
        setting.reweighter.backward((x[turn], y[turn]), indices=turn.tolist())
        assert_close(setting.gradient(), list(expected), rtol=1e-10, atol=1e-12)


def test_what_is_ignored_teaches_nothing() -> None:
    x, y = batches(1, n=6)[0]
    for method, options, _, epoch in [*FORMULAS, ("elr", {}, None, (1, 4))]:
        z = nn.Linear(5, 3).double()
        setting = Setting.of(method, z, **options)
        setting.reweighter.begin_epoch(*epoch)
        setting.step((x, torch.where(torch.arange(6) < 4, y, -100)))
        four = Setting.of(method, copy.deepcopy(z), **options)
        four.reweighter.begin_epoch(*epoch)
        four.step((x[:4], y[:4]))
        assert_close(setting.gradient(), four.gradient(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["focal", "elr", "forward", "soft_bootstrap", "gce", "sce"])
def test_sure_predictions_give_finite_gradients(method: str) -> None:
    model = nn.Linear(3, 3, bias=False).double()
    nn.init.eye_(model.weight)
    setting = Setting.of(method, model, **({"gamma": 0.5} if method == "focal" else {}))
    x = 1e4 * torch.eye(3, dtype=F64)
    for y in (torch.arange(3), torch.tensor([1, 2, 0])):
        setting.reweighter.backward((x, y), indices=range(3))
        assert all(g.isfinite().all() for g in setting.gradient())


def test_weights_have_mean_one_over_the_training_set_and_count_what_is_given() -> None:
    counts = torch.tensor(COUNTS, dtype=F64)
    for beta in (0.0, 0.9, 0.9999, 1 - 1e-9):
        weights = effective_number_weights(counts, beta)
        torch.testing.assert_close(
            (weights * counts).sum() / counts.sum(), torch.ones((), dtype=F64)
        )
    inverse = 720 / 3 / counts
    torch.testing.assert_close(
        effective_number_weights(counts, 1 - 1e-9), inverse, rtol=1e-5, atol=0
    )
    setting = Setting.of("inverse_frequency")
    found = setting.reweighter.state_dict()["found"]["class_counts"]
    assert found.tolist() == torch.bincount(Labels().given).tolist()


def test_fine_tuning_ends_and_clean_only_stays_on_clean_examples() -> None:
    def parts(method: str, epochs: int, **options: Any) -> str:
        reweighter = Setting.of(method, **options).reweighter
        return "".join(reweighter.trains_on(e + 1, epochs)[0] for e in range(epochs))

    assert parts("fine_tune", 10) == "gggggggccc"
    assert parts("fine_tune", 1) == "c"
    assert parts("fine_tune", 3, share=0.0) == "ggg"
    assert parts("fine_tune", 4, share=1.0) == parts("clean_only", 4) == "cccc"


def test_label_smoothing_of_the_trainer_goes_into_every_loss() -> None:
    ((x, y),) = batches(1)
    smoothed = 0.7 * nn.functional.one_hot(y, 3).double() + 0.1
    for method, options, _, _ in FORMULAS[:6]:
        one = Setting.of(method, label_smoothing=0.3, **options)
        two = Setting.of(method, **options)
        one.step((x, y))
        two.step((x, smoothed))
        assert_close(one.gradient(), two.gradient(), rtol=1e-12, atol=1e-14)
    own = Setting.of("label_smoothing", smoothing=0.3)
    assert isinstance(own.reweighter, LabelSmoothing)
    plain = Setting.of("plain", label_smoothing=0.3)
    own.step((x, y))
    plain.step((x, y))
    assert_close(own.gradient(), plain.gradient(), rtol=1e-12, atol=1e-14)


def test_gdw_unconstrained_is_gdw_without_the_constraint() -> None:
    train, meta = batches(3), batches(3, seed=1)
    free, named, bound = (
        Setting.of("gdw", zero_mean=False),
        Setting.of("gdw_unconstrained"),
        Setting.of("gdw"),
    )
    for setting in (free, named, bound):
        setting.train(train, meta)
    assert_close(named.parameters(), free.parameters())
    assert not torch.equal(named.parameters()[0], bound.parameters()[0])


def test_indices_of_the_tests_tell_the_examples_apart() -> None:
    assert len(set(indices_of(batches(1)[0][0]).tolist())) == 8
