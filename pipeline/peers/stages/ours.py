"""Stage ours of the table: the whole method as params.yaml has it, one seed, one fold, measured float and shipped."""

import copy

import pandas as pd
from torch import nn

from asc_core.compression import package, temperature
from asc_core.evaluation.measure import measure
from asc_core.evaluation.predictions import prediction_table
from asc_core.features.store import FeatureStore
from asc_core.files import replacing, write_json
from pipeline.params import Params
from pipeline.paths import made
from pipeline.peers import paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Training
from pipeline.stages import train_student, train_teacher
from pipeline.stages.prune import tune_pruned
from pipeline.stages.quantize import tune_quantized


def ours(params: Params, journal: Journal, seed: int, fold: str) -> None:
    """Train teacher and student, prune, quantise, package and measure on the test split."""
    store, path = FeatureStore(made(paths.features(fold))), paths.package(seed, fold)
    journal.tags({"table": "peers", "row": "ours", "fold": fold})
    with Training(journal) as fit:
        teacher = train_teacher.trained(params, store, seed, fit)
        student = train_student.trained(params, store, seed, teacher, fit)
        network = copy.deepcopy(student)
        tune_pruned(network, params, store, seed, teacher, fit)
        divided_by = tune_quantized(network, params, store, seed, teacher, fit)
    more = temperature.described(divided_by)
    package.write(path, network, params.student.network, store.scenes, features=store.description, **more)
    networks: dict[str, nn.Module] = {"student": student, "quantized": package.read(path)[0]}
    results, tables = {}, []
    for name, each in networks.items():
        logits, results[name] = measure(each, store)
        tables.append(prediction_table(store, store.rows("test"), logits, name))
        print(f"ours@{seed} {fold}: {name}: {results[name]['accuracy']:.1f} %")
    journal.artifact(path)
    journal.metrics(results)
    with replacing(paths.predictions("ours", seed, fold)) as temporary:
        pd.concat(tables).to_parquet(temporary, index=False)
    write_json(paths.measured("ours", seed, fold), results)


if __name__ == "__main__":
    run(ours, experiment=paths.EXPERIMENT, trains=True)
