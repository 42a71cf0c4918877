"""Stage evaluate: teacher, student, pruned and quantised network of a seed on the test split, by device and scene."""

import pandas as pd
import torch
from torch import nn

from asc_core.compression import package
from asc_core.compression.size import totals
from asc_core.evaluation import measure, predict
from asc_core.files import replacing, write_json
from asc_core.models import checkpoint
from asc_core.store import FeatureStore
from pipeline.params import Params
from pipeline.paths import FEATURES, PREDICTIONS, SEEDS, model_path, package_path
from pipeline.stage import run
from pipeline.tracking import Journal


def evaluate(params: Params, journal: Journal, seed: int) -> None:
    """Measure the four networks of a seed."""
    store = FeatureStore(FEATURES)
    rows = store.rows("test")
    networks: dict[str, nn.Module] = {
        name: checkpoint.load(model_path(seed, name))[0] for name in ("teacher", "student", "pruned")
    }
    # The package itself is evaluated: what is measured is what ships.
    networks["quantized"] = package.read(package_path(seed))[0]
    results, tables = {}, []
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name, network in networks.items():
        logits = predict(network.to(device), store, rows)
        results[name] = {**measure(logits, store, rows), "size": totals(network)}
        probabilities = pd.DataFrame(logits.softmax(dim=1).numpy(), columns=store.scenes)
        clips = store.clips.iloc[rows][["filename", "scene", "device"]].reset_index(drop=True)
        tables.append(pd.concat([clips.assign(model=name), probabilities], axis=1))
        print(f"evaluate@{seed}: {name}: {results[name]['accuracy']:.1f} %, log loss {results[name]['log_loss']:.3f}")
    results["quantized"]["size"]["file_bytes"] = package_path(seed).stat().st_size
    journal.metrics(results)
    with replacing(PREDICTIONS / f"{seed}.parquet") as temporary:
        pd.concat(tables).to_parquet(temporary, index=False)
    write_json(SEEDS / f"{seed}.json", results)


if __name__ == "__main__":
    run(evaluate)
