"""Stage tables: the tables of the publications, measured here beside what was published."""

from typing import Any

from asc_core.comparison.intervals import intervals
from asc_core.comparison.systems import Tables, compare
from asc_core.evaluation import predictions
from asc_core.files import read_json, write_json
from asc_core.page.parts import Section, Table, Text
from asc_core.page.render import page
from pipeline.page.systems import BACK, SHARES, figure
from pipeline.paper.paths import FILES
from pipeline.paper.rows import systems
from pipeline.paper.rows.systems import COMPRESSION, SYSTEMS, VANILLA, Paper, Published
from pipeline.params import Params
from pipeline.paths import CORPUS, made
from pipeline.reporting import plots
from pipeline.reporting.tables import BRACKETS, Markup, as_text, cell, markdown_table, over_seeds
from pipeline.runtime.journal import Journal, write_text
from pipeline.runtime.stage import run


def rows_of(table: str, paper: Paper) -> list[tuple[str, str, Published]]:
    """The configured rows of a table: name, label, published figures."""
    if table == "compression":
        wanted = [VANILLA, *paper.compressed] if VANILLA in paper.systems else []
        return [(name, *COMPRESSION[name]) for name in COMPRESSION if name in wanted]
    return [
        (name, SYSTEMS[name].label, SYSTEMS[name].published) for name in paper.systems if SYSTEMS[name].table == table
    ]


def build_table(table: str, paper: Paper) -> list[dict[str, Any]]:
    """Every row of a table: mean, standard deviation and n over the seeds, sizes, and the published figures."""
    rows, answers = [], {}
    for name, label, published in rows_of(table, paper):
        files = [made(FILES.predictions(name, seed)) for seed in paper.seeds]
        answers[name] = {str(file): predictions.read(file) for file in files}
        runs = [read_json(FILES.measured(name, seed)) for seed in paper.seeds]
        sizes = [run["size"] for run in runs]
        metrics = [{key: value for key, value in run.items() if key != "size"} for run in runs]
        rows.append(
            {
                "system": name,
                "label": label,
                "parameters": sizes[0]["parameters"],
                "nonzero_parameters": max(size["nonzero_parameters"] for size in sizes),
                "counted_bytes": max(size["counted_bytes"] for size in sizes),
                "macs": sizes[0]["macs"],
                "macs_torchinfo": sizes[0]["macs_torchinfo"],
                "measured": over_seeds(metrics, intervals(answers[name])),
                "published_on_tau2020": {
                    "accuracy": published.accuracy,
                    "std": published.std,
                    "accuracy_by_device": dict(zip(systems.DEVICES, published.by_device, strict=False)),
                },
            }
        )
    if rows:
        best = max(rows, key=lambda row: row["measured"]["accuracy"]["mean"])["system"]
        for row in rows:
            row["best"] = best
            row["less_best"] = None if row["system"] == best else less(answers[row["system"]], answers[best])
    return rows


def less(first: Tables, other: Tables) -> dict[str, dict[str, Any]]:
    """What the accuracies of a row differ by from those of the best one, clip by clip."""
    found = compare(first, other).differences
    keys = [("accuracy",), ("accuracy_unseen",)]
    return {
        key[0]: {
            "difference": found[key].difference,
            "interval": found[key].interval,
            "distinguishable": found[key].verdict != "not distinguishable",
        }
        for key in keys
        if key in found
    }


def difference(row: dict[str, Any], metric: str) -> str:
    """A cell: what a row's accuracy differs by from that of the best one, or that this cannot be told from chance."""
    if row["less_best"] is None:
        return "the best"
    if metric not in row["less_best"]:
        return "-"
    found = row["less_best"][metric]
    bounds = " [{:+.1f}, {:+.1f}]".format(*found["interval"]) if found["interval"] else ""
    return Markup(f"{found['difference']:+.1f}{bounds}{'' if found['distinguishable'] else ', not distinguishable'}")


def table_of(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells of a table to read."""
    devices = list(rows[0]["measured"]["accuracy_by_device"])
    heads = ["system", "non-zero parameters", "counted KB", "accuracy", "log loss", "seen", "unseen"]
    heads += ["less the best", "unseen, less the best", *devices]
    lines = []
    for row in rows:
        found, published = row["measured"], row["published_on_tau2020"]
        figures = [published["accuracy"], published["std"]]
        lines.append(
            [
                row["label"],
                f"{row['nonzero_parameters']:,}",
                f"{row['counted_bytes'] / 1024:.1f}",
                cell(found["accuracy"]),
                cell(found["log_loss"], 3),
                cell(found["accuracy_seen"]),
                cell(found["accuracy_unseen"]),
                *(difference(row, metric) for metric in ("accuracy", "accuracy_unseen")),
                *(cell(found["accuracy_by_device"][device]) for device in devices),
                " ±".join(str(figure) for figure in figures if figure is not None) or "–",
            ]
        )
    return [*heads, "published, TAU 2020 Mobile"], lines


def told(table: str, paper: Paper) -> str:
    """What a table shows, in Markdown."""
    corpus = read_json(CORPUS)["root"].rstrip("/").split("/")[-1]
    pruned = f" {100 * paper.prune.ratio:g} % of the convolution weights are pruned." if table == "compression" else ""
    return (
        f"Measured on the corpus {as_text(corpus)}, {len(paper.seeds)} seeds, "
        f"{paper.schedule.epochs} epochs, small tau {paper.small_tau:g}, large tau {paper.large_tau:g}: "
        f"mean ± standard deviation, {BRACKETS}; accuracy in percent.{pruned} Less the best: the difference to "
        "the row of the highest accuracy, compared clip by clip, with its interval over locations and seeds. "
        "The last column is what was published for the full-size system on the test split of TAU Urban Acoustic Scenes "
        "2020 Mobile; it is another corpus and another size."
    )


def markdown(table: str, rows: list[dict[str, Any]], paper: Paper) -> str:
    """A table to read."""
    return f"# {table.capitalize()}\n\n{told(table, paper)}\n\n{markdown_table(*table_of(rows))}"


def section(table: str, rows: list[dict[str, Any]], paper: Paper) -> Section:
    """A table as a part of the page."""
    drawn = [
        {
            "label": row["label"],
            "metrics": {key: value["mean"] for key, value in measured.items() if value},
            "intervals": {key: value["interval"] for key, value in measured.items() if value},
        }
        for row in rows
        if (measured := {key: row["measured"][key] for key in SHARES.values()})
    ]
    shown = Table(f"{table.capitalize()}, mean ± standard deviation over the seeds", *table_of(rows))
    return Section(
        table, table.capitalize(), [Text(told(table, paper)), figure(f"{table}-chart", "Accuracies", drawn, shown)]
    )


def tables(params: Params, journal: Journal) -> None:
    """Write every table as JSON, Markdown and a plot."""
    paper = systems.load()
    journal.tags({"table": "all", "row": "all"})
    sections = []
    for table in ("networks", "normalisation", "compression"):
        rows = build_table(table, paper)
        if not rows:
            continue
        write_json(FILES.reports / f"{table}.json", rows)
        write_text(FILES.reports / f"{table}.md", markdown(table, rows, paper))
        plots.seen_and_unseen({row["label"]: row["measured"] for row in rows}, FILES.reports / f"{table}.png")
        sections.append(section(table, rows, paper))
        for suffix in ("json", "md", "png"):
            journal.artifact(FILES.reports / f"{table}.{suffix}")
        print((FILES.reports / f"{table}.md").read_text(encoding="utf-8"))
    write_text(FILES.page, page("Tables of the publications", [*sections, BACK]))
    journal.artifact(FILES.page)


if __name__ == "__main__":
    run(tables, experiment=FILES.experiment)
