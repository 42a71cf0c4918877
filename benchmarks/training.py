"""Training at full size: seconds a step of the published network, and whether loading keeps up with it.

    python benchmarks/training.py [--steps 2] [--clips 1024] [--batch-size 64]

The network, the batches and the augmentation are those of profile tau2020; the features are random numbers of the
shape that the data set has (256 bands, 334 frames), in a store on disk. `--steps` go through `fit`, in the precision
that the machine gets by `training.precision: auto`; its first step warms up, so ask for more where a step is short. The
loading alone then reads all `--clips` once, in random order, as an epoch does. On the CPU a batch of 64 takes about
5 GB of memory. Nothing is asserted.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this clone, whatever is installed

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from numpy.lib.format import open_memmap  # noqa: E402

from asc_core.features.store import FeatureStore  # noqa: E402
from asc_core.files import write_json  # noqa: E402
from asc_core.models.networks import build  # noqa: E402
from asc_core.training.batches import batches  # noqa: E402
from asc_core.training.job import Job  # noqa: E402
from asc_core.training.loop import fit, fit_input  # noqa: E402
from asc_core.training.state import autocast_dtype  # noqa: E402
from pipeline import params  # noqa: E402
from pipeline.configure import parameters  # noqa: E402

SECONDS = 10.0  # a clip of the data set


def fake_store(folder: Path, settings: params.Params, train: int, clips: int) -> FeatureStore:
    """A store of random features with so many clips, the first of them for training."""
    rng = np.random.default_rng(0)
    scenes, devices = settings.data.expect.scenes, settings.data.expect.devices
    assert scenes and devices
    shape = (clips, settings.features.n_mels, settings.features.frames(SECONDS))
    array = open_memmap(folder / "features.npy", mode="w+", dtype=np.float16, shape=shape)
    for row in range(clips):
        array[row] = rng.standard_normal(shape[1:], np.float32) * 3 - 10
    array.flush()
    number = np.arange(clips)
    table = pd.DataFrame({"scene": np.take(scenes, number % len(scenes)), "device": np.take(devices, number % 6)})
    table["split"] = np.where(number < train, "train", "test")
    table.to_parquet(folder / "clips.parquet", index=False)
    write_json(folder / "features.json", {"config": asdict(settings.features), "seconds": SECONDS})
    return FeatureStore(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--clips", type=int, default=1024)
    parser.add_argument("--batch-size", type=int)
    arguments = parser.parse_args()
    settings = parameters("tau2020")
    training = replace(settings.training, batch_size=arguments.batch_size or settings.training.batch_size)
    train, stage = arguments.steps * training.batch_size, settings.teachers["asc"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    with tempfile.TemporaryDirectory() as folder:
        store = fake_store(Path(folder), settings, train, max(arguments.clips, train))
        torch.manual_seed(0)
        network = build(stage.network, len(store.scenes))
        fit_input(network, store)
        schedule = replace(stage.schedule, epochs=1, warmup_epochs=0)
        job = Job(schedule, training, settings.augment.masked(stage.spec_augment), seed=0)
        rates: list[float] = []
        fit(network, store, job, label="full size", on_epoch=lambda _, it: rates.append(it["clips_per_second"]))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if device.type == "cuda":
            memory = torch.cuda.max_memory_allocated() / 2**30
        count = sum(parameter.numel() for parameter in network.parameters())
        precision = str(autocast_dtype(training.precision, device)).removeprefix("torch.")
        print(f"{stage.network.name} tau {stage.network.tau:g}, {count} parameters, {precision} on {name}")
        print(
            f"training: {training.batch_size / rates[0]:.2f} s a step of {training.batch_size} x "
            f"{store.array.shape[1]} x {store.array.shape[2]}, {rates[0]:.1f} clips/s, peak memory {memory:.1f} GB"
        )
        rows, rng = np.arange(len(store.clips)), torch.Generator().manual_seed(0)
        start = time.perf_counter()
        read = sum(len(batch.x) for batch in batches(store, rows, training.batch_size, rng, device))
        if device.type == "cuda":
            torch.cuda.synchronize()
        loading = read / (time.perf_counter() - start)
        print(
            f"loading alone: {loading:.0f} clips/s from {store.array.nbytes / 2**20:.0f} MB in random order, "
            f"{loading / rates[0]:.0f} times what the training takes (load of the machine: {os.getloadavg()[0]:.1f})"
        )


if __name__ == "__main__":
    main()
