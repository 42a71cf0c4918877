"""Stage tune_devices: the general network tuned to each training device, and all of them in one package.

Without `tune_devices` that package is the general network's as it is.
"""

import copy
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from asc_core.files import replacing
from pipeline.params import Params, TuneDevicesStage
from pipeline.paths import FEATURES, made, model_path, package_path, shipped_path, teacher_paths
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run

if TYPE_CHECKING:  # a stage that has nothing to do does not load torch
    from torch import nn

    from asc_core.features.store import FeatureStore
    from pipeline.runtime.training import Fit


def tune_devices(params: Params, journal: Journal, seed: int) -> None:
    """Package the quantised network of a seed with those of the training devices, where there are to be any."""
    general, path, stage = made(package_path(seed)), shipped_path(seed), params.tune_devices
    if stage is None:
        with replacing(path) as temporary:
            shutil.copyfile(general, temporary)
        return

    from asc_core.compression import package
    from asc_core.features.store import FeatureStore
    from asc_core.models import checkpoint, ensemble
    from pipeline.runtime.training import Training

    store, (network, _) = FeatureStore(made(FEATURES)), checkpoint.load(made(model_path(seed, "quantized")))
    teacher = ensemble.load(teacher_paths(seed, params.teachers)) if stage.distillation else None
    shipped, description = package.read(general)
    temperature = description.get("temperature", 1)
    with Training(journal) as fit:
        devices = tuned(network, temperature, stage, params, store, seed, teacher, fit)
    more = {key: value for key, value in description.items() if key not in ("network", "labels")}
    package.write(path, shipped, params.student.network, store.scenes, devices=devices, **more)
    journal.metrics({"size": {"file_bytes": path.stat().st_size}})
    journal.artifact(path)


def tuned(
    network: "nn.Module",
    temperature: float,
    stage: TuneDevicesStage,
    params: Params,
    store: "FeatureStore",
    seed: int,
    teacher: "nn.Module | None",
    fit: "Fit",
) -> dict[str, "nn.Module"]:
    """The deployed network of each training device: `network` after a training on that device's clips alone.

    Augmentations that move clips to other devices are left out.

    Args:
        network: the general one, in full precision, as the quantised training left it.
        temperature: that of the general one once it is deployed; those of the devices get the same.
        teacher: learnt from where the stage has a distillation.
    """
    from asc_core.compression import quantize as quantization
    from asc_core.compression.temperature import fold
    from asc_core.training.job import Job
    from asc_core.training.objective import Teacher
    from asc_core.training.sparsity import Sparsity

    augment = replace(params.augment.masked(params.student.spec_augment), device_transfer=None, random_device=None)
    source = Teacher(teacher, stage.distillation) if teacher and stage.distillation else None
    networks = {}
    for device in store.devices:
        job = Job(stage.schedule, params.training, augment, seed, source, Sparsity(), stage.layers, device)
        if len(job.rows(store, "train")) < 2:
            print(f"tune_devices@{seed}: device {device} has one training clip; the general network hears it")
            continue
        networks[device] = copy.deepcopy(network)
        quantization.start_quantized_training(networks[device])
        fit("tune_devices", networks[device], store, job)
        if temperature != 1:
            fold(networks[device], temperature, store.batch(store.rows("train")[:8]).float())
        quantization.quantize(networks[device])
    return networks


if __name__ == "__main__":
    run(tune_devices, trains=True)
