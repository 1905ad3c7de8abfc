"""`GDWClassifier` on features of a backbone: texts, images, data frames; clone, pickle and search."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from gdw import GDWClassifier
from gdw.data.features.reporting import FeatureWarning
from gdw.errors import ConfigError
from gdw.estimator.fitting import DataNoteWarning
from tests.data.fake_backbone import image_backbone, text_backbone

TEXTS = [f"{'aab' if i % 2 else 'zzy'} {i}" for i in range(40)]
PIXELS = np.stack([np.full((70, 70, 3), 200 * (i % 2) + i % 7, np.uint8) for i in range(40)])
LABELS = np.array(["no", "yes"] * 20)


def classifier(**options: Any) -> GDWClassifier:
    return GDWClassifier("plain", random_state=0, **options)


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        pd.DataFrame({"text": [f"{text} of a longer sentence" for text in TEXTS]}),
    ],
    ids=["list", "frame"],
)
def test_texts_become_features_once(X: Any) -> None:
    backbone = text_backbone(limit=50)
    model = classifier(backbone=backbone).fit(X, LABELS)
    assert (model.backbone_, model.module_.head.in_features) == ("fake:texts", 5)
    assert len(model.history_) == 60
    computed = backbone.module.computed  # type: ignore[union-attr]
    assert model.score(X, LABELS) == 1.0
    assert backbone.module.computed == computed  # type: ignore[union-attr]


@pytest.mark.parametrize("X", [PIXELS, [*map(Image.fromarray, PIXELS)]], ids=["arrays", "pictures"])
@pytest.mark.parametrize(("views", "shape"), [(1, (6,)), (3, (3, 6))])
def test_images_become_features_of_views(X: Any, views: int, shape: tuple[int, ...]) -> None:
    model = classifier(backbone=image_backbone(), views=views).fit(X, LABELS)
    assert model._encoder.encoder.input_shape == shape
    assert model.score(X, LABELS) == 1.0


def test_images_may_be_the_bytes_of_files() -> None:
    files = []
    for pixels in PIXELS:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        files.append(file.getvalue())
    model = classifier(backbone=image_backbone(), epochs=2).fit(files, LABELS)
    np.testing.assert_array_equal(model.predict_proba(PIXELS), model.predict_proba(files))


def test_a_pickle_has_the_head_and_a_module_of_the_user() -> None:
    own = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    for backbone in (image_backbone(), own):
        model = classifier(backbone=backbone, epochs=2).fit(PIXELS, LABELS)
        restored = pickle.loads(pickle.dumps(model))
        new = PIXELS[::-1] // 2  # Nothing of them is in the cache.
        np.testing.assert_array_equal(restored.predict_proba(new), model.predict_proba(new))


def test_a_pickle_has_weights_in_any_order_in_memory() -> None:
    layer = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    own = nn.Sequential(layer, nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = classifier(backbone=own, finetune="head+norm", epochs=1).fit(PIXELS, LABELS)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict_proba(PIXELS), model.predict_proba(PIXELS))


def test_clone_and_search() -> None:
    model = classifier(backbone=text_backbone(), epochs=3)
    assert clone(model).get_params()["views"] == 1
    search = GridSearchCV(model, {"lr": [0.01, 0.1]}, cv=2, error_score="raise")
    assert search.fit(TEXTS, LABELS).best_estimator_.backbone_ == "fake:texts"


def test_what_is_given_is_not_chosen() -> None:
    model = classifier(backbone=text_backbone(), epochs=2, batch_size=7, optimizer="sgd").fit(
        TEXTS, LABELS
    )
    assert len(model.history_) == 2
    assert clone(model).get_params()["optimizer"] == "sgd"


def test_without_a_backbone_all_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.runs.backbone_choice.packaged", lambda kind: f"fake:{kind}")
    for backbone in (None, "none"):
        model = classifier(backbone=backbone).fit(TEXTS, LABELS)
        assert (model.backbone_, len(model.history_)) == (None, 30)
    given = classifier(epochs=30, batch_size=64, optimizer="adamw", lr=1e-3, weight_decay=1e-2)
    same = [m.fit(np.arange(80.0).reshape(40, 2), LABELS).module_ for m in (given, classifier())]
    for one, other in zip(*(m.state_dict().values() for m in same), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_auto_takes_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.runs.backbone_choice.packaged", lambda kind: f"fake:{kind}")
    monkeypatch.setattr("gdw.backbones.loading.load_backbone", lambda name, **_: text_backbone())
    assert classifier(epochs=1).fit(TEXTS, LABELS).backbone_ == "fake:texts"
    # Words that MiniLM does not know, small images, and a network of the user's own.
    assert classifier(epochs=1).fit([f"猫と犬 {i}" for i in range(40)], LABELS).backbone_ is None
    assert classifier(epochs=1).fit(PIXELS[:, :32, :32], LABELS).backbone_ is None
    own = classifier(module=lambda shape, classes: nn.Linear(*shape, classes), epochs=1)
    with pytest.warns(DataNoteWarning, match=r"^module gets the texts as TF-IDF of \d+ words"):
        assert own.fit(TEXTS, LABELS).backbone_ is None


def test_a_cache_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("GDW_CACHE", str(tmp_path / "file"))
    with pytest.warns(FeatureWarning, match="are kept for this command only; set GDW_CACHE to"):
        model = classifier(backbone=text_backbone(), epochs=1).fit(TEXTS, LABELS)
    # Once is enough.
    assert len(model.predict(TEXTS)) == len(TEXTS)


def test_empty_texts_are_counted() -> None:
    texts = ["", "  ", *TEXTS[2:]]
    with pytest.warns(DataNoteWarning, match=r"^2 texts are empty: they say nothing of the class$"):
        classifier(backbone="none", epochs=1).fit(texts, LABELS)


@pytest.mark.parametrize(
    ("options", "X", "message"),
    [
        (
            {"backbone": text_backbone()},
            np.eye(40),
            "a backbone takes images or texts, and X is numbers",
        ),
        ({"backbone": text_backbone()}, PIXELS, "fake:texts takes text data, but X is image data"),
        (
            {"backbone": 3},
            TEXTS,
            "backbone: expected a name, an nn.Module or a gdw.backbones.Backbone",
        ),
        (
            {"backbone": text_backbone(), "module": nn.Linear(5, 2)},
            TEXTS,
            "found both: leave one out",
        ),
        (
            {"backbone": None, "views": 2},
            TEXTS,
            r"views \(--views\) is for a backbone, and there is none",
        ),
        ({"finetune": "half"}, TEXTS, "finetune: expected 'none', 'head.norm', 'lora' or 'all'"),
        ({"backbone": "minilm"}, TEXTS, "unknown backbone 'minilm'.*mean 'package:minilm'"),
    ],
)
def test_a_backbone_that_does_not_fit(options: dict[str, Any], X: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        classifier(**options).fit(X, LABELS)
