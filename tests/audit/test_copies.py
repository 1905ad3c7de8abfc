"""Cleaned copies of text files are the original with the label cells replaced, whatever is in the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdw.data.formats import CopyPlan
from gdw.data.rows import format_of, open_rows
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError

LABELS = ("cat", "dog", "Ünö", 'a "b"')
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def copied(path: Path, keep: list[bool], relabel: dict[int, Any], options: ReadOptions) -> bytes:
    """The cleaned copy of a file whose label column is `label`."""
    rows = open_rows(path, options)
    assert len(rows) == len(keep)
    plan = CopyPlan(path, rows, "label", np.array(keep), relabel)
    target = path.with_stem("copy")
    format_of(path).write_copy(plan, target)
    return target.read_bytes()


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


letters = st.text(st.sampled_from(" abé.5e'\\"), max_size=6)
anything = st.text(st.sampled_from(' abé,\t;"\n\r5'), max_size=8)


def raw_cells(separator: str, *, quoting: str) -> st.SearchStrategy[str]:
    """Cells as they are written in a file; with quotes, they may hold separators and line breaks."""
    bare = letters.map(lambda text: text.replace(separator, ""))
    marks = ['"', '""', "' '".replace(separator, ""), ""]
    inner = st.builds("{}x{}".format, bare, st.sampled_from(marks))
    if quoting == "none":
        return st.one_of(bare, inner, st.builds('"{}'.format, bare))
    spaces = st.sampled_from(["", "", " ", "  "] if separator != " " else [""])
    return st.one_of(bare, inner, st.builds("{}{}".format, spaces, anything.map(quoted)))


@relaxed
@given(data=st.data())
@pytest.mark.parametrize(
    ("suffix", "separator", "quoting", "encoding"),
    [
        (".csv", ",", "double", "utf-8"),
        (".tsv", "\t", "double", "utf-8"),
        (".tsv", "\t", "none", "utf-8"),
        (".csv", ";", "double", "windows-1252"),
        (".csv", "|", "none", "utf-16"),
        (".csv", " ", "double", "gb18030"),
    ],
)
def test_delimited_text(
    tmp_path: Path, data: st.DataObject, suffix: str, separator: str, quoting: Any, encoding: str
) -> None:
    cells = raw_cells(separator, quoting=quoting)
    rows = data.draw(
        st.lists(st.tuples(cells, st.sampled_from(LABELS[:3]), cells), min_size=2, max_size=6)
    )
    labels = [label for _, label, _ in rows]
    if encoding == "gb18030":
        labels = [label.replace("Ü", "猫") for label in labels]
    style = data.draw(st.sampled_from(["{}", " {}  ", '"{}"', ' "{}" ']))
    if quoting == "none" or separator == " ":
        style = "{}"
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\n\r\n"])) for _ in rows]
    ends[-1] = data.draw(st.sampled_from(["\n", ""])) or ("" if rows[-1][2] else "\n")
    mark = data.draw(st.sampled_from(["", "\ufeff"])) if encoding.startswith("utf") else ""
    header = mark + separator.join(("a", "label", "b")) + "\n"

    def written(labels: list[str], keep: list[bool]) -> bytes:
        lines = []
        for (a, _, b), label, end, kept in zip(rows, labels, ends, keep, strict=True):
            empty_line = end[1:] if end == "\n\r\n" else ""
            line = separator.join((a, style.format(label), b)) + end
            lines.append(line if kept else empty_line)
        return (header + "".join(lines)).encode(encoding)

    options = ReadOptions(separator, quoting, encoding)
    path = tmp_path / f"d{suffix}"
    every = [True] * len(rows)
    path.write_bytes(written(labels, every))
    changed = [data.draw(st.sampled_from(labels)) for _ in labels]
    relabel = {i: new for i, new in enumerate(changed) if new != labels[i]}
    assert copied(path, every, relabel, options) == written(changed, every)
    keep = [data.draw(st.booleans()) for _ in rows]
    assert copied(path, keep, {}, options) == written(labels, keep)


def test_labels_that_need_quotes(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('label,x\ncat,1\n"a, ""b""",2\n"""c",3\na "d",4\n')
    names = ["cat", 'a, "b"', '"c', 'a "d"']
    relabel = dict(enumerate([*names[1:], names[0]]))
    expected = b'label,x\n"a, ""b""",1\n"""c",2\n"a ""d""",3\ncat,4\n'
    assert copied(path, [True] * 4, relabel, ReadOptions()) == expected
    (tmp_path / "again.csv").write_bytes(expected)
    again = open_rows(tmp_path / "again.csv").values("label", np.arange(4))
    assert again == list(relabel.values())


def test_long_cells_and_quotes_in_a_tsv(tmp_path: Path) -> None:
    long = "word " * 300_000
    text = f'"zip"\tlabel\ttext\n01\tcat\t{long}\n02\tdog\t"Great" he said, 5" tall\n03\tcat\t"{long}\n"\n'
    path = tmp_path / "d.tsv"
    path.write_text(text)
    copy = copied(path, [True] * 3, {1: "cat"}, ReadOptions())
    assert copy.decode() == text.replace("dog", "cat")


json_values = st.recursive(
    st.sampled_from(
        ["1e5", "1.10", "-0", "null", "true", '"\\u00e9\\"{["', '"é}]"', '"label"', '""']
    ),
    lambda inner: st.one_of(
        st.builds("[{0} ,{0}]".format, inner),
        st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f'"label{i}" :{v}' for i, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=4,
)


@relaxed
@given(data=st.data())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1252"])
def test_json_objects(tmp_path: Path, data: st.DataObject, encoding: str) -> None:
    value = data.draw(json_values)
    others = [value if data.draw(st.booleans()) else "null" for _ in range(4)]
    space = data.draw(st.sampled_from(["", " ", "\n ", "\r\n\t"]))
    key = data.draw(st.sampled_from(['"label"', '"l\\u0061bel"']))
    pieces = [f'{{{space}"x":{space}{v},{key}{space}:LABEL{space}, "y": "{{"}}' for v in others]
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n"])) for _ in pieces]
    labels = [data.draw(st.sampled_from(["cat", "dog", "Ünö"])) for _ in pieces]
    changed = [data.draw(st.sampled_from(labels)) for _ in pieces]

    def written(labels: list[str], keep: list[bool]) -> bytes:
        text = ""
        for piece, label, end, kept in zip(pieces, labels, ends, keep, strict=True):
            name = json.dumps(label, ensure_ascii=piece.isascii())
            first = "\r\n" if end == "\r\n" else f"{end.split(chr(10))[0]}\n"
            text += piece.replace("LABEL", name) + end if kept else end.removeprefix(first)
        return text.encode(encoding)

    options = ReadOptions(encoding=encoding)
    path, every = tmp_path / "d.jsonl", [True] * 4
    path.write_bytes(written(labels, every))
    relabel = {i: new for i, new in enumerate(changed) if new != labels[i]}
    assert copied(path, every, relabel, options) == written(changed, every)
    keep = [data.draw(st.booleans()) for _ in pieces]
    assert copied(path, keep, {}, options) == written(labels, keep)


def test_json_numbers_and_truth_values_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    for first, second, value in (("0", "1", 1), ("true", "false", False), ('"0"', '"1"', "1")):
        text = '{"label":%s, "n": 1e5, "deep": {"label": 3}}\n{"n": 1.10, "label" : %s }\n'
        path.write_text(text % (first, second))
        copy = copied(path, [True, True], {0: value}, ReadOptions())
        assert copy.decode() == text % (second, second)


def test_a_label_that_changed_meanwhile(tmp_path: Path) -> None:
    for name, text in (("d.csv", "label,x\ncat,1\n"), ("d.jsonl", '{"label": "cat"}\n')):
        path = tmp_path / name
        path.write_text(text)
        rows = open_rows(path)
        path.write_text(text.replace("cat", "cow"))
        plan = CopyPlan(path, rows, "label", np.array([True]), {0: "dog"})
        with pytest.raises(
            DataError, match="has another label in row 0 now: the file changed, so not"
        ):
            format_of(path).write_copy(plan, tmp_path / f"copy{path.suffix}")
        assert not (tmp_path / f"copy{path.suffix}").exists()
