"""Predictions on standard output: as a table for people, as CSV and JSON lines for programs."""

import csv
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asc_core.commands import tables
from asc_core.text import cell, printable

Prediction = tuple[str, list[tuple[str, float]]]  # a file, and its most probable labels with their probabilities


def print_table(predictions: Iterable[Prediction]) -> None:
    """A row for each label, after the last prediction: columns are as wide as what stands in them."""
    rows = tables.table("file", "scene", "probability")
    for file, labels in predictions:
        for rank, (label, probability) in enumerate(labels):
            tables.add_row(rows, "" if rank else file, label, f"{probability:.3f}")
    if rows.rows:
        tables.print_table(rows)


def print_csv(predictions: Iterable[Prediction]) -> None:
    """A row for each label: file, rank from 1, label, probability. No name in it is a formula of a spreadsheet."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "rank", "label", "probability"])
    for file, labels in predictions:
        writer.writerows(
            (cell(file), rank, cell(label), f"{probability:.6f}")
            for rank, (label, probability) in enumerate(labels, start=1)
        )


def print_jsonl(predictions: Iterable[Prediction]) -> None:
    """A JSON object for each file, in ASCII: file, label and probability of the first, and as `top` those of all."""
    for file, labels in predictions:
        print_json({"file": _decoded(file)}, labels)


def print_json(what: dict[str, Any], labels: list[tuple[str, float]]) -> None:
    """A line with a JSON object that says of what these are the most probable labels."""
    top = [{"label": _decoded(label), "probability": round(probability, 6)} for label, probability in labels]
    print(json.dumps({**what, **top[0], "top": top}, allow_nan=False))


def tell_device(model: Path, asked: str | None, used: str | None) -> None:
    """Say on standard error where a package has no network for the device that recorded the sound."""
    if used != asked:
        print(printable(f"{model}: has no network for the device {asked}; the general one answers"), file=sys.stderr)


def _decoded(name: str) -> str:
    """A name as it is, but for bytes that are no UTF-8: not every reader of JSON takes those."""
    return re.sub("[\ud800-\udfff]", lambda surrogate: printable(surrogate.group()), name)
