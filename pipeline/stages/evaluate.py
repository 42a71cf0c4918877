"""Stage evaluate: teachers, student, pruned and quantised network of a seed on the test split, by device and scene."""

import pandas as pd
from torch import nn

from asc_core.compression import package
from asc_core.compression.size import account, as_json
from asc_core.drift import reference
from asc_core.evaluation.known_devices import measure_devices
from asc_core.evaluation.measure import measure
from asc_core.evaluation.predictions import KNOWN, SHIPPED, prediction_table
from asc_core.features.store import FeatureStore
from asc_core.files import replacing, write_json
from asc_core.models import checkpoint
from asc_core.models.ensemble import together
from pipeline.params import Params
from pipeline.paths import (
    FEATURES,
    PREDICTIONS,
    SEEDS,
    SIZES,
    made,
    model_path,
    package_path,
    reference_path,
    shipped_path,
    teacher_path,
)
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run


def evaluate(params: Params, journal: Journal, seed: int) -> None:
    """Measure the networks of a seed; with several teachers, their mean and each of them.

    The networks of known devices are one more: each clip is heard by that of its device.
    """
    store = FeatureStore(made(FEATURES))
    teachers = {name: checkpoint.load(made(teacher_path(seed, name)))[0] for name in params.teachers}
    networks: dict[str, nn.Module] = {"teacher": together([*teachers.values()])}
    if len(teachers) > 1:
        networks |= {f"teacher {name}": network for name, network in teachers.items()}
    networks |= {name: checkpoint.load(made(model_path(seed, name)))[0] for name in ("student", "pruned")}
    # The package itself is evaluated: what is measured is what ships.
    networks[SHIPPED], devices, description = package.read_devices(made(shipped_path(seed)))
    measured = {name: measure(network, store) for name, network in networks.items()}
    if devices:
        measured[KNOWN] = measure_devices(measured[SHIPPED][0], devices, store)
    results, tables = {}, {}
    for name, (logits, results[name]) in measured.items():
        tables[name] = prediction_table(store, store.rows("test"), logits, name)
        print(f"evaluate@{seed}: {name}: {results[name]['accuracy']:.1f} %, log loss {results[name]['log_loss']:.3f}")
    results[SHIPPED]["size"]["file_bytes"] = made(package_path(seed)).stat().st_size
    if "temperature" in description:
        results[SHIPPED]["temperature"] = description["temperature"]
    if devices:
        results[KNOWN]["size"]["file_bytes"] = shipped_path(seed).stat().st_size
    journal.metrics(results)
    with replacing(PREDICTIONS / f"{seed}.parquet") as temporary:
        pd.concat(tables.values()).to_parquet(temporary, index=False)
    reference.write(reference_path(seed), reference.reference(store, tables[SHIPPED]))
    write_json(SIZES / f"{seed}.json", as_json(account(networks[SHIPPED])))
    write_json(SEEDS / f"{seed}.json", results)


if __name__ == "__main__":
    run(evaluate)
