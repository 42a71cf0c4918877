"""Systems beside each other, for the reports of other pipelines: the publications' tables, peers."""

from collections.abc import Mapping, Sequence
from typing import Any

from asc_core.page import charts
from asc_core.page.parts import Figure, Link, Links, Section, Table

SHARES = {"all devices": "accuracy", "seen devices": "accuracy_seen", "unseen devices": "accuracy_unseen"}
BACK = Section("reports", "Other reports", [Links([Link("../index.html", "Report of the run", "made by `dvc repro`")])])


def figure(name: str, title: str, rows: Sequence[Mapping[str, Any]], table: Table) -> Figure:
    """Accuracy of each system on all, seen and unseen devices, as points with their intervals.

    Args:
        name: what the page calls it.
        rows: each a system: `label`, and by metric `metrics` (percent) and `intervals` ([low, high] or None).
        table: the same in numbers.
    """
    points = []
    for row in rows:
        for share, key in SHARES.items():
            if (value := row["metrics"].get(key)) is not None:
                least, most = row["intervals"].get(key) or (value, value)
                numbers = {"value": value, "least": max(least, 0), "most": min(most, 100)}
                points.append({
                    "system": row["label"], "devices": share, **{key: round(each, 2) for key, each in numbers.items()}
                })  # fmt: skip
    ranked = sorted(rows, key=lambda row: row["metrics"]["accuracy"])
    told = (
        "Accuracy in percent, the mean over the scenes, with 95 % intervals where there are any. Highest on all "
        f"devices: {ranked[-1]['label']} ({ranked[-1]['metrics']['accuracy']:.1f} %); lowest: {ranked[0]['label']} "
        f"({ranked[0]['metrics']['accuracy']:.1f} %)."
    )
    return Figure(name, title, told, charts.spreads(points, "system", "devices", "accuracy, %"), table)


def plain(cells: Sequence[str]) -> list[str]:
    """Cells of a table in Markdown for a page, which has no bold ones."""
    return [cell.strip("*") for cell in cells]
