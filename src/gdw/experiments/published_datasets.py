"""Data sets in the layout of their publishers, converted to files that `gdw.data` reads.

Image files stay where they are; a listing holds their absolute paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from gdw.errors import DataError
from gdw.experiments.dataset_builders import DatasetBuilder, Log
from gdw.files.documents import write_atomically

_LISTINGS = {"path": "train.parquet", "meta": "clean.parquet", "test": "test.parquet"}
_ARRAYS = {"path": "train.npz", "test": "test.npz"}


class PublishedDatasetBuilder(DatasetBuilder):
    """A data set as it is distributed, converted to files with the columns `image` (or `X`) and `label`.

    `root` is the folder of the unpacked data set, and `layout` names the data set:

    - `clothing1m` (Xiao et al., CVPR 2015): `images/`, `noisy_label_kv.txt`, `clean_label_kv.txt` and the
      `*_key_list.txt` in `root` or `root/annotations`. The clean examples are those of `clean_val`. The
      column `truth` has the clean label of a training image, if it has one.
    - `food101n` (Lee et al., CVPR 2018): `images/`, `meta/imagelist.tsv`, `meta/verified_train.tsv`.
      The clean examples are those that a person verified as right. The test set is the test list of Food-101
      in `test_root`, or without `test_root` the images of `meta/verified_val.tsv` that are right.
    - `cifar10`, `cifar100` (Krizhevsky, 2009): the binary version. With `human`, the `.pt` file of
      CIFAR-10N or CIFAR-100N (Wei et al., ICLR 2022), the human labels are further columns.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"root", "test_root", "human"})

    layout: Literal["clothing1m", "food101n", "cifar10", "cifar100"]
    root: str
    test_root: str | None = None
    human: str | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return _ARRAYS if self.layout.startswith("cifar") else _LISTINGS

    def write(self, folder: Path, log: Log) -> None:
        log(f"{self.layout}: reading the lists in {self.root}")
        root = Path(self.root)
        if self.layout.startswith("cifar"):
            from gdw.experiments.cifar_files import write_cifar

            write_cifar(folder, root, classes=int(self.layout[5:]), human=self.human)
            return
        if self.layout == "clothing1m":
            parts = clothing1m(root)
        else:
            parts = food101n(root, None if self.test_root is None else Path(self.test_root))
        for name, columns in parts.items():
            _write_listing(folder / f"{name}.parquet", columns)


def clothing1m(root: Path) -> dict[str, dict[str, list[Any]]]:
    """The files of Clothing1M.

    Returns:
        The columns of `train` (`image`, `label`, `truth`), `clean` and `test` (`image`, `label`); labels are
        class names.

    Raises:
        DataError: a list is missing, a line cannot be read, or an image has no label.
    """
    lists = root / "annotations" if (root / "annotations").is_dir() else root
    names = _class_names(lists / "category_names_eng.txt")
    noisy = _labels(lists / "noisy_label_kv.txt", names)
    clean = _labels(lists / "clean_label_kv.txt", names)
    train = _lines(lists / "noisy_train_key_list.txt")
    parts: dict[str, dict[str, list[Any]]] = {
        "train": {
            **_listing(root, train, noisy, lists / "noisy_label_kv.txt"),
            "truth": [clean.get(key) for key in train],
        }
    }
    for part, file in (("clean", "clean_val"), ("test", "clean_test")):
        keys = _lines(lists / f"{file}_key_list.txt")
        parts[part] = _listing(root, keys, clean, lists / "clean_label_kv.txt")
    return parts


def food101n(root: Path, test_root: Path | None = None) -> dict[str, dict[str, list[Any]]]:
    """The files of Food-101N.

    Returns:
        The columns `image` and `label` of `train`, `clean` and `test`. `clean` has the examples that were
        verified as right, `train` all others.

    Raises:
        DataError: a list is missing, or a line cannot be read.
    """
    verified = dict(_verifications(root / "meta" / "verified_train.tsv"))
    right = [key for key, is_right in verified.items() if is_right]
    listed = _keys(root / "meta" / "imagelist.tsv")
    used = set(right)
    images = root / "images"
    if test_root is None:
        held_out = _verifications(root / "meta" / "verified_val.tsv")
        tested = [key for key, is_right in held_out if is_right]
        used.update(tested)
        test = _by_folder(images, tested)
    else:
        names = [f"{line}.jpg" for line in _lines(test_root / "meta" / "test.txt")]
        test = _by_folder(test_root / "images", names)
    train = _by_folder(images, [key for key in listed if key not in used])
    return {"train": train, "clean": _by_folder(images, right), "test": test}


def _verifications(path: Path) -> Iterator[tuple[str, bool]]:
    """Each `class/key` and whether a person found the class right; the first line is a heading."""
    for number, line in enumerate(_lines(path)[1:], start=2):
        key, tab, value = line.rpartition("\t")
        if not tab or value.strip() not in ("0", "1") or "/" not in key:
            raise DataError(
                f"line {number} of {path}: expected class/key, a tab, and 0 or 1, found {line!r}"
            )
        yield key, value.strip() == "1"


def _keys(path: Path) -> list[str]:
    """The `class/key` of each line; the first line is a heading."""
    keys = _lines(path)[1:]
    for number, key in enumerate(keys, start=2):
        if "/" not in key:
            raise DataError(f"line {number} of {path}: expected class/key, found {key!r}")
    return keys


def _by_folder(images: Path, keys: Sequence[str]) -> dict[str, list[Any]]:
    return {
        "image": [str((images / key).resolve()) for key in keys],
        "label": [key.partition("/")[0] for key in keys],
    }


def _listing(
    root: Path, keys: Sequence[str], labels: Mapping[str, str], where: Path
) -> dict[str, list[Any]]:
    missing = next((key for key in keys if key not in labels), None)
    if missing is not None:
        raise DataError(
            f"{where} has no label for {missing!r}, which is in a key list: restore the file"
        )
    return {
        "image": [str((root / key).resolve()) for key in keys],
        "label": [labels[key] for key in keys],
    }


def _labels(path: Path, names: Sequence[str] | None) -> dict[str, str]:
    """The class name by key; the class number as text if there are no names."""
    labels: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        key, _, value = line.rpartition(" ")
        if not key or not value.isdigit() or (names is not None and int(value) >= len(names)):
            number_range = "" if names is None else f" below {len(names)}"
            raise DataError(
                f"line {number} of {path}: expected a key, a space and a class number{number_range}, "
                f"found {line!r}"
            )
        labels[key] = value if names is None else names[int(value)]
    return labels


def _class_names(path: Path) -> list[str] | None:
    return _lines(path) if path.is_file() else None


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}: expected the data set as it is distributed, unpacked and unchanged"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"line {line} of {path} has a zero byte: unpack the data set again")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _write_listing(path: Path, columns: Mapping[str, list[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    write_atomically(path, lambda file: pq.write_table(table, file))
