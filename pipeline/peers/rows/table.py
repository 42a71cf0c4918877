"""The rows of the table, computed from what the stages train and ours left: metrics, intervals, differences, sizes."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from asc_core.comparison.intervals import intervals
from asc_core.comparison.systems import Comparison, compare
from asc_core.evaluation import predictions
from asc_core.files import read_json
from pipeline.paths import made
from pipeline.peers import paths
from pipeline.peers.rows.systems import OURS, REFERENCE, described
from pipeline.peers.settings import Peers
from pipeline.reporting.tables import Markup, markdown_table

# Metrics by the heads of their columns, and the decimals that they are given with.
METRICS = {
    "accuracy": ("accuracy", 1),
    "accuracy, micro": ("accuracy_micro", 1),
    "seen": ("accuracy_seen", 1),
    "unseen": ("accuracy_unseen", 1),
    "log loss": ("log_loss", 3),
    "calibration error": ("calibration_error", 1),
}
PAIRED = "Paired clip by clip. Accuracy: above zero is ahead; log loss and calibration error: below zero is ahead."
Tables = Mapping[str, pd.DataFrame]  # of predictions, one a seed and fold


def rows_of(peers: Peers) -> list[dict[str, Any]]:
    """A row for ours, float and as shipped, and for each system of others: all that the table says of it.

    `difference` is what ours as shipped has more than the system, clip by clip; the row of that has none. Sizes are the
    largest of all seeds and folds.

    Raises:
        UserError: something is missing, or systems were not judged on the same clips.
    """
    runs = [(seed, fold) for seed in peers.seeds for fold in peers.corpora]
    reference = _answers("ours", REFERENCE, runs)
    files = {**dict.fromkeys(OURS, "ours"), **{name: name for name in peers.systems}}
    rows = []
    for name, stem in files.items():
        answers = reference if name == REFERENCE else _answers(stem, name, runs)
        compared = compare(reference, answers)
        sizes = [read_json(made(paths.FILES.measured(stem, *run)))[name]["size"] for run in runs]
        row = {
            "system": name,
            "label": OURS[name] if name in OURS else described(name).label,
            "clips": compared.clips,
            "locations": compared.locations,
            "metrics": {key: value for key, value in _values(compared).items() if key in _keys()},
            "intervals": {key: value for key, value in intervals(answers).items() if key in _keys()},
            "difference": None if name == REFERENCE else _differences(compared),
            "size": {key: max(size[key] for size in sizes) for key in sizes[0]},
        }
        rows.append(row)
    return rows


def _keys() -> list[str]:
    return [key for key, _ in METRICS.values()]


def _answers(stem: str, model: str, runs: list[tuple[int, str]]) -> dict[str, pd.DataFrame]:
    files = [made(paths.FILES.predictions(stem, *run)) for run in runs]
    return {str(file): predictions.read(file, model) for file in files}


def _values(compared: Comparison) -> dict[str, float]:
    return {name[0]: each.other for name, each in compared.differences.items() if len(name) == 1}


def _differences(compared: Comparison) -> dict[str, Any]:
    return {
        name[0]: {"difference": each.difference, "interval": each.interval, "ours_is": each.verdict}
        for name, each in compared.differences.items()
        if name[0] in _keys()
    }


def reached(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells: what each system reaches and costs."""
    sizes = ("parameters", "counted_bytes", "macs")
    heads = ["system", *METRICS, "parameters", "bytes counted", "multiply-accumulates a clip"]
    return heads, [
        [row["label"], *(_metric(row, head) for head in METRICS), *(f"{row['size'][key]:,}" for key in sizes)]
        for row in rows
    ]


def ahead(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells: what ours as shipped has more than each of the others."""
    told = [[row["label"], *(_difference(row, head) for head in METRICS)] for row in rows if row["difference"]]
    return ["system", *METRICS], told


def markdown(rows: list[dict[str, Any]]) -> str:
    """Both tables."""
    return (
        f"{markdown_table(*reached(rows))}\n## Ours as shipped, less the others\n\n"
        f"{PAIRED} **Bold**: the interval does not hold zero. ≈: not distinguishable.\n\n"
        f"{markdown_table(*ahead(rows))}"
    )


def _metric(row: dict[str, Any], head: str) -> str:
    key, digits = METRICS[head]
    if key not in row["metrics"]:
        return "-"  # there is no such device
    value, bounds = row["metrics"][key], row["intervals"][key]
    return f"{value:.{digits}f}" + (" ({:.{n}f} to {:.{n}f})".format(*bounds, n=digits) if bounds else "")


def _difference(row: dict[str, Any], head: str) -> str:
    key, digits = METRICS[head]
    if key not in row["difference"]:
        return "-"
    found = row["difference"][key]
    text = f"{found['difference']:+.{digits}f}"
    if found["interval"]:
        text += " ({:+.{n}f} to {:+.{n}f})".format(*found["interval"], n=digits)
    return f"≈ {text}" if found["ours_is"] == "not distinguishable" else Markup(f"**{text}**")
