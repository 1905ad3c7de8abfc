"""The classifier of features of several views: what it sees in training, and what it predicts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gdw.data.examples import Examples
from gdw.errors import ConfigError
from gdw.hypergradient.head import Head
from gdw.models import build_model
from gdw.models.feature_head import OverViews
from gdw.reweight import build

VIEWS, WIDTH, CLASSES = 3, 4, 5


def head() -> nn.Module:
    model = build_model("linear", input_shape=(VIEWS, WIDTH), num_classes=CLASSES, seed=0)
    assert isinstance(model, OverViews)
    return model.double()


def test_predictions_are_the_mean_of_the_probabilities_over_the_views() -> None:
    model, inputs = head().eval(), torch.randn(6, VIEWS, WIDTH, dtype=torch.float64)
    each = torch.stack([model.head(inputs[:, v]).softmax(1) for v in range(VIEWS)])
    torch.testing.assert_close(model(inputs).softmax(1), each.mean(0))


def test_training_sees_every_view_and_one_of_each_example() -> None:
    model, inputs = head().train(), torch.randn(200, VIEWS, WIDTH, dtype=torch.float64)
    torch.manual_seed(0)
    logits = model(inputs)
    each = torch.stack([model.head(inputs[:, v]) for v in range(VIEWS)], dim=1)
    same = torch.isclose(logits[:, None], each).all(-1)
    assert (same.sum(1) == 1).all()
    assert (same.sum(0) > 40).all()


def test_without_hidden_layers_the_network_is_one_linear_layer() -> None:
    model = build_model("linear", input_shape=(WIDTH,), num_classes=CLASSES, seed=0)
    assert [tuple(p.shape) for p in model.parameters()] == [(CLASSES, WIDTH), (CLASSES,)]
    with pytest.raises(
        ConfigError, match="cannot read model 'linear:3': expected 'linear' without"
    ):
        build_model("linear:3", input_shape=(WIDTH,), num_classes=CLASSES)


@pytest.mark.parametrize("engine", ["finite_difference", "forward", "head"])
def test_a_bilevel_step_sees_the_same_views_in_each_of_its_passes(engine: str) -> None:
    """If the views were drawn anew in a pass, the weights would differ from those of double backward."""
    batch = (torch.randn(20, VIEWS, WIDTH).double(), torch.arange(20) % CLASSES)
    clean = (torch.randn(10, VIEWS, WIDTH).double(), torch.arange(10) % CLASSES)
    weights = []
    for name in (engine, "reference"):
        model = head().train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(1)
        step = build("gdw", model, optimizer, hypergradient=name).backward(batch, clean)
        weights.append(step.weights)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-8)


def test_the_head_is_the_last_linear_layer() -> None:
    model = build_model("mlp:8", input_shape=(VIEWS, WIDTH), num_classes=CLASSES, seed=0)
    assert Head(model, None).name == "head.head"
    assert Examples(torch.zeros(2, VIEWS, WIDTH), torch.tensor([0, 1])).select(torch.tensor([1]))
