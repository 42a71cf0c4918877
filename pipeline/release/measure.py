"""Measure a model package on the test split of the configured corpus: `asc measure PACKAGE`, or
`python -m pipeline.release.measure`.

No stage of DVC: the package may come from anywhere. The result is JSON on standard output.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from asc_core import UserError
from asc_core.cli import run


def measured(path: Path) -> dict[str, Any]:
    """The metrics of a package or an exported file, as the stage evaluate has them, and its sizes.

    Raises:
        UserError: there are no features, or the file is no package or one for other features or scenes.
    """
    import numpy as np
    import torch

    from asc_core.compression import package
    from asc_core.compression.size import storage, totals
    from asc_core.deploy.predictor import FILES, Engine, load
    from asc_core.evaluation.metrics import metrics_of, score
    from asc_core.features.store import FeatureStore
    from asc_core.models.macs import costs
    from pipeline.paths import FEATURES, made

    store = FeatureStore(made(FEATURES))
    exported = path.suffix in FILES
    if exported:
        answer, description = load(path, Engine.auto, threads=1)
    else:
        network, description = package.read(path)
    made_for = {"features": description["features"]["config"], "scenes": description["labels"]}
    for what, here in {"features": store.description["config"], "scenes": store.scenes}.items():
        if here != made_for[what]:
            raise UserError(f"{path}: made for the {what} {made_for[what]}, the configured corpus has {here}")
    if exported:
        rows = store.rows("test")
        answers = [answer(store.batch(rows[at : at + 1]).float().numpy()) for at in range(len(rows))]
        metrics = metrics_of(torch.from_numpy(np.concatenate(answers)), store, rows)
        return {"package": str(path), "clips": len(rows), **metrics, "size": {"file_bytes": path.stat().st_size}}
    logits, metrics = score(network, store)
    size = {
        **totals(network),
        **storage(network),
        **costs(network, (1, *store.array.shape[1:])),
        "file_bytes": path.stat().st_size,
    }
    return {"package": str(path), "clips": len(logits), **metrics, "size": size}


def main(
    package: Annotated[Path, typer.Argument(help="A package (.asc), or an exported file (.onnx, .tflite).")],
) -> None:
    """Measure a model package on the test split of the configured corpus."""
    print(json.dumps(measured(package)))


if __name__ == "__main__":
    run(main, "measure")
