"""Stage summarise: mean, standard deviation and interval of every metric, as JSON, as tables and as plots."""

from typing import Any

import pandas as pd

from asc_core.comparison.intervals import intervals
from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT
from asc_core.evaluation import predictions
from asc_core.evaluation.predictions import KNOWN, SHIPPED
from asc_core.files import read_json, write_json
from asc_core.page.vega import vega
from pipeline.params import Params
from pipeline.paths import (
    HEADLINES,
    PLOTS,
    PREDICTIONS,
    SEEDS,
    SIZE,
    SIZES,
    SUMMARY,
    TABLE,
    VALIDATION,
    curve_path,
    made,
)
from pipeline.reporting import plots, views
from pipeline.reporting.known_devices import gain, gain_table
from pipeline.reporting.tables import BRACKETS, Markup, as_text, cell, markdown_table, over_seeds
from pipeline.reporting.terminal import summary_table
from pipeline.runtime.journal import Journal, flat, write_text
from pipeline.runtime.stage import run


def summary_of(seeds: list[dict[str, Any]], intervals: dict[str, Any]) -> dict[str, Any]:
    """The summary of the evaluations of several seeds. Sizes are the largest: a limit must hold for every seed.

    Args:
        intervals: of each network's metrics.
    """
    summary = {}
    for model, found in intervals.items():
        metrics = [{key: value for key, value in seed[model].items() if key != "size"} for seed in seeds]
        sizes = [seed[model]["size"] for seed in seeds]
        largest = {key: max(size[key] for size in sizes) for key in sizes[0]}
        summary[model] = {**over_seeds(metrics, found), "size": largest}
    return summary


def markdown(summary: dict[str, Any], seeds: list[int], unseen: list[str]) -> str:
    """The summary as tables that people read: a row a network, and accuracies with a row a device."""
    lines = [
        [
            name,
            cell(model["accuracy"]),
            cell(model["log_loss"], 3),
            cell(model["calibration_error"]),
            cell(model["accuracy_seen"]),
            cell(model["accuracy_unseen"]),
            str(model["size"]["nonzero_parameters"]),
            f"{model['size']['counted_bytes'] / 1024:.1f}",
            f"{model['size']['file_bytes'] / 1024:.1f}" if "file_bytes" in model["size"] else "-",
        ]
        for name, model in summary.items()
    ]
    heads = ["accuracy", "log loss", "calibration error", "seen", "unseen", "non-zero", "counted KB", "file KB"]
    devices = [
        [device, *(cell(model["accuracy_by_device"][device]) for model in summary.values())]
        for device in next(iter(summary.values()))["accuracy_by_device"]
    ]
    head = (
        f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}, {BRACKETS}. Accuracy in percent, the "
        "mean over the scenes; log loss with the natural logarithm; calibration error in percent; devices that "
        f"training never heard: {', '.join(map(as_text, unseen)) or 'none'}. KB = 1024 bytes."
    )
    tables = [markdown_table(["network", *heads], lines), markdown_table(["accuracy on device", *summary], devices)]
    if KNOWN in summary:
        tables.append(gain_table(summary[KNOWN], summary[SHIPPED]))
    return "\n".join([f"{head}\n", *tables])


def size_table(rows: list[dict[str, Any]], seed: int, file_bytes: int) -> str:
    """The account of a package, tensor by tensor, and what is left of the limit in either reading."""
    keys = ("parameters", "nonzero", "bits", "counted_bytes")
    total = {key: sum(row[key] for row in rows) for key in keys}
    counted = total["counted_bytes"]
    lines = [[row["name"], *(f"{row[key]:,}" for key in keys)] for row in rows]
    lines.append([Markup("**all**"), f"{total['parameters']:,}", f"{total['nonzero']:,}", "", f"{counted:,}"])
    readings = ", ".join(f"{100 * counted / limit:.1f} % of {limit:,} bytes" for limit in (LIMIT, DECIMAL_LIMIT))
    return (
        f"The quantised network of seed {seed}, the largest. Counted: non-zero entries times the bytes of their type; "
        f"{counted:,} bytes are {readings} (128 KB in either reading). The packaged file has {file_bytes:,} bytes.\n\n"
        + markdown_table(["tensor", "parameters", "non-zero", "bits", "bytes"], lines)
    )


def draw(summary: dict[str, Any], params: Params, unseen: list[str], answers: pd.DataFrame) -> None:
    """The plots, and the tables from which others draw.

    Args:
        answers: of the quantised networks, a row a clip and seed.
    """
    plots.accuracy_by_device(summary, unseen, PLOTS / "accuracy_by_device.png")
    plots.confusion(answers, PLOTS / "confusion_quantized.png")
    alone = len(params.teachers) == 1
    networks = {"teacher" if alone else f"teacher {name}": f"teacher_{name}" for name in params.teachers}
    networks |= {name: name for name in ("student", "pruned", "quantized")}
    files = {(shown, seed): curve_path(seed, name) for shown, name in networks.items() for seed in params.seeds}
    views.write_table(views.curves(files), views.CURVES)
    views.write_table(views.devices(summary, "quantized", unseen), views.DEVICES)
    views.write_table(views.confusion(answers), views.CONFUSION)
    write_text(views.VEGA, vega())


def summarise(params: Params, journal: Journal) -> None:
    """Summarise the seeds that the parameters list, and no other."""
    seeds = {seed: read_json(SEEDS / f"{seed}.json") for seed in params.seeds}
    files = [made(PREDICTIONS / f"{seed}.parquet") for seed in params.seeds]
    answers = {
        model: {str(file): predictions.read(file, model) for file in files} for model in next(iter(seeds.values()))
    }
    unseen = read_json(VALIDATION)["unseen_devices"]
    summary = summary_of(list(seeds.values()), {model: intervals(tables) for model, tables in answers.items()})
    if KNOWN in answers:
        summary[KNOWN]["gain"] = gain(answers[KNOWN], answers[SHIPPED], unseen)
    sizes = {seed: results["quantized"]["size"] for seed, results in seeds.items()}
    largest = max(sizes, key=lambda seed: sizes[seed]["counted_bytes"])
    write_json(SUMMARY, summary)
    write_text(TABLE, markdown(summary, params.seeds, unseen))
    write_text(SIZE, size_table(read_json(SIZES / f"{largest}.json"), largest, sizes[largest]["file_bytes"]))
    write_json(HEADLINES, views.headlines(summary["quantized"], summary["teacher"]))
    draw(summary, params, unseen, pd.concat(answers["quantized"].values()))
    # The mean takes the metric's own name, so that it stands above those of the seeds where runs are compared.
    journal.metrics({name.removesuffix(".mean"): value for name, value in flat(summary).items()}, summary=True)
    for path in (SUMMARY, HEADLINES, TABLE, SIZE, *sorted(PLOTS.glob("*.png"))):
        journal.artifact(path, summary=True)
    print(summary_table(summary, unseen), end="")


if __name__ == "__main__":
    run(summarise)
