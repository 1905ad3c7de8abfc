"""On a GPU a step gives what it gives on a CPU, waits for nothing, and is the same as a captured one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import DivergenceError
from gdw.models.resnet_cifar import CifarResNet
from gdw.reweight import Reweighter, build, captured
from gdw.reweight.captured import NotCapturedWarning, capture_steps
from gdw.train import Trainer
from gdw.train.monitoring import EpochSums
from tests.cuda.waiting import waits_refused
from tests.reweight.test_no_host import STEPS, make

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    # What PyTorch says about itself.
    pytest.mark.filterwarnings("ignore:.*(no current CUDA context|AccumulateGrad node's stream)"),
]

GPU = "cuda"
EAGER = 3


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)),
    "convolutions": convolutions,
}


CASES = [*((step, "convolutions") for step in STEPS), ("gdw", "mlp"), ("robust", "mlp")]


def model(name: str, device: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return MODELS[name]().double().to(device)


def reweighter(step: str, network: nn.Module) -> Reweighter:
    method, options = STEPS[step]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)  # of the weighting network
        return make(method, network, options)


def batches(count: int, device: str, *, short: int | None = None) -> Iterator[Any]:
    draws = torch.Generator().manual_seed(2)
    for k in range(count):
        size = 5 if k == short else 8
        pair = []
        for n in (size, 8):
            x = torch.randn(n, 16, dtype=torch.float64, generator=draws)
            pair.append((x.to(device), torch.randint(3, (n,), generator=draws).to(device)))
        yield pair, torch.arange(size) + k % 7


def outcome(method: Reweighter, steps: int, device: str, **options: Any) -> dict[str, Tensor]:
    """What a training computes and leaves behind; the learning rates change at every step."""
    optimizer, found = method._problem.optimizer, {}
    for k, ((batch, meta), indices) in enumerate(batches(steps, device, **options)):
        result = method.backward(batch, meta, indices=indices)
        found |= {f"{k} {n}": t.cpu() for n, t in vars(result).items() if isinstance(t, Tensor)}
        found |= {
            f"{k} gradient {n}": p.grad.cpu().clone() for n, p in method.model.named_parameters()
        }  # type: ignore[union-attr]
        optimizer.step()
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] *= 0.9
    return found | {n: t.cpu().clone() for n, t in method.model.state_dict().items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Equal up to `tolerance`; a finite difference enlarges rounding errors in G itself."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        allowed = max(tolerance, 1e-4) if "hypergradient" in name else tolerance
        # The gradient of a bias before BatchNorm is zero but for rounding.
        scale = max(float(value.double().abs().max()), 1e-9)
        difference = float((found[name].double() - value.double()).abs().max())
        assert difference <= allowed * scale, (name, difference, scale)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "EAGER_STEPS", EAGER)
    monkeypatch.setattr(captured, "_told", set())


@pytest.mark.parametrize(("step", "name"), CASES)
def test_a_step_on_a_gpu_gives_what_it_gives_on_a_cpu(step: str, name: str) -> None:
    found, expected = (
        outcome(reweighter(step, model(name, device)), 5, device) for device in (GPU, "cpu")
    )
    assert_equal(found, expected, 2e-4)


@pytest.mark.parametrize(("step", "name"), CASES)
def test_a_captured_step_gives_what_the_others_give(step: str, name: str) -> None:
    plain = reweighter(step, model(name, GPU))
    replayed = reweighter(step, model(name, GPU))
    capture_steps(replayed)
    expected = outcome(plain, 12, GPU, short=9)
    found = outcome(replayed, 12, GPU, short=9)
    assert len(replayed._step.__self__._graphs) == (2 if step == "every other" else 1)  # type: ignore[attr-defined]
    assert_equal(found, expected, 1e-6)


@pytest.mark.parametrize("capturing", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_no_step_waits_for_the_gpu(step: str, capturing: bool) -> None:
    method = reweighter(step, model("convolutions", GPU))
    method.names_rows = False
    method.count_examples_as(torch.linspace(0.5, 1.5, 40))
    if capturing:
        capture_steps(method)
    outcome(method, 2 * EAGER + 4, GPU)
    sums = EpochSums()

    def step_on(pair: Any, indices: list[int]) -> None:
        result = method.backward(*pair, indices=indices)
        sums.add(result, pair[0][1])
        method._problem.optimizer.step()
        method._problem.optimizer.zero_grad()

    given = [(pair, indices.tolist()) for pair, indices in batches(6, GPU)]
    for pair, indices in given[:2]:
        step_on(pair, indices)
    with waits_refused():
        for pair, indices in given[2:]:
            step_on(pair, indices)
    assert math.isfinite(sums.mean_loss())


def test_the_check_for_waiting_works() -> None:
    with waits_refused(), pytest.raises(RuntimeError, match="synchroniz"):
        torch.ones(3, device=GPU).sum().item()


def test_the_passes_of_a_step_repeat_their_dropout() -> None:
    """With other numbers the finite difference would be far from the double backward."""
    found = []
    for engine in ("finite_difference", "reference"):
        network = nn.Sequential(nn.Linear(16, 12), nn.Dropout(), nn.Tanh(), nn.Linear(12, 3))
        network = network.double().to(GPU)
        for k, parameter in enumerate(network.parameters()):
            nn.init.normal_(parameter, generator=torch.Generator(GPU).manual_seed(k))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        method = build("gdw", network, optimizer, preset="short", hypergradient=engine)
        torch.cuda.manual_seed(3)
        ((batch, meta), _), *_ = batches(1, GPU)
        found.append(method.backward(batch, meta).hypergradient)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-9)


def test_a_random_model_and_one_that_waits_are_not_captured() -> None:
    class Waits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * (2.0 if x.sum().item() > 0 else 3.0)

    for extra, reason in (
        (nn.Dropout(0.5), "draws random numbers"),
        (Waits(), "waits for the GPU"),
    ):
        networks = [nn.Sequential(model("mlp", GPU), extra).to(GPU) for _ in range(2)]
        methods = [
            build("gdw", n, torch.optim.SGD(n.parameters(), lr=0.1), preset="short")
            for n in networks
        ]
        torch.cuda.manual_seed(3)
        expected = outcome(methods[0], 8, GPU)
        capture_steps(methods[1])
        torch.cuda.manual_seed(3)
        with pytest.warns(NotCapturedWarning, match=reason):
            found = outcome(methods[1], 8, GPU)
        assert_equal(found, expected, 1e-6)


def test_a_residual_network_in_float32_is_captured() -> None:
    """From one state the losses of the next step agree; later steps of a fresh network are chaotic."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = CifarResNet(8, 10).to(GPU)
    x, y = torch.randn(32, 3, 32, 32, device=GPU), torch.randint(10, (32,), device=GPU)
    method = build("gdw", network, torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9))
    capture_steps(method)
    for _ in range(EAGER + 2):
        method.backward((x, y), (x, y))
        method._problem.optimizer.step()
        method._problem.optimizer.zero_grad()
    assert method._step.__self__._graphs  # type: ignore[attr-defined]
    twin, weighting = copy.deepcopy(network), copy.deepcopy(method.weighting_network)  # type: ignore[attr-defined]
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    other = build("gdw", twin, optimizer, weighting_network=weighting)
    mine, expected = method.backward((x, y), (x, y)), other.backward((x, y), (x, y))
    torch.testing.assert_close(mine.logits, expected.logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mine.meta_loss, expected.meta_loss, rtol=1e-3, atol=1e-3)
    for one, two in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["gdw", "robust"])
def test_a_training_is_the_same_with_captured_steps(method: str) -> None:
    draws = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(200, 16, generator=draws), torch.arange(200) % 3
    found = []
    for capture in ("none", "auto"):
        network = model("mlp", "cpu").float()
        options: dict[str, Any] = {"method_options": {"folds": 0} if method == "robust" else {}}
        options |= {"epochs": 3, "batch_size": 16, "meta_batch_size": 16, "precision": "64"}
        options |= {"accelerator": "gpu", "capture": capture, "progress": "none"}
        trainer = Trainer(method=method, **options)
        result = trainer.fit(network, (inputs, targets), (inputs[:60], targets[:60]))
        found.append([record["train_loss"] for record in result.history])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_row_that_makes_the_loss_nan_is_still_named() -> None:
    inputs, targets = torch.randn(600, 16), torch.arange(600) % 3
    inputs[50, 2] = math.nan
    rows = [*zip(inputs, targets.tolist(), strict=True)]
    trainer = Trainer(method="plain", epochs=1, batch_size=10, accelerator="gpu", progress="none")
    with pytest.raises(DivergenceError, match="train: row 50 holds nan in column 2"):
        trainer.fit(model("mlp", "cpu").float(), rows)
