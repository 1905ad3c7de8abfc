"""The networks are those of their papers: parameter counts, shapes and values known in closed form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gdw.errors import ConfigError
from gdw.models import CifarResNet, Normalize, WideResNet
from gdw.models.resnet_cifar import BasicBlock


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("depth", "classes", "count"),
    [(20, 10, 269_722), (32, 10, 464_154), (32, 100, 470_004), (56, 10, 853_018)],
)
def test_cifar_resnet_has_the_published_size(depth, classes, count):
    assert _parameters(CifarResNet(depth, classes)) == count


@pytest.mark.parametrize(
    ("depth", "width", "millions"), [(40, 1, 0.6), (40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5)]
)
def test_wide_resnet_has_the_published_size(depth, width, millions):
    with torch.device("meta"):
        model = WideResNet(depth, width, 10)
    assert round(_parameters(model) / 1e6, 1) == millions


def test_depth_counts_the_layers_with_weights():
    for depth in (20, 32):
        weighted = (nn.Conv2d, nn.Linear)
        layers = [m for m in CifarResNet(depth, 10).modules() if isinstance(m, weighted)]
        assert len(layers) == depth


def test_the_shortcut_subsamples_and_pads_with_zeros():
    block = BasicBlock(2, 5, stride=2).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.rand(3, 2, 6, 6)
    out = block(x)
    assert out.shape == (3, 5, 3, 3)
    torch.testing.assert_close(out[:, :2], x[:, :, ::2, ::2])
    assert not out[:, 2:].any()


def test_convolutions_start_with_the_variance_of_he():
    model = CifarResNet(32, 10)
    weight = model.stages[2][3].conv1.weight
    expected = (2 / (64 * 9)) ** 0.5
    # 36,864 draws: their standard deviation is within 0.4 % of the true one, one sigma
    assert abs(weight.std().item() / expected - 1) < 0.03


def test_wide_resnet_downsamples_twice_and_drops_only_in_training():
    model = WideResNet(10, 1, 3, dropout=0.5)
    images = torch.rand(4, 3, 16, 16)
    features = model.blocks(model.conv(images))
    assert features.shape == (4, 64, 4, 4)
    model.eval()
    torch.testing.assert_close(model(images), model(images), rtol=0, atol=0)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    assert not torch.equal(model(images), model(images))


@settings(max_examples=25, deadline=None)
@given(
    mean=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    std=st.lists(st.floats(0.05, 2), min_size=3, max_size=3),
    seed=st.integers(0, 2**31),
)
def test_normalize_is_the_formula(mean, std, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=generator, dtype=torch.uint8)
    layer = Normalize(mean, std)
    found = layer(pixels)
    assert found.dtype == torch.float32
    for c in range(3):
        expected = (pixels[:, c].double() / 255 - mean[c]) / std[c]
        torch.testing.assert_close(found[:, c].double(), expected, rtol=1e-5, atol=1e-5)


def test_normalize_follows_the_dtype_of_the_module():
    layer = Normalize([0.5], [0.25])
    pixels = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    for dtype in (torch.float64, torch.bfloat16):
        out = layer.to(dtype)(pixels)
        assert out.dtype == dtype
        assert out.flatten().tolist() == [-2.0, 2.0]
    assert layer.double()(torch.tensor([[[[1.0]]]])).item() == 2.0
    assert not list(layer.parameters())


def test_normalize_refuses_what_it_cannot_divide_by():
    with pytest.raises(ConfigError, match="std above 0"):
        Normalize([0.5], [0.0])
    with pytest.raises(ConfigError, match="2 means and 1 stds"):
        Normalize([0.5, 0.5], [0.1])
