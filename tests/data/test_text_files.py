"""Text files that other programs write: rows swallowed by quotes, other delimiters, other encodings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdw.data import load
from gdw.data.rows import open_rows
from gdw.data.text_files import ReadOptions
from gdw.errors import ConfigError, DataError

DEFAULT = ReadOptions()
LABELS = ("neg", "pos")


def values(path: Path, column: str, options: ReadOptions = DEFAULT) -> list[object]:
    rows = open_rows(path, options)
    return rows.values(column, np.arange(len(rows)))


def refused(path: Path, options: ReadOptions = DEFAULT) -> str:
    with pytest.raises(DataError) as raised:
        open_rows(path, options)
    message = str(raised.value)
    assert "\n" not in message
    return message


def written(path: Path, separator: str, texts: dict[int, str], rows: int = 30) -> Path:
    """Rows `id`, `text`, `label`; `texts` replaces some texts."""
    lines = [
        separator.join((str(i), texts.get(i, f"comment {i}"), LABELS[i % 2])) for i in range(rows)
    ]
    path.write_text("\n".join([separator.join(("id", "text", "label")), *lines]) + "\n")
    return path


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
@pytest.mark.parametrize(
    "texts",
    [
        {9: '"opened', 20: '"opened again'},
        {9: '"opened', 20: 'closed here"'},
        {9: '"opened', 10: '"opened again'},
        {9: '"opened', 20: '"'},
        {9: ' "opened', 20: ' "opened again'},
        {3: '5" of rain', 9: '"opened', 20: '"closed" and 5" of rain'},
    ],
)
def test_rows_that_a_quote_swallows_are_noticed(
    tmp_path: Path, suffix: str, separator: str, texts: dict[int, str]
) -> None:
    path = written(tmp_path / f"d{suffix}", separator, texts)
    message = refused(path)
    assert f"line 11 of {path} begins a quoted cell" in message
    for advice in ("(--quoting none, ", "(--quoting double, "):
        assert advice in message
    read = values(path, "text", ReadOptions(quoting="none"))
    assert read == [texts.get(i, f"comment {i}").strip() for i in range(30)]
    assert len(values(path, "label", ReadOptions(quoting="double"))) < 30


@pytest.mark.parametrize("place", [0, 12, 29])
def test_a_quote_that_is_never_closed_is_named_where_it_begins(tmp_path: Path, place: int) -> None:
    literal = {3: 'two "literal" ones'} if place > 3 else {}
    path = written(tmp_path / "d.csv", ",", {place: '"opened', **literal})
    assert f"line {place + 2} of {path} is broken: its cell begins with a quote" in refused(path)
    # A literal quote makes the number of quotes even, so that Arrow would not notice.
    path = written(
        tmp_path / "d.csv", ",", {place: '"opened', **dict.fromkeys(literal, 'one " here')}
    )
    assert f"line {place + 2} of {path} is broken" in refused(path)
    header = tmp_path / "h.csv"
    header.write_text('text,"label\n1,a\n')
    assert "line 1 of" in refused(header)


def test_a_label_that_is_never_closed(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('x 5",label\n' + "1,a\n" * 5 + '2,"b\n' + "3,a\n" * 5)
    assert f"line 7 of {path} is broken: its cell begins with a quote" in refused(path)


def test_a_swallowed_cell_may_end_in_a_broken_row(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", ",", {9: '"opened', 20: 'x,"y'})
    assert f"line 11 of {path} begins a quoted cell that contains 11 line breaks" in refused(path)


def test_rows_of_another_width_name_the_line_where_the_cell_begins(tmp_path: Path) -> None:
    path = written(tmp_path / "d.csv", ",", {9: '"opened'})
    path.write_text(path.read_text().replace("\n20,", '\n"20,'))
    message = refused(path)
    assert (
        f"line 11 of {path} has 4 values, but the header has 3: a quoted cell begins at line 11"
        in message
    )
    assert "--quoting none" in message


def test_texts_with_line_breaks_and_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    texts = ["Hello, friend\nbye", "one\ntwo, three", "a, b\n\nc, d\ne", "x", "a,b\nc"]
    lines = [f'"{text}",{LABELS[i % 2]}' for i, text in enumerate(texts)]
    path.write_text("text,label\n" + "\n".join(lines))
    assert values(path, "text") == texts


def test_excel_and_commas_at_the_end(tmp_path: Path) -> None:
    rows = "a b,x\nc,y\n"
    for text in (
        "sep=,\ntext,label\n" + rows,
        "\ufeffsep=;\r\n" + ("text,label\n" + rows).replace(",", ";"),
        "text,label,,\n" + rows.replace("\n", ",,\n"),
        "text,label\n" + rows.replace("\n", ",\n"),
    ):
        path = tmp_path / "d.csv"
        path.write_text(text, encoding="utf-8")
        assert open_rows(path).columns == ("text", "label")
        assert values(path, "label") == ["x", "y"]


def test_delimiters(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    for delimiter, name in ((";", "';'"), ("\t", "tab"), ("|", "'|'")):
        path.write_text(f"a{delimiter}label\n1{delimiter}x\n")
        rows = open_rows(path)
        assert rows.columns == ("a", "label")
        assert f"the cells are separated by {name}" in rows.notes[0]
        assert values(path, "label", ReadOptions(name.strip("'"))) == ["x"]
        path.write_text(f"a{delimiter}label\n1 x\n")
        assert f"train with --delimiter {name} (delimiter=), or save the file with" in refused(path)
        row = delimiter.join(("1", "1,5", '"a\nb, c"', "x"))
        header = delimiter.join(("id", "x", "text", "label"))
        path.write_text(f"{header}\n" + f"{row}\n" * 30)
        assert open_rows(path).columns == ("id", "x", "text", "label")
        assert values(path, "text") == ["a\nb, c"] * 30
        path.write_text(f"# made by hand\n# {header}\n" + f"{row}\n" * 3)
        assert values(path, "label") == ["x"] * 3
    path.write_text('a label\n1 "x y"\n2 z\n')
    assert values(path, "label", ReadOptions("space")) == ["x y", "z"]
    for wrong in ('"', "\n", "", "::", "é"):
        with pytest.raises(ConfigError, match="should be a single ASCII character"):
            ReadOptions(wrong)


TEXTS = {
    "windows-1252": "Müller près de Köln",
    "windows-1251": "Привет, мир и все люди",
    "shift_jis": "これは日本語のテキストです",
    "gb18030": "这是一个中文句子",
    "euc_kr": "한국어 문장입니다",
}


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
@pytest.mark.parametrize("encoding", [*TEXTS, "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_advice_on_an_encoding_shows_the_text(
    tmp_path: Path, suffix: str, encoding: str
) -> None:
    text, path = TEXTS.get(encoding, "plain"), tmp_path / f"d{suffix}"
    lines = [f"{text} {i}" for i in range(3)]
    if suffix == ".jsonl":
        content = "\n".join(
            json.dumps({"text": t, "label": "x"}, ensure_ascii=False) for t in lines
        )
    else:
        content = "text\tlabel\n" + "".join(f"{line}\tx\n" for line in lines)
    path.write_bytes(content.encode(encoding))
    message = refused(path)
    assert message.startswith(f"{path} is not UTF-8 text, ")
    assert f"{encoding}" in message
    assert "--encoding" in message
    shown = text[:8] if encoding in TEXTS else "text"
    assert shown in message
    assert values(path, "text", ReadOptions(encoding=encoding)) == lines


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("windows-1251", "отзыв номер один хороший"),
        ("gb18030", "文本"),
        ("windows-1250", "Zażółć gęślą jaźń"),
        ("windows-1252", "Café très agréable"),
        ("shift_jis", "番号と文章"),
    ],
)
def test_the_encoding_to_copy_is_the_most_likely_one(
    tmp_path: Path, encoding: str, text: str
) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(f"id,label\n1,{text}\n2,b\n".encode(encoding))
    message = refused(path)
    assert f"(--encoding {encoding}, encoding=)" in message
    assert "name the encoding that reads right" in message


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes("a,label\nKöln,x\n".encode("windows-1252"))
    message = refused(path, ReadOptions(encoding="shift_jis"))
    assert "is not shift_jis text, line 2 has the byte 0xf6" in message
    assert "'Köln,x' in windows-1252" in message


def test_utf8_is_not_read_as_an_encoding_of_one_byte_per_character(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("a,label\nx,y\nKöln,x\n", encoding="utf-8")
    message = refused(path, ReadOptions(encoding="windows-1252"))
    assert (
        "is UTF-8 text: it would read 'KÃ¶ln,x' in windows-1252, but 'Köln,x' in UTF-8" in message
    )
    path.write_text("a,label\n1,x\n", encoding="utf-8")
    assert values(path, "label", ReadOptions(encoding="latin-1")) == ["x"]


def test_a_binary_file_under_the_name_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\xff\xfe\x9d\x81\n,a")
    assert refused(path) == f"{path} is not UTF-8 text but binary: save its data as UTF-8 text"


def test_advice_for_a_long_line_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(("text,label\n" + "日本語の文章です。" * 3000 + ",x\n").encode("shift_jis"))
    assert "日本語の" in refused(path)


def test_most_rows_swallowed(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    lines = ['"first,a', *(f"text {i},{'bc'[i % 2]}" for i in range(9)), '"last,d']
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    assert f"line 2 of {path} begins a quoted cell that contains 10 line breaks" in refused(path)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}"), ('{"a":\n', "}\n")])
def test_deep_json_is_one_line(tmp_path: Path, opening: str, closing: str) -> None:
    path = tmp_path / "d.jsonl"
    first = '{"x": [[1]], "y": ":[ :[ {{{"}\n' * 50
    for depth in (500, 20_000):
        path.write_text(
            first + '{"x": ' + opening * depth + "1" + closing * depth + ', "y": "a"}\n'
        )
        assert "is nested more than 100 levels deep" in refused(path)
    path.write_text(first)
    assert values(path, "y") == [":[ :[ {{{"] * 50


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    content=st.binary(max_size=60), head=st.sampled_from([b"", b"a,b\n", b'{"a": 1}\n', b'{"a":'])
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_any_bytes_give_rows_or_one_line(
    tmp_path: Path, suffix: str, content: bytes, head: bytes
) -> None:
    path = tmp_path / f"d{suffix}"
    path.write_bytes(head + content)
    options = [DEFAULT, ReadOptions(quoting="none"), ReadOptions(encoding="utf-16")]
    for option in [*options, ReadOptions(encoding="windows-1252", quoting="double")]:
        try:
            rows = open_rows(path, option)
        except DataError:
            continue
        for column in rows.columns:
            rows.values(column, np.arange(len(rows)))


EUROPEAN = "id;größe;label\n" + "".join(f"{i};{i % 7},5;{'ab'[i % 2]}\n" for i in range(30))


@pytest.mark.parametrize(
    "text",
    [
        EUROPEAN,
        "\ufeff" + EUROPEAN.replace("\n", "\r\n"),
        "sep=;\n" + EUROPEAN,
        "# exported on Monday, 3 May\n\n# by hand\n" + EUROPEAN,
        EUROPEAN.replace(";", "\t"),
        EUROPEAN.replace(";", "|"),
    ],
    ids=["plain", "mark", "excel", "comments", "tabs", "bars"],
)
def test_files_with_decimal_commas(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text, encoding="utf-8", newline="")
    source = load(path, label="label")
    assert source.column_types == {"größe": "number"}
    assert source.frame()["größe"].tolist() == [i % 7 + 0.5 for i in range(30)]
    assert "decimal commas are read in columns of numbers, such as 0,5 in 'größe'" in source.notes
    assert source.column("größe")[1] == "1,5"


def test_commas_between_cells_win_over_other_signs_in_them(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('a;b,label\n1;2,x\n3,y\n"p;q",x\n')
    assert open_rows(path).columns == ("a;b", "label")
    path.write_text("a;b,cm;label\n1;2,5;x\n2;3;y\n")
    assert open_rows(path).columns == ("a", "b,cm", "label")
    path.write_text('size,label\n"3,14",a\n"2,72",b\n')
    assert load(path, label="label").column_types == {"size": "category"}


def test_lines_with_hash_are_comments_or_the_header(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("# one\n#two\n#id,label\n1,x\n2,#y\n")
    rows = open_rows(path)
    assert rows.columns == ("#id", "label")
    assert values(path, "label") == ["x", "#y"]
    assert rows.notes == ("not read, because comments at the top begin with #: 2 lines",)
    path.write_text("#a,b\n#c,d\n")
    assert open_rows(path).columns == ("#a", "b")


def test_files_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("5.1,3,a\n4.9,3,b\n4.7,1,a\n")
    advice = "first line looks like a row, not like names: .* train with --no-header"
    with pytest.raises(DataError, match=f"no column 'label'.*{advice}"):
        load(path, label="label")
    source = load(path, label="c2", options=ReadOptions(header=False))
    assert source.columns == ("c0", "c1", "c2")
    assert source.frame()["c0"].tolist() == [5.1, 4.9, 4.7]
    for text in ("1,1,a\n1,2,b\n", "red,red,a\nblue,red,a\n"):
        path.write_text(text)
        with pytest.raises(DataError, match=f"more than one column named.*{advice}"):
            open_rows(path)
    # Matrices with the numbers of the columns, and names that are no values.
    for text in ("0,1,2\n5,6,7\n", "a,b,c\n5,6,7\n"):
        path.write_text(text)
        with pytest.raises(DataError, match="no column 'label'") as error:
            load(path, label="label")
        assert "--no-header" not in str(error.value)


@pytest.mark.parametrize("header", [True, False])
def test_copies_of_such_files_change_labels_only(tmp_path: Path, header: bool) -> None:
    from gdw.data.formats.format import CopyPlan
    from gdw.data.rows import format_of

    path = tmp_path / "d.csv"
    names = "x;label\n" if header else ""
    path.write_text(f"# made by hand\n{names}1,5;a\n2,5;b\n\n3,5;a\n")
    rows = open_rows(path, ReadOptions(header=header))
    label = "label" if header else "c1"
    rows.options = ReadOptions(header=header)
    plan = CopyPlan(path, rows, label, np.array([True, False, True]), {2: "b"})
    format_of(path).write_copy(plan, tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_text() == f"# made by hand\n{names}1,5;a\n\n3,5;b\n"
