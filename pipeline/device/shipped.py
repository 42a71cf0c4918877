"""The file that is exported of the shipped package: held to what was measured of the network, and what both cost."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asc_core import UserError
from asc_core.deploy.cost import costs
from asc_core.deploy.fidelity import answers, fidelity
from asc_core.deploy.forms import write_form
from asc_core.deploy.predictor import Engine, load
from asc_core.evaluation.metrics import metrics_of
from asc_core.evaluation.predictions import read
from asc_core.features.store import FeatureStore
from pipeline.params import Gates

CALIBRATION_CLIPS = 64  # of the training split: nothing is chosen on the test split


def on_device(package: Path, predictions: Path, store: FeatureStore, gates: Gates) -> dict[str, Any]:
    """What a package costs on a device and, if the gates name a form, what its exported file costs and answers.

    Args:
        predictions: what the network of the package was measured to answer.

    Returns:
        costs: of the package and of the file (`asc_core.deploy.cost`), a row each.
        exported: of the file its `form`, its metrics on the test split as the stage evaluate has them, and how near its
            answers are to those that were measured (`asc_core.deploy.fidelity`); None without a form.

    Raises:
        UserError: what makes or computes the form is not installed, or it cannot express the network.
    """
    own = costs(package)
    if gates.export is None:
        return {"costs": [own], "exported": None}
    form, rows = gates.export.file, store.rows("test")
    with tempfile.TemporaryDirectory() as folder:
        try:
            file = write_form(package, form, Path(folder), _clips(store))
            costly = {**costs(file), "file": file.name}
            logits = answers(load(file, Engine.auto, threads=1)[0], store, rows)
        except ModuleNotFoundError as error:
            raise UserError(
                f"gates.export.file: {form} needs {error.name}, which is not installed; "
                "install the extra edge (pip install -e '.[edge]'), or say onnx"
            ) from None
    measured = read(predictions)[store.scenes].to_numpy(np.float64)
    near = fidelity(logits, np.log(measured.clip(np.finfo(np.float32).tiny)))
    found = {"form": form, **metrics_of(torch.from_numpy(logits), store, rows), **near}
    return {"costs": [own, costly], "exported": found}


def _clips(store: FeatureStore) -> Iterator[np.ndarray]:
    """Features (1, 1, mel, frame) from all over the training split."""
    rows = store.rows("train")
    for row in rows[:: -(-len(rows) // CALIBRATION_CLIPS)]:
        yield store.batch(np.array([row])).float().numpy()


def limits(found: dict[str, Any], accuracy: float, gates: Gates) -> Iterator[tuple[str, float, str, float]]:
    """Name, value, sense and limit of each check that is set.

    Args:
        found: what `on_device` returned.
        accuracy: what the network of the package was measured to have.
    """
    ships = found["costs"][-1]
    if gates.ram_bytes is not None:
        yield "ram_bytes", min(ships["ram_bytes"].values()), "at most", gates.ram_bytes
    if gates.macs_per_second is not None:
        yield "macs_per_second", ships["macs_per_second"], "at most", gates.macs_per_second
    if gates.export is None:
        return
    form, exported = gates.export.file, found["exported"]
    if gates.export.accuracy_drop is not None:
        yield f"{form}: accuracy_drop", accuracy - exported["accuracy"], "at most", gates.export.accuracy_drop
    if gates.export.agreement is not None:
        yield f"{form}: agreement", exported["agreement"], "at least", gates.export.agreement
