"""The network for few epochs: its fixed first layer whitens, its convolutions begin as the identity."""

from __future__ import annotations

import pytest
import torch

from gdw.errors import ConfigError
from gdw.models import build_model
from gdw.models.airbench import Airbench, whitening_filters
from gdw.reweight.registry import build
from gdw.train import TrainConfig
from gdw.train.before_training import make_optimizer


def images(count: int, size: int = 9) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, size, size), generator=draws, dtype=torch.uint8)


def test_components_are_orthogonal_and_come_with_their_negatives() -> None:
    filters = whitening_filters().flatten(1).double()
    assert torch.equal(filters[:12], -filters[12:])
    unit = filters[:12] / filters[:12].norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit @ unit.T, torch.eye(12).double(), rtol=0, atol=1e-6)
    # The mean of grey pixels has the largest deviation, 3.18, so the smallest filter.
    assert filters[0].norm().item() == pytest.approx(1 / 3.18, rel=1e-3)


def test_groups_pass_channels_on_at_the_start() -> None:
    network = Airbench(4, widths=(24, 24, 30))
    x = torch.rand(2, 24, 6, 6)
    conv1 = network.groups[0].conv1
    torch.testing.assert_close(conv1(x), x)
    wider = network.groups[2].conv1(x)
    torch.testing.assert_close(wider[:, :24], x)
    assert not torch.allclose(wider[:, 24:], torch.zeros_like(wider[:, 24:]))


@pytest.mark.parametrize("method", ["plain", "gdw"])
def test_fixed_parts_stay_and_the_others_learn(method: str) -> None:
    model = build_model("airbench", input_shape=(3, 9, 9), num_classes=3, seed=0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    fixed = {name for name, value in model.named_parameters() if not value.requires_grad}
    assert fixed == {
        "network.whiten.weight",
        *(f"network.groups.{i}.norm{j}.weight" for i in range(3) for j in (1, 2)),
    }
    optimizer = make_optimizer(TrainConfig(method=method, lr=0.1, nesterov=True), model)
    reweighter = build(method, model, optimizer)
    batch = images(6), torch.arange(6) % 3
    reweighter.backward(batch, None if method == "plain" else (images(3), torch.arange(3)))
    optimizer.step()
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]) == (name in fixed), name


def test_what_it_takes() -> None:
    assert build_model("AIRBENCH", input_shape=(3, 32, 32), num_classes=10)(
        images(2, 32)
    ).shape == (2, 10)
    for shape in ((3, 8, 40), (1, 32, 32)):
        with pytest.raises(ConfigError, match="needs images of 3 channels and 9 pixels or more"):
            build_model("airbench", input_shape=shape, num_classes=2)
    with pytest.raises(ConfigError, match="three widths of 24 channels or more"):
        Airbench(3, widths=(16, 32, 64))
