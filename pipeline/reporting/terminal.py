"""What a stage shows in a terminal: tables of 80 columns, and what to do next. Markdown is for files."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asc_core.text import printable
from pipeline.reporting.tables import cell

WIDTH = 80


def terminal_table(heads: list[str], rows: Iterable[list[str]]) -> str:
    """A table whose first column is text and whose others are numbers; names that are too long go on below."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(printable(head), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    console = Console(width=WIDTH, markup=False, emoji=False, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def summary_table(summary: Mapping[str, Any], unseen: list[str]) -> str:
    """The summary, a column a network; devices that training never heard have a star."""
    models = list(summary.values())
    rows = [[name, *(cell(model[key], short=True) for model in models)] for name, key in (
        ("accuracy, %", "accuracy"), ("  seen devices", "accuracy_seen"), ("  unseen devices *", "accuracy_unseen"),
    )]  # fmt: skip
    for device in models[0]["accuracy_by_device"]:
        mark = " *" if device in unseen else ""
        rows.append([f"  {device}{mark}", *(cell(model["accuracy_by_device"][device], short=True) for model in models)])
    rows.append(["log loss", *(cell(model["log_loss"], 3, short=True) for model in models)])
    rows.append(["non-zero", *(f"{model['size']['nonzero_parameters']:,}" for model in models)])
    rows.append(["KB counted", *(f"{model['size']['counted_bytes'] / 1024:.1f}" for model in models)])
    never = "; * devices that training never heard" if unseen else ""
    return f"Mean ± standard deviation over the seeds{never}\n{terminal_table(['', *summary], rows)}"


def next_steps(steps: Iterable[tuple[str, str]]) -> str:
    """Commands and what they are for; in a shell that has none of them yet, first what brings them."""
    lines = list(steps)
    if "VIRTUAL_ENV" not in os.environ and Path(".venv/bin/activate").exists():
        lines.insert(0, ("source .venv/bin/activate", "brings asc, dvc, mlflow and prefect to this shell"))
    return "\n".join(["next:", *(f"    {command}\n        # {purpose}" for command, purpose in lines)])
