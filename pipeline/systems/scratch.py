"""A system trained from scratch and measured, as a row of a table needs it."""

from pathlib import Path
from typing import Any

from torch import Tensor

from asc_core.evaluation.measure import measure
from asc_core.features.store import FeatureStore
from asc_core.models.config import NetworkConfig
from asc_core.training.job import Job
from asc_core.training.loop import untrained
from pipeline.runtime.journal import Journal
from pipeline.runtime.training import Training, save


def train_and_measure(
    name: str, config: NetworkConfig, job: Job, store: FeatureStore, path: Path, journal: Journal
) -> tuple[Tensor, dict[str, Any]]:
    """Train the network of `config` on `store`, write it to `path`, and return what `measure` does of it."""
    network = untrained(config, store, job.seed)
    with Training(journal) as fit:
        fit(name, network, store, job)
    save(network, config, store, path, journal)
    logits, results = measure(network, store)
    print(f"{name}@{job.seed}: {results['accuracy']:.1f} %")
    journal.metrics(results)
    return logits, results
