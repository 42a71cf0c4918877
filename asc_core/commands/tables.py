"""Tables for people on standard output."""

import sys
from typing import TYPE_CHECKING

from asc_core.text import printable

if TYPE_CHECKING:
    from rich.table import Table

TEXT = ("", "scene")  # titles of columns that hold no numbers


def table(*columns: str) -> "Table":
    """A table whose first column is text, and whose others are numbers where their titles do not say otherwise."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for number, column in enumerate(columns):
        right = number > 0 and column not in TEXT
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def add_row(table: "Table", *cells: object) -> None:
    """Add a row, whatever names are in it."""
    table.add_row(*map(printable, cells))


def print_table(table: "Table") -> None:
    from rich.console import Console

    # In a file or a pipe nothing is folded, however long; names are no markup.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
