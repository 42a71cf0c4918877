"""Stage quantize: 8-bit convolution weights, half precision for the rest, and the file that ships; activations in 8 bit
where params.yaml says so."""

import copy
from dataclasses import replace

from torch import Tensor, nn

from asc_core.compression import activations, package, temperature
from asc_core.compression import quantize as quantization
from asc_core.compression.size import totals
from asc_core.errors import UserError
from asc_core.evaluation.metrics import score
from asc_core.features.store import FeatureStore
from asc_core.models import checkpoint, ensemble
from asc_core.training.job import Job
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity
from pipeline.params import Params
from pipeline.paths import FEATURES, curve_path, made, model_path, package_path, teacher_paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.runtime.training import Fit, Training, save


def quantize(params: Params, journal: Journal, seed: int) -> None:
    """Tune the pruned network of a seed with 8-bit weights, fold its normalisations and package it."""
    store, teacher = FeatureStore(made(FEATURES)), ensemble.load(teacher_paths(seed, params.teachers))
    network, _ = checkpoint.load(model_path(seed, "pruned"))
    with Training(journal, curve_path(seed, "quantized")) as fit:
        train_quantized(network, params, store, seed, teacher, fit)
    steps = activations.detach(network)
    quantization.stop_quantized_training(network)
    save(network, params.student.network, store, model_path(seed, "quantized"), journal)
    quantization.start_quantized_training(network)
    if steps is not None:
        activations.attach(network, some(store), steps)
    divided_by = finish(network, params, store)
    path, size, (_, evaluation) = package_path(seed), totals(network), score(network, store)
    package.write(
        path, network, params.student.network, store.scenes,
        features=store.description, size=size, evaluation={"clips": len(store.rows("test")), **evaluation},
        **temperature.described(divided_by),
    )  # fmt: skip
    journal.metrics({"size": {**size, "file_bytes": path.stat().st_size}, "temperature": divided_by})
    journal.artifact(path)


def tune_quantized(
    network: nn.Module, params: Params, store: FeatureStore, seed: int, teacher: nn.Module, fit: Fit
) -> float:
    """Tune the pruned network with 8-bit weights and quantise it, in place; the temperature that it has then."""
    train_quantized(network, params, store, seed, teacher, fit)
    return finish(network, params, store)


def train_quantized(
    network: nn.Module, params: Params, store: FeatureStore, seed: int, teacher: nn.Module, fit: Fit
) -> None:
    """Tune the pruned network with 8-bit weights, in place; its weights are still those that learn."""
    stage, augment = params.quantize, params.augment.masked(params.student.spec_augment)
    source = Teacher(teacher, stage.distillation) if stage.distillation else None
    quantization.start_quantized_training(network)
    training = params.training
    if stage.activations == "int8":  # which 16 bits of a float do not tell apart
        activations.attach(network, some(store))
        training = replace(training, precision="float32")
    fit("quantize", network, store, Job(stage.schedule, training, augment, seed, source, Sparsity()))


def some(store: FeatureStore) -> Tensor:
    """Training clips enough to see what a network computes: (clips, 1, mel, frame)."""
    return store.batch(store.rows("train")[:8]).float()


def finish(network: nn.Module, params: Params, store: FeatureStore) -> float:
    """Quantise a network after its training, in place; the temperature that it has then."""
    wanted = params.quantize.temperature
    divided_by = wanted if wanted != "fit" else fitted_temperature(network, store)
    if divided_by != 1:
        temperature.fold(network, divided_by, some(store))
    quantization.quantize(network)
    return float(divided_by)


def fitted_temperature(network: nn.Module, store: FeatureStore) -> float:
    """The temperature that suits a network once it is quantised, by the validation split.

    Raises:
        UserError: nothing is held back.
    """
    rows = store.rows("validation")
    if not len(rows):
        raise UserError("quantize.temperature: fit needs a validation split; data.validation holds nothing back")
    shipped = copy.deepcopy(network)
    quantization.quantize(shipped)
    logits, metrics = score(shipped, store, "validation")
    found = temperature.fitted(logits, store.labels[rows])
    print(f"temperature {found:g}, fitted on the validation split, whose log loss was {metrics['log_loss']:.3f}")
    return found


if __name__ == "__main__":
    run(quantize, trains=True)
