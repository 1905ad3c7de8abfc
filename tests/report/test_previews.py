"""Training examples as a reader sees them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from gdw.data import load
from gdw.data.source import from_arrays
from gdw.report.previews import previews
from tests.data.files import image_folder, jpeg, png


def picture(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


def test_pictures_are_small_and_few_pixels_stay_exact(tmp_path: Path) -> None:
    red = png((200, 10, 20), (4, 3))
    root = image_folder(tmp_path / "d", {"a/x.png": red, "b/y.jpg": jpeg((300, 200))})
    source = load(root, label=None)
    small, large = previews(source, [str(root / "a/x.png"), str(root / "b/y.jpg")])
    assert small.small
    assert not large.small
    assert small.picture is not None
    assert large.picture is not None
    assert picture(small.picture).getpixel((3, 2)) == (200, 10, 20)
    assert max(picture(large.picture).size) == 128


def test_a_lost_or_damaged_picture_is_told_from_a_good_one(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "d", {"a/x.png": png(), "b/y.png": b"none"})
    source = load(root, label=None)
    places = [str(root / "b/y.png"), str(root / "a/gone.png"), str(root / "a/x.png")]
    damaged, lost, good = previews(source, places)
    assert damaged.problem == "cannot be read any more"
    assert lost.problem == "no longer in the data"
    assert good.problem is None


def test_texts_are_cut_and_rows_are_named_cells(tmp_path: Path) -> None:
    texts = tmp_path / "t.csv"
    texts.write_text("text,label\n" + "\n".join(f"{'many words of text ' * 40},{k}" for k in "ab"))
    (shown,) = previews(load(texts, label="label", text="text"), ["row 1 of t.csv"])
    assert shown.text is not None
    assert len(shown.text) == 300
    assert shown.text.endswith("…")
    table = tmp_path / "x.csv"
    header = ",".join(f"c{k}" for k in range(20))
    table.write_text(f"{header},label\n" + f"{'1.5,' * 20}a\n" + f"{'2.5,' * 19},b\n")
    (row,) = previews(load(table, label="label"), ["row 1 of x.csv"])
    assert row.cells[0] == ("c0", "2.5")
    assert row.cells[-1] == ("", "and 8 more columns")


def test_arrays_are_grey_pictures_from_dark_to_light_or_numbers() -> None:
    images = np.zeros((2, 5, 5))
    images[1, 2, 3] = 16.0
    (shown,) = previews(from_arrays(images), ["row 1 of arrays"])
    assert shown.picture is not None
    assert picture(shown.picture).getpixel((3, 2)) == (255, 255, 255)
    assert picture(shown.picture).getpixel((0, 0)) == (0, 0, 0)
    (row,) = previews(from_arrays(np.array([[1.0, 2.0]])), ["row 0 of arrays"])
    assert row.cells == (("x0", "1"), ("x1", "2"))
