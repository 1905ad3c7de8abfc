"""Which backbone "auto" takes, and what is said where it takes none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.data.source import Source, from_arrays
from gdw.estimator.sources import text_source
from gdw.runs.backbone_choice import choose_backbone, located
from gdw.runs.model_config import ModelConfig

TEXTS = text_source(["How do I reset my password?", "Where is my order?"])


def pixels(side: int) -> Source:
    return from_arrays(np.zeros((3, side, side + 9, 3), np.uint8))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.runs.backbone_choice.packaged", lambda kind: f"package:{kind}")


@pytest.mark.parametrize(
    ("source", "options", "name"),
    [
        (TEXTS, {}, "package:text"),
        (pixels(65), {}, "package:image"),
        (pixels(64), {}, "none"),
        (from_arrays(np.eye(3)), {}, "none"),
        (text_source(["Как сбросить пароль?", "где мой заказ"]), {}, "none"),
        (
            text_source(["Wo bleibt meine Bestellung? Können Sie das prüfen?"]),
            {},
            "package:text",
        ),
        (pixels(65), {"image_size": 32}, "none"),
        (pixels(65), {"against": "--augment changes pixels"}, "none"),
        (pixels(65), {"choose": False}, "none"),
    ],
)
def test_auto(installed: None, source: Source, options: dict[str, object], name: str) -> None:
    assert choose_backbone(ModelConfig(), source, **options).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({}, "features: package:image (installed; --backbone none trains from scratch)"),
        ({"backbone": "none"}, ""),
        ({"pretrained": True}, ""),
        (
            {"name": "resnet18"},
            "training from scratch: features of a pretrained network are usually better, and quicker. "
            "package:image is installed: leave --model out",
        ),
    ],
)
def test_what_is_said(installed: None, options: dict[str, object], note: str) -> None:
    assert choose_backbone(ModelConfig(**options), pixels(80)).note == note


def test_what_is_said_of_an_option_that_features_ignore(installed: None) -> None:
    choice = choose_backbone(ModelConfig(), pixels(80), against="--augment changes pixels")
    assert choice.note == (
        "training from scratch, because --augment changes pixels; otherwise the features of package:image, "
        "which is installed"
    )


def test_what_is_installed_now_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "gdw.runs.backbone_choice.find_spec", lambda name: name == "torchvision" or None
    )
    assert choose_backbone(ModelConfig(), pixels(80)).note.endswith(
        "pip install 'gdw[features]', then the same command; installed now: torchvision (weights are "
        "downloaded: --backbone torchvision:NAME)"
    )


def test_a_folder_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my bert").mkdir()
    assert located("hf:my bert") == f"hf:{tmp_path.resolve() / 'my bert'}"
    assert located("./my bert") == str(tmp_path.resolve() / "my bert")
    for name in ("package:minilm", "hf:google/vit-base-patch16-224", "timm:resnet18"):
        assert located(name) == name
