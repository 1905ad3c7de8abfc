"""Near-duplicates, outliers, and blank or dark images, planted in small data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from gdw.audit.data_problems import DataProblems, data_problems
from gdw.data import from_arrays, load
from gdw.data.source import Source
from gdw.errors import RunError


def pairs(problems: DataProblems) -> set[tuple[str, int, str, int]]:
    """Each pair as part, row, part, row."""
    names = [f"k{k}" for k in range(20)]
    return {(a, i, b, j) for a, i, _, _, b, j, _, _, *_ in problems.duplicates.rows(names)}


def table(path: Path, rows: list[dict[str, Any]]) -> Source:
    pd.DataFrame(rows).to_csv(path, index=False)
    return load(str(path), label="label")


def people(n: int, *, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"age": int(rng.integers(18, 90)), "income": round(float(rng.normal(3e4, 9e3)), 2),
         "city": ["Bonn", "Lima", "Oslo"][rng.integers(3)], "label": ["a", "b"][i % 2]}
        for i in range(n)
    ]  # fmt: skip


def test_rows_of_tables_that_are_equal_but_for_their_spelling(tmp_path: Path) -> None:
    rows = people(300)
    rows.append({**rows[5], "city": f" {rows[5]['city'].upper()} "})
    rows.append({**rows[6], "age": f"{rows[6]['age']}.0", "label": "b"})
    test = [*people(40, seed=1), rows[9], {**rows[10], "label": "b"}]
    assert (rows[6]["label"], rows[10]["label"]) == ("a", "a")
    sources = {
        "training": table(tmp_path / "data.csv", rows),
        "test": table(tmp_path / "test.csv", test),
    }
    found = data_problems(sources)
    assert pairs(found) == {
        ("training", 5, "training", 300), ("training", 6, "training", 301),
        ("training", 9, "test", 40), ("training", 10, "test", 41),
    }  # fmt: skip
    columns = found.columns
    assert columns["near_duplicate_of"][5] == "row 300 of data.csv"
    assert columns["near_duplicate_of"][10] == "row 41 of test.csv"
    assert np.flatnonzero(columns["duplicate_labels_differ"]).tolist() == [6, 10, 301]
    assert found.lines() == [
        "2 of 42 test examples have a near-duplicate in the training data (1 with another label): the test "
        "accuracy is too good",
        "near-duplicates: 6 of 302 training examples, 3 of them with another label (pairs in duplicates.csv)",
    ]


def test_copies_are_told_from_rows_of_few_different_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grades = [
        {"a": int(rng.integers(3)), "b": int(rng.integers(3)), "c": int(rng.integers(2)),
         "label": "xy"[rng.integers(2)]}
        for _ in range(200)
    ]  # fmt: skip
    by_chance = data_problems({"training": table(tmp_path / "grades.csv", grades)})
    assert pairs(by_chance) == set()
    assert by_chance.lines() == [
        "note: many rows are equal because their columns have few values: they are not listed as duplicates"
    ]
    tripled = data_problems({"training": table(tmp_path / "people.csv", people(100) * 3)})
    assert (tripled.columns["near_duplicate_of"] != "").all()
    first = tripled.columns["near_duplicate_of"][0]
    assert first == "row 100 of people.csv; row 200 of people.csv"


def test_numbers_are_equal_if_files_only_round_them_differently() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4))
    X[20] = X[3].astype(np.float32)
    X[21] = X[4] + 1e-3
    X[30:, 0] += 2.0**30
    found = data_problems({"training": from_arrays(X, np.arange(50) % 2)})
    assert pairs(found) == {("training", 3, "training", 20)}


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_equal_and_few_rows_of_each_kind(tmp_path: Path, rows: int) -> None:
    labels = np.arange(rows) % 2
    wide, tall = np.ones((rows, 40)), np.full((rows, 8, 8), 7, dtype=np.uint8)
    texts = pd.DataFrame({"text": ["one and the same long sentence"] * rows, "label": labels})
    texts.to_csv(tmp_path / "texts.csv", index=False)
    for source in (
        from_arrays(wide, labels),
        from_arrays(tall, labels),
        from_arrays(wide[:, :3], labels),
        load(str(tmp_path / "texts.csv"), label="label", text="text"),
    ):
        found = data_problems({"training": source})
        assert not found.columns["is_outlier"].any()
        assert np.isfinite(found.duplicates.similarity).all()
        assert len(found.lines()) <= 3


def photo(seed: int) -> Image.Image:
    """A picture of a few soft shapes, unlike that of another seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((80, 60), Image.Resampling.BICUBIC)


def reencoded(picture: Image.Image) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=50)
    return Image.open(content).convert("RGB")


COPIES = {
    "jpeg": reencoded,
    "larger": lambda picture: picture.resize((200, 150)),
    "bright": lambda picture: ImageEnhance.Brightness(picture).enhance(1.15),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
}


def folder(root: Path, pictures: dict[str, Image.Image]) -> Source:
    for name, picture in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return load(str(root), label="label")


def test_changed_copies_of_images_and_poor_images(tmp_path: Path) -> None:
    pictures = {f"{'ab'[i % 2]}/{i:02}.png": photo(i) for i in range(40)}
    pictures |= {f"a/{name}.png": change(photo(2)) for name, change in COPIES.items()}
    pictures |= {
        "b/black.png": Image.new("RGB", (50, 50), (2, 2, 2)),
        "b/night.png": ImageEnhance.Brightness(photo(99)).enhance(0.15),
        "b/snow.png": Image.fromarray(np.asarray(photo(98)) // 12 + 234),
    }
    training = folder(tmp_path / "data", pictures)
    test = folder(tmp_path / "test", {"a/00.png": photo(7), "b/01.png": photo(70)})
    found = data_problems({"training": training, "test": test})
    place = [Path(training.where(i)) for i in range(len(training))]
    name = [path.name for path in place]
    copies = {name.index(f"{copy}.png") for copy in COPIES} | {name.index("02.png")}
    assert {i for a, i, b, _ in pairs(found) if b == "training"} | {
        j for a, _, b, j in pairs(found) if b == "training"
    } == copies
    assert {(a, i, b, j) for a, i, b, j in pairs(found) if b == "test"} == {
        ("training", name.index("07.png"), "test", 0)
    }
    problem = dict(zip(name, found.columns["image_problem"], strict=True))
    assert {k: v for k, v in problem.items() if v} == {
        "black.png": "blank", "night.png": "dark", "snow.png": "bright",
    }  # fmt: skip
    assert found.columns["duplicate_labels_differ"][name.index("07.png")]
    assert "images: 1 blank, 1 bright, 1 dark" in found.lines()


def test_images_that_are_all_alike_are_no_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    outline = np.asarray(photo(0).convert("L").resize((28, 28)), dtype=np.float64)
    images = (outline + rng.normal(0, 8, (60, 28, 28))).clip(0, 255).astype(np.uint8)
    images[41] = images[5] // 8 * 8
    found = data_problems({"training": from_arrays(images, np.arange(60) % 2)})
    assert pairs(found) == {("training", 5, "training", 41)}


def test_images_of_few_pixels_are_copies_only_if_they_are_equal() -> None:
    scans = load_digits().images[:400]
    problems = data_problems(
        {"training": from_arrays(np.concatenate([scans, scans[7:8]]), np.arange(401) % 2)}
    )

    assert pairs(problems) == {("training", 7, "training", 400)}


def test_what_all_images_have_in_common_is_no_problem() -> None:
    rng = np.random.default_rng(0)
    night = rng.integers(0, 40, (40, 12, 12), dtype=np.uint8)
    assert not data_problems(
        {"training": from_arrays(night, np.arange(40) % 2)}
    ).image_problem.any()


def test_an_image_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    source = folder(tmp_path / "data", {f"{'ab'[i % 2]}/{i}.png": photo(i) for i in range(12)})
    (tmp_path / "data" / "a" / "4.png").write_bytes(b"no picture")
    problem = data_problems({"training": source}).columns["image_problem"]
    assert [Path(source.where(i)).name for i in np.flatnonzero(problem)] == ["4.png"]
    assert set(problem) == {"", "unreadable"}


SENTENCES = [
    f"the {adjective} {noun} of number {k} {verb} {place}"
    for k, (adjective, noun, verb, place) in enumerate(
        (a, n, v, p)
        for a in ("old", "green", "tired")
        for n in ("captain", "violin", "mountain")
        for v in ("sleeps", "travels")
        for p in ("under water", "in spring", "without hats")
    )
]


def texts(path: Path, rows: list[str]) -> Source:
    labels = [f"k{i % 3}" for i in range(len(rows))]
    pd.DataFrame({"text": rows, "label": labels}).to_csv(path, index=False)
    return load(str(path), label="label", text="text")


def test_texts_that_differ_in_case_and_punctuation(tmp_path: Path) -> None:
    rows = [*SENTENCES, f"  {SENTENCES[4].upper()}!! "]
    found = data_problems({
        "training": texts(tmp_path / "data.csv", rows),
        "verified": texts(tmp_path / "meta.csv", [f"“{SENTENCES[11]}”…", "nothing like the others here"]),
        "test": texts(tmp_path / "test.csv", [f"{SENTENCES[11]}."]),
    })  # fmt: skip
    assert pairs(found) == {
        ("training", 4, "training", len(SENTENCES)), ("training", 11, "verified", 0),
        ("training", 11, "test", 0), ("verified", 0, "test", 0),
    }  # fmt: skip
    assert [(leak.part, leak.found, leak.differ) for leak in found.duplicates.leaks()] == [
        ("verified", 1, 1),
        ("test", 1, 1),
    ]


def meanings(source: Source) -> NDArray[np.float32]:
    """Features of a make-believe encoder, which depend on the long words of a text, whatever their case."""
    words = np.random.default_rng(0).normal(size=(997, 30))
    rows = source.texts(np.arange(len(source)))
    return np.array(
        [
            sum(words[sum(map(ord, w.lower())) % 997] for w in row.split() if len(w) > 4)
            for row in rows
        ],
        dtype=np.float32,
    )


def test_features_find_copies_with_another_word_and_texts_about_something_else(
    tmp_path: Path,
) -> None:
    changed = SENTENCES[8].replace("of number", "with number")
    rows = [*SENTENCES, changed, "ERROR 404 <div> segmentation fault"]
    source = texts(tmp_path / "data.csv", rows)
    alone = data_problems({"training": source})
    assert pairs(alone) == set()
    assert np.isnan(alone.columns["outlier_score"]).all()
    found = data_problems({"training": source}, features=meanings)
    assert pairs(found) == {("training", 8, "training", len(SENTENCES))}
    assert len(repr(found)) < 250
    scores = found.columns["outlier_score"]
    assert scores.argmax() == len(rows) - 1
    assert np.flatnonzero(found.columns["is_outlier"]).tolist() == [len(rows) - 1]


def test_features_that_are_gone_are_told_and_the_rest_is_found(tmp_path: Path) -> None:
    def gone(_: Source) -> Any:
        raise RunError("they are no longer in the cache")

    rows = [*SENTENCES, SENTENCES[3]]
    found = data_problems({"training": texts(tmp_path / "data.csv", rows)}, features=gone)
    assert pairs(found) == {("training", 3, "training", len(SENTENCES))}
    assert found.lines()[-1] == (
        "note: the features of the pretrained network were not used: they are no longer in the cache"
    )
