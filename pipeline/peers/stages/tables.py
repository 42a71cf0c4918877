"""Stage tables: the systems of others beside ours, as JSON, as Markdown and as a plot."""

import json
from typing import Any

import yaml

from asc_core.files import write_json
from asc_core.page.parts import Section, Table, Text
from asc_core.page.render import page
from pipeline.page.systems import BACK, figure, plain
from pipeline.params import Params
from pipeline.peers import paths, settings
from pipeline.peers.rows.systems import described
from pipeline.peers.rows.table import PAIRED, ahead, markdown, reached, rows_of
from pipeline.peers.settings import Peers
from pipeline.reporting import plots
from pipeline.reporting.tables import as_text, markdown_table
from pipeline.runtime.journal import Journal, write_text
from pipeline.runtime.stage import run

OURS = ("features", "training", "augment", "teachers", "student", "prune", "quantize")  # of params.yaml


def settings_of(params: Params, peers: Peers) -> dict[str, Any]:
    """What the figures depend on: peers.yaml, and what params.yaml says of features, batches and ours."""
    everything = json.loads(params.model_dump_json())
    own = json.loads(peers.model_dump_json())
    own["corpora"] = list(peers.corpora)  # where they are is of this machine
    return {"peers": own, "params": {key: everything[key] for key in OURS}}


def text(rows: list[dict[str, Any]], peers: Peers, used: dict[str, Any]) -> str:
    """The report: the tables, what they are made of, and the settings."""
    others = [described(name) for name in peers.systems]
    sources = markdown_table(["system", "published", "departures"], [[o.label, o.source, o.departures] for o in others])
    folds, seeds = ", ".join(map(as_text, peers.corpora)), ", ".join(map(str, peers.seeds))
    first = rows[0]
    return (
        "# The systems of others beside ours\n\n"
        f"{first['clips']:,} clips at {first['locations']:,} locations, folds {folds}; the mean over the seeds "
        f"{seeds}. Accuracy in percent, the mean over the scenes, micro over the clips; seen and unseen: devices "
        "that training had or had not. The others are float networks. In brackets 95 % intervals, by bootstrap over "
        "locations; those of the differences tell of other seeds too, where there are several.\n\n"
        f"{markdown(rows)}\n## Sources\n\n{sources}\nAll of them were trained for {peers.epochs:g} of the published "
        "epochs, in batches and on features as params.yaml has them; with averages of the weights (ema) and batch "
        "statistics measured anew (precise_bn) where a recipe has them.\n\n## Settings\n\n```yaml\n"
        f"{yaml.safe_dump(used, sort_keys=False, allow_unicode=True, width=120)}```\n"
    )


def sections(rows: list[dict[str, Any]], peers: Peers) -> list[Section]:
    """The report as a page."""
    heads, cells = ahead(rows)
    told = Text(f"{PAIRED} ≈: not distinguishable.")
    first = Table(f"Folds {', '.join(peers.corpora)}; seeds {', '.join(map(str, peers.seeds))}", *reached(rows))
    return [
        Section("systems", "Systems of others beside ours", [figure("systems-chart", "Accuracy", rows, first)]),
        Section("ahead", "Ours as shipped, less the others", [
            told, Table("Differences, with 95 % intervals", heads, [plain(row) for row in cells]),
        ]),
        BACK,
    ]  # fmt: skip


def tables(params: Params, journal: Journal) -> None:
    """Write the table as JSON, Markdown and a plot."""
    peers = settings.load()
    rows, used = rows_of(peers), settings_of(params, peers)
    journal.tags({"table": "peers", "row": "all"})
    write_json(paths.FILES.told("json"), {"settings": used, "systems": rows})
    write_text(paths.FILES.told("md"), text(rows, peers, used))
    plots.with_intervals(rows, paths.FILES.told("png"))
    write_text(paths.FILES.page, page("Systems of others beside ours", sections(rows, peers)))
    for file in (*map(paths.FILES.told, ("json", "md", "png")), paths.FILES.page):
        journal.artifact(file)
    print(markdown(rows))


if __name__ == "__main__":
    run(tables, experiment=paths.FILES.experiment)
