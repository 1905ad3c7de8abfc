"""Every name builds a classifier of the right shape, and every wrong name says what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gdw.errors import ConfigError
from gdw.models import MLP, CifarResNet, Normalize, ResNet, WideResNet, build_model, choose_model

IMAGE = (3, 8, 8)


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "network"),
    [
        ("mlp", (7,), MLP),
        ("mlp:5", (7,), MLP),
        ("mlp:9,5", IMAGE, MLP),
        ("mlp:5,dropout=0.5", (2, 3), MLP),
        ("resnet20", IMAGE, CifarResNet),
        ("resnet8", (1, 9, 7), CifarResNet),
        ("wrn-10-1", IMAGE, WideResNet),
        ("ResNet-18", (3, 70, 50), ResNet),
        ("resnet50", (1, 33, 32), ResNet),
        ("cifar-resnet50", IMAGE, CifarResNet),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_have_the_shape_and_dtype_asked_for(name, shape, network, dtype):
    model = build_model(name, input_shape=shape, num_classes=4, seed=0).to(dtype)
    assert any(isinstance(module, network) for module in model.modules())
    logits = model(torch.rand(5, *shape, dtype=dtype))
    assert logits.shape == (5, 4)
    assert logits.dtype == dtype
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["mlp", "resnet8", "wrn-10-1"])
def test_uint8_and_unit_floats_are_the_same_picture(name):
    model = build_model(
        name, input_shape=IMAGE, num_classes=3, mean_std=([0.4] * 3, [0.2] * 3), seed=1
    )
    model = model.double().eval()
    pixels = torch.randint(0, 256, (2, *IMAGE), dtype=torch.uint8)
    torch.testing.assert_close(model(pixels), model(pixels.double() / 255), rtol=0, atol=1e-12)
    assert model(pixels).dtype == torch.float64


@pytest.mark.parametrize("name", ["mlp:6", "resnet8", "wrn-10-1", "torchvision:resnet18"])
def test_the_seed_decides_the_parameters_and_the_global_generator_is_left_alone(name):
    if name.startswith("torchvision"):
        pytest.importorskip("torchvision")

    def parameters(seed):
        model = build_model(name, input_shape=(3, 32, 32), num_classes=3, seed=seed)
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    before = torch.random.get_rng_state()
    first = parameters(1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, parameters(1))
    assert not torch.equal(first, parameters(2))


def test_without_a_seed_the_parameters_come_from_the_global_generator():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        first = build_model("mlp", input_shape=(4,), num_classes=2)
        second = build_model("mlp", input_shape=(4,), num_classes=2)
    assert not torch.equal(first.head.weight, second.head.weight)


def test_the_last_linear_layer_is_the_head():
    for name in ("mlp", "resnet8", "wrn-10-1"):
        model = build_model(name, input_shape=IMAGE, num_classes=4)
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        assert linear[-1] is model.network.head
        assert linear[-1].out_features == 4


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        ("text", (20000,), "mlp:256,dropout=0.5"),
        ("table", (14,), "mlp"),
        ("array", (1280,), "mlp"),
        ("array", (3, 8, 8), "resnet20"),
        ("image", (3, 32, 32), "resnet20"),
        ("image", (3, 224, 224), "resnet18"),
        (None, (14,), "mlp"),
    ],
)
def test_auto_chooses_by_kind_and_shape(kind, shape, expected):
    assert choose_model(kind, shape) == expected


def test_auto_builds_the_model_that_it_chooses():
    model = build_model("auto", input_shape=(30,), num_classes=2, kind="text")
    named = build_model("mlp:256,dropout=0.5", input_shape=(30,), num_classes=2)
    assert str(model) == str(named)


def test_mlp_width_follows_the_input():
    def hidden(width):
        model = build_model("mlp", input_shape=(width,), num_classes=2)
        return [m.out_features for m in model.body if isinstance(m, nn.Linear)]

    assert hidden(30) == [128, 128]
    assert hidden(2000) == [512]


def test_dropout_is_placed_after_every_hidden_layer():
    model = build_model("mlp:6,5,dropout=0.25", input_shape=(4,), num_classes=2)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.25, 0.25]


def test_mean_and_std_reach_the_first_layer():
    mean_std = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    model = build_model("resnet8", input_shape=IMAGE, num_classes=2, mean_std=mean_std)
    first = next(module for module in model.modules() if isinstance(module, Normalize))
    torch.testing.assert_close(first.mean.flatten(), torch.tensor(mean_std[0]))
    torch.testing.assert_close(first.std.flatten(), torch.tensor(mean_std[1]))
    assert {"normalize.mean", "normalize.std"} < set(model.state_dict())


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("rsnet20", IMAGE, r"unknown model 'rsnet20'.*Did you mean 'resnet20'\?"),
        ("resnet33", IMAGE, r"6n \+ 2 for small images.*18, 34, 50, .*for photographs, found 33$"),
        ("cifar-resnet18", IMAGE, r"6n \+ 2.*found 18$"),
        ("wrn-27-10", IMAGE, r"6n \+ 4.*found 27"),
        ("wrn-28-0", IMAGE, r"width of 1 or more, found 0"),
        ("resnet20", (10,), r"'resnet20' needs images.*found inputs of shape \(10,\).*'mlp'"),
        ("wrn-28-10", (10,), r"needs images"),
        ("torchvision:resnet18", (10,), r"needs images"),
        ("mlp:a", (10,), r"cannot read model 'mlp:a'.*found 'a'"),
        ("mlp:", (10,), r"cannot read model 'mlp:'"),
        ("mlp:0", (10,), r"layer sizes of 1 or more"),
        ("mlp:8,dropout=1", (10,), r"dropout in \[0, 1\), found 1.0"),
        ("mlp", (), r"input shape of sizes above 0"),
        ("mlp", (0,), r"input shape of sizes above 0"),
    ],
)
def test_a_wrong_name_or_shape_says_what_was_expected(name, shape, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(name, input_shape=shape, num_classes=3)
    assert "\n" not in str(caught.value)


def test_wrong_options_are_refused():
    with pytest.raises(ConfigError, match="2 classes or more, found 1"):
        build_model("mlp", input_shape=(3,), num_classes=1)
    with pytest.raises(ConfigError, match="no pretrained weights"):
        build_model("resnet20", input_shape=IMAGE, num_classes=3, pretrained=True)
    with pytest.raises(ConfigError, match="found both"):
        build_model("resnet20", input_shape=IMAGE, num_classes=3, pretrained=True, weights="x")
    with pytest.raises(ConfigError, match="3 channels"):
        build_model("resnet20", input_shape=IMAGE, num_classes=3, mean_std=([0.5], [0.5]))
