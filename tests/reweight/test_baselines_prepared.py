"""The comparison methods that fit models first: what they make of the predictions, and of clean examples."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gdw
from gdw.errors import ConfigError, DataError, MissingDependencyError
from gdw.functional.posterior import apply_temperature, fit_temperature, noise_posterior
from gdw.reweight import METHODS, Plain, Predict, Preparation, StepResult, Subset
from gdw.reweight.preparation import all_but, stratified_folds
from gdw.train import Trainer
from gdw.train.monitoring import Callback
from tests.reweight.setting import EXAMPLES, F64, Labels, Setting, assert_close, batches
from tests.train.small import config, data, network


class Knowing(Labels):
    """Models that know the truth, of a training set where every class k is at times called k + 1."""

    def __init__(self) -> None:
        super().__init__(3)
        self.fitted: list[list[Subset]] = []
        self.epochs_asked: list[int | None] = []

    @property
    def true(self) -> Tensor:
        return torch.arange(EXAMPLES) % 3

    @property
    def wrong(self) -> Tensor:
        return torch.arange(EXAMPLES) % 5 == 0

    @property
    def given(self) -> Tensor:
        return torch.where(self.wrong, (self.true + 1) % 3, self.true)

    def fit(
        self, subsets: Any, *, epochs: int | None = None, seed: int = 0, what: str = ""
    ) -> Predict:
        self.fitted.append(list(subsets))
        self.epochs_asked.append(epochs)

        def know(subset: Subset) -> Tensor:
            return nn.functional.one_hot(subset.indices % 3, 3) * 0.97 + 0.01

        return know


def gradient_of(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


X = batches(1)[0][0]
INDICES = torch.tensor([0, 5, 7, 10, 11, EXAMPLES, EXAMPLES + 1, EXAMPLES + 29])
CLEAN = INDICES >= EXAMPLES


@pytest.mark.parametrize("method", ["forward", "glc"])
def test_the_matrix_is_the_mean_prediction_and_clean_labels_are_trusted(method: str) -> None:
    setting = Setting.of(method, labels=Knowing())
    twin, y = copy.deepcopy(setting.model), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    matrix = torch.full((3, 3), 0.01, dtype=F64) + 0.97 * torch.eye(3, dtype=F64)
    p = twin(X).softmax(1)
    loss = -torch.where(CLEAN, p[range(8), y].log(), (p @ matrix)[range(8), y].log()).mean()
    setting.reweighter.backward((X, y), indices=INDICES.tolist())
    assert_close(setting.gradient(), gradient_of(loss, twin), rtol=1e-7, atol=1e-9)


def test_row_j_of_the_matrix_is_what_is_predicted_for_class_j() -> None:
    labels = Labels(3)
    found = Setting.of("glc", labels=labels).reweighter.state_dict()["found"]["matrix"]
    p = labels.fit([])(Subset("clean", torch.arange(30))).double()
    for j in range(3):
        torch.testing.assert_close(found[j], p[labels.clean == j].mean(0), rtol=1e-6, atol=0)


def test_the_matrix_of_a_class_without_clean_examples_has_no_noise() -> None:
    class Partly(Knowing):
        @property
        def clean(self) -> Tensor:
            return torch.tensor([0, 0, 1])

    found = Setting.of("glc", labels=Partly()).reweighter.state_dict()["found"]["matrix"]
    assert found[2].tolist() == [0, 0, 1]
    assert found.sum(1).tolist() == pytest.approx([1, 1, 1])


def test_pruned_examples_weigh_nothing_and_the_rest_is_averaged() -> None:
    labels = Knowing()
    setting = Setting.of("cleanlab", labels=labels)
    kept = setting.reweighter.state_dict()["found"]["kept"]
    assert (~kept[labels.wrong]).double().mean() > 0.9
    assert kept[~labels.wrong].all()
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    twin = copy.deepcopy(setting.model)
    step = setting.reweighter.backward((X, y), indices=INDICES.tolist())
    alive = torch.tensor([False, False, True, False, True, True, True, True])
    assert torch.equal(step.weights[:, 0] > 0, alive)
    loss = nn.functional.cross_entropy(twin(X), y, reduction="none")[alive].mean()
    assert_close(setting.gradient(), gradient_of(loss, twin), rtol=1e-10, atol=1e-12)


def test_every_fold_is_predicted_by_a_model_of_the_others_and_the_clean_examples() -> None:
    labels = Knowing()
    Setting.of("cleanlab", labels=labels, folds=4)
    assert len(labels.fitted) == 4
    left_out = []
    for given, clean in labels.fitted:
        assert (given.part, clean.part) == ("given", "clean")
        assert len(clean.indices) == len(labels.clean)
        left_out.append(all_but(given.indices, EXAMPLES))
    assert torch.cat(left_out).sort().values.tolist() == list(range(EXAMPLES))


def test_posterior_labels_replace_the_given_ones_and_not_the_clean_ones() -> None:
    labels = Knowing()
    setting = Setting.of("posterior", labels=labels)
    assert [s.part for subsets in labels.fitted for s in subsets] == ["clean"] * 5
    assert sum(len(s.indices) for subsets in labels.fitted for s in subsets) == 4 * 30
    # All folds together see about as many examples as the run: 4 epochs of 997.
    assert labels.epochs_asked == [34] * 5
    q = setting.reweighter.state_dict()["found"]["labels"]
    assert torch.equal(q.argmax(1), labels.true)
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    target = torch.where(
        CLEAN[:, None], nn.functional.one_hot(y, 3), q[INDICES.clamp(max=EXAMPLES - 1)].double()
    )
    twin = copy.deepcopy(setting.model)
    loss = -(target * twin(X).log_softmax(1)).sum(1).mean()
    setting.reweighter.backward((X, y), indices=INDICES.tolist())
    assert_close(setting.gradient(), gradient_of(loss, twin), rtol=1e-10, atol=1e-12)


def test_sure_posterior_labels_that_agree_are_plain_training() -> None:
    class Sure(Knowing):
        wrong = torch.zeros(EXAMPLES, dtype=torch.bool)  # type: ignore[assignment]

    setting, plain = Setting.of("posterior", labels=Sure()), Setting.of("plain")
    y = torch.where(CLEAN, INDICES - EXAMPLES, INDICES) % 3
    for own in (setting, plain):
        own.reweighter.backward((X, y), indices=INDICES.tolist())
    assert_close(setting.gradient(), plain.gradient(), rtol=1e-7, atol=1e-7)


def test_posterior_is_the_noise_model_of_the_calibrated_mean_of_the_folds() -> None:
    class Uneven(Labels):
        clean = torch.tensor([0] * 20 + [1] * 7 + [2] * 3)  # type: ignore[assignment]

    labels = Uneven(3)
    setting = Setting.of("posterior", labels=labels, folds=2, fold_epochs=1)
    found = setting.reweighter.state_dict()["found"]
    true = nn.functional.one_hot(labels.clean, 3)
    models = [labels.fit([], seed=k) for k in range(2)]
    unseen = torch.empty(30, 3)
    for part, model in zip(stratified_folds(labels.clean, 2, seed=0), models, strict=True):
        unseen[part] = model(Subset("clean", part))
    temperature = fit_temperature(unseen, true)
    everything = Subset("given", torch.arange(EXAMPLES))
    mean = sum(apply_temperature(model(everything), temperature) for model in models) / 2
    assert isinstance(mean, Tensor)
    expected = noise_posterior(
        mean, labels.given, clean_prior=torch.tensor([21, 8, 4], dtype=F64) / 33
    )
    torch.testing.assert_close(found["labels"], expected.responsibilities.float())
    torch.testing.assert_close(found["matrix"], expected.transition)


def test_soft_given_labels_are_refused_where_classes_are_needed() -> None:
    class Soft(Knowing):
        @property
        def given(self) -> Tensor:
            return nn.functional.one_hot(self.true, 3).float()

    for method in ("cleanlab", "posterior"):
        with pytest.raises(DataError, match=r"expected targets of shape \(N,\)"):
            Setting.of(method, labels=Soft())
    for method in ("glc", "class_balanced", "logit_adjustment", "elr"):
        assert Setting.of(method, labels=Soft()).step(batches(1)[0]).weights.isfinite().all()


def test_folds_are_stratified_and_whole() -> None:
    labels = torch.tensor([0] * 10 + [1] * 5 + [2] * 3)
    parts = stratified_folds(labels, 5, seed=1)
    assert torch.cat(parts).sort().values.tolist() == list(range(18))
    for part in parts:
        assert torch.bincount(labels[part], minlength=2)[:2].tolist() == [2, 1]
    assert not torch.equal(parts[0], stratified_folds(labels, 5, seed=2)[0])
    assert [len(p) for p in stratified_folds(labels[:3], 5, seed=0)] == [1, 1, 1]
    assert all_but(torch.tensor([0, 3]), 5).tolist() == [1, 2, 4]


def test_without_cleanlab_it_says_what_to_install_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    settings = config(method="cleanlab")
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[cleanlab\]'"):
        Trainer(settings).fit(network(), data(), data(20, seed=1), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Pairs(torch.utils.data.Dataset[Any]):
    """A data set of the user's own."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return self.x[i], int(self.y[i])


class Seen(Callback):
    def __init__(self) -> None:
        self.indices: list[int] = []

    def on_batch(self, epoch: int, indices: Any, result: StepResult) -> None:
        self.indices += list(indices)


@pytest.mark.parametrize("as_pairs", [False, True])
def test_clean_examples_are_joined_behind_the_given_ones(
    monkeypatch: pytest.MonkeyPatch, as_pairs: bool
) -> None:
    looked: list[tuple[int, int]] = []

    class Joining(Plain):
        needs_clean = joins_clean = True

        def prepare(self, preparation: Preparation) -> None:
            assert preparation.clean is not None
            looked.append((len(preparation.given), len(preparation.clean)))

    monkeypatch.setitem(METHODS, "joining", Joining)
    given, clean = data(30), data(12, seed=1)
    both = torch.cat([given[0], clean[0]]), torch.cat([given[1], clean[1]])
    wrapped = [Pairs(*part) if as_pairs else part for part in (given, clean)]
    seen, joined, together = Seen(), network(), network()
    settings = config(method="joining", batch_size=6, epochs=2)
    Trainer(settings).fit(joined, *wrapped, callbacks=[seen])
    assert looked == [(30, 12)]
    assert sorted(seen.indices) == sorted([*range(42)] * 2)
    Trainer(config(method="plain", batch_size=6, epochs=2)).fit(together, both)
    for a, b in zip(joined.state_dict().values(), together.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_soft_and_class_targets_join_and_unlike_sets_do_not() -> None:
    (x, y), clean = data(30), data(12, seed=1)
    soft = nn.functional.one_hot(y, 3).float() * 0.8 + 0.2 / 3
    result = Trainer(config(method="plain_clean", batch_size=6)).fit(network(), (x, soft), clean)
    assert result.epochs_done == 4
    with pytest.raises(DataError, match="trained on together"):
        Trainer(config(method="plain_clean")).fit(network(), (x, y), Pairs(*clean))
    with pytest.raises(DataError, match="cannot join examples of shape"):
        Trainer(config(method="plain_clean")).fit(network(), (x, y), (clean[0].double(), clean[1]))


def test_joining_needs_clean_examples() -> None:
    for method in ("plain_clean", "glc", "cleanlab", "posterior", "forward", "clean_only"):
        with pytest.raises(ConfigError, match="needs some examples whose labels you have verified"):
            gdw.Trainer(config(method=method)).fit(network(), data())
