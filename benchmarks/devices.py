"""What a clip costs on one core, engine by engine, and what the front end costs a second of sound, ours and in C.

    python benchmarks/devices.py [MODEL.asc ...] [--turns 50]

Without a package: untrained networks, half of their weights pruned; nothing here depends on what they have learnt but
the ranges of activations in 8 bit. Engines that are not installed are left out. Each turn takes every engine once; what
counts is the median of the processor time.
"""

import argparse
import ctypes
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_core.compression import package
from asc_core.compression.prune import prune
from asc_core.compression.quantize import quantize
from asc_core.deploy.cost import costs
from asc_core.deploy.forms import FORMS, write_form
from asc_core.deploy.predictor import Engine, load
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend, shape_of
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build

CONFIG, SECONDS = FeatureConfig(), 10.0
NETWORKS = {
    "asc_tau1": NetworkConfig(),
    "asc_tau2": NetworkConfig(tau=2),
    "asc_tau8": NetworkConfig(tau=8),
    "cp_resnet_small": NetworkConfig(name="cp_resnet_small", width=32, last_width=90, norm="none"),
}
DRIVER = """
#include "asc_features.h"
void hear(const float *samples, long count, float *energies) {
    static asc_features state;
    long at;
    asc_features_start(&state);
    for (at = 0; at < count; at++)
        asc_features_push(&state, samples[at], energies);
}
"""


def untrained(folder: Path, name: str, config: NetworkConfig) -> Path:
    """A package of a network."""
    torch.manual_seed(0)
    network, labels = build(config, 10), [f"scene{number}" for number in range(10)]
    prune(network, 0.5)
    quantize(network)
    features = {"config": asdict(CONFIG), "seconds": SECONDS}
    package.write(folder / f"{name}.asc", network, config, labels, features=features)
    return folder / f"{name}.asc"


def medians(ways: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Milliseconds of processor time of each way, taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 3):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn >= 3:
                times[name].append(time.process_time() - start)
    return {name: 1000 * float(np.median(each)) for name, each in times.items()}


def network_costs(model: Path, folder: Path, turns: int) -> None:
    """Print file, memory and time of each form of a package."""
    description = package.read(model)[1]
    rng = np.random.default_rng(0)
    clips = rng.normal(-5, 3, (8, 1, *shape_of(description))).astype(np.float32)
    files, ways = {"torch": model}, {"torch": partial(load(model, Engine.torch, 1)[0], clips[0])}
    for form in FORMS:
        try:
            files[form] = write_form(model, form, folder, clips)
            ways[form] = partial(load(files[form], Engine.auto, 1)[0], clips[0])
        except ModuleNotFoundError as error:
            print(f"{form}: without {error.name}")
    times = medians(ways, turns)
    for name, milliseconds in times.items():
        found = costs(files[name])
        ram = ", ".join(f"{size / 1024:,.0f} ({kind})" for kind, size in found["ram_bytes"].items())
        arena = f"{found['arena_bytes'] / 1024:,.0f}" if found["arena_bytes"] else "-"
        size = f"file {found['file_bytes'] / 1024:.1f} KB, memory {ram} KB, arena {arena} KB"
        macs = f"{found['macs'] / 1e6:.1f} MMACs"
        print(f"{model.stem:<18} {name:<12} {milliseconds:>8.2f} ms  {macs}, {size}", flush=True)


def front_end_costs(model: Path, folder: Path, turns: int) -> None:
    """Print the time of the front end for a second of sound, ours and, where there is a compiler, that in C."""
    network, description = package.read(model)
    frontend = Frontend(description)
    count = frontend.length
    samples = np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)
    ways: dict[str, Callable[[], Any]] = {"ours": lambda: frontend.log_mel(samples)}
    try:
        from asc_core.deploy.c.export import export_c

        export_c(network, description, folder / "c")
    except ModuleNotFoundError as error:
        print(f"C: without {error.name}")
    if shutil.which("cc") and (folder / "c").exists():
        (folder / "c/hear.c").write_text(DRIVER)
        command = ["cc", "-std=c99", "-O2", "-shared", "-fPIC", "-o", "hear.so", "hear.c", "asc_features.c", "-lm"]
        subprocess.run(command, cwd=folder / "c", check=True)
        hear, energies = ctypes.CDLL(str(folder / "c/hear.so")).hear, np.zeros(frontend.config.n_mels, np.float32)
        pointers = [ctypes.c_void_p(each.ctypes.data) for each in (samples, energies)]
        ways["C"] = lambda: hear(pointers[0], ctypes.c_long(count), pointers[1])
    seconds = count / frontend.config.sample_rate
    for name, milliseconds in medians(ways, turns).items():
        print(f"front end, {name:<8} {milliseconds / seconds:>8.3f} ms for a second of sound")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="packages (.asc)")
    parser.add_argument("--turns", type=int, default=50, help="how often each engine is taken (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = arguments.models or [untrained(folder, *each) for each in NETWORKS.items()]
        for model in models:
            network_costs(model, folder, arguments.turns)
        front_end_costs(models[0], folder, arguments.turns)


if __name__ == "__main__":
    main()
