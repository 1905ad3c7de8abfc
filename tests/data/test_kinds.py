"""What a file is about: texts beside identifiers, texts without spaces, and texts that tell rows apart."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gdw.data import load, train_and_clean
from gdw.data.column_contents import are_sentences
from gdw.errors import ConfigError, DataError

N = 60
IDS = [f"u-{i:05x}" for i in range(N)]
WORDS = ["red", "green", "blue", "cold", "warm", "big", "small", "old", "new", "fast", "slow"]


def sentences(n: int = N) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(n)]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    columns = {**columns}
    columns.setdefault("label", ["a", "b"] * (len(next(iter(columns.values()))) // 2))
    if path.suffix == ".jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".parquet":
        pd.DataFrame(columns).to_parquet(path)
    else:
        pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
@pytest.mark.parametrize("n", [8, N])
def test_identifiers_do_not_hide_a_text(tmp_path: Path, name: str, n: int) -> None:
    times = [f"2024-01-{1 + i % 28:02} 10:{i:02}:00" for i in range(n)]
    columns = {"id": IDS[:n], "when": times, "comment": sentences(n)}
    source = load(write(tmp_path / name, columns), label="label")
    assert (source.kind, source.feature_columns) == ("text", ("comment",))
    assert len(source.notes) == 1
    assert source.notes[0].startswith("learning from the texts of 'comment' alone, not from ")
    assert all(name in source.notes[0] for name in ("'id'", "'when'"))


@pytest.mark.parametrize(
    ("letters", "length", "kind"),
    [("今日は良い天気です東京", 12, "text"), ("我喜欢这个产品质量很好", 9, "text"),
     ("สวัสดีชาวโลก", 15, "text"), ("abcdef0123456789", 32, "table"), ("京都", 2, "table")],
)  # fmt: skip
def test_texts_without_spaces(tmp_path: Path, letters: str, length: int, kind: str) -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list(letters), length)) for _ in range(20)]
    source = load(write(tmp_path / "x.csv", {"t": texts}), label="label")
    assert source.kind == kind
    assert source.notes == ()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_texts_that_hardly_repeat_are_no_categories(tmp_path: Path, name: str) -> None:
    columns = {
        "id": IDS,
        "age": [i % 31 for i in range(N)],
        "city": ["Ulm", "Bonn", "Kiel"] * (N // 3),
    }
    names = [text.title() for text in sentences()]
    path = write(tmp_path / name, {**columns, "remark": names})
    source = load(path, label="label")
    assert (source.kind, source.feature_columns) == ("table", ("age", "city"))
    assert len(source.notes) == 1
    assert "twice: 'id', 'remark'; to use" in source.notes[0]
    assert source.select(np.arange(5)).notes == source.notes
    asked = load(path, label="label", features=["id", "age"])
    assert (asked.feature_columns, asked.notes) == (("id", "age"), ())
    assert load(path, label="label", text="remark").notes == ()


@pytest.mark.parametrize(("n", "repeats", "kept"), [(48, 0, True), (N, 6, True), (N, 2, False)])
def test_few_rows_or_some_repeats_leave_a_category(
    tmp_path: Path, n: int, repeats: int, kept: bool
) -> None:
    codes = [IDS[0]] * repeats + IDS[repeats:n] if repeats else IDS[:n]
    path = write(tmp_path / "x.csv", {"code": codes, "age": list(range(n))})
    assert ("code" in load(path, label="label").feature_columns) is kept


def test_missing_cells_are_no_repeats(tmp_path: Path) -> None:
    codes = [*IDS, *["", "?", "NA", "nan"] * 5]
    path = write(tmp_path / "x.csv", {"code": codes, "age": list(range(N + 20))})
    assert load(path, label="label").feature_columns == ("age",)


def test_nothing_but_identifiers(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", {"id": IDS})
    with pytest.raises(
        DataError, match=r"no column left .* 'id' occurs twice: .*--text.*--features"
    ):
        load(path, label="label")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
@pytest.mark.parametrize("n", [20, N])
def test_sentences_are_learned_also_next_to_a_column_of_names(
    tmp_path: Path, name: str, n: int
) -> None:
    """An export of Label Studio: the texts next to ids, times and where they are from."""
    columns = {
        "annotation_id": [1000 + i for i in range(n)],
        "created_at": [f"2024-01-01T10:{i:02}:00.1Z" for i in range(n)],
        "lead_time": [3.2 + i % 7 for i in range(n)],
        "source": [("web", "app", "mail", "web")[i % 4] for i in range(n)],
        "title": [text[:16] + str(i) for i, text in enumerate(sentences(n))],
        "text": sentences(n),
    }
    source = load(write(tmp_path / name, columns), label="label")
    assert (source.kind, source.feature_columns) == ("text", ("text",))
    assert len(source.notes) == 1
    assert "'text' alone, not from 'annotation_id'" in source.notes[0]
    table = load(tmp_path / name, label="label", drop=["text", "title"])
    assert "source" in table.feature_columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("comment number 7 about things", True),
        ("Das Produkt ist sehr gut", True),
        ("بيت كبير جدا هنا", True),
        ("यह बहुत अच्छा है", True),
        ("我喜欢这个产品质量很好真的", True),
        ("Braund, Mr. Owen Harris", False),
        ("Futrelle, Mrs. Jacques Heath (Lily May Peel)", False),
        ("12 Main Street", False),
        ("Nike Air Max 90", False),
        ("u-0001 x", False),
    ],
)
def test_sentences_differ_from_names(text: str, expected: bool) -> None:
    assert are_sentences([text]) is expected


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_keys_are_left_out_unless_all_columns_are_asked_for(tmp_path: Path, name: str) -> None:
    columns = {"annotation_id": [i * 7919 % N for i in range(N)], "age": [i % 31 for i in range(N)]}
    path = write(tmp_path / name, columns)
    source = load(path, label="label")
    assert source.feature_columns == ("age",)
    why = "it is named like a key and differs in every row"
    assert source.notes == (
        f"not used, because {why}: 'annotation_id'; to use it, name the columns to use (--features, "
        "features=; --features all takes all)",
    )
    assert source.unused == {"annotation_id": why}
    asked = load(path, label="label", features=["all"])
    assert (asked.feature_columns, asked.notes) == (("annotation_id", "age"), ())
    with pytest.raises(ConfigError, match="exclude each other"):
        load(path, label="label", features=["all"], text="age")


def test_columns_that_may_be_row_numbers_are_asked_about(tmp_path: Path) -> None:
    columns = {
        "paid": [3 * i + 50 for i in range(N)],
        "customer_id": [i * 7919 % N // 2 for i in range(N)],
        "size": [i * i % 37 for i in range(N)],
    }
    source = load(write(tmp_path / "x.csv", columns), label="label")
    assert source.feature_columns == tuple(columns)
    (note,) = source.notes
    assert note == (
        f"learning also from 'paid' (changes by 3 from row to row); 'customer_id' (named like a key, "
        f"{N // 2} values): what only says which row it is should be left out, with --drop paid,customer_id"
    )


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_columns_that_tell_the_label_are_asked_about(tmp_path: Path, name: str) -> None:
    labels = ["yes" if i * 7919 % 5 < 3 else "no" for i in range(N)]
    columns = {
        "outcome_code": [7 if label == "yes" else 3 for label in labels],
        "checked": [{"yes": "no", "no": "yes"}[x] if i % 9 == 0 else x for i, x in enumerate(labels)],
        "loan": ["yes" if i % 3 else "no" for i in range(N)],
        "label": labels,
    }  # fmt: skip
    notes = load(write(tmp_path / name, columns), label="label").notes
    assert [note.partition(":")[0] for note in notes] == [
        "'outcome_code' alone tells the label in 100% of the rows",
        "'checked' holds the labels themselves in 88% of the rows",
    ]
    assert notes[0].endswith("leave it out with --drop outcome_code")


def test_a_column_is_learned_from_or_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", {"x": [1, 2], "y": [3, 4], "t": ["a b", "c d"]})
    with pytest.raises(ConfigError, match="'y': expected a column to be learned from or dropped"):
        load(path, label="label", features=["x", "y"], drop=["y"])
    with pytest.raises(ConfigError, match="'t': expected a column"):
        load(path, label="label", text="t", drop=["t"])
    assert load(path, label="label", features=["x"], drop=["y"]).feature_columns == ("x",)


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_names_of_columns_in_any_unicode_form(tmp_path: Path, name: str) -> None:
    """A file from macOS has two characters for `ö`, and the user types one."""
    nfd, nfc = unicodedata.normalize("NFD", "Größe"), "Größe"
    columns = {
        nfd: [1.5, 2.5] * 5,
        "x": [1.0, 3.0] * 5,
        unicodedata.normalize("NFD", "geprüft"): [1, 0, 0, 1, 0] * 2,
    }
    path = write(tmp_path / name, columns)
    for spelling in (nfd, nfc):
        assert load(path, label="label", drop=[spelling]).feature_columns == ("x", "geprüft")
        assert load(path, label="label", features=[spelling]).feature_columns == (nfc,)
        assert load(path, label=spelling).label_names == ("1.5", "2.5")
    source = load(path, label="label")
    train, clean = train_and_clean(source, trusted="geprüft", seed=0)
    assert (len(train), len(clean)) == (6, 4)
    assert train.feature_columns == (nfc, "x")
    new = write(tmp_path / f"new-{name}", {nfc: [1.5, 2.5], "x": [1.0, 2.0]})
    types = {column: train.column_types[column] for column in train.feature_columns}
    later = load(new, label="label").typed(types)
    assert later.frame(np.arange(2))[nfc].tolist() == [1.5, 2.5]
