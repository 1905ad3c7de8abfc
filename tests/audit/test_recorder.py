"""What the recorder keeps, against sums made by hand; sparse against dense; resumed against straight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gdw.audit import Evidence, Recorder
from gdw.audit.probability_sums import DenseSums, SparseSums, probability_sums
from gdw.audit.recorder import VisitSums
from gdw.errors import ConfigError
from gdw.reweight import METHODS, StepResult
from gdw.train import Callback, Trainer
from gdw.train.processes import Processes
from gdw.train.resuming import StoppedTrainingWarning
from tests.train.small import CLASSES, At, config, ctrl_c, data, network


class Diary(Callback):
    """Everything, in the simplest way."""

    def __init__(self) -> None:
        self.pages: list[tuple[int, list[int], Tensor, Tensor]] = []

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        p = result.logits.double().softmax(1)
        self.pages.append((epoch, list(indices), p, result.weights.double()))


def fit(*callbacks: Callback, **options: Any) -> None:
    inside = {k: options.pop(k) for k in ("output", "resume", "stop_after") if k in options}
    Trainer(config(**options)).fit(
        network(), data(), data(20, seed=1), callbacks=list(callbacks), **inside
    )


def assert_same(one: Evidence, other: Evidence) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


def test_batches_that_are_copied_together_give_the_same_sums() -> None:
    """As on a GPU: the memory of the weights may be used again by the next step."""
    generator = torch.Generator().manual_seed(0)
    direct, together = Recorder(30), Recorder(30)
    batches = [torch.randperm(40, generator=generator)[:7] for _ in range(5)]
    labels = torch.arange(30) % 3
    weights = torch.zeros(7, 3)
    for recorder in (direct, together):
        recorder._run, recorder._labels = SimpleNamespace(epochs=1), labels  # type: ignore[assignment]
    for rows in batches:
        logits = torch.randn(7, 3, generator=generator)
        weights.copy_(logits.exp())
        direct.on_batch(1, rows.tolist(), result_of(logits, weights))
        p, own = logits.softmax(1), weights.clone()
        together._waiting.append((rows, p, own))
    together._add_waiting()
    assert not together._waiting
    for name in VisitSums.NAMES:
        assert torch.equal(getattr(direct._sums, name), getattr(together._sums, name)), name


def result_of(logits: Tensor, weights: Tensor) -> StepResult:
    return StepResult(logits.mean(), None, logits, None, None, weights)


def test_means_over_the_second_half_of_the_epochs() -> None:
    recorder, diary = Recorder(60), Diary()
    fit(recorder, diary, method="gdw", epochs=5)
    found = recorder.evidence()
    p, w = torch.zeros(60, CLASSES).double(), torch.zeros(60, CLASSES).double()
    top, visits = torch.zeros(60).double(), torch.zeros(60)
    labels = data()[1]
    for epoch, indices, probabilities, weights in diary.pages:
        if epoch in (3, 4, 5):
            p[indices] += probabilities / 3
            w[indices] += weights / 3
            visits[indices] += 1
            for i, row, weight in zip(indices, probabilities, weights, strict=True):
                others = [k for k in range(CLASSES) if k != labels[i]]
                top[i] += weight[max(others, key=lambda k, row=row: row[k])] / 3
    np.testing.assert_array_equal(found.visits, visits.numpy())
    assert set(found.visits) == {3}
    np.testing.assert_allclose(found.p_given, p[range(60), labels], rtol=1e-5)
    ordered = p.sort(1, descending=True)
    np.testing.assert_array_equal(found.top_classes, ordered.indices)
    np.testing.assert_allclose(found.top_probabilities, ordered.values, rtol=1e-5)
    np.testing.assert_allclose(found.weight_given, w[range(60), labels], rtol=1e-5)
    np.testing.assert_allclose(found.weight_top, top, rtol=1e-5)
    for k in range(CLASSES):
        np.testing.assert_allclose(found.weights_by_label[k], w[labels == k].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(found.count_by_label, 3 * labels.bincount())


def test_clean_examples_behind_the_training_set_are_passed_over() -> None:
    recorder, all_ = Recorder(45), Recorder(60)
    fit(recorder, all_)
    few, whole = recorder.evidence(), all_.evidence()
    assert len(few) == 45
    for name in ("given", "p_given", "top_classes", "top_probabilities", "visits"):
        np.testing.assert_array_equal(getattr(few, name), getattr(whole, name)[:45])
    assert few.count_by_label.sum() == 45 * 2


@pytest.mark.parametrize("method", ["posterior", "clean_only", "fine_tune", "plain_clean"])
def test_methods_with_other_examples(method: str) -> None:
    assert method in METHODS
    recorder = Recorder(60)
    fit(recorder, method=method, epochs=2)
    found = recorder.evidence()
    np.testing.assert_allclose(found.top_probabilities.sum(1), 1, atol=1e-5)
    assert (found.posterior_given is not None) == (method == "posterior")
    if method == "clean_only":
        # Never trained on: what the final model says of them.
        assert not found.visits.any()
        assert found.top_probabilities.min() >= 0
        assert not found.weight_given.any()


def test_unseen_examples_get_the_final_models_prediction() -> None:
    recorder, model = Recorder(60), network()
    trainer = Trainer(config(method="clean_only", epochs=1))
    trainer.fit(model, data(), data(20, seed=1), callbacks=[recorder])
    inputs, labels = data()
    expected = model.eval()(inputs).detach().softmax(1)[range(60), labels]
    np.testing.assert_allclose(recorder.evidence().p_given, expected, rtol=1e-5)
    assert_same(recorder.evidence(), recorder.evidence())


@pytest.mark.parametrize("dense_bytes", [1 << 20, 0])
def test_a_resumed_run_has_the_evidence_of_a_straight_one(tmp_path: Path, dense_bytes: int) -> None:
    straight, stopped, resumed = (Recorder(60, dense_bytes=dense_bytes) for _ in range(3))
    fit(straight)
    with pytest.warns(StoppedTrainingWarning):
        fit(stopped, At(13, ctrl_c), output=tmp_path / "run")
    fit(resumed, At(99, None), output=tmp_path / "run", resume=True)
    assert_same(resumed.evidence(), straight.evidence())
    again = Recorder(60, dense_bytes=dense_bytes)
    fit(again, output=tmp_path / "run", resume=True)
    assert_same(again.evidence(), straight.evidence())


def test_a_checkpoint_without_this_callback_starts_it_empty(tmp_path: Path) -> None:
    fit(output=tmp_path / "run", stop_after=3)
    recorder = Recorder(60)
    fit(recorder, output=tmp_path / "run", resume=True)
    assert set(recorder.evidence().visits) == {1}


def test_without_training_it_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"callbacks=\[recorder\]"):
        Recorder(3).evidence()


def _visits(n: int, c: int, times: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    base = 3 * torch.randn(n, c, generator=generator)
    return [
        (rows, (base[rows] + 0.3 * torch.randn(len(rows), c, generator=generator)).softmax(1))
        for _ in range(times)
        for rows in torch.randperm(n, generator=generator).split(7)
    ]


def test_sparse_sums_agree_with_dense_ones() -> None:
    n, c = 40, 50
    dense = probability_sums(n, c, dense_bytes=n * c * 4)
    sparse = probability_sums(n, c, dense_bytes=n * c * 4 - 1)
    assert isinstance(dense, DenseSums)
    assert isinstance(sparse, SparseSums)
    for rows, p in _visits(n, c, 6):
        dense.add(rows, p)
        sparse.add(rows, p)
    visits = torch.full((n,), 6.0)
    classes, values = dense.top(visits, 8)
    others, found = sparse.top(visits, 8)
    assert (classes[:, :5] == others[:, :5]).float().mean() > 0.99
    # A class that enters late lacks what it had before, never more than the smallest kept.
    torch.testing.assert_close(found, values, rtol=0, atol=2e-3)
    assert (found <= values + 1e-6).all()
    narrow = probability_sums(n, 10, dense_bytes=0)
    whole = probability_sums(n, 10, dense_bytes=1 << 20)
    for rows, p in _visits(n, 10, 3):
        narrow.add(rows, p)
        whole.add(rows, p)
    # Where all classes have room nothing is lost.
    for one, other in zip(narrow.top(visits, 8), whole.top(visits, 8), strict=True):
        torch.testing.assert_close(one, other)


class TwoProcesses(Processes):
    """The other process has the sums that it is given."""

    size = 2  # type: ignore[assignment]

    def __init__(self, other: Any) -> None:
        self._other = other

    def gather(self, value: Any) -> list[Any]:
        return [value, self._other]

    def sum(self, values: Tensor) -> Tensor:
        return values.add_(self._other)


@pytest.mark.parametrize("dense", [True, False])
def test_the_sums_of_two_processes(dense: bool) -> None:
    n, c = 20, 12
    whole, first, second = (probability_sums(n, c, dense_bytes=(1 << 20) * dense) for _ in range(3))
    for number, (rows, p) in enumerate(_visits(n, c, 4)):
        whole.add(rows, p)
        (first, second)[number % 2].add(rows, p)
    before = {k: v.clone() for k, v in first.state().items()}
    state = second.state()
    other = state["sums"] if dense else (state["classes"], state["sums"])
    merged = first.merged(TwoProcesses(other))
    visits = torch.full((n,), 4.0)
    for one, expected in zip(merged.top(visits, 8), whole.top(visits, 8), strict=True):
        torch.testing.assert_close(one, expected)
    for name, value in first.state().items():
        assert torch.equal(value, before[name])


def test_given_labels_are_compared_under_their_own_class_frequencies() -> None:
    recorder, diary = Recorder(60), Diary()
    on_batch, offset = recorder.on_batch, torch.tensor([1.0, 0.0, -1.0])

    def moved(epoch: int, indices: Sequence[int], result: StepResult) -> None:
        on_batch(epoch, indices, replace(result, label_logits=result.logits + offset))

    recorder.on_batch = moved  # type: ignore[method-assign]
    fit(recorder, diary, method="plain", epochs=1)
    expected = torch.zeros(60).double()
    for _, indices, p, _ in diary.pages:
        tilted = p * offset.double().exp()
        expected[indices] = (tilted / tilted.sum(1, keepdim=True))[
            torch.arange(len(indices)), data()[1][indices]
        ]
    np.testing.assert_allclose(recorder.evidence().p_given, expected.numpy(), atol=1e-6)
