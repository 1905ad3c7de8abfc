"""The engines against the textbook, against numbers, and against each other, from the same state."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError, DataError, ModelError
from gdw.functional.losses import resolve_loss
from gdw.hypergradient import ENGINES, HEAD, Problem
from gdw.hypergradient.precision import Autocast, relative_step
from gdw.models.resnet_cifar import CifarResNet
from tests import textbook
from tests.hypergradient.cases import CASES, F64, Case, make

WHOLE = [engine for engine in ENGINES if engine not in ("reference", HEAD)]
"""The engines that must agree with the reference; test_head.py tests the one that is restricted."""

APPROXIMATE = {"finite_difference": 1e-5, "auto": 1e-5}


def hypergradient(case: Case, engine: str, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """G `(N, C, ...)` and the meta loss, from the same random state whatever the engine."""
    torch.manual_seed(7)
    run = case.problem.training_pass(case.batch)
    values, meta_loss, _ = ENGINES[engine](case.problem, run, weights, case.meta)
    return values, meta_loss


def weights_for(case: Case) -> Tensor:
    shape = (len(case.batch[1]), case.classes, *case.batch[1].shape[1:])
    return 2 * torch.rand(shape, dtype=F64, generator=torch.Generator().manual_seed(3))


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def textbook_case(lr: float = 0.3) -> tuple[Case, nn.Module]:
    case = make("batch_norm")
    case.problem.optimizer.param_groups[0]["lr"] = lr  # the textbook has one learning rate
    return case, copy.deepcopy(case.model)


@pytest.mark.parametrize("engine", ["reference", "forward"])
def test_equals_the_textbook_with_whole_jacobians(engine: str) -> None:
    case, twin = textbook_case()
    weights = weights_for(case)
    g, loss = hypergradient(case, engine, weights)
    expected, expected_loss = textbook.hypergradient(twin, case.batch, case.meta, weights, lr=0.3)
    assert relative(g, expected) < 1e-11
    torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=0)


def test_the_textbook_equals_numerical_differences_of_the_meta_loss() -> None:
    case, twin = textbook_case()
    weights, h = weights_for(case), 1e-5
    expected, _ = textbook.hypergradient(twin, case.batch, case.meta, weights, lr=0.3)
    jacobian = textbook.jacobian_of_logits(twin, case.batch[0])
    d1 = textbook.class_gradient(copy.deepcopy(twin)(case.batch[0]).detach(), case.batch[1])

    def loss_at(w: Tensor) -> Tensor:
        point = textbook.virtual_parameters(twin, jacobian, d1, w, 0.3)
        return textbook.meta_loss(twin, point, *case.meta)

    for i, j in [(0, 0), (1, 2), (3, 1), (5, 2)]:
        e = torch.zeros_like(weights)
        e[i, j] = h
        numeric = (loss_at(weights + e) - loss_at(weights - e)) / (2 * h)
        torch.testing.assert_close(expected[i, j], numeric.detach(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("engine", WHOLE)
def test_engines_agree_on_every_kind_of_model(engine: str, name: str, zero: bool) -> None:
    weights = None if zero else weights_for(make(name))
    expected, expected_loss = hypergradient(make(name), "reference", weights)
    g, loss = hypergradient(make(name), engine, weights)
    assert expected.abs().max() > 1e-4
    assert relative(g, expected) < APPROXIMATE.get(engine, 1e-9)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=0)


def test_zero_weights_are_the_same_as_none() -> None:
    weights = torch.zeros_like(weights_for(make("conv")))
    for engine in ("reference", "forward", "finite_difference"):
        a, _ = hypergradient(make("conv"), engine, weights)
        b, _ = hypergradient(make("conv"), engine, None)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


def test_spectral_norm_whose_vectors_are_buffers() -> None:
    def g(engine: str) -> Tensor:
        torch.manual_seed(0)
        # Converged vectors: what they themselves add to the derivative is zero then.
        normed = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 6), n_power_iterations=200)
        model = nn.Sequential(normed, nn.Tanh(), nn.Linear(6, 3)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        problem = Problem.of(model, optimizer, resolve_loss("cross_entropy"))
        case = make("batch_norm")
        run = problem.training_pass(case.batch)
        return ENGINES[engine](problem, run, weights_for(case), case.meta).values

    assert relative(g("finite_difference"), g("reference")) < 1e-4


def test_learning_rates_of_the_groups_are_honoured() -> None:
    def with_rates(first: float, second: float) -> Tensor:
        case = make("batch_norm")
        for group, lr in zip(case.problem.optimizer.param_groups, (first, second), strict=True):
            group["lr"] = lr
        # From zero weights G is linear in the rates: the parts of the groups add up.
        return hypergradient(case, "forward", None)[0]

    both, only_first, only_second = with_rates(0.1, 0.3), with_rates(0.1, 0), with_rates(0, 0.3)
    torch.testing.assert_close(both, only_first + only_second, rtol=1e-10, atol=1e-14)
    assert only_first.norm() > 0
    assert not with_rates(0, 0).any()
    case = make("batch_norm", lr=0.0)
    assert not hypergradient(case, "finite_difference", None)[0].any()


@pytest.mark.parametrize("engine", ["forward", "finite_difference"])
def test_float32_resnet_with_batch_norm_points_the_same_way(engine: str) -> None:
    torch.manual_seed(0)
    model = CifarResNet(8, num_classes=10)
    x, y = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))

    def run(dtype: torch.dtype, name: str) -> Tensor:
        twin = copy.deepcopy(model).to(dtype)
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        problem = Problem.of(twin, optimizer, resolve_loss("cross_entropy"))
        done = problem.training_pass((x[:32].to(dtype), y[:32]))
        weights = torch.full_like(done.class_gradient, 0.5)
        return ENGINES[name](problem, done, weights, (x[32:].to(dtype), y[32:])).values.double()

    cosine = F.cosine_similarity(
        run(torch.float32, engine).flatten(), run(F64, "reference").flatten(), dim=0
    )
    assert cosine > 0.999


def test_bfloat16_autocast_keeps_the_direction_even_inside_a_users_autocast() -> None:
    def cosine(engine: str) -> float:
        case = make("batch_norm", n=32, m=32)
        expected, _ = hypergradient(case, "reference", weights_for(case))
        case = make("batch_norm", n=32, m=32)
        case.model.float()
        case.batch, case.meta = ((x.float(), y) for x, y in (case.batch, case.meta))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got, _ = hypergradient(case, engine, weights_for(case).float())
        return float(F.cosine_similarity(got.double().flatten(), expected.flatten(), dim=0))

    assert cosine("forward") > 0.99
    # With eight bits the difference is rough, but a stale copy of the weights would make it vanish.
    assert cosine("finite_difference") > 0.8


@pytest.mark.parametrize(
    ("dtypes", "autocast", "step"),
    [
        ((F64, F64), None, 1e-10),
        ((F64, torch.float32), None, 1e-6),
        ((torch.float32, F64), None, 1e-6),  # a model that hands its logits over in float64
        ((torch.float32, torch.float32), torch.bfloat16, 3e-3),  # ... or leaves autocast in float32
        ((torch.float16, torch.float32), None, 1e-3),
        ((torch.bfloat16, torch.bfloat16), None, 3e-3),
    ],
)
def test_the_step_suits_the_coarsest_precision(
    dtypes: tuple[torch.dtype, torch.dtype], autocast: torch.dtype | None, step: float
) -> None:
    note = Autocast()
    note.dtypes |= {autocast} if autocast else set()
    note.fixed = True  # where it can be avoided it does not count
    parameter, logits = (torch.zeros(1, dtype=dtype) for dtype in dtypes)
    assert relative_step([parameter], logits, note) == step


def test_autocast_is_seen_though_the_logits_are_float32() -> None:
    case = make("batch_norm", n=32, m=32)
    case.model.float()

    def forward(model: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return model(x).float()

    problem = Problem.of(case.model, case.problem.optimizer, case.problem.loss, forward)
    run = problem.training_pass((case.batch[0].float(), case.batch[1]))
    assert problem.autocast.dtypes == {torch.bfloat16}
    assert run.logits.dtype == torch.float32
    meta = (case.meta[0].float(), case.meta[1])
    weights = torch.ones(32, 3)
    got = ENGINES["finite_difference"](problem, run, weights, meta).values
    expected, _ = hypergradient(make("batch_norm", n=32, m=32), "reference", weights.double())
    assert F.cosine_similarity(got.double().flatten(), expected.flatten(), dim=0) > 0.9


def test_a_model_that_changes_its_inputs_is_refused_before_any_harm() -> None:
    class InPlace(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = super().forward(x.mul_(2))
            return out

    model = InPlace(nn.Linear(3, 2))
    problem = Problem.of(
        model, torch.optim.SGD(model.parameters(), lr=0.1), resolve_loss("cross_entropy")
    )
    with pytest.raises(ModelError, match="changes its inputs in place"):
        problem.training_pass((torch.randn(4, 3), torch.tensor([0, 1, 0, 1])))


def test_an_operation_without_forward_mode_points_to_the_finite_difference() -> None:
    class Opaque(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient

    class Model(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = Opaque.apply(super().forward(x))
            return out

    model = Model(nn.Linear(3, 2)).double()
    problem = Problem.of(
        model, torch.optim.SGD(model.parameters(), lr=0.1), resolve_loss("cross_entropy")
    )
    batch = (torch.randn(4, 3, dtype=F64), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(ModelError, match="use hypergradient='finite_difference'"):
        ENGINES["forward"](problem, problem.training_pass(batch), None, batch)
    g = ENGINES["finite_difference"](problem, problem.training_pass(batch), None, batch).values
    expected = ENGINES["reference"](problem, problem.training_pass(batch), None, batch).values
    assert relative(g, expected) < 1e-4


def test_what_does_not_fit_is_said_before_any_step() -> None:
    model = nn.Linear(3, 2)
    other = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="holds no trainable parameter of this model"):
        Problem.of(model, other, resolve_loss("cross_entropy"))
    problem = Problem.of(
        model, torch.optim.SGD(model.parameters(), lr=0.1), resolve_loss("cross_entropy")
    )
    with pytest.raises(DataError, match=r"2 logits .* but a target is class 4"):
        problem.training_pass((torch.randn(2, 3), torch.tensor([0, 4])))
    with pytest.raises(DataError, match=r"the training batch must be a pair .*found dict"):
        problem.training_pass({"x": torch.randn(2, 3)})  # type: ignore[arg-type]
    model = nn.LSTM(3, 2)
    problem = Problem.of(
        model, torch.optim.SGD(model.parameters(), lr=0.1), resolve_loss("cross_entropy")
    )
    with pytest.raises(ModelError, match=r"got tuple of length 2: pass forward=.*\[0\]"):
        problem.training_pass((torch.randn(2, 3), torch.tensor([0, 1])))
