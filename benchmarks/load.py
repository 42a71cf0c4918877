"""A training on an idle machine and beside other work: what threads and their waiting cost.

    python benchmarks/load.py [--seconds 8] [--busy 2] [--rounds 3]

The student of profile quick trains on random features of the shape that its corpus has, in a process of its own for
each case: on all cores with the spinning that GNU OpenMP has by itself, as the product once did, and as the product
does (`pipeline.runtime.threads`). Each is timed alone and then with `--busy` processes beside it that do nothing but
count; what is printed is the median over the rounds of clips a second, and of the share that is left under load.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # this clone, whatever is installed

CLIPS, BANDS, FRAMES = 640, 64, 67


def rate(seconds: float) -> float:
    """Clips a second of the training, in this process."""
    import numpy as np
    import pandas as pd
    import torch

    from asc_core.features.store import FeatureStore
    from asc_core.files import write_json
    from asc_core.models.networks import build
    from asc_core.training.job import Job
    from asc_core.training.loop import fit, fit_input
    from pipeline import params

    settings = params.load(ROOT / "params.yaml")
    with tempfile.TemporaryDirectory() as folder:
        number = np.arange(CLIPS)
        table = pd.DataFrame({"scene": np.char.mod("%d", number % 10), "device": "a", "split": "train"})
        table.to_parquet(Path(folder) / "clips.parquet", index=False)
        array = np.random.default_rng(0).standard_normal((CLIPS, BANDS, FRAMES), np.float32) * 3 - 10
        np.save(Path(folder) / "features.npy", array.astype(np.float16))
        description = {"config": asdict(replace(settings.features, n_mels=BANDS)), "seconds": 0.03 * (FRAMES - 1)}
        write_json(Path(folder) / "features.json", description)
        store = FeatureStore(Path(folder))
        network = build(settings.student.network, 10)
        fit_input(network, store)
        rates: list[float] = []
        began = time.monotonic()

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            rates.append(metrics["clips_per_second"])
            if time.monotonic() - began > seconds:
                raise StopIteration

        torch.manual_seed(0)
        schedule = replace(settings.student.schedule, epochs=10_000, warmup_epochs=0)
        job = Job(schedule, settings.training, settings.augment.masked(False), seed=0)
        with contextlib.suppress(StopIteration):
            fit(network, store, job, label="load", on_epoch=on_epoch)
        return rates[-1]


def timed(variables: dict[str, str], busy: int, seconds: float) -> float:
    """Clips a second of a training in a process with these variables, beside so many busy ones."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--train", str(seconds)]
    try:
        done = subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, check=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        print(rate(arguments.train))
        return
    from pipeline.runtime.threads import SPINS, share

    cases = {
        "all cores, OpenMP's spinning": {},
        "as the product does": {"OMP_NUM_THREADS": str(share()), "GOMP_SPINCOUNT": str(SPINS)},
    }
    print(f"{os.cpu_count()} cores, {arguments.busy} busy processes, medians of {arguments.rounds} rounds")
    for name, variables in cases.items():
        pairs = [
            [timed(variables, busy, arguments.seconds) for busy in (0, arguments.busy)] for _ in range(arguments.rounds)
        ]
        idle, loaded = (statistics.median(column) for column in zip(*pairs, strict=True))
        left = statistics.median(pair[1] / pair[0] for pair in pairs)
        print(f"{name}: {idle:.0f} clips/s alone, {loaded:.0f} beside them, {100 * left:.0f} %")


if __name__ == "__main__":
    main()
