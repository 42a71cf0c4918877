"""Stage compress of the tables: the large network pruned and quantised, in the ways that the table compares."""

from asc_core.compression import quantize as quantization
from asc_core.compression.config import PruningConfig
from asc_core.evaluation.measure import measure
from asc_core.evaluation.predictions import prediction_table
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from asc_core.training.job import Job
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity
from pipeline.paper.paths import FILES
from pipeline.paper.rows import systems
from pipeline.params import Params
from pipeline.paths import FEATURES, made
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Training
from pipeline.systems.keep import keep


def compress(params: Params, journal: Journal, variant: str, seed: int) -> None:
    """Prune, tune, quantise, tune and measure."""
    paper, store, path = systems.load(), FeatureStore(made(FEATURES)), FILES.network(systems.VANILLA, seed)
    journal.tags({"table": "compression", "row": variant})
    (network, _), (uncompressed, _) = checkpoint.load(path), checkpoint.load(path)
    teacher = None if variant == "without_distillation" else Teacher(uncompressed, paper.distillation)
    pruning = paper.prune.config if variant == "gradual" else PruningConfig(paper.prune.ratio)
    augment = params.augment.masked(systems.SYSTEMS[systems.VANILLA].masked(paper))
    with Training(journal) as fit:
        if paper.prune.schedule:
            job = Job(paper.prune.schedule, params.training, augment, seed, teacher, Sparsity(pruning))
            fit(f"paper {variant} prune", network, store, job)
        quantization.start_quantized_training(network)
        job = Job(paper.quantize.schedule, params.training, augment, seed, teacher, Sparsity())
        fit(f"paper {variant} quantize", network, store, job)
    quantization.quantize(network)
    logits, results = measure(network, store)
    print(f"{variant}@{seed}: {results['accuracy']:.1f} %")
    journal.metrics(results)
    keep(FILES, (variant, seed), prediction_table(store, store.rows("test"), logits, variant), results)


if __name__ == "__main__":
    run(compress, experiment=FILES.experiment, trains=True)
