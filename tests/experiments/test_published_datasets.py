"""Small copies of the layouts in which data sets are distributed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gdw.data import check_images, load
from gdw.errors import DataError
from gdw.experiments.cifar_files import human_labels
from gdw.experiments.dataset_builders import parse_builder
from gdw.experiments.protocol import ProtocolPaths
from tests.data.files import jpeg
from tests.experiments.conftest import silent


def converted(folder: Path, **options: Any) -> dict[str, str]:
    made = parse_builder({"how": "layout", **options}, ProtocolPaths(folder))
    assert made is not None
    made.build(folder / "made", silent)
    return made.places(folder / "made")


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg((8, 8)))


@pytest.fixture(params=[".", "annotations"])
def clothing(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    root = tmp_path / "clothing1m"
    keys = [f"images/{i % 2}/{i}/{i},{i}.jpg" for i in range(12)]
    for key in keys:
        write_image(root / key)
    lists = root / request.param
    lists.mkdir(exist_ok=True)
    files = {
        "category_names_eng.txt": ["T-Shirt", "Shirt", "Knitwear"],
        "noisy_label_kv.txt": [f"{key} {i % 3}" for i, key in enumerate(keys[:6])],
        "clean_label_kv.txt": [
            f"{key} {(i + (i == 3)) % 3}" for i, key in enumerate(keys) if i > 1
        ],
        "noisy_train_key_list.txt": keys[:6],
        "clean_train_key_list.txt": keys[2:6],
        "clean_val_key_list.txt": keys[6:9],
        "clean_test_key_list.txt": keys[9:],
    }
    for name, lines in files.items():
        (lists / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_clothing1m(clothing: Path, tmp_path: Path) -> None:
    places = converted(tmp_path, layout="clothing1m", root="clothing1m")
    train = load(places["path"], label="label", drop=["truth"])
    assert (train.kind, len(train)) == ("image", 6)
    assert train.label_names == ("Knitwear", "Shirt", "T-Shirt")
    assert train.column("label") == ["T-Shirt", "Shirt", "Knitwear"] * 2
    assert train.column("truth") == [None, None, "Knitwear", "Shirt", "Shirt", "Knitwear"]
    check_images(train)
    for name in ("meta", "test"):
        part = load(places[name], label="label", label_names=train.label_names)
        assert len(part) == 3
        check_images(part)
    assert not list((tmp_path / "made").rglob("*.jpg"))


def test_clothing1m_with_a_broken_list(clothing: Path, tmp_path: Path) -> None:
    file = next(clothing.rglob("noisy_label_kv.txt"))
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], "images/x.jpg 7"]) + "\n")
    with pytest.raises(
        DataError, match=r"line 4 of .*noisy_label_kv.txt: .* a class number below 3, found"
    ):
        converted(tmp_path, layout="clothing1m", root="clothing1m")
    file.write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(
        DataError, match=r"has no label for 'images/1/3/3,3.jpg', which is in a key list"
    ):
        converted(tmp_path, layout="clothing1m", root="clothing1m")
    file.unlink()
    with pytest.raises(
        DataError,
        match=r"there is no .*noisy_label_kv.txt: expected the data set as it is distributed",
    ):
        converted(tmp_path, layout="clothing1m", root="clothing1m")


@pytest.fixture
def food(tmp_path: Path) -> Path:
    root = tmp_path / "Food-101N_release"
    keys = [f"{dish}/{i}.jpg" for dish in ("apple_pie", "waffles") for i in range(4)]
    for key in keys:
        write_image(root / "images" / key)
    (root / "meta").mkdir()
    files = {
        "imagelist.tsv": ["class_name/key", *keys],
        "verified_train.tsv": [
            "class_name/key\tverification_label",
            f"{keys[0]}\t1",
            f"{keys[1]}\t0",
            f"{keys[4]}\t1",
        ],
        "verified_val.tsv": [
            "class_name/key\tverification_label",
            f"{keys[2]}\t1",
            f"{keys[6]}\t1",
        ],
    }
    for name, lines in files.items():
        (root / "meta" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    other = tmp_path / "food-101"
    write_image(other / "images" / "waffles" / "9.jpg")
    (other / "meta").mkdir()
    (other / "meta" / "test.txt").write_text("waffles/9\n", encoding="utf-8")
    return root


def test_food101n(food: Path, tmp_path: Path) -> None:
    places = converted(tmp_path, layout="food101n", root="Food-101N_release", test_root="food-101")
    train = load(places["path"], label="label")
    assert [Path(p).name for p in train.column("image")] == ["1.jpg", "2.jpg", "3.jpg"] * 2
    clean = load(places["meta"], label="label")
    assert clean.column("label") == ["apple_pie", "waffles"]
    test = load(places["test"], label="label", label_names=train.label_names)
    assert test.column("image") == [str((tmp_path / "food-101/images/waffles/9.jpg").resolve())]
    for part in (train, clean, test):
        check_images(part)


def test_food101n_without_food101_is_measured_on_its_verified_images(
    food: Path, tmp_path: Path
) -> None:
    places = converted(tmp_path, layout="food101n", root="Food-101N_release")
    assert [Path(p).name for p in load(places["test"], label="label").column("image")] == [
        "2.jpg"
    ] * 2
    assert [Path(p).name for p in load(places["path"], label="label").column("image")] == [
        "1.jpg",
        "3.jpg",
    ] * 2


def test_food101n_with_a_broken_list(food: Path, tmp_path: Path) -> None:
    (food / "meta" / "verified_train.tsv").write_text("class_name/key\tx\nwaffles/1.jpg 1\n")
    with pytest.raises(
        DataError, match=r"line 2 of .*verified_train.tsv: expected class/key, a tab"
    ):
        converted(tmp_path, layout="food101n", root="Food-101N_release")
    (food / "meta" / "verified_train.tsv").write_bytes(b"class_name/key\tx\n\0waffles/1.jpg\t1\n")
    with pytest.raises(DataError, match=r"line 2 of .*verified_train.tsv has a zero byte"):
        converted(tmp_path, layout="food101n", root="Food-101N_release")


def write_cifar(folder: Path, classes: int) -> np.ndarray[Any, Any]:
    """Ten training rows in batches of two; the pixels of row i are all i. Returns the labels."""
    folder.mkdir()
    labels = np.arange(10) % classes
    coarse = [] if classes == 10 else [0]
    rows = [bytes([*coarse, y]) + bytes([i]) * 3072 for i, y in enumerate(labels)]
    if classes == 10:
        for batch in range(5):
            (folder / f"data_batch_{batch + 1}.bin").write_bytes(
                b"".join(rows[2 * batch : 2 * batch + 2])
            )
        (folder / "test_batch.bin").write_bytes(rows[7])
        names = "batches.meta.txt"
    else:
        (folder / "train.bin").write_bytes(b"".join(rows))
        (folder / "test.bin").write_bytes(rows[7])
        names = "fine_label_names.txt"
    (folder / names).write_text("\n".join(f"c{k}" for k in range(classes)) + "\n\n")
    return labels


@pytest.mark.parametrize(
    ("classes", "name"), [(10, "cifar-10-batches-bin"), (100, "cifar-100-binary")]
)
def test_cifar_in_its_binary_version(classes: int, name: str, tmp_path: Path) -> None:
    labels = write_cifar(tmp_path / name, classes)
    places = converted(tmp_path, layout=f"cifar{classes}", root=".")
    train = load(places["path"], label="label")
    assert train.array().shape == (10, 32, 32, 3)
    assert train.array()[:, 31, 0, 2].tolist() == list(range(10))
    assert train.column("label") == [f"c{y}" for y in labels]
    assert load(places["test"], label="label").column("label") == ["c7"]


def test_cifar10n(tmp_path: Path) -> None:
    labels = write_cifar(tmp_path / "cifar-10-batches-bin", 10)
    worse = (labels + 1) % 10
    content = {"clean_label": labels, "worse_label": worse, "aggre_label": labels.astype(np.int32)}
    torch.save(content, tmp_path / "CIFAR-10_human.pt")
    options = {"layout": "cifar10", "root": "cifar-10-batches-bin", "human": "CIFAR-10_human.pt"}
    places = converted(tmp_path, **options)
    train = load(places["path"], label="worse_label")
    assert train.columns == ("X", "label", "worse_label", "aggre_label")
    assert train.column("worse_label") == [f"c{k}" for k in worse]
    torch.save({"clean_label": worse}, tmp_path / "CIFAR-10_human.pt")
    with pytest.raises(DataError, match="expected both in the order of the original batches"):
        converted(tmp_path, **options, test_root=".")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"worse_label": Trap()}, "trap.pt")
    with pytest.raises(DataError, match="holds more than plain arrays"):
        human_labels(Path("trap.pt"))
    Path("other.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(DataError, match="holds more than plain arrays"):
        human_labels(Path("other.pt"))
    assert not Path("sprung").exists()


def test_cifar_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the binary version of CIFAR"):
        converted(tmp_path, layout="cifar10", root=".")
    write_cifar(tmp_path / "cifar-10-batches-bin", 10)
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(b"short")
    with pytest.raises(DataError, match="has 5 bytes, not a multiple of 3073"):
        converted(tmp_path, layout="cifar10", root=".")
