"""Our whole method, trained and measured, as a table needs it."""

import copy
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from asc_core.compression import package, temperature
from asc_core.evaluation.measure import measure
from asc_core.evaluation.predictions import prediction_table
from asc_core.features.store import FeatureStore
from pipeline.params import Params
from pipeline.runtime.journal import Journal
from pipeline.runtime.training import Training
from pipeline.stages import train_student, train_teacher
from pipeline.stages.prune import tune_pruned
from pipeline.stages.quantize import tune_quantized


def train_and_measure(
    name: str, params: Params, store: FeatureStore, seed: int, path: Path, journal: Journal
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train teacher and student, prune, quantise, and write the package to `path`; return the predictions of student
    and package on the test split, and for each what `measure` says."""
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
    for each, measured in networks.items():
        logits, results[each] = measure(measured, store)
        tables.append(prediction_table(store, store.rows("test"), logits, each))
        print(f"{name}@{seed}: {each}: {results[each]['accuracy']:.1f} %")
    journal.artifact(path)
    journal.metrics(results)
    return pd.concat(tables), results
