"""Captured steps: what is captured, what is not and why, and that a replay equals the step.

`Again` stands in for a CUDA graph: its replay computes the step once more from the same memory.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from gdw.reweight import GDW, Reweighter, build, captured
from gdw.reweight.captured import NotCapturedWarning, capture_steps
from gdw.reweight.step_result import StepResult
from tests.reweight.setting import batch_norm_network, batches
from tests.reweight.test_no_host import STEPS, make

EAGER = 2


class Again:
    """Repeats a function in place of the operations that it called."""

    made = replays = 0

    def aside(self, run: Callable[[], Any]) -> Any:
        return run()

    def capture(self, run: Callable[[], Any]) -> Any:
        type(self).made += 1
        self._run, self._memory = run, run()
        return self._memory

    def replay(self) -> None:
        type(self).replays += 1
        again = self._run()
        for memory, value in zip(tensors(self._memory), tensors(again), strict=True):
            if memory is not value:
                memory.set_(value.clone())


def tensors(outcome: tuple[StepResult, Any]) -> list[Tensor]:
    result, gradients = outcome
    return [
        t for t in tree_leaves((list(vars(result).values()), gradients)) if isinstance(t, Tensor)
    ]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "EAGER_STEPS", EAGER)
    monkeypatch.setattr(captured, "_told", set())
    Again.made = Again.replays = 0


def trained(
    reweighter: Reweighter, steps: int, *, accumulate: int = 1, short: int | None = None
) -> list[Tensor]:
    """Everything that `steps` steps of an SGD whose rate changes compute and leave behind."""
    optimizer = reweighter._problem.optimizer
    found: list[Tensor] = []
    for k, (batch, meta) in enumerate(zip(batches(steps), batches(steps, seed=9), strict=True)):
        if k == short:
            batch = (batch[0][:5], batch[1][:5])
        result = reweighter.backward(batch, meta, indices=range(len(batch[1])))
        found += [t.clone() for t in vars(result).values() if isinstance(t, Tensor)]
        if (k + 1) % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
    learned = getattr(reweighter, "_learned", None)
    return [
        *found,
        *reweighter.model.state_dict().values(),
        *(learned.tensors() if learned else []),
    ]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_captured_steps_equal_the_others_to_the_bit(step: str, accumulate: int) -> None:
    method, options = STEPS[step]
    found = []
    for capturing in (False, True):
        torch.manual_seed(0)
        reweighter = make(method, batch_norm_network(), options)
        reweighter.count_examples_as(torch.linspace(0.5, 1.5, 40))
        if capturing:
            capture_steps(reweighter, make_graph=Again)
        found.append(trained(reweighter, 9, accumulate=accumulate, short=6))
    assert Again.made == (2 if step == "every other" else 1)
    assert Again.replays > Again.made
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def gdw(model: nn.Module | None = None, **options: Any) -> Reweighter:
    torch.manual_seed(0)
    model = batch_norm_network() if model is None else model
    reweighter = build("gdw", model, torch.optim.SGD(model.parameters(), lr=0.1), **options)
    capture_steps(reweighter, make_graph=Again)
    return reweighter


class Counts(nn.Sequential):
    """Counts its own calls in Python, which a graph would not."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = super().forward(x)
        return out


class Mine(GDW):
    """A method of the user's own."""


def test_dropout_is_not_captured_and_a_line_says_why() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(), nn.Linear(6, 3)).double()
    with pytest.warns(NotCapturedWarning, match=r"the model draws random numbers \(dropout\)"):
        trained(gdw(model), 5)
    trained(gdw(model), 3)  # it is said once
    assert Again.made == 0


def test_a_model_that_counts_in_python_is_not_captured() -> None:
    model = Counts(nn.Linear(5, 3)).double()
    with pytest.warns(NotCapturedWarning, match="the model changes attributes of its modules"):
        trained(gdw(model), 12)
    assert Again.made == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hypergradient": "reference"}, "hypergradient='reference' computes in a way"),
        ({"hypergradient": "head", "meta_features_every": 2}, "meta_features_every changes"),
    ],
)
def test_options_that_cannot_be_captured(options: dict[str, Any], reason: str) -> None:
    with pytest.warns(NotCapturedWarning, match=reason):
        trained(gdw(**options), 4)
    assert Again.made == 0


def test_a_class_of_the_users_own_is_not_captured() -> None:
    model = batch_norm_network()
    reweighter = Mine(model, torch.optim.SGD(model.parameters(), lr=0.1))
    capture_steps(reweighter, make_graph=Again)
    with pytest.warns(NotCapturedWarning, match="Mine may decide in Python what a step does"):
        trained(reweighter, 4)


def test_parameters_of_another_optimizer_keep_their_gradients() -> None:
    model = batch_norm_network()
    assert isinstance(model, nn.Sequential)
    reweighter = build("plain", model, torch.optim.SGD(model[0].parameters(), lr=0.1))
    capture_steps(reweighter, make_graph=Again)
    with pytest.warns(NotCapturedWarning, match="that the optimizer does not train"):
        reweighter.backward(batches(1)[0])
    assert all(p.grad is not None for p in model.parameters())


def test_a_step_that_fails_to_be_captured_is_taken_once() -> None:
    class Waits(Again):
        def capture(self, run: Callable[[], Any]) -> Any:
            run()  # moves statistics and the weighting network
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    assert_same_as_without(
        Waits, r"cannot hold \(operation not permitted when stream is capturing\)"
    )


def test_a_model_that_waits_for_the_gpu_is_found_before_the_capture() -> None:
    class Checked(Again):
        def aside(self, run: Callable[[], Any]) -> Any:
            run()
            raise RuntimeError("called a synchronizing CUDA operation")

    assert_same_as_without(Checked, "the model waits for the GPU")


def test_an_error_of_the_model_itself_is_raised() -> None:
    class Broken(Again):
        def aside(self, run: Callable[[], Any]) -> Any:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = batch_norm_network()
    reweighter = build("plain", model, torch.optim.SGD(model.parameters(), lr=0.1))
    capture_steps(reweighter, make_graph=Broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        trained(reweighter, 4)


def test_shapes_that_change_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "_MOST_FORMS", 4)
    model, said = batch_norm_network(), list[str]()
    reweighter = build("plain", model, torch.optim.SGD(model.parameters(), lr=0.1))
    capture_steps(reweighter, make_graph=Again, tell=said.append)
    for size in range(2, 9):
        reweighter.backward(batches(1, n=size)[0])
    assert len(said) == 1
    assert said[0].startswith(
        "steps are not captured as CUDA graphs: batches have ever new shapes."
    )


def test_a_graph_that_gives_other_figures_is_not_used() -> None:
    class Wrong(Again):
        def replay(self) -> None:
            super().replay()
            for tensor in tensors(self._memory)[:3]:
                tensor.data.mul_(1.5)

    assert_same_as_without(Wrong, "a step by a graph gave other figures than without one")


def test_too_little_memory_for_a_graph() -> None:
    class Large(Again):
        def aside(self, run: Callable[[], Any]) -> Any:
            run()
            raise torch.OutOfMemoryError

    assert_same_as_without(Large, "the memory of the GPU is too small for a graph")


def assert_same_as_without(graph: type[Again], reason: str) -> None:
    found = []
    for made in (None, graph):
        torch.manual_seed(0)
        model = batch_norm_network()
        reweighter = GDW(model, torch.optim.SGD(model.parameters(), lr=0.1))
        if made is None:
            found.append(trained(reweighter, 6))
            continue
        capture_steps(reweighter, make_graph=made)
        with pytest.warns(NotCapturedWarning, match=reason):
            found.append(trained(reweighter, 6))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_change_of_the_model_is_captured_anew() -> None:
    reweighter = gdw()
    trained(reweighter, 5)
    assert Again.made == 1
    reweighter.model.eval()
    trained(reweighter, 5)
    assert Again.made == 2
    next(reweighter.model.parameters()).requires_grad_(False)
    trained(reweighter, 5)
    assert Again.made == 3


def test_a_graph_does_not_keep_its_reweighter_alive() -> None:
    gc.disable()
    try:
        reweighter = gdw()
        trained(reweighter, 5)
        gone = weakref.ref(reweighter._step.__self__)  # type: ignore[attr-defined]
        del reweighter
        assert gone() is None
    finally:
        gc.enable()


def test_on_a_cpu_nothing_is_captured() -> None:
    model = batch_norm_network()
    reweighter = GDW(model, torch.optim.SGD(model.parameters(), lr=0.1))
    capture_steps(reweighter)
    assert "_step" not in vars(reweighter)
