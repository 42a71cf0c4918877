"""`asc cost`: what model files cost on a device."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from asc_core.commands.tables import add_row, print_table, table
from asc_core.deploy.cost import costs
from asc_core.errors import UserError


def cost(
    models: Annotated[
        list[Path],
        typer.Argument(help="Packages (.asc), or what was exported from them (.onnx, .tflite).", metavar="MODEL..."),
    ],
    ram: Annotated[
        float | None,
        typer.Option(help="Of the device: a model that needs more in every form is an error.", metavar="KB"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON list.")] = False,
) -> None:
    """What models cost on a device: bytes of the file, memory at the peak, multiply-accumulates; KB are 1024 bytes."""
    rows = [_costs(model) for model in models]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        show(rows)
    lacking = [] if ram is None else [row for row in rows if min(row["ram_bytes"].values()) > 1024 * ram]
    if lacking:
        raise UserError("; ".join(_lack(row, ram) for row in lacking))


def _costs(model: Path) -> dict[str, Any]:
    try:
        return costs(model)
    except ModuleNotFoundError as error:
        raise UserError(f"{model}: {error.name} is not installed; install it, or use the package") from None


def _lack(row: dict[str, Any], ram: float | None) -> str:
    kind, least = min(row["ram_bytes"].items(), key=lambda item: item[1])
    return f"{row['file']}: needs about {least / 1024:,.0f} KB of memory in {kind}, and the device has {ram:,g}"


def show(rows: list[dict[str, Any]]) -> None:
    """A row a file."""
    shown = table("", "KB", "MACs", "MACs a second", "RAM float32, KB", "RAM int8, KB", "arena, KB")
    for row in rows:
        ram = row["ram_bytes"]
        memory = (ram.get("float32"), ram.get("int8"), row["arena_bytes"])
        kilobytes = ("-" if size is None else f"{size / 1024:,.1f}" for size in (row["file_bytes"], *memory))
        first, *rest = kilobytes
        add_row(shown, row["file"], first, f"{row['macs']:,}", f"{row['macs_per_second']:,}", *rest)
    print_table(shown)
