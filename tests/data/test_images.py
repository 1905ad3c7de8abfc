"""Images: folders, paths, bytes and structs; odd modes; unreadable files."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdw.data import check_images, load
from gdw.data.images import decode
from gdw.errors import DataError

from .files import image_folder, jpeg, parquet, png

RED, BLUE = png((255, 0, 0)), png((0, 0, 255))
ODD_NAMES = {
    "with space/a b.png": RED,
    "with space/-dash.PNG": RED,
    "naïve 日本/x\ny.png": BLUE,
    "naïve 日本/deep/er/z.JPEG": jpeg(),
    "NA/1.png": BLUE,
    "<script>/1.png": BLUE,
}
IGNORED = {
    ".hidden/1.png": RED,
    "NA/.hidden.png": RED,
    "NA/Thumbs.db": b"x",
    "notes.txt": b"x",
}


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    source = load(image_folder(tmp_path / "data", {**ODD_NAMES, **IGNORED}), label="label")
    assert source.kind == "image"
    assert source.label_names == ("<script>", "NA", "naïve 日本", "with space")
    assert source.labels is not None
    assert np.bincount(source.labels).tolist() == [1, 1, 2, 2]
    pictures = source.images(np.arange(len(source)))
    assert all(picture.mode == "RGB" for picture in pictures)
    by_name = {source.where(i): picture for i, picture in enumerate(pictures)}
    dash = by_name[str(tmp_path / "data/with space/-dash.PNG")]
    assert dash.getpixel((0, 0)) == (255, 0, 0)
    assert repr(str(tmp_path / "data/naïve 日本/x\ny.png")) in by_name
    check_images(source)


def test_the_order_of_a_folder_is_sorted(tmp_path: Path) -> None:
    image_folder(tmp_path, {f"{c}/{i}.png": RED for c in "ba" for i in (2, 1, 3)})
    source = load(tmp_path, label="label")
    places = [source.where(i) for i in range(6)]
    assert places == sorted(places)
    assert load(tmp_path, label=None).labels is None


def test_numbered_class_folders_sort_as_numbers(tmp_path: Path) -> None:
    image_folder(tmp_path, {f"{c}/1.png": RED for c in (10, 9, 1)})
    assert load(tmp_path, label="label").label_names == ("1", "9", "10")


def test_linked_folders_do_not_go_in_circles(tmp_path: Path) -> None:
    image_folder(tmp_path / "data", {"a/1.png": RED, "b/1.png": RED})
    (tmp_path / "data/a/loop").symlink_to(tmp_path / "data")
    image_folder(tmp_path / "far", {"1.png": RED, "2.png": RED})
    (tmp_path / "data/c").symlink_to(tmp_path / "far")
    source = load(tmp_path / "data", label="label")
    assert source.labels is not None
    assert (source.label_names, np.bincount(source.labels).tolist()) == (("a", "b", "c"), [1, 1, 2])


def test_paths_in_a_table_start_at_its_folder(tmp_path: Path) -> None:
    image_folder(tmp_path / "img", {"1.png": RED, "2.PNG": BLUE})
    path = tmp_path / "x.csv"
    absolute = tmp_path / "img/2.PNG"
    path.write_text(f"file,size,label\nimg/1.png,3,a\n{absolute},4,b\n")
    source = load(path, label="label")
    assert (source.kind, source.feature_columns) == ("image", ("file",))
    colours = [picture.getpixel((1, 1)) for picture in source.images(np.array([1, 0]))]
    assert colours == [(0, 0, 255), (255, 0, 0)]


@pytest.mark.parametrize("kind", ["bytes", "struct", "struct of path", "named"])
def test_images_in_parquet(tmp_path: Path, kind: str) -> None:
    image_folder(tmp_path, {"1.png": RED, "2.png": BLUE})
    cells = {
        "bytes": [RED, BLUE],
        "struct": [{"bytes": RED, "path": "elsewhere.png"}, {"bytes": BLUE, "path": None}],
        "struct of path": [{"bytes": None, "path": "1.png"}, {"bytes": None, "path": "2.png"}],
        "named": ["1.png", "2.png"],
    }[kind]
    path = parquet(tmp_path / "x.parquet", {"picture": cells, "label": [0, 1]})
    source = load(path, label="label", image="picture" if kind == "named" else None)
    assert source.kind == "image"
    colours = [picture.getpixel((1, 1)) for picture in source.images(np.array([0, 1]))]
    assert colours == [(255, 0, 0), (0, 0, 255)]


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_odd_modes_become_rgb(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([9, 8, 7] * 256)
    grey16 = Image.fromarray(np.full((2, 2), 0x8000, dtype=np.uint16))
    turned = Image.new("RGB", (4, 2))
    exif = turned.getexif()
    exif[0x0112] = 6
    images = {
        "a/clear.png": encoded(clear),
        "a/grey.png": encoded(Image.new("L", (2, 2), 77)),
        "a/grey16.png": encoded(grey16),
        "a/palette.png": encoded(palette, transparency=bytes([255])),
        "b/turned.jpg": encoded(turned, "JPEG", exif=exif),
        "b/cmyk.jpg": encoded(Image.new("CMYK", (2, 2)), "JPEG"),
    }
    source = load(image_folder(tmp_path, images), label="label")
    found = {
        Path(source.where(i)).stem: image
        for i, image in enumerate(source.images(np.arange(len(source))))
    }
    pixels = {name: image.getpixel((0, 0)) for name, image in found.items()}
    assert pixels["clear"] == (255, 255, 255)
    assert pixels["grey"] == (77, 77, 77)
    assert pixels["grey16"] == (128, 128, 128)
    assert pixels["palette"] == (9, 8, 7)
    assert pixels["cmyk"] == (255, 255, 255)
    assert found["turned"].size == (2, 4)


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    image_folder(
        tmp_path / "img", {"ok.png": RED, "cut.jpg": jpeg()[:700], "text.png": b"no image"}
    )
    path = tmp_path / "x.csv"
    rows = ["ok.png,a", "cut.jpg,b", "text.png,a", "gone.png,b", "ok.png,b"]
    path.write_text("file,label\n" + "".join(f"img/{row}\n" for row in rows))
    source = load(path, label="label")
    for row, reason in [(1, "truncated"), (2, "none of JPEG"), (3, "there is no such file")]:
        with pytest.raises(DataError, match=rf"row {row} of x.csv: cannot read .*img/.*{reason}"):
            source.images(np.array([0, row]))
    with pytest.raises(
        DataError,
        match=r"row 1 of x.csv: .*img/cut.jpg.*\(3 images cannot be read\): repair",
    ):
        check_images(source, threads=2)
    check_images(source.select(np.array([0, 4])))


def test_an_unreadable_file_of_a_folder_and_an_empty_cell(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "data", {"a/1.png": RED, "b/2.png": RED[:40]})
    with pytest.raises(DataError, match=r"data/b/2.png: cannot read the image .*b/2.png"):
        check_images(load(folder, label="label"))
    path = parquet(tmp_path / "x.parquet", {"image": [RED, None], "label": [0, 1]})
    with pytest.raises(DataError, match=r"row 1 of x.parquet: there is no image"):
        load(path, label="label").images(np.array([0, 1]))


def test_bytes_that_are_no_image_are_named_by_their_row_alone(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", {"image": [RED, b"no image"], "label": [0, 1]})
    with pytest.raises(DataError) as raised:
        load(path, label="label").images(np.array([0, 1]))
    assert re.fullmatch(
        "row 1 of x.parquet: cannot read the image: it is none of JPEG, PNG, BMP, GIF, WEBP, TIFF and "
        r"\d+ more formats",
        str(raised.value),
    )


def test_folders_that_are_not_of_class_folders(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,label\n")
    with pytest.raises(
        DataError, match=r"has no images: .* It has 'x.csv': give the path of the file itself"
    ):
        load(tmp_path, label="label")
    image_folder(tmp_path, {"a/1.png": RED, "loose.png": RED})
    with pytest.raises(DataError, match=r"loose.png is not in the folder of a class: move it"):
        load(tmp_path, label="label")
    assert len(load(tmp_path, label=None)) == 2
    with pytest.raises(DataError, match="has no column 'breed'"):
        load(tmp_path, label="breed")


@pytest.mark.parametrize("name", ["EPS", "PDF", "ICNS"])
def test_other_decoders_are_not_started_by_a_harmless_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An EPS file starts Ghostscript: a program for which the picture is code.
    Image.new("RGB", (8, 8)).save(tmp_path / "picture", format=name)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes((tmp_path / "picture").read_bytes())
    (tmp_path / "a" / "1.png").write_bytes(png(3))
    (tmp_path / "picture").unlink()

    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.check_call", start)
    source = load(tmp_path, label="label")
    with pytest.raises(DataError, match=r"0\.png.*none of JPEG, PNG"):
        check_images(source)
    with pytest.raises(DataError, match=r"0\.png.*none of JPEG, PNG"):
        source.images(np.array([0]))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jfif", "JPEG"), ("b.JPE", "JPEG"), ("c.jp2", "JPEG2000"), ("d.tga", "TGA"), ("e.ico", "ICO"),
     ("f.pcx", "PCX"), ("g.dib", "DIB"), ("h.sgi", "SGI"), ("i.pnm", "PPM"), ("j.avif", "AVIF")],
)  # fmt: skip
def test_every_usual_suffix_of_an_image_is_read(tmp_path: Path, name: str, kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {kind}")
    content = encoded(Image.new("RGB", (16, 16), (200, 30, 10)), kind)
    source = load(image_folder(tmp_path, {f"a/{name}": content, "b/1.png": RED}), label="label")
    check_images(source)
    assert (len(source), source.notes) == (2, ())
    assert source.images(np.array([0]))[0].getpixel((8, 8)) == pytest.approx((200, 30, 10), abs=8)


def test_a_damaged_file_is_not_taken_for_a_format_without_a_mark(tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (8, 8)), "TGA")
    image_folder(tmp_path, {"a/1.png": content, "b/1.png": RED})
    with pytest.raises(DataError, match=r"a/1.png: .*none of JPEG"):
        check_images(load(tmp_path, label="label"))


def test_a_few_other_files_do_not_hide_a_column_of_images(tmp_path: Path) -> None:
    image_folder(tmp_path, {f"{i}.png": RED for i in range(19)} | {"19.heic": b"no image"})
    path = tmp_path / "x.csv"
    names = [*(f"{i}.png" for i in range(19)), "19.heic"]
    path.write_text("\n".join(["file,label", *(f"{n},{'ab'[i % 2]}" for i, n in enumerate(names))]))
    source = load(path, label="label")
    assert source.kind == "image"
    with pytest.raises(DataError, match=r"row 19 of x.csv: cannot read the image '19.heic'"):
        check_images(source)


def test_links_to_nothing_and_hidden_images_of_a_folder(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png", "b/._2.png", "a/.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(path, format="PNG")
    source = load(tmp_path, label="label")
    assert len(source) == 2
    assert source.notes == (
        "2 images are not used, because the name begins with a dot; the first is a/.png",
    )
    (tmp_path / "a/3.png").symlink_to("nothing.png")
    with pytest.raises(DataError, match=r"'a/3.png': the link leads to no file: repair or remove"):
        check_images(load(tmp_path, label="label"))


def test_a_large_photo_may_be_decoded_at_a_part_of_its_size() -> None:
    content = jpeg((64, 96))
    whole = decode(content, Path())
    half = decode(content, Path(), at_least=30)
    assert (whole.size, half.size) == ((96, 64), (48, 32))
    means = [np.asarray(image, dtype=float).mean() for image in (whole, half)]
    assert means[0] == pytest.approx(means[1], abs=1)
    assert decode(content, Path(), at_least=33).size == (96, 64)
    assert decode(png(size=(96, 64)), Path(), at_least=8).size == (96, 64), (
        "other formats are whole"
    )
