"""Tables on terminals of any width: nothing is broken within a word or a path, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.cli import tables
from gdw.cli.tables import print_matrix, print_table, say_wrapped

PATH = "runs/a very long name of a folder/IMG_2021-07-03_00000003.png"
ROWS = [(PATH, "alpine meadow", "0.866"), ("short.png", "birch", "1")]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_paths_and_figures_stay_whole(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(("where", "given label", "score"), ROWS, texts=2, paths=1)
    text = capsys.readouterr().out
    for whole in (PATH, "short.png", "0.866", "alpine", "meadow", "birch", "label"):
        assert whole in text
    assert all(len(line) <= max(columns, len(PATH)) for line in text.splitlines())


def test_a_table_that_is_too_wide_is_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_table(("where", "given label", "score"), ROWS, title="labels", texts=2, paths=1)
    assert capsys.readouterr().out.splitlines() == [
        "labels",
        PATH,
        "  given label: alpine meadow, score: 0.866",
        "short.png",
        "  given label: birch, score: 1",
    ]


def test_without_a_terminal_nothing_is_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    say_wrapped("word " * 200)
    print_table(("where", "what"), [(PATH * 5, "x")])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 5
    assert PATH * 5 in lines[4]


def test_markup_in_names_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("[bold]name[/]", "n"), [("[red]a[/]", "1")])
    text = capsys.readouterr().out
    assert "[bold]name[/]" in text
    assert "[red]a[/]" in text


def test_a_wide_matrix_is_turned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    header = ("method", *(f"digits, uniform 0.{i}" for i in range(12)))
    rows = [(name, *(f"{n}{i}.5 ± 1.0" for i in range(12))) for n, name in enumerate("ab")]
    print_matrix(header, rows, of_columns="setting", best={(1, 3)})
    lines = capsys.readouterr().out.splitlines()
    assert "setting" in lines[1]
    assert len(lines) == 4 + 12
    cells = [word.strip() for word in lines[3 + 2].strip("│").split("│")]
    assert cells == ["digits, uniform 0.2", "02.5 ± 1.0", "12.5 ± 1.0"]


@given(st.integers(20, 200), st.integers(1, 15), st.integers(1, 15))
def test_every_figure_of_a_matrix_is_shown_once(columns: int, width: int, height: int) -> None:
    header = ("method", *(f"setting {i}" for i in range(width)))
    rows = [(f"m{n}", *(f"{n}.{i:02}" for i in range(width))) for n in range(height)]
    printed: list[tuple[list[list[str]], set[tuple[int, int]]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setattr(
            tables,
            "_print",
            lambda columns, best: printed.append(([column.cells for column in columns], best)),
        )
        print_matrix(header, rows, of_columns="setting", best={(height - 1, width)})
    shown = [figure for part, _ in printed for column in part[1:] for figure in column]
    assert sorted(shown) == sorted(figure for row in rows for figure in row[1:])
    assert [part[j][i] for part, best in printed for i, j in best] == [rows[-1][-1]]
