"""Tables and texts on the terminal, as wide as it is; a path, a name or a word is never broken in two."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from gdw.cli.app import cell, say
from gdw.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LONGEST_FIGURE = 30
_NO_LIMIT = 10_000
"""The width where nobody looks: output into a file or another program."""


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
    """Print a text, wrapped between words where it is wider than the terminal.

    Args:
        text: one paragraph.
        indent: by how many columns the lines after the first are indented.
    """
    lines = textwrap.wrap(
        printable(text),
        width(),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    say("\n".join(lines))


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    texts: int = 1,
    best: Collection[tuple[int, int]] = (),
) -> None:
    """Print a table. If its words are wider than the terminal, each row is a block under its first cell.

    Args:
        header: the names of the columns.
        rows: their cells.
        title: a line above it.
        texts: how many of the first columns are texts, aligned left; the others are figures.
        best: the cells to print bold, by row and column.
    """
    from rich.console import Console

    columns = [
        _Column([name, *(row[number] for row in rows)], is_text=number < texts)
        for number, name in enumerate(header)
    ]
    console = Console(width=width())
    if title:
        say_wrapped(title)
    if sum(column.narrowest + 3 for column in columns) + 1 <= console.width:
        console.print(_table(columns, best))
    else:
        _print_blocks(header, rows, console)


class _Column:
    """The cells of a column, the header first, and how narrow it can be."""

    def __init__(self, cells: Sequence[str], *, is_text: bool) -> None:
        self.cells = [cell(text) for text in cells]
        self.is_text = is_text
        self.wraps = is_text or max(map(len, cells)) > _LONGEST_FIGURE
        from rich.cells import cell_len

        words = [word for text in cells for word in (text.split() if self.wraps else [text])]
        self.narrowest = max(map(cell_len, words), default=1)


def _table(columns: Sequence[_Column], best: Collection[tuple[int, int]]) -> Table:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(
            column.cells[0],
            justify="left" if column.is_text else "right",
            no_wrap=not column.wraps,
            min_width=column.narrowest,
        )
    for i, row in enumerate(zip(*(column.cells[1:] for column in columns), strict=True)):
        table.add_row(*(f"[bold]{e}[/]" if (i, j) in best else e for j, e in enumerate(row)))
    return table


def _print_blocks(header: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Each row as a block: its first cell, and below it the others with their names."""
    for row in rows:
        console.print(cell(row[0]), style="bold", soft_wrap=True, highlight=False)
        others = [f"{name}: {text}" for name, text in zip(header[1:], row[1:], strict=True) if text]
        lines: list[str] = []
        for other in map(printable, others):
            if lines and len(lines[-1]) + 2 + len(other) <= console.width:
                lines[-1] += f", {other}"
            else:
                lines.append(f"  {other}")
        say("\n".join(lines).replace("\\n", " "))
