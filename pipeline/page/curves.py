"""How the networks were trained: loss and validation accuracy by epoch, a line a seed."""

import pandas as pd

from asc_core.page import charts
from asc_core.page.parts import Figure, Section, Table
from pipeline.page.run import NAMES, Run

METRICS = {"loss": ("Loss", "loss", 3), "validation_accuracy": ("Validation accuracy", "accuracy, %", 1)}


def curves(run: Run) -> Section:
    """The learning curves of every network and seed."""
    figures = []
    for network, table in run.curves.groupby("network", sort=False):
        for metric in METRICS:
            if metric in table and table[metric].notna().any():
                figures.append(_figure(str(network), table, metric))
    return Section("curves", "Learning curves", [*figures])


def _figure(network: str, table: pd.DataFrame, metric: str) -> Figure:
    title, axis, digits = METRICS[metric]
    by_seed = table.sort_values("epoch").groupby("seed")[metric].agg(["size", "first", "last", "min", "max"])
    means = by_seed.mean()
    told = (
        f"In the mean over the seeds from {means['first']:.{digits}f} after the first epoch to "
        f"{means['last']:.{digits}f} after the last, number {table['epoch'].max()}."
    )
    heads = ["seed", "epochs", "first", "last", "lowest", "highest"]
    rows = [
        [str(seed), *(f"{row[key]:.{0 if key == 'size' else digits}f}" for key in by_seed.columns)]
        for seed, row in by_seed.to_dict("index").items()
    ]
    points = [
        {"epoch": int(row["epoch"]), axis: round(float(row[metric]), digits + 1), "seed": f"seed {row['seed']}"}
        for row in table[table[metric].notna()].to_dict("records")
    ]
    shown = f"{title} of the {NAMES.get(network, network)} network"
    name = f"curve-{network}-{metric}".replace("_", "-").replace(" ", "-")
    return Figure(name, shown, told, charts.lines(points, "epoch", axis, "seed"), Table(shown, heads, rows))
