"""What a model file says of itself, for programs and, as tables, for people."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT

if TYPE_CHECKING:
    from rich.table import Table

LIMITS = {"KB = 1024": LIMIT, "KB = 1000": DECIMAL_LIMIT}  # two readings of the challenge's 128 KB


def describe(path: Path) -> dict[str, Any]:
    """A model file as JSON: `file`, `file_bytes`, its description, and of a package the size account.

    Raises:
        UserError: the file is missing, foreign or damaged.
    """
    from asc_core.compression import package, size

    if path.suffix == ".onnx":  # it holds float32 weights: the account is the package's
        from asc_core.deploy.predictor import Engine, load

        _, description = load(path, Engine.onnx, threads=1)
        return {"file": str(path), "file_bytes": path.stat().st_size, **description}
    network, description = package.read(path)
    rows = size.as_json(size.account(network))
    totals = size.totals(network)
    used = totals["counted_bytes"]
    limits = {
        reading: {"bytes": limit, "used_percent": round(100 * used / limit, 2), "met": used <= limit}
        for reading, limit in LIMITS.items()
    }
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        **description,
        "account": rows,
        "totals": totals,
        "limits": limits,
    }


def show(told: dict[str, Any]) -> None:
    """Print what `describe` returned."""
    facts = table("", "")
    for key, value in _flat({key: value for key, value in told.items() if key not in ("account", "totals", "limits")}):
        facts.add_row(key, value)
    print_table(facts)
    if "account" not in told:
        return
    tensors = table("layer", "parameters", "non-zero", "bits", "bytes")
    for row in told["account"]:
        tensors.add_row(*(_text(value) for value in row.values()))
    totals = told["totals"]
    tensors.add_section()
    sums = [totals["parameters"], totals["nonzero_parameters"], "", totals["counted_bytes"]]
    tensors.add_row("total", *(_text(value) for value in sums))
    print_table(tensors)
    for reading, limit in told["limits"].items():
        verdict = "met" if limit["met"] else "exceeded"
        print(f"limit of 128 KB, {reading}: {limit['bytes']:,} bytes, {limit['used_percent']:.1f}% used, {verdict}")


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts, each with the path to it."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def table(*columns: str) -> "Table":
    """A table whose first column is text, and whose others are numbers where they are titled and not scenes."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_header=any(columns))
    for place, column in enumerate(columns):
        right = place > 0 and column not in ("", "scene")
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def print_table(table: "Table") -> None:
    from rich.console import Console

    # In a file or a pipe nothing is folded, however long; names are no markup.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
