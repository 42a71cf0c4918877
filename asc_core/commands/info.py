"""`asc info`: what a model file says of itself, for programs and, as tables, for people."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_core.commands.tables import add_row, print_table, table
from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT
from asc_core.deploy.predictor import FILES, Engine, load
from asc_core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

LIMITS = {"KB = 1024": LIMIT, "KB = 1000": DECIMAL_LIMIT}  # two readings of the challenge's 128 KB
ACCOUNT = ("account", "totals", "limits", "devices")  # what of a description is shown as a table of its own


def info(
    model: Annotated[
        Path, typer.Argument(help="A package (.asc), or what was exported from one (.onnx, .tflite).", metavar="MODEL")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """What a model says of itself: labels, features, network, size, and whatever else was packed with it."""
    description = describe(model)
    try:
        if as_json:
            print(json.dumps(description, indent=2, allow_nan=False))
        else:
            show(description)
    except RecursionError:
        raise UserError(f"{model}: its description is nested too deeply to be shown") from None


def describe(path: Path) -> dict[str, Any]:
    """A model file as JSON: `file`, `file_bytes`, its description, and of a package the size account; `devices` are
    those that it has a network of their own for, each with what that one takes.

    Raises:
        UserError: the file is missing, foreign or damaged.
    """
    from asc_core.compression import package, size

    if path.suffix in FILES:  # the account is the package's
        _, description = load(path, Engine.auto, threads=1)
        facts = {key: value for key, value in description.items() if key not in ACCOUNT}
        if FILES[path.suffix] is Engine.litert:
            facts["device"] = _on_device(path)
        return _with_file(path, facts)
    network, devices, description = package.read_devices(path)
    totals = size.totals(network)
    used = totals["counted_bytes"]
    limits = {
        reading: {"bytes": limit, "used_percent": round(100 * used / limit, 2), "met": used <= limit}
        for reading, limit in LIMITS.items()
    }
    account = size.as_json(size.account(network))
    facts = {**description, "account": account, "totals": totals, "limits": limits}
    if devices:
        facts["devices"] = {device: _of_device(network, tuned) for device, tuned in devices.items()}
    return _with_file(path, facts)


def _of_device(general: "nn.Module", tuned: "nn.Module") -> dict[str, int]:
    """How many tensors of a device's network are its own, and what the whole network takes: bytes, and by the rules."""
    import torch

    from asc_core.compression import size

    own = sum(
        not torch.equal(one, other)
        for one, other in zip(general.state_dict().values(), tuned.state_dict().values(), strict=True)
    )
    counted = size.totals(tuned)["counted_bytes"]
    return {"own_tensors": own, "counted_bytes": counted, "parameter_bytes": size.storage(tuned)["parameter_bytes"]}


def _on_device(path: Path) -> dict[str, int]:
    """What a LiteRT file costs: multiply-accumulates, and bytes of memory, of its maps and in all, as estimated."""
    from asc_core.deploy.tflite import cost, reading

    graph = reading.graph_of(path.read_bytes())
    return {"macs": reading.macs(graph), "activation_bytes": cost.activations(graph), "arena_bytes": cost.arena(graph)}


def _with_file(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    own = {"file": str(path), "file_bytes": path.stat().st_size}
    return {**own, **facts, **own}  # first in order, and whatever a description calls its own file


def show(description: dict[str, Any]) -> None:
    """Print what `describe` returned."""
    facts = table("", "")
    for key, value in _leaves({key: value for key, value in description.items() if key not in ACCOUNT}):
        add_row(facts, key, value)
    print_table(facts)
    if "account" not in description:
        return
    tensors = table("layer", "parameters", "non-zero", "bits", "bytes")
    for row in description["account"]:
        add_row(tensors, *(_text(value) for value in row.values()))
    totals = description["totals"]
    tensors.add_section()
    sums = [totals["parameters"], totals["nonzero_parameters"], "", totals["counted_bytes"]]
    add_row(tensors, "total", *(_text(value) for value in sums))
    print_table(tensors)
    if "devices" in description:
        devices = table("network of the device", "tensors of its own", "non-zero bytes", "bytes with zeros")
        for device, row in description["devices"].items():
            add_row(devices, device, *(_text(value) for value in row.values()))
        print_table(devices)
    for reading, limit in description["limits"].items():
        verdict = "met" if limit["met"] else "exceeded"
        print(f"limit of 128 KB, {reading}: {limit['bytes']:,} bytes, {limit['used_percent']:.1f}% used, {verdict}")


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested dicts, each with the path to it."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
