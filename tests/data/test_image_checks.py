"""Images that cannot be read: found, named and left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdw.data import broken_images, check_images, load
from gdw.data.image_checks import checked, without_broken
from gdw.errors import DataError

from .files import image_folder, jpeg, png

GOOD = png()
FILES = {
    "a/1.png": GOOD,
    "a/cut.jpg": jpeg()[:700],
    "a/text.png": b"no image",
    "b/1.png": GOOD,
    "b/empty.png": b"",
    "b/z.png": GOOD[:40],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return image_folder(tmp_path / "photos", FILES)


def test_what_is_left_out_is_named_by_row_and_reason(folder: Path) -> None:
    source = load(folder, label="label")
    kept = without_broken(source)
    assert [Path(kept.where(i)).name for i in range(len(kept))] == ["1.png", "1.png"]
    assert kept.known_labels.tolist() == [0, 1]
    assert [row for row, _ in kept.skipped] == [1, 2, 4, 5]
    assert "truncated" in kept.skipped[0][1]
    assert kept.skipped[1][1].startswith("it is none of JPEG")
    note = kept.notes[-1]
    assert note.startswith("4 images cannot be read and are left out: ")
    assert note.count(str(folder)) == 3
    assert note.endswith("; and 1 more")
    assert "cannot read the image" not in note
    assert kept.select(np.array([1])).skipped == kept.skipped
    assert without_broken(kept) is kept


def test_a_check_says_what_to_do(folder: Path) -> None:
    source = load(folder, label="label")
    with pytest.raises(DataError, match=r"a/cut.jpg: .* \(4 images cannot .*--skip-broken"):
        checked(source, skip=False)
    with pytest.raises(DataError, match=r"repair or remove it; gdw.data.broken_images lists all"):
        check_images(source)
    assert len(checked(source, skip=True)) == 2


def test_when_no_image_can_be_read(folder: Path) -> None:
    source = load(folder, label="label").select(np.array([1, 2]))
    with pytest.raises(DataError, match=r"a/cut.jpg: .*\(none of the 2 images can be read\)"):
        without_broken(source)


def test_images_beyond_the_limit_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = image_folder(tmp_path / "photos", {"a/1.png": GOOD, "b/1.png": GOOD})
    Image.new("1", (12_000, 10_000)).save(folder / "b" / "large.png")
    (row, reason), *others = without_broken(load(folder, label="label")).skipped
    assert row == 2
    assert not others
    assert "more than" in reason


def test_broken_images_of_a_list(folder: Path) -> None:
    picture = Image.new("RGB", (2, 2))
    images = [
        folder / "a/1.png",
        str(folder / "a/cut.jpg"),
        picture,
        b"no image",
        {"bytes": None, "path": "not: there.jpg"},
        None,
        np.zeros((2, 2), np.uint8),
    ]
    broken = dict(broken_images(images))
    assert list(broken) == [1, 3, 4, 5]
    assert broken[4].startswith("there is no such file")
    assert broken_images([]) == []


def test_tables_have_no_broken_images(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,label\n1,u\n2,v\n")
    source = load(tmp_path / "x.csv", label="label")
    assert broken_images(source) == []
    assert checked(source, skip=True) is source


def test_in_a_table_the_path_is_named_with_the_row(folder: Path) -> None:
    (folder / "x.csv").write_text("file,label\na/1.png,u\na/cut.jpg,v\n")
    note = without_broken(load(folder / "x.csv", label="label")).notes[-1]
    assert "left out: a/cut.jpg in row 1 of x.csv (" in note
