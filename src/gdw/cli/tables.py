"""Tables and texts on the terminal, as wide as it is; a path, a name or a word is never broken in two."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Collection, Sequence

from gdw.cli.app import cell, say
from gdw.errors import printable

_LONGEST_FIGURE = 30
_NO_LIMIT = 10_000
"""The width where nobody looks: output into a file or another program."""

Best = Collection[tuple[int, int]]
"""The cells to print bold, by row and column."""


def width() -> int:
    """The columns of the terminal, or of COLUMNS; a very large number where the output is not a terminal."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _NO_LIMIT
    except (OSError, ValueError):
        return _NO_LIMIT


def say_wrapped(text: str, *, indent: int = 0) -> None:
    """Print a paragraph, wrapped between words where it is wider than the terminal.

    Args:
        text: the paragraph.
        indent: by how many columns the lines after the first are indented.
    """
    say(_wrapped(printable(text), width(), " " * indent))


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    texts: int = 1,
    paths: int = 0,
) -> None:
    """Print a table. If its words are wider than the terminal, each row is a block under its first cell.

    Args:
        header: the names of the columns.
        rows: their cells.
        title: a line above it.
        texts: how many of the first columns are texts, aligned left; the others are figures.
        paths: how many of the first columns hold paths, which are not wrapped at a blank either.
    """
    columns = _columns(header, rows, texts, paths)
    if title:
        say_wrapped(title)
    if _fits(columns):
        _print(columns)
    else:
        _print_blocks(header, rows)


def print_matrix(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    of_columns: str,
    title: str = "",
    best: Best = (),
) -> None:
    """Print a table of figures whose rows and columns both have names.

    If it is wider than the terminal, it is turned by 90 degrees, or split into several tables.

    Args:
        header, rows, title: as for `print_table`.
        of_columns: what the columns are, in one word: the name of the first column of the turned table.
        best: the cells to print bold, by row and column.
    """
    turned = [list(column) for column in zip(header, *rows, strict=True)]
    upright = _parts(_columns(header, rows))
    on_side = _parts(_columns([of_columns, *turned[0][1:]], turned[1:]))
    if title:
        say_wrapped(title)
    if len(upright) <= len(on_side):
        parts, marked = upright, set(best)
    else:
        parts, marked = on_side, {(j - 1, i + 1) for i, j in best}
    before = 0
    for first, *others in parts:
        here = {(i, j - before) for i, j in marked if before < j <= before + len(others)}
        _print([first, *others], here)
        before += len(others)


class _Column:
    """The cells of a column, its name first, and how narrow it can be."""

    def __init__(self, cells: Sequence[str], *, is_text: bool, is_path: bool) -> None:
        from rich.cells import cell_len

        longest = max(map(len, cells[1:]), default=0)
        self.is_text = is_text
        self.wraps = not is_path and (is_text or longest > _LONGEST_FIGURE)
        self.name, self.cells = printable(cells[0]), list(map(cell, cells[1:]))
        words = [word for text in cells[1:] for word in (text.split() if self.wraps else [text])]
        self.narrowest = max(map(cell_len, [*self.name.split(), *words]), default=1)
        self.widest = max(map(cell_len, [self.name, *cells[1:]]), default=1)

    def heading(self, *, is_wide_enough: bool) -> str:
        """The name, in several lines if the terminal is not wide enough. The cells of figures stay on one."""
        is_whole = self.wraps or is_wide_enough
        return self.name if is_whole else _wrapped(self.name, self.narrowest)


def _columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1, paths: int = 0
) -> list[_Column]:
    return [
        _Column(
            [name, *(row[number] for row in rows)], is_text=number < texts, is_path=number < paths
        )
        for number, name in enumerate(header)
    ]


def _fits(columns: Sequence[_Column]) -> bool:
    return sum(column.narrowest + 3 for column in columns) + 1 <= width()


def _parts(columns: Sequence[_Column]) -> list[list[_Column]]:
    """The columns in groups that fit the terminal, each after the first column."""
    first, *others = columns
    parts = [[first]]
    for column in others:
        if len(parts[-1]) > 1 and not _fits([*parts[-1], column]):
            parts.append([first])
        parts[-1].append(column)
    return parts


def _print(columns: Sequence[_Column], best: Best = ()) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    is_wide_enough = sum(column.widest + 3 for column in columns) + 1 <= width()
    table = Table()
    for column in columns:
        table.add_column(
            escape(column.heading(is_wide_enough=is_wide_enough)),
            justify="left" if column.is_text else "right",
            no_wrap=not column.wraps,
            min_width=column.narrowest,
        )
    for i, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*(f"[bold]{e}[/]" if (i, j) in best else e for j, e in enumerate(row)))
    Console(width=width()).print(table)


def _print_blocks(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as a block: its first cell, and below it the others with their names."""
    for row in rows:
        say(" ".join(row[0].split("\n")))
        others = [f"{name}: {text}" for name, text in zip(header[1:], row[1:], strict=True) if text]
        say(_filled([" ".join(printable(other).split("\n")) for other in others]))


def _filled(parts: Sequence[str]) -> str:
    """Texts that stay whole, with commas between them, in lines as wide as the terminal."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= width():
            lines[-1] += f", {part}"
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)


def _wrapped(text: str, columns: int, indent: str = "") -> str:
    return textwrap.fill(
        text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
