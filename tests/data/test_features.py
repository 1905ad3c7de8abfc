"""Features are computed once, found by content, and the same however they were computed and read."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gdw.backbones.backbone import Backbone
from gdw.data import Encoder, check_images, fit_encoder, from_arrays, load, load_encoder
from gdw.data.features.cache_folder import features_folder
from gdw.data.features.inputs import FeatureInputs
from gdw.data.images import fault
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError, ModelError, RunError
from gdw.files.memory import memory_share
from tests.data.fake_backbone import Network, image_backbone, text_backbone
from tests.data.files import image_folder, parquet


def picture(seed: int, size: tuple[int, int] = (10, 8)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 also where the processor has bfloat16."""
    monkeypatch.setattr("gdw.data.features.network._has_bfloat16", lambda device: False)


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    """Ten different images in two classes."""
    names = {f"{'ab'[i % 2]}/{i}.png": picture(i) for i in range(10)}
    return load(image_folder(tmp_path / "photos", names), label="label")


@pytest.fixture
def phrases(tmp_path: Path) -> Source:
    path = tmp_path / "texts.csv"
    rows = "".join(f"text number {'x' * i},{i % 2}\n" for i in range(20))
    path.write_text(f"text,label\n{rows}", encoding="utf-8")
    return load(path, label="label", text="text")


def network(backbone: Backbone) -> Network:
    assert isinstance(backbone.module, Network)
    return backbone.module


def fitted(source: Source, backbone: Backbone, **options: Any) -> Encoder:
    return fit_encoder(source, backbone=backbone, progress="none", **options)


def expected(source: Source, backbone: Backbone) -> torch.Tensor:
    """The standardised features, without the store."""
    rows = np.arange(len(source))
    raw = source.texts(rows) if source.kind == "text" else source.images(rows)
    features = backbone.features(raw).double()
    return ((features - features.mean(0)) / features.std(0, correction=0)).float()


def test_images_become_standardised_features(photos: Source) -> None:
    encoder = fitted(photos, image_backbone())
    inputs = encoder.encode(photos)
    assert encoder.kind == "image"
    assert encoder.input_shape == (6,)
    assert encoder.mean_std is None
    assert isinstance(encoder, Encoder)
    torch.testing.assert_close(inputs[np.arange(10)], expected(photos, image_backbone()))


def test_texts_become_standardised_features(phrases: Source) -> None:
    encoder = fitted(phrases, text_backbone())
    assert encoder.kind == "text"
    found = encoder.encode(phrases)[np.arange(20)]
    torch.testing.assert_close(found, expected(phrases, text_backbone()), rtol=1e-4, atol=1e-4)


def test_texts_longer_than_the_limit_are_counted_also_when_they_are_known(phrases: Source) -> None:
    note = "texts are longer than the 14 tokens that fake:texts reads: the rest is not used"
    for _ in range(2):
        encoder: Any = fitted(phrases, text_backbone(limit=14))
        assert encoder.notes == (f"17 {note}",)
    assert fitted(phrases, text_backbone("ef" * 32, limit=31)).notes == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_arrays_of_images_become_features(channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).random((7, 9, 9, *channels))
    source = from_arrays(pixels, [0, 1, 0, 1, 0, 1, 0])
    encoder = fitted(source, image_backbone())
    assert encoder.kind == "array"
    images = np.rint(pixels * 255).astype(np.uint8)
    raw = [Image.fromarray(one).convert("RGB") for one in images]
    features = image_backbone().features(raw).double()
    whole = ((features - features.mean(0)) / features.std(0, correction=0)).float()
    torch.testing.assert_close(encoder.encode(source)[np.arange(7)], whole)
    # Of some other examples, the values have the same scale.
    few = encoder.encode(source.select(np.array([3, 0])))
    torch.testing.assert_close(few[np.arange(2)], whole[[3, 0]])


def test_each_example_is_computed_once(photos: Source, tmp_path: Path) -> None:
    backbone = image_backbone()
    encoder = fitted(photos, backbone)
    encoder.encode(photos)
    assert network(backbone).computed == 10
    fitted(photos.select(np.array([7, 2, 2])), backbone)
    again = image_folder(tmp_path / "again", {"c/x.png": picture(3), "c/y.png": picture(3)})
    encoder.encode(load(again, label="label"))
    assert network(backbone).computed == 10
    copy = parquet(tmp_path / "t.parquet", {"image": [picture(4), picture(11)], "label": [0, 1]})
    encoder.encode(load(copy, label="label", image="image"))
    assert network(backbone).computed == 11


def test_equal_examples_of_one_call_are_computed_once(tmp_path: Path) -> None:
    source = load(
        image_folder(tmp_path / "p", {f"{i % 2}/{i}.png": picture(i % 3) for i in range(9)}),
        label="label",
    )
    backbone = image_backbone()
    inputs = fitted(source, backbone).encode(source)
    assert network(backbone).computed == 3
    torch.testing.assert_close(inputs[np.arange(9)], expected(source, image_backbone()))


def test_a_changed_image_is_computed_anew(photos: Source) -> None:
    backbone = image_backbone()
    fitted(photos, backbone)
    (photos.rows.folder / "a" / "4.png").write_bytes(picture(99))
    inputs = fitted(photos, backbone).encode(photos)
    assert network(backbone).computed == 11
    torch.testing.assert_close(inputs[np.arange(10)], expected(photos, image_backbone()))


def test_another_backbone_or_preprocessing_is_computed_anew(photos: Source) -> None:
    fitted(photos, image_backbone("ab" * 32))
    other = image_backbone("cd" * 32, side=4)
    inputs = fitted(photos, other).encode(photos)
    assert network(other).computed == 10
    torch.testing.assert_close(inputs[np.arange(10)], expected(photos, image_backbone(side=4)))


def test_features_that_do_not_fit_stay_in_the_files(
    photos: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = fitted(photos, image_backbone())
    whole = encoder.encode(photos)
    assert isinstance(whole, torch.Tensor)
    monkeypatch.setattr("gdw.data.encode.backbone.memory_share", lambda: 4 * 10 * 6 - 1)
    mapped = encoder.encode(photos)
    assert isinstance(mapped, FeatureInputs)
    assert memory_share() > 4 * 10 * 6
    for indices in ([0], [9, 3, 3], list(range(10)), []):
        assert torch.equal(mapped[indices], whole[indices])
    sent = pickle.loads(pickle.dumps(mapped))
    assert torch.equal(sent[[5, 1]], whole[[5, 1]])


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (3, 4), (64, 2)])
def test_neither_batches_nor_threads_change_the_features(
    photos: Source, phrases: Source, monkeypatch: pytest.MonkeyPatch, batch: int, workers: int
) -> None:
    monkeypatch.setattr("gdw.data.features.network._BATCH_ON_CPU", batch)
    monkeypatch.setenv("OMP_NUM_THREADS", str(workers))
    before = torch.get_num_threads()
    for source, backbone in ((photos, image_backbone()), (phrases, text_backbone())):
        inputs = fitted(source, backbone).encode(source)
        torch.testing.assert_close(
            inputs[np.arange(len(source))], expected(source, backbone), rtol=1e-4, atol=1e-4
        )
        assert max(network(backbone).seen[:-1]) <= batch
    assert torch.get_num_threads() == before


def test_where_the_device_has_it_the_network_computes_in_bfloat16(
    photos: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = image_backbone()
    whole = fitted(photos, backbone).encode(photos)[np.arange(10)]
    monkeypatch.setattr("gdw.data.features.network._has_bfloat16", lambda device: True)
    halved = fitted(photos, backbone).encode(photos)[np.arange(10)]
    assert network(backbone).computed == 20, "both kinds are kept apart"
    assert not torch.equal(halved, whole)
    torch.testing.assert_close(halved, whole, rtol=0.2, atol=0.2)
    own = replace(backbone, name="Network")
    fitted(photos, own)
    assert "Network" in {path.name.partition("-")[0] for path in features_folder().iterdir()}
    assert [path.name for path in features_folder().glob("*-bf16")] == [
        f"fake-images-{backbone.fingerprint[:16]}-bf16"
    ]


def test_a_saved_encoder_needs_the_backbone_only_for_new_examples(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = fitted(photos, image_backbone())
    encoder.save(tmp_path / "encoder")
    loaded: Any = load_encoder(tmp_path / "encoder")
    rows = np.arange(10)
    assert torch.equal(loaded.encode(photos)[rows], encoder.encode(photos)[rows])
    assert loaded.settings == {"image_size": 8}
    again = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(again.encode(photos)[rows], encoder.encode(photos)[rows])


def test_a_backbone_that_changed_is_refused(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder: Any = fitted(photos.select(np.arange(5)), image_backbone())
    encoder.save(tmp_path / "encoder")
    loaded: Any = load_encoder(tmp_path / "encoder")
    now = image_backbone("0f" * 32)
    monkeypatch.setattr("gdw.data.encode.backbone._loaded", lambda name, size: now)
    with pytest.raises(
        RunError, match="fake:images is not that of the training any more: its weights"
    ):
        loaded.encode(photos)
    now = image_backbone()
    assert len(loaded.encode(photos)) == 10
    assert network(now).computed == 5


def test_views_are_crops_of_the_image_and_the_first_is_the_image(photos: Source) -> None:
    backbone = image_backbone()
    alone: Any = fitted(photos, backbone)
    encoder: Any = fitted(photos, backbone, views=3)
    assert encoder.input_shape == (3, 6)
    views = encoder.encode(photos)[np.arange(10)]
    assert views.shape == (10, 3, 6)
    assert network(backbone).computed == 10 + 20, "the images themselves are known"
    plain = alone.encode(photos)[np.arange(10)].numpy() * alone.scale + alone.mean
    first = views[:, 0].numpy() * encoder.scale + encoder.mean
    np.testing.assert_allclose(first, plain, atol=1e-5)
    assert (views[:, 1] - views[:, 2]).abs().mean() > 0.1
    other = fitted(photos, backbone, views=3, seed=1).encode(photos)[np.arange(10)]
    assert (other[:, 1] - views[:, 1]).abs().mean() > 0.1
    assert network(backbone).computed == 50
    # Of a part of the data, or in another order, they are the same.
    few = encoder.encode(photos.select(np.array([8, 1])))
    assert torch.equal(few[np.arange(2)], views[[8, 1]])
    assert network(backbone).computed == 50


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("phrases", {"views": 2}, "views are flipped and cropped images, but .* is text data"),
        ("photos", {"views": 0}, "expected 1 view or more, found 0"),
    ],
)
def test_views_that_cannot_be(
    request: pytest.FixtureRequest, source: str, options: dict[str, int], message: str
) -> None:
    backbone = text_backbone() if source == "phrases" else image_backbone()
    with pytest.raises(ConfigError, match=message):
        fitted(request.getfixturevalue(source), backbone, **options)


def test_a_backbone_for_another_kind_of_data(photos: Source, phrases: Source) -> None:
    with pytest.raises(
        ConfigError, match=r"fake:texts takes text data, but .*photos is image data"
    ):
        fitted(photos, text_backbone())
    with pytest.raises(ConfigError, match=r"fake:images takes image data, but .* is text data"):
        fitted(phrases, image_backbone())
    with pytest.raises(ConfigError, match="takes image data, but arrays is numbers data"):
        fitted(from_arrays(np.eye(3), [0, 1, 0]), image_backbone())
    table = phrases.rows.folder / "t.csv"
    table.write_text("a,b,label\n1,2,x\n2,1,y\n1,1,x\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"fake:texts takes text data, but .*t\.csv is table data"
    ):
        fitted(load(table, label="label"), text_backbone())


def test_a_broken_image_is_named_as_without_a_backbone(photos: Source) -> None:
    (photos.rows.folder / "a" / "2.png").write_bytes(picture(2)[:60])
    (photos.rows.folder / "b" / "3.png").unlink()
    messages = []
    for options in ({"backbone": image_backbone(), "progress": "none"}, {}):
        with pytest.raises(DataError, match=r"2 images cannot be read") as caught:
            fit_encoder(photos, **options)  # type: ignore[arg-type]
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_features_that_are_not_finite_or_of_another_shape_are_named(photos: Source) -> None:
    class Odd(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / (x.float().mean((1, 2, 3))[:, None] * 0)

    odd = Backbone("fake:odd", "image", Odd(6), image_backbone().preprocessing, 6, "00" * 32)
    with pytest.raises(DataError, match=r"a.0\.png: fake:odd gives features that are not finite"):
        fitted(photos, odd)
    wide = Backbone("fake:wide", "image", Network(6), image_backbone().preprocessing, 7, "01" * 32)
    with pytest.raises(ModelError, match=r"expected features of shape \(10, 7\), found \(10, 6\)"):
        fitted(photos, wide)


def test_images_whose_features_are_known_are_not_decoded_to_check_them(
    photos: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counted(value: Any, folder: Path) -> str | None:
        decoded.append(str(value))
        return fault(value, folder)

    monkeypatch.setattr("gdw.data.image_checks.fault", counted)
    check_images(photos)
    assert len(decoded) == 10
    fitted(photos, image_backbone())
    decoded.clear()
    check_images(photos)
    assert decoded == []
    (photos.rows.folder / "a" / "2.png").write_bytes(picture(2)[:60])
    (photos.rows.folder / "b" / "3.png").unlink()
    with pytest.raises(DataError, match="2 images cannot be read"):
        check_images(photos)
    assert set(decoded) == {str(Path("a", "2.png")), str(Path("b", "3.png"))}
