"""torchvision and timm by name, and weights from files; nothing is downloaded."""

from __future__ import annotations

import builtins
import urllib.error

import pytest
import torch
from safetensors.torch import save_file

from gdw.errors import ConfigError, MissingDependencyError
from gdw.models import build_model
from gdw.models.build import full_name, require_buildable

IMAGE = (3, 32, 32)
SMALL = {"torchvision": "torchvision:squeezenet1_1", "timm": "timm:test_resnet"}


@pytest.fixture(params=["torchvision", "timm"])
def small(request):
    pytest.importorskip(request.param)
    return SMALL[request.param]


def test_a_backbone_gets_a_head_of_our_classes(small):
    model = build_model(small, input_shape=IMAGE, num_classes=5, mean_std=([0.5] * 3, [0.1] * 3))
    assert model(torch.zeros(2, *IMAGE, dtype=torch.uint8)).shape == (2, 5)
    torch.testing.assert_close(model.normalize.std.flatten(), torch.full((3,), 0.1))
    assert model.double().eval()(torch.rand(2, *IMAGE)).dtype == torch.float64


def test_building_leaves_the_model_in_train_mode(small):
    assert build_model(small, input_shape=IMAGE, num_classes=5).network.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet19", r"torchvision has no model 'resnet19'.*Did you mean 'resnet18'"),
        ("timm:resnet19", r"timm has no model 'resnet19'.*Did you mean 'resnet18'"),
        ("torchvision:inception_v3", r"does not accept inputs of shape \(3, 32, 32\).*image_size"),
        ("timm:test_vit3", r"does not accept inputs of shape \(3, 32, 32\).*image_size"),
    ],
)
@pytest.mark.filterwarnings("ignore:The default weight initialization of inception_v3")
def test_a_backbone_that_cannot_be_used_says_why(name, message):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(ConfigError, match=message) as caught:
        build_model(name, input_shape=IMAGE, num_classes=5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_missing_library_names_the_command_that_installs_it(library, monkeypatch):
    true_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == library:
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[vision\]'"):
        build_model(f"{library}:resnet18", input_shape=IMAGE, num_classes=5)


@pytest.mark.parametrize("depth", [18, 50])
def test_our_resnets_for_photographs_are_those_of_torchvision(depth):
    models = pytest.importorskip("torchvision.models")
    ours = build_model(f"resnet{depth}", input_shape=IMAGE, num_classes=5, seed=3)
    theirs = build_model(f"torchvision:resnet{depth}", input_shape=IMAGE, num_classes=5, seed=3)
    assert isinstance(theirs.network, models.ResNet)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    images = torch.randint(0, 256, (2, 3, 48, 40), dtype=torch.uint8)
    assert torch.equal(ours(images), theirs(images))


def test_pretrained_weights_of_our_resnets_are_those_of_torchvision(monkeypatch):
    models = pytest.importorskip("torchvision.models")
    trained = models.get_model("resnet18").state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *a, **k: trained)
    model = build_model("resnet18", input_shape=IMAGE, num_classes=5, pretrained=True)
    assert torch.equal(model.network.conv1.weight, trained["conv1.weight"])
    torch.testing.assert_close(model.normalize.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))


def test_a_file_of_weights_brings_the_normalization_of_imagenet(tmp_path):
    state = build_model("resnet18", input_shape=IMAGE, num_classes=9, seed=1).network.state_dict()
    torch.save(state, tmp_path / "weights.pth")
    model = build_model(
        "resnet18",
        input_shape=IMAGE,
        num_classes=5,
        weights=tmp_path / "weights.pth",
        mean_std=([0.9] * 3, [0.9] * 3),
    )
    assert torch.equal(model.network.conv1.weight, state["conv1.weight"])
    torch.testing.assert_close(model.normalize.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize(
    ("library", "name", "full"),
    [
        ("torchvision", "EfficientNet-B0", "torchvision:efficientnet_b0"),
        ("torchvision", "squeezenet1_1", "torchvision:squeezenet1_1"),
        ("timm", "test_resnet", "timm:test_resnet"),
        ("timm", "test_resnet.r160_in1k", "timm:test_resnet.r160_in1k"),
    ],
)
def test_names_of_the_libraries_need_no_prefix(library, name, full):
    pytest.importorskip(library)
    assert full_name(name, "image", IMAGE) == full
    require_buildable(name, pretrained=True)


def test_a_misspelt_name_of_a_library_is_recognised():
    pytest.importorskip("torchvision")
    with pytest.raises(
        ConfigError, match=r"unknown model 'efficentnet_b0'.*mean 'efficientnet_b0'"
    ):
        require_buildable("efficentnet_b0", pretrained=False)


def test_without_the_libraries_photographs_get_our_own_network(monkeypatch):
    monkeypatch.setattr("gdw.models.backbones.find_spec", lambda name: None)
    assert full_name("auto", "image", (3, 224, 224)) == "resnet18"
    require_buildable("resnet50", pretrained=False)
    with pytest.raises(
        ConfigError, match=r"unknown model 'vit_b_16'.*torchvision and timm need pip"
    ):
        require_buildable("vit_b_16", pretrained=False)
    for name, pretrained in (
        ("timm:vit", False),
        ("torchvision:vit_b_16", False),
        ("resnet50", True),
    ):
        with pytest.raises(MissingDependencyError, match=r"pip install 'gdw\[vision\]'"):
            require_buildable(name, pretrained=pretrained)


def test_a_failed_download_is_one_line_with_the_fix(small, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host\nsecond line")

    if small.startswith("timm"):
        import timm

        monkeypatch.setattr(timm, "create_model", offline)
    else:
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match=r"cannot download.*no route to host.*weights=PATH") as e:
        build_model(small, input_shape=IMAGE, num_classes=5, pretrained=True)
    assert "\n" not in str(e.value)


def test_pretrained_weights_arrive_with_their_own_normalization(monkeypatch):
    models = pytest.importorskip("torchvision.models")
    trained = models.get_model("squeezenet1_1")
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *a, **k: trained.state_dict()
    )
    model = build_model(
        SMALL["torchvision"],
        input_shape=IMAGE,
        num_classes=5,
        pretrained=True,
        mean_std=([0.9] * 3, [0.9] * 3),
    )
    for name, parameter in model.network.named_parameters():
        same = name not in ("classifier.1.weight", "classifier.1.bias")
        assert (parameter.shape == trained.get_parameter(name).shape) == same
        assert not same or torch.equal(parameter, trained.get_parameter(name))
    torch.testing.assert_close(model.normalize.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))


@pytest.mark.parametrize("form", ["safetensors", "torch", "wrapped"])
def test_weights_from_a_file_fill_all_but_another_head(form, tmp_path):
    source = build_model("resnet8", input_shape=IMAGE, num_classes=9, seed=1)
    state = {name: tensor.clone() for name, tensor in source.network.state_dict().items()}
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    else:
        path = tmp_path / "weights.pth"
        prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
        torch.save({"state_dict": prefixed} if form == "wrapped" else state, path)
    other = build_model("resnet8", input_shape=IMAGE, num_classes=5, seed=2, weights=path)
    fresh = build_model("resnet8", input_shape=IMAGE, num_classes=5, seed=2)
    for name, tensor in other.network.state_dict().items():
        expected = fresh.network.state_dict() if name.startswith("head.") else state
        assert torch.equal(tensor, expected[name]), name


def test_a_model_that_we_saved_loads_whole(tmp_path):
    mean_std = ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    source = build_model("resnet8", input_shape=IMAGE, num_classes=4, mean_std=mean_std, seed=1)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    copy = build_model(
        "resnet8",
        input_shape=IMAGE,
        num_classes=4,
        weights=tmp_path / "model.safetensors",
    )
    images = torch.randint(0, 256, (2, *IMAGE), dtype=torch.uint8)
    assert torch.equal(source.eval()(images), copy.eval()(images))


def test_weights_that_do_not_fit_are_refused_by_name_of_tensor(tmp_path):
    path = tmp_path / "weights.safetensors"
    options = {"input_shape": IMAGE, "num_classes": 4, "weights": path}
    with pytest.raises(ConfigError, match="no weights file at"):
        build_model("resnet8", **options)
    state = build_model("resnet8", input_shape=IMAGE, num_classes=4).network.state_dict()
    save_file({k: v for k, v in state.items() if k != "conv.weight"}, path)
    with pytest.raises(ConfigError, match=r"no tensor 'conv\.weight'"):
        build_model("resnet8", **options)
    save_file({**state, "conv.weight": torch.zeros(16, 1, 3, 3)}, path)
    with pytest.raises(
        ConfigError, match=r"'conv\.weight' of shape \(16, 3, 3, 3\), found \(16, 1"
    ):
        build_model("resnet8", **options)


class _Bomb:
    def __reduce__(self):
        return (print, ("this must not be printed",))


@pytest.mark.parametrize("content", ["junk", "empty", "pickle", "list"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_unreadable_weights_file_is_refused_and_not_executed(content, suffix, tmp_path, capsys):
    path = tmp_path / f"weights{suffix}"
    if content == "junk":
        path.write_bytes(b"not weights at all" * 9)
    elif content == "empty":
        path.touch()
    else:
        torch.save({"x": _Bomb()} if content == "pickle" else [1, 2], path)
    with pytest.raises(ConfigError, match=r"cannot read weights from .*save\(model\.state_dict"):
        build_model("resnet8", input_shape=IMAGE, num_classes=4, weights=path)
    assert "must not" not in capsys.readouterr().out
