"""What networks of known devices gain over the general one, device by device."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from asc_core.comparison.systems import compare
from pipeline.reporting.tables import Markup, cell, markdown_table

Tables = Mapping[str, pd.DataFrame]  # of predictions, one a seed


def gain(known: Tables, general: Tables, unseen: list[str]) -> dict[str, Any]:
    """The difference in accuracy, in points, with the paired interval of `compare`: overall, and by training device.

    Returns:
        accuracy, and accuracy_by_device by device, each {"mean", "interval", "verdict"}; the interval, of 95 % for all
        devices at once, is None with fewer than five locations.
    """
    found = compare(known, general).differences
    told = {
        name: {"mean": each.difference, "interval": each.interval and [*each.interval], "verdict": each.verdict}
        for name, each in found.items()
    }
    devices = [name for name in told if name[0] == "accuracy_by_device" and name[1] not in unseen]
    return {"accuracy": told["accuracy",], "accuracy_by_device": {name[1]: told[name] for name in devices}}


def gain_table(known: Mapping[str, Any], general: Mapping[str, Any]) -> str:
    """The gain in Markdown, a row a training device, beside what both networks reach there."""
    gain = known["gain"]
    rows = [["all clips", known["accuracy"], general["accuracy"], gain["accuracy"]]]
    for device, difference in gain["accuracy_by_device"].items():
        both = (model["accuracy_by_device"][device] for model in (known, general))
        rows.append([device, *both, difference])
    lines = [
        [name, cell(own, short=True), cell(other, short=True), _signed(difference), difference["verdict"]]
        for name, own, other, difference in rows
    ]
    heads = ["device", "its own network", "the general one", "gain", "its own is"]
    return (
        "Each test clip of a training device is heard by the network that was tuned to that device, all others by the "
        "general one. Gain in points, in brackets the 95 % interval over locations (paired bootstrap), which holds for "
        f"all devices at once.\n\n{markdown_table(heads, lines)}"
    )


def _signed(difference: Mapping[str, Any]) -> str:
    bounds = ", ".join(f"{bound:+.1f}" for bound in difference["interval"] or ())
    return Markup(f"{difference['mean']:+.1f}" + (f" [{bounds}]" if bounds else ""))
