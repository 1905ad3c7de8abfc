"""What the page shows of a row, for every kind of data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.data import load
from gdw.data.verification import write_queue
from gdw.verify.examples import Examples
from gdw.verify.requests import RefusedError
from gdw.verify.serving import open_data
from tests.verify import made


def examples(path: Path, label: str = "label", **columns: Any) -> Examples:
    source = load(path, label=label, **columns)
    every = np.arange(len(source))
    queue = write_queue(
        path.with_name("v.jsonl"), source, every, label=label, data=path, neighbours=[[1]] * len(every)
    )  # fmt: skip
    return Examples(open_data(queue), queue, queue.candidates)


@pytest.mark.parametrize(
    ("shape", "picture", "cells", "context"),
    [((8, 8), True, 0, 0), ((64,), True, 0, 64), ((5,), False, 5, 0), ((50,), False, 50, 0)],
)
def test_arrays_that_look_like_pictures_are_shown_as_such(
    tmp_path: Path, shape: tuple[int, ...], picture: bool, cells: int, context: int
) -> None:
    X = np.arange(4 * np.prod(shape)).reshape(4, *shape)
    np.savez(tmp_path / "a.npz", X=X, y=np.arange(4) % 2)
    found = examples(tmp_path / "a.npz", label="y")
    content = found.content(2, blind=True)
    assert content.get("picture", False) == picture
    assert (len(content.get("cells", ())), len(content["context"])) == (cells, context)
    if picture:
        assert found.picture(2, None, 100)[1] == "image/png"


def test_cells_are_written_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(
        "".join(
            f'{{"x": {0.1 + 0.2!r}, "n": {i}, "none": null, "label": "{"ab"[i % 2]}", "more": ["ü", "é"]}}\n'
            for i in range(4)
        ),
        encoding="utf-8",
    )
    content = examples(tmp_path / "d.jsonl", features=["x", "none"]).content(1, blind=True)
    assert dict(content["cells"]) == {"x": "0.3", "none": "–"}
    assert dict(content["context"]) == {"n": "1", "more": '["ü", "é"]'}
    (near,) = content["neighbours"]
    assert near == {"label": "b", "text": "x 0.3, none –"}


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    rows = "".join(f"{'word ' * 20_000} {i},{'ab'[i % 2]}\n" for i in range(4))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows}")
    text = examples(tmp_path / "t.csv", text="text").content(0, blind=True)["text"]
    assert len(text) < 51_000
    assert text.endswith("… (50,002 more characters)")


def test_large_pictures_are_made_smaller_and_may_be_enlarged(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "b").mkdir()
    for name in "ab":
        Image.new("RGB", (2400, 1200), "red").save(tmp_path / "images" / name / "1.jpg")
    found = examples(tmp_path / "images")
    sizes = []
    for side in (1600, 4096, 160):
        content, kind = found.picture(0, None, side)
        sizes.append((Image.open(io.BytesIO(content)).size, kind))
    assert sizes == [
        ((1600, 800), "image/jpeg"), ((2400, 1200), "image/jpeg"), ((160, 80), "image/png")
    ]  # fmt: skip


def test_a_row_without_picture_has_none(tmp_path: Path) -> None:
    desk = made.desk(made.table_queue(tmp_path))
    with pytest.raises(RefusedError, match="this row has no picture"):
        desk.picture(0, None, 100)
    desk.close()
