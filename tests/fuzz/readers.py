"""The readers of files, each with valid small files to begin with."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from gdw.audit.edited_issues import read_edited_issues
from gdw.data import fit_encoder, load, load_encoder
from gdw.data.image_checks import check_images
from gdw.data.noise import parse_noise
from gdw.data.text_files import ReadOptions
from gdw.errors import GDWError
from gdw.experiments.cells import expand
from gdw.experiments.cifar_files import human_labels, write_cifar
from gdw.experiments.protocol_files import find_protocol, read_protocol
from gdw.experiments.published_datasets import clothing1m, food101n
from gdw.models.weights import load_weights
from gdw.runs.config import RunConfig
from gdw.runs.config_files import read_config_file
from gdw.runs.schema import Schema
from tests.audit import made

NAMES = ("cat", "dog", "owl")
_EVIDENCE = made.evidence(*made.drawn(12, len(NAMES)))


@dataclass(frozen=True)
class Reader:
    """A reader of one kind of file.

    Attributes:
        file: the name of the file.
        valid: the content of files that can be read.
        read: reads the file at a path; there is nothing else in its folder.
        examples: how many damaged files are tried, at the least.
    """

    file: str
    valid: Callable[[], Sequence[bytes]]
    read: Callable[[Path], object]
    examples: int = 12


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "x": k * 1.5,
            "city": f"{'äbc'[k % 3]} {k}",
            "when": f"2024-01-{k + 1:02}",
            "label": NAMES[k % 3],
        }
        for k in range(12)
    ]


def _delimited(delimiter: str) -> list[bytes]:
    rows = [list(map(str, row.values())) for row in _rows()]
    lines = [delimiter.join(["x", ' "city"', "when", "label"])]
    lines += [delimiter.join([x, f'"{c}"', w, y]) for x, c, w, y in rows]
    text = "\n".join(lines)
    plain = "\r\n".join(delimiter.join(row) for row in [["x", "city", "when", "label"], *rows])
    return [text.encode(), plain.encode(), text.encode("utf-8-sig")]


def _jsonl() -> list[bytes]:
    lines = [json.dumps(row) for row in _rows()]
    nested = [json.dumps({"x": {"a": [k]}, "t": f"word {k} more", "label": k % 2}, ensure_ascii=False)
              for k in range(9)]  # fmt: skip
    pretty = [json.dumps(row, indent=1, ensure_ascii=False) for row in _rows()]
    return ["\n".join(text).encode() for text in (lines, nested, pretty)]


def _parquet() -> list[bytes]:
    table = pa.Table.from_pylist(_rows())
    names = {"label": {"names": list(NAMES), "_type": "ClassLabel"}}
    declared = table.set_column(
        3, "label", pa.array([k % 3 for k in range(12)])
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": names}})})
    odd = pa.table(
        {
            "d": pa.array(["a", "b"] * 6).dictionary_encode(),
            "t": pa.array([1] * 12, pa.timestamp("us", "Asia/Tokyo")),
            "l": pa.array([[1, 2]] * 12),
            "b": pa.array([b"\xff\x00"] * 12),
            "label": pa.array([True, None] * 6),
        }
    )
    files = []
    for content in (table, declared, odd):
        file = io.BytesIO()
        pq.write_table(content, file, compression="none")
        files.append(file.getvalue())
    return files


def _npz() -> list[bytes]:
    files = []
    for X in (np.arange(24.0).reshape(12, 2), np.zeros((12, 8, 8, 3), np.uint8)):
        for save in (np.savez, np.savez_compressed):
            file = io.BytesIO()
            save(file, X=X, y=np.array(NAMES * 4), extra=np.arange(5))
            files.append(file.getvalue())
    return files


def _pictures() -> list[bytes]:
    Image.init()
    draws = np.random.default_rng(0)
    formats = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000", "DIB", "ICO", "PCX",
               "SGI", "DDS", "QOI", "TGA", "XBM")  # fmt: skip
    files = []
    for name in formats:
        for mode in ("RGB", "1", "P", "RGBA", "I;16"):
            size = (17, 16)
            image = Image.fromarray(draws.integers(0, 256, (16, 17, 3), dtype=np.uint8))
            image = image.convert(mode) if mode != "I;16" else Image.new(mode, size, 4000)
            file = io.BytesIO()
            try:
                image.save(file, format=name)
            except (OSError, ValueError, KeyError):
                continue
            files.append(file.getvalue())
    xpm = b'/* XPM */\nstatic char *a[] = {\n"2 2 2 1",\n"a c #000000",\n"b c #ffffff",\n"ab",\n"ba"\n};\n'
    psd = b"8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\2\0\0\0\2\0\10\0\3" + b"\0" * 12 + b"\0\0" + b"\0" * 12
    sun = (
        b"\x59\xa6\x6a\x95"
        + b"".join(n.to_bytes(4, "big") for n in (2, 2, 24, 12, 1, 0, 0))
        + b"a" * 12
    )
    return [*files, xpm, psd, sun]


def _table(path: Path, options: ReadOptions = ReadOptions()) -> None:  # noqa: B008 - frozen
    source = load(path, label="label", options=options)
    fit_encoder(source).encode(source)


def _forced(quoting: Any, encoding: str | None = None) -> Callable[[Path], None]:
    return lambda path: _table(path, ReadOptions(";", quoting, encoding))


def _picture(path: Path) -> None:
    """The bytes under the suffix of each kind of decoder, as a file and as bytes."""
    raw = path.read_bytes()
    for suffix in (".png", ".tga"):
        folder = path.parent / suffix[1:] / "cat"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"a{suffix}").write_bytes(raw)
        source = load(folder.parent, label="label")
        try:
            check_images(source)
        except GDWError:
            continue
        fit_encoder(source, image_size=8).encode(source)


def _weights() -> list[bytes]:
    from safetensors.torch import save

    state = torch.nn.Linear(3, 2).state_dict()
    files = [save(state)]
    for content, zipped in (
        (state, True),
        ({"state_dict": state, "epoch": 3}, True),
        (state, False),
    ):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        files.append(file.getvalue())
    return files


def _read_weights(path: Path) -> None:
    for suffix in (".pt", ".safetensors"):
        renamed = path.with_suffix(suffix)
        renamed.write_bytes(path.read_bytes())
        try:
            load_weights(torch.nn.Linear(3, 2), renamed, num_classes=2)
        except GDWError:
            continue


@cache
def _saved_encoders() -> dict[str, dict[str, bytes]]:
    """The files of saved encoders, by the kind of the data."""
    import tempfile

    saved = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {"table": ("t.csv", _delimited(",")[1]), "text": ("t.jsonl", _jsonl()[1]),
                  "array": ("t.npz", _npz()[0])}  # fmt: skip
        for kind, (file, raw) in tables.items():
            (folder / file).write_bytes(raw)
            source = load(folder / file, label="y" if kind == "array" else "label")
            fit_encoder(source).save(folder / kind)
            Schema.of(source).save(folder / kind)
            saved[kind] = {path.name: path.read_bytes() for path in (folder / kind).iterdir()}
    return saved


def _beside(kind: str) -> Callable[[Path], None]:
    """Reads a damaged file of an encoder beside the other files, which are whole."""

    def read(path: Path) -> None:
        for name, raw in _saved_encoders()[kind].items():
            if name != path.name:
                (path.parent / name).write_bytes(raw)
        Schema.read(path.parent)
        load_encoder(path.parent)

    return read


def _issues() -> list[bytes]:
    given = [NAMES[k] for k in _EVIDENCE.given]
    rows = [f"{k},{'TRUE' if k % 2 else 'false'},0.5,{y},{y},0.25" for k, y in enumerate(given)]
    head = "index,is_label_issue,label_quality,given_label,suggested_label,suggested_probability"
    return ["\n".join([head, *rows]).encode()]


def _cifar(path: Path) -> None:
    for name in ("data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                 "data_batch_5.bin", "test_batch.bin"):  # fmt: skip
        (path.parent / name).write_bytes(path.read_bytes())
    (path.parent / "batches.meta.txt").write_text("\n".join(f"c{k}" for k in range(10)))
    write_cifar(path.parent, path.parent, classes=10, human=None)


def _lists(path: Path) -> None:
    """The same lines as every list of two data sets."""
    (path.parent / "meta").mkdir(exist_ok=True)
    for name in ("noisy_label_kv.txt", "clean_label_kv.txt", "noisy_train_key_list.txt",
                 "clean_val_key_list.txt", "clean_test_key_list.txt", "category_names_eng.txt",
                 "meta/imagelist.tsv", "meta/verified_train.tsv", "meta/verified_val.tsv"):  # fmt: skip
        (path.parent / name).write_bytes(path.read_bytes())
    for read in (clothing1m, food101n):
        try:
            read(path.parent)
        except GDWError:
            continue


def _pickled() -> list[bytes]:
    file = io.BytesIO()
    torch.save({"worse_label": np.arange(5), "clean_label": np.arange(5)}, file)
    return [file.getvalue(), pickle.dumps({"worse_label": [1, 2]})]


def _config() -> list[bytes]:
    return [
        b"data: {path: t.csv, label: y, features: [a, b], limit: 5, noise: 'uniform:0.4', imbalance: 50}\n"
        b"model: &m {name: 'mlp:8', pretrained: no}\n"
        b"training:\n  method: gdw\n  epochs: 3\n  lr: 1e-3\n  seed: 1\n  method_options: {clip: 1.0}\n"
    ]


READERS: dict[str, Reader] = {
    "csv": Reader("t.csv", lambda: _delimited(","), _table, 25),
    "csv, quotes kept": Reader("t.csv", lambda: _delimited(";"), _forced("double")),
    "csv, no quotes": Reader("t.csv", lambda: _delimited(";"), _forced("none")),
    "csv, utf-16": Reader(
        "t.csv",
        lambda: [raw.decode("utf-8-sig").encode("utf-16") for raw in _delimited(";")],
        _forced(None, "utf-16"),
    ),
    "csv, shift_jis": Reader("t.csv", lambda: _delimited(";"), _forced(None, "shift_jis")),
    "tsv": Reader("t.tsv", lambda: _delimited("\t"), _table),
    "jsonl": Reader("t.jsonl", _jsonl, _table, 25),
    "parquet": Reader("t.parquet", _parquet, _table, 25),
    "npz": Reader("t.npz", _npz, _table, 25),
    "pictures": Reader("picture", _pictures, _picture, 60),
    "configuration": Reader(
        "c.yaml", _config, lambda path: RunConfig.parse(read_config_file(path)).plain(), 25
    ),
    "protocol": Reader(
        "p.yaml",
        lambda: [find_protocol("smoke").read_bytes()],
        lambda path: expand(read_protocol(path)),
        25,
    ),
    "label issues": Reader(
        "label_issues.csv", _issues, lambda path: read_edited_issues(path, _EVIDENCE, NAMES)
    ),
    "noise matrix": Reader(
        "m.csv",
        lambda: [b"0.8,0.1,0.1\n0.1,0.8,0.1\n0.1,0.1,0.8\n"],
        lambda path: parse_noise(f"matrix:{path}"),
    ),
    "weights": Reader("w", _weights, _read_weights, 25),
    "encoder.json of a table": Reader(
        "encoder.json", lambda: [_saved_encoders()["table"]["encoder.json"]], _beside("table")
    ),
    "encoder.json of texts": Reader(
        "encoder.json", lambda: [_saved_encoders()["text"]["encoder.json"]], _beside("text")
    ),
    "encoder.json of arrays": Reader(
        "encoder.json", lambda: [_saved_encoders()["array"]["encoder.json"]], _beside("array")
    ),
    "encoder.skops": Reader(
        "encoder.skops", lambda: [_saved_encoders()["table"]["encoder.skops"]], _beside("table"), 4
    ),
    "schema.json": Reader(
        "schema.json", lambda: [_saved_encoders()["table"]["schema.json"]], _beside("table")
    ),
    "CIFAR": Reader(
        "data.bin", lambda: [b"\x03" + b"p" * 3072, (b"\x01" + b"q" * 3072) * 2], _cifar
    ),
    "CIFAR, human labels": Reader("h.pt", _pickled, human_labels),
    "lists of data sets": Reader(
        "list", lambda: [b"cat/1.jpg 0\ndog/2.jpg 1\n", b"key\tlabel\ncat/1.jpg\t1\n"], _lists
    ),
}
