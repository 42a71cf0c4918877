"""What stands behind the results: calibration, size, and the corpus."""

import pandas as pd

from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT, limits
from asc_core.evaluation.metrics import BINS, calibration_error, confidence_bins
from asc_core.evaluation.predictions import SHIPPED
from asc_core.page import charts
from asc_core.page.parts import Figure, Part, Section, Table, Text
from pipeline.page.run import Run
from pipeline.reporting import device as devices

# Sets of rules by the years of the challenge that they held in.
RULES = {"dcase2021": "2021", "dcase2022": "2022", "dcase2023": "2023 to 2025"}
MOST_ROWS = 20  # of what an expectation does not like


def reliability(run: Run) -> Section:
    """How far the shipped network's probabilities can be believed."""
    probabilities = run.predictions[run.scenes].to_numpy()
    labels = pd.Index(run.scenes).get_indexer(pd.Index(run.predictions["scene"]))
    confidence, right = 100 * probabilities.max(axis=1), 100.0 * (probabilities.argmax(axis=1) == labels)
    table = pd.DataFrame({"confidence": confidence, "accuracy": right, "bin": confidence_bins(probabilities)})
    groups = table.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), clips=("bin", "size")
    )
    error = calibration_error(probabilities, labels)
    rows = [{str(key): round(value, 1) for key, value in row.items()} for row in groups.to_dict("records")]
    mean, hits = confidence.mean(), right.mean()
    told = (
        f"The network says {mean:.1f} % in the mean and is right in {hits:.1f} % of the clips: it is "
        f"{'too sure' if mean > hits else 'too modest'}. The expected calibration error is {error:.1f} points "
        f"({BINS} bins, answers of all seeds)."
    )
    numbers = [
        [f"{100 / BINS * index:.0f} to {100 / BINS * (index + 1):.0f}", f"{row['clips']}",
         f"{row['confidence']:.1f}", f"{row['accuracy']:.1f}"]
        for index, row in zip(groups.index.tolist(), rows, strict=True)
    ]  # fmt: skip
    shown = Table(
        "Answers by their confidence, in percent", ["confidence", "answers", "mean confidence", "right"], numbers
    )
    figure = Figure("reliability-chart", "Confidence and accuracy", told, charts.reliability(rows), shown)
    return Section("reliability", "Reliability of the probabilities", [figure])


def size(run: Run) -> Section:
    """Where the bytes are, and what each set of rules counts."""
    parts: dict[tuple[str, int], int] = {}  # several tensors each: a network has dozens
    for row in run.sizes:
        key = (".".join(row["name"].split(".")[:2]), row["bits"])
        parts[key] = parts.get(key, 0) + row["counted_bytes"]
    layers = [{"part": part, "bytes": total, "bits": f"{bits} bit"} for (part, bits), total in parts.items()]
    counted = sum(row["counted_bytes"] for row in run.sizes)
    largest = max(run.sizes, key=lambda row: row["counted_bytes"])
    told = f"{counted:,} bytes are counted; the largest tensor is {largest['name']} with {largest['counted_bytes']:,}."
    keys = ("parameters", "nonzero", "bits", "counted_bytes")
    tensors = Table(
        "Every tensor of the largest package",
        ["tensor", "parameters", "non-zero", "bits", "bytes"],
        [[row["name"], *(f"{row[key]:,}" for key in keys)] for row in run.sizes],
    )
    figure = Figure(
        "size-chart",
        "Bytes by part of the network",
        told,
        charts.bars(layers, "part", "bytes", "bits", "bytes"),
        tensors,
    )
    rows = []
    for rule, years in RULES.items():
        for limit in limits(run.shipped["size"], rule):
            name = f"{years}: {limit.name.replace('_', ' ')}"
            rows.append([name, f"{limit.value:,}", f"{limit.most:,}", _used(limit.value, limit.most)])
    rows.insert(1, ["the same, KB of 1024 bytes", f"{counted:,}", f"{LIMIT:,}", _used(counted, LIMIT)])
    rules = Table("What the rules of each year of the challenge count", ["rule", "counted", "at most", "used"], rows)
    note = (
        f"128 KB are {DECIMAL_LIMIT:,} or {LIMIT:,} bytes; the file itself has {run.shipped['size']['file_bytes']:,}."
    )
    return Section("size", "Size", [figure, rules, Text(note)])


def device(run: Run) -> Section:
    """What the package that ships costs on a device, and what its exported file answers there."""
    parts: list[Part] = [
        Table("What ships, for a clip and a second of it", devices.COSTS, devices.costs(run.device)),
        Text(devices.MEMORY),
    ]
    if (exported := run.device["exported"]) is not None:
        parts.append(Text(devices.told(exported)))
        network = run.seeds[run.device["seed"]][SHIPPED]
        rows = devices.beside(exported, network)
        parts.append(Table("Accuracy in percent, log loss", ["", "network", exported["form"]], rows))
    return Section("device", "On a device", parts)


def corpus(run: Run) -> Section:
    """The clips, and what was expected of them."""
    found, figures = run.validation, []
    for kind, table in (("scene", found["scenes"]), ("device", found["devices"])):
        splits = [split for split in found["clips"] if split in table]
        names = sorted({name for split in splits for name in table[split]})
        rows = [{kind: name, "clips": table[split].get(name, 0), "split": split} for name in names for split in splits]
        told = (
            f"{len(names)} {kind}s; "
            + ", ".join(f"{found['clips'][split]:,} clips in {split}" for split in splits)
            + "."
        )
        numbers = [[name, *(f"{table[split].get(name, 0):,}" for split in splits)] for name in names]
        spec = charts.bars(rows, kind, "clips", "split", "clips")
        shown = Table(f"Clips by {kind}", [kind, *splits], numbers)
        figures.append(Figure(f"corpus-{kind}", f"Clips by {kind} and split", told, spec, shown))
    parts: list[Part] = [*figures]
    failed = [row for row in found["expectations"] if not row["passed"]]
    met = len(found["expectations"]) - len(failed)
    parts.append(Text(f"{met} of {len(found['expectations'])} expectations are met; all are in {found['data_docs']}."))
    for row in failed:
        bad = row["bad_rows"][:MOST_ROWS]
        heads = list(bad[0]) if bad else [""]
        parts.append(
            Table(f"Not met: {row['meaning']}", heads, [[str(each.get(key)) for key in heads] for each in bad])
        )
    return Section("corpus", "Corpus", parts)


def _used(value: int, most: int) -> str:
    return f"{100 * value / most:.1f} %"
