"""Stage quantize: 8-bit convolution weights, half precision for the rest, and the file that ships."""

from asc_core.compression import package
from asc_core.compression import quantize as quantization
from asc_core.compression.size import totals
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint
from asc_core.training.job import Job
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity
from pipeline.params import Params
from pipeline.paths import FEATURES, made, model_path, package_path
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import train


def quantize(params: Params, journal: Journal, seed: int) -> None:
    """Tune the pruned network of a seed with 8-bit weights, fold its normalisations and package it."""
    store, stage, path = FeatureStore(made(FEATURES)), params.quantize, package_path(seed)
    network, _ = checkpoint.load(model_path(seed, "pruned"))
    quantization.start_quantized_training(network)
    teacher = Teacher.load(model_path(seed, "teacher"), params.distillation) if stage.distil else None
    augment = params.augment.masked(params.student.spec_augment)
    job = Job(stage.schedule, params.training, augment, seed, teacher, Sparsity())
    train("quantize", network, store, job, journal)
    quantization.quantize(network)
    size, (_, evaluation) = totals(network), score(network, store)
    package.write(
        path, network, params.student.network, store.scenes,
        features=store.description, size=size, evaluation={"clips": len(store.rows("test")), **evaluation},
    )  # fmt: skip
    journal.metrics({"size": {**size, "file_bytes": path.stat().st_size}})
    journal.artifact(path)


if __name__ == "__main__":
    run(quantize, trains=True)
