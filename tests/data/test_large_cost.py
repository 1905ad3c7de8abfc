"""Small files that would need much memory or time: refused before they are read, in one line."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gdw.data import fit_encoder, load, pixel_limit
from gdw.data.image_checks import check_images
from gdw.data.images import decode, is_image
from gdw.data.rows import open_rows
from gdw.errors import ConfigError, DataError
from gdw.files.memory import require_unpacked

TIMES = "more than 200 times its size: "


@pytest.fixture(autouse=True)
def limit_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is found once in a process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    pixel_limit.set_limit.cache_clear()


def _picture(path: Path, side: int, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(options.pop("mode", "1"), (side, side)).save(path, **options)
    return path


def test_an_image_of_too_many_pixels(tmp_path: Path) -> None:
    for name, side, size in (
        ("b", 9_500, "9,500 x 9,500 pixels"),
        ("c", 13_400, "179,560,000 pixels"),
    ):
        path = _picture(tmp_path / f"{name}.png", side)
        assert path.stat().st_size < 30_000
        fault = (
            (
                rf"cannot read the image '{name}.png': it has {size}, more than 89,478,485 in all: make it "
                "smaller, or allow it with the environment variable GDW_MAX_IMAGE_PIXELS$"
            )
            if name == "c"
            else f"cannot read the image '{name}.png': it has .*pixels, more than 89,478,485"
        )
        with pytest.raises(DataError, match=fault):
            decode(path.name, tmp_path)
        assert is_image(path.read_bytes())


def test_the_check_of_images_names_the_file(tmp_path: Path) -> None:
    for k in range(4):
        _picture(tmp_path / f"c{k % 2}" / f"{k}.png", 9_500 if k == 3 else 8)
    source = load(tmp_path, label="label")
    with pytest.raises(DataError, match=r"c1/3.png: cannot read .* in all: make it smaller"):
        check_images(source)


def test_the_limit_can_be_raised_and_lowered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _picture(tmp_path / "a.png", 100)
    monkeypatch.setenv(pixel_limit.VARIABLE, "9999")
    with pytest.raises(DataError, match=r"it has .*pixels, more than 9,999 in all"):
        decode(path.name, tmp_path)
    pixel_limit.set_limit.cache_clear()
    monkeypatch.setenv(pixel_limit.VARIABLE, "200000000")
    assert pixel_limit.set_limit() == Image.MAX_IMAGE_PIXELS == 200_000_000
    assert decode(path.name, tmp_path).size == (100, 100)
    pixel_limit.set_limit.cache_clear()
    monkeypatch.setenv(pixel_limit.VARIABLE, "many")
    with pytest.raises(
        ConfigError, match="GDW_MAX_IMAGE_PIXELS should be a number of pixels, found"
    ):
        decode(path.name, tmp_path)


def test_formats_with_costly_decoders_have_a_lower_limit(tmp_path: Path) -> None:
    path = _picture(tmp_path / "a.jp2", 3_400, mode="L")
    with pytest.raises(
        DataError, match=r"it has 3,400 x 3,400 pixels, more than 11,184,810 in all"
    ):
        decode(path.name, tmp_path)


def test_threads_share_the_pixels_that_they_decode_at_a_time() -> None:
    budget = pixel_limit._Budget(10)
    entered: list[int] = []

    def work(pixels: int) -> None:
        with budget.taking(pixels):
            entered.append(pixels)

    with budget.taking(6):
        threads = [threading.Thread(target=work, args=(n,)) for n in (3, 100)]
        for thread in threads:
            thread.start()
        threads[0].join(5)
        assert entered == [3], "the image of 100 pixels waits until it is alone"
    threads[1].join(5)
    assert entered == [3, 100]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_strips_of_transparent_images_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    draws = np.random.default_rng(0)
    bands = {"RGBA": 4, "LA": 2, "P": 1}[mode]
    pixels = draws.integers(0, 256, (40, 30, bands), dtype=np.uint8)
    if mode == "P":
        image = Image.fromarray(pixels[..., 0], "L").convert("P")
        image.save(tmp_path / "a.png", transparency=3)
    else:
        Image.frombytes(mode, (30, 40), pixels.tobytes()).save(tmp_path / "a.png")
    whole = np.asarray(decode("a.png", tmp_path))
    monkeypatch.setattr("gdw.data.images._STRIP", 100)
    assert (np.asarray(decode("a.png", tmp_path)) == whole).all()


def test_strips_of_grey_images_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    whole = np.asarray(decode("a.tif", tmp_path))
    monkeypatch.setattr("gdw.data.grey_range._STRIP", 100)
    assert (np.asarray(decode("a.tif", tmp_path)) == whole).all()
    assert whole.max() == 255
    assert whole.min() == 0


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that small tests reach."""
    monkeypatch.setattr("gdw.files.memory.HARMLESS", 1 << 22)


@pytest.mark.usefixtures("harmless")
def test_an_archive_that_unpacks_to_much_more(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, X=np.zeros((8, 100_000)), y=np.arange(8) % 2)
    with pytest.raises(
        DataError,
        match=rf"a.npz has \d+\.\d kB but needs 6.4 MB when it is read, {TIMES}save it with",
    ):
        open_rows(path)


def test_a_header_that_declares_more_than_the_archive_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=np.zeros((2, 2)), y=np.arange(2))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(2, 2), }" + b" " * 8, b"(2000000000, 200000)"[:-3] + b"}"))
    with pytest.raises(DataError, match=r"a.npz is damaged, or not a NumPy archive"):
        open_rows(path)


def test_more_than_the_free_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 100)
    require_unpacked(path, 1000, "", limit=1000)
    with pytest.raises(
        DataError, match=r"x needs 1.0 kB of memory when it is read, but only 999 bytes are"
    ):
        require_unpacked(path, 1000, "", limit=999)


@pytest.mark.usefixtures("harmless")
def test_parquet_whose_texts_repeat_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    codes = pa.array(np.zeros(2_000, np.int32))
    texts = pa.DictionaryArray.from_arrays(codes, pa.array(["word " * 2000]))
    pq.write_table(pa.table({"text": texts, "label": codes}), path, store_schema=False)
    with pytest.raises(
        DataError, match=rf"a.parquet has .* when it is read, {TIMES}write it without"
    ):
        open_rows(path)
    few = tmp_path / "few.parquet"
    pq.write_table(pa.table({"text": texts[:150], "label": codes[:150]}), few, store_schema=False)
    direct = pq.read_table(few)
    rows = open_rows(few)
    assert rows.arrow("text").to_pylist() == direct["text"].to_pylist()
    assert rows.arrow("text").type == direct["text"].type


@pytest.mark.usefixtures("harmless")
def test_parquet_whose_numbers_repeat_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    zeros = pa.array(np.zeros(1_000_000, np.int8))
    table = pa.table({"x": zeros, "y": zeros, "label": zeros}).cast(
        pa.schema([("x", pa.int64()), ("y", pa.int32()), ("label", pa.int32())])
    )
    pq.write_table(table, path, compression="zstd")
    with pytest.raises(
        DataError, match=rf"a.parquet has .* but needs 16.0 MB when it is read, {TIMES}"
    ):
        open_rows(path)


def _json_lines(path: Path, rows: int, item: Callable[[int], dict[str, Any]]) -> Path:
    path.write_text(
        "".join(json.dumps({**item(k), "label": "ab"[k % 2]}) + "\n" for k in range(rows))
    )
    return path


@pytest.mark.usefixtures("harmless")
def test_lines_with_keys_of_their_own(tmp_path: Path) -> None:
    fault = rf"when it is read, {TIMES}its lines have different keys, and each key is a column"
    for nested in (False, True):
        flat = lambda k: {f"k{k}": k}  # noqa: E731
        item = (lambda k: {"x": {f"k{k}": k}}) if nested else flat
        with pytest.raises(DataError, match=fault):
            open_rows(_json_lines(tmp_path / "a.jsonl", 3_000, item))


@pytest.mark.usefixtures("harmless")
def test_lines_with_many_optional_keys_are_read(tmp_path: Path) -> None:
    path = _json_lines(
        tmp_path / "a.jsonl", 3_000, lambda k: {f"w{(k * 37 + j) % 900}": 1 for j in range(9)}
    )
    assert len(open_rows(path).columns) == 901


def _calls(task: Callable[[], object]) -> int:
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        task()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_for_a_table_grows_with_its_columns(tmp_path: Path) -> None:
    def encode(width: int) -> None:
        path = tmp_path / f"{width}.csv"
        names = ",".join(f"c{k}" for k in range(width))
        rows = [
            ",".join(str(k * r % 17) for k in range(width)) + f",{'ab'[r % 2]}" for r in range(6)
        ]
        path.write_text("\n".join([names + ",label", *rows]))
        source = load(path, label="label")
        encoder = fit_encoder(source)
        encoder.encode(source)
        # scikit-learn looks up names one by one in the list of all names, in one call.
        assert all(columns.dtype.kind == "i" for _, _, columns in encoder.fitted.transformers[:1])  # type: ignore[attr-defined]

    encode(10)
    few, many = (_calls(lambda width=width: encode(width)) for width in (100, 400))
    assert many < 4.5 * few
