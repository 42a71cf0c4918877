"""Stage tables: accuracy by share, as JSON, as Markdown and as a plot."""

import json
from typing import Any

import pandas as pd

from asc_core.files import write_json
from asc_core.page import charts
from asc_core.page.parts import Figure, Part, Section, Table, Text
from asc_core.page.render import page
from pipeline.page.systems import BACK
from pipeline.params import Params
from pipeline.paths import made
from pipeline.reporting import plots
from pipeline.reporting.tables import as_text
from pipeline.runtime.journal import Journal, write_text
from pipeline.runtime.stage import run
from pipeline.shares import paths, settings
from pipeline.shares.rows.published import CORPUS, PUBLISHED
from pipeline.shares.rows.table import markdown, rows_of, tables_of
from pipeline.shares.settings import Shares

TITLE = "Accuracy by the share of the training data"


def told(clips: dict[int, int], shares: Shares) -> str:
    """What the tables are made of."""
    counts = ", ".join(f"{share} %: {count:,}" for share, count in sorted(clips.items()))
    seeds = ", ".join(map(str, shares.seeds))
    return (
        f"Every share is within the next one; training clips: {as_text(counts)}. All are tested on the same clips, the "
        f"mean is over the seeds {seeds}. Published figures are of another corpus, {CORPUS}: they tell how a baseline "
        "gains by more data, and nothing of who is ahead."
    )


def sections(rows: list[dict[str, Any]], clips: dict[int, int], shares: Shares) -> list[Section]:
    """The report as a page: a chart and a table a metric."""
    drawn: list[Part] = [Text(told(clips, shares))]
    for key, (title, heads, cells) in tables_of(rows, shares).items():
        points = [
            {"training clips, %": int(share), "accuracy, %": round(value[key]["mean"], 2), "system": row["label"]}
            for row in rows
            for share, value in row["shares"].items()
            if value[key]
        ]
        highest = max(points, key=lambda point: point["accuracy, %"])
        said = f"Highest: {highest['system']} with {highest['training clips, %']} % of the training clips."
        spec = charts.lines(points, "training clips, %", "accuracy, %", "system")
        drawn.append(Figure(f"shares-{key.replace('_', '-')}", title, said, spec, Table(title, heads, cells)))
    return [Section("shares", TITLE, drawn), BACK]


def tables(params: Params, journal: Journal) -> None:
    """Write the table as JSON, Markdown and a plot."""
    shares = settings.load()
    rows = rows_of(shares)
    clips: dict[int, int] = {share: len(pd.read_csv(made(paths.clips(share)), sep="\t")) for share in shares.percent}
    journal.tags({"table": "shares", "row": "all"})
    used = json.loads(shares.model_dump_json())
    published = {"corpus": CORPUS, "accuracy": PUBLISHED}
    table, files = markdown(rows, shares), paths.FILES
    write_json(files.told("json"), {"settings": used, "clips": clips, "systems": rows, "published": published})
    write_text(files.told("md"), f"# {TITLE}\n\n{told(clips, shares)}\n\n{table}")
    write_text(files.page, page(TITLE, sections(rows, clips, shares)))
    plots.accuracy_by_share(rows, {f"{name} ({CORPUS})": each for name, each in PUBLISHED.items()}, files.told("png"))
    for file in (*map(files.told, ("json", "md", "png")), files.page):
        journal.artifact(file)
    print(table)


if __name__ == "__main__":
    run(tables, experiment=paths.FILES.experiment)
