"""Measure model files on the test split of the configured corpus: `asc measure MODEL...`, or
`python -m pipeline.release.measure`.

No stage of DVC: the files may come from anywhere. The result is JSON on standard output, a line a file.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_core import UserError
from asc_core.cli import run

if TYPE_CHECKING:
    import numpy as np

    from asc_core.features.store import FeatureStore


def measured(path: Path, store: "FeatureStore") -> tuple[dict[str, Any], "np.ndarray"]:
    """The metrics of a package or an exported file, as the stage evaluate has them, its sizes, and its logits (clips,
    scenes).

    Raises:
        UserError: the file is no package or one for other features or scenes.
    """
    import torch

    from asc_core.compression import package
    from asc_core.deploy.fidelity import answers
    from asc_core.deploy.predictor import FILES, Engine, load
    from asc_core.evaluation.measure import cost
    from asc_core.evaluation.metrics import metrics_of, score

    exported, size = path.suffix in FILES, {"file_bytes": path.stat().st_size} if path.exists() else {}
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
        logits = torch.from_numpy(answers(answer, store, rows))
        metrics = metrics_of(logits, store, rows)
    else:
        logits, metrics = score(network, store)
        size = {**cost(network, (1, *store.array.shape[1:])), **size}
    return {"package": str(path), "clips": len(logits), **metrics, "size": size}, logits.numpy()


def show(results: list[dict[str, Any]]) -> None:
    """A row a file; agreement and what follows it are with the first."""
    from asc_core.commands.tables import add_row, print_table, table

    devices = list(results[0]["accuracy_by_device"])
    shown = table("", "accuracy", *devices, "log loss", "agreement", "probabilities within", "cosine of logits")
    for result in results:
        near = result.get("compared", {})
        accuracies = (result["accuracy"], *(result["accuracy_by_device"][device] for device in devices))
        add_row(
            shown, result["package"], *(f"{value:.1f}" for value in accuracies), f"{result['log_loss']:.3f}",
            *(f"{near[key]:.{digits}f}" if near else "" for key, digits in NEAR.items()),
        )  # fmt: skip
    print_table(shown)


NEAR = {"agreement": 2, "probability_difference": 6, "logit_cosine": 6}  # decimals


def main(
    models: Annotated[
        list[Path], typer.Argument(help="Packages (.asc), or exported files (.onnx, .tflite).", metavar="MODEL...")
    ],
    as_table: Annotated[bool, typer.Option("--table", help="For people: a row a file.")] = False,
) -> None:
    """Measure model files on the test split of the configured corpus, and how near each is to the first."""
    from asc_core.deploy.fidelity import fidelity
    from asc_core.features.store import FeatureStore
    from pipeline.paths import FEATURES, made

    store, results, first = FeatureStore(made(FEATURES)), [], None
    for model in models:
        result, logits = measured(model, store)
        if first is None:
            first = logits
        else:
            result["compared"] = fidelity(logits, first)
        results.append(result)
        if not as_table:
            print(json.dumps(result), flush=True)
    if as_table:
        show(results)


if __name__ == "__main__":
    run(main, "measure")
