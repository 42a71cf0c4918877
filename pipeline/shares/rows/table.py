"""The rows of the table: accuracy by share, over seeds, with intervals."""

from typing import Any

from asc_core.comparison.intervals import intervals
from asc_core.evaluation import predictions
from asc_core.files import read_json
from pipeline.paths import made
from pipeline.peers.rows.systems import OURS, described
from pipeline.reporting.tables import BRACKETS, cell, markdown_table, over_seeds
from pipeline.shares import paths
from pipeline.shares.rows.published import CORPUS, PUBLISHED
from pipeline.shares.settings import Shares

METRICS = {"accuracy": "Accuracy", "accuracy_unseen": "Accuracy on unseen devices"}


def rows_of(shares: Shares) -> list[dict[str, Any]]:
    """A row for ours, float and as shipped, and for each system of others: metrics over seeds, by metric and share.

    Raises:
        UserError: something is missing.
    """
    files = {**dict.fromkeys(OURS, "ours"), **{name: name for name in shares.systems}}
    return [
        {
            "system": name,
            "label": OURS[name] if name in OURS else described(name).label,
            "shares": {str(share): _metrics(stem, name, shares.seeds, share) for share in sorted(shares.percent)},
        }
        for name, stem in files.items()
    ]


def _metrics(stem: str, name: str, seeds: list[int], share: int) -> dict[str, Any]:
    answers = [made(paths.FILES.predictions(stem, seed, share)) for seed in seeds]
    bounds = intervals({str(file): predictions.read(file, name) for file in answers})
    measured = [read_json(made(paths.FILES.measured(stem, seed, share)))[name] for seed in seeds]
    return {key: over_seeds([each[key] for each in measured], bounds.get(key)) for key in METRICS}


def tables_of(rows: list[dict[str, Any]], shares: Shares) -> dict[str, tuple[str, list[str], list[list[str]]]]:
    """Title, heads and cells of a table a metric; of accuracy with the published figures."""
    percent = sorted(shares.percent)
    heads = ["system", *(f"{share} %" for share in percent)]
    tables = {}
    for key, head in METRICS.items():
        lines = [[row["label"], *(cell(row["shares"][str(share)][key]) for share in percent)] for row in rows]
        if key == "accuracy":
            for name, figures in PUBLISHED.items():
                if figures.keys().isdisjoint(percent):
                    continue
                told = [f"{figures[share]:.1f}" if share in figures else "-" for share in percent]
                lines.append([f"{name}, published, on {CORPUS}", *told])
        tables[key] = (f"{head} in percent, {BRACKETS}", heads, lines)
    return tables


def markdown(rows: list[dict[str, Any]], shares: Shares) -> str:
    """A table a metric."""
    parts = [f"{title}:\n\n{markdown_table(heads, lines)}" for title, heads, lines in tables_of(rows, shares).values()]
    return "\n".join(parts)
