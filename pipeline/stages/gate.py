"""Stage gate: refuse a model that is too large or not good enough; the limits are in params.yaml under `gates`.

Card and report are written whatever the verdict. A model that passes is handed to the registry
(`pipeline.release.registry`) by way of the journal.
"""

import shlex
from typing import Any

import pandas as pd

from asc_core import UserError
from asc_core.compression.rules import LIMIT, limits
from asc_core.evaluation.predictions import KNOWN, SHIPPED
from asc_core.features.store import FeatureStore
from asc_core.files import read_json, write_json
from pipeline.device import shipped
from pipeline.page.write import write
from pipeline.params import Gates, Params
from pipeline.paths import (
    CARD,
    CORPUS,
    COST,
    FEATURES,
    GATE,
    PAGE,
    PREDICTIONS,
    SEEDS,
    SUMMARY,
    VALIDATION,
    corpus_root,
    made,
    package_path,
    reference_path,
    shipped_path,
)
from pipeline.release.shipped.bundle import contents
from pipeline.reporting.card import Facts, model_card
from pipeline.reporting.tables import median_seed
from pipeline.reporting.terminal import next_steps
from pipeline.runtime.journal import Journal, features_hash, write_text
from pipeline.runtime.stage import run

NEXT = [
    ("make ui", "MLflow: seeds, stages and runs compared"),
    ("asc registry show", "the models that passed, and which one is champion"),
]


def checks(summary: dict[str, Any], seeds: dict[int, dict[str, Any]], gates: Gates) -> list[dict[str, Any]]:
    """A row for every limit that is set: name, value, limit, passed. Sizes are those of the largest seed.

    Args:
        seeds: what was measured of the quantised network of each seed.
    """
    model, teacher = summary["quantized"], summary["teacher"]
    drop = teacher["accuracy"]["mean"] - model["accuracy"]["mean"]
    worst = min(value["mean"] for value in model["accuracy_by_device"].values())
    values = {
        "counted_bytes": (model["size"]["counted_bytes"], "at most"),
        "file_bytes": (summary.get(KNOWN, model)["size"]["file_bytes"], "at most"),
        "accuracy": (model["accuracy"]["mean"], "at least"),
        "accuracy_drop": (drop, "at most"),
        "worst_device": (worst, "at least"),
    }
    rows = []
    for name, of in ((SHIPPED, ""), (KNOWN, ", each device's network")):  # the largest; each has to keep to the rules
        rules = limits(summary[name]["size"], gates.rules) if gates.rules and name in summary else []
        rows += [row(f"{gates.rules}{of}: {limit.name}", limit.value, "at most", limit.most) for limit in rules]
    for name, (value, sense) in values.items():
        limit = getattr(gates, name)
        if limit is not None:
            rows.append(row(name, value, sense, limit))
    if gates.seed_accuracy is not None:
        rows += [
            row(f"accuracy of seed {seed}", each["accuracy"], "at least", gates.seed_accuracy)
            for seed, each in seeds.items()
        ]
    return rows


def on_device(found: dict[str, Any], accuracy: float, gates: Gates) -> list[dict[str, Any]]:
    """The same rows for what the seed that ships costs on a device, and what its exported file answers."""
    return [row(*limit) for limit in shipped.limits(found, accuracy, gates)]


def row(name: str, value: float, sense: str, limit: float) -> dict[str, Any]:
    """One check, done."""
    passed = value <= limit if sense == "at most" else value >= limit
    return {"name": name, "value": value, "sense": sense, "limit": limit, "passed": passed}


def complaint(row: dict[str, Any]) -> str:
    """One failed check in words: what was measured, the limit, and by how much it is missed."""
    value, limit = row["value"], row["limit"]
    missed = abs(value - limit)
    if not isinstance(value, int):
        return f"{row['name']} is {value:.2f}, the limit is {row['sense']} {limit:g}, missed by {missed:.2f}"
    unit = " bytes" if row["name"].endswith("_bytes") else ""
    return f"{row['name']} is {value:,}{unit}, the limit is {row['sense']} {limit:,}{unit}, missed by {missed:,}{unit}"


def gate(params: Params, journal: Journal) -> None:
    """Check the summary against the limits, write card and report, and have a model that passed registered."""
    summary = read_json(SUMMARY)
    seeds = {seed: read_json(SEEDS / f"{seed}.json")["quantized"] for seed in params.seeds}
    model = summary["quantized"]
    seed = median_seed({seed: each["accuracy"] for seed, each in seeds.items()})
    package = made(shipped_path(seed) if params.tune_devices else package_path(seed))
    source = params.data.source
    device = shipped.on_device(package, PREDICTIONS / f"{seed}.parquet", FeatureStore(made(FEATURES)), params.gates)
    rows = checks(summary, seeds, params.gates) + on_device(device, seeds[seed]["accuracy"], params.gates)
    failed = [row for row in rows if not row["passed"]]
    write_json(GATE, {"passed": not failed, "checks": rows})
    write_json(COST, {"seed": seed, **device})
    facts = Facts(package, seed, seeds, model, source, read_json(CORPUS), read_json(VALIDATION), rows, device)
    write_text(CARD, model_card(facts))
    write(params, rows)
    journal.metrics({"gate.passed": int(not failed)}, summary=True)
    for path in (GATE, COST, CARD, PAGE):
        journal.artifact(path, summary=True)
    for row in rows:
        print(
            f"gate: {'passed' if row['passed'] else 'FAILED'}: {row['name']} {row['value']:.6g}, limit {row['limit']:g}"
        )
    if params.gates.rules == "dcase2021":
        used = model["size"]["counted_bytes"] / LIMIT
        print(f"gate: of the other reading of 128 KB, {LIMIT:,} bytes, {used:.1%} are used")
    print(f"report: {PAGE}, for a browser")
    if failed:
        again = ("dvc repro", "after a change of params.yaml: its section gates has the limits")
        print(next_steps([again]))
        raise UserError("; ".join(complaint(row) for row in failed))
    registered = {
        "seed": seed,
        "seeds": params.seeds,
        "accuracy": model["accuracy"],
        "log_loss": model["log_loss"],
        **seeds[seed]["size"],
        "source": source,
        "features": features_hash(),
    }
    answers = [made(PREDICTIONS / f"{seed}.parquet") for seed in params.seeds]
    journal.model(contents(package, CARD, made(reference_path(seed)), answers), registered)
    print(next_steps([(f"asc predict {package} {example(seed)}", "or any other sound files and folders"), *NEXT]))


def example(seed: int) -> str:
    """A clip of the test split, as a word of a command."""
    clips = pd.read_parquet(PREDICTIONS / f"{seed}.parquet", columns=["filename"])
    return shlex.quote(str(corpus_root() / clips["filename"].iloc[0]))


if __name__ == "__main__":
    run(gate)
