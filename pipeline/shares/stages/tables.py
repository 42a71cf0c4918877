"""Stage tables: accuracy by share, as JSON, as Markdown and as a plot."""

import json

import pandas as pd

from asc_core.files import write_json
from pipeline.params import Params
from pipeline.paths import made
from pipeline.reporting import plots
from pipeline.reporting.tables import as_text
from pipeline.runtime.journal import Journal, write_text
from pipeline.runtime.stage import run
from pipeline.shares import paths, settings
from pipeline.shares.rows.published import CORPUS, PUBLISHED
from pipeline.shares.rows.table import markdown, rows_of
from pipeline.shares.settings import Shares


def text(table: str, clips: dict[int, int], shares: Shares) -> str:
    """The report: the tables, and what they are made of."""
    counts = ", ".join(f"{share} %: {count:,}" for share, count in sorted(clips.items()))
    seeds = ", ".join(map(str, shares.seeds))
    return (
        "# Accuracy by the share of the training data\n\n"
        f"Every share is within the next one; training clips: {as_text(counts)}. All are tested on the same clips, the "
        f"mean is over the seeds {seeds}. Published figures are of another corpus, {CORPUS}: they tell how a baseline "
        f"gains by more data, and nothing of who is ahead.\n\n{table}"
    )


def tables(params: Params, journal: Journal) -> None:
    """Write the table as JSON, Markdown and a plot."""
    shares = settings.load()
    rows = rows_of(shares)
    clips = {share: len(pd.read_csv(made(paths.clips(share)), sep="\t")) for share in shares.percent}
    journal.tags({"table": "shares", "row": "all"})
    used = json.loads(shares.model_dump_json())
    published = {"corpus": CORPUS, "accuracy": PUBLISHED}
    write_json(
        paths.REPORTS / "shares.json", {"settings": used, "clips": clips, "systems": rows, "published": published}
    )
    table = markdown(rows, shares)
    write_text(paths.TABLE, text(table, clips, shares))
    plots.accuracy_by_share(rows, {f"{name} ({CORPUS})": each for name, each in PUBLISHED.items()}, paths.PLOT)
    for suffix in ("json", "md", "png"):
        journal.artifact(paths.TABLE.with_suffix(f".{suffix}"))
    print(table)


if __name__ == "__main__":
    run(tables, experiment=paths.EXPERIMENT)
