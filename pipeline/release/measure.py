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
    """The metrics of a package, as the stage evaluate has them, and its sizes.

    Raises:
        UserError: there are no features, or the file is no package or one for other features or scenes.
    """
    from asc_core.compression import package
    from asc_core.compression.size import storage, totals
    from asc_core.evaluation.metrics import score
    from asc_core.features.store import FeatureStore
    from asc_core.models.macs import costs
    from pipeline.paths import FEATURES, made

    store = FeatureStore(made(FEATURES))
    network, description = package.read(path)
    made_for = {"features": description["features"]["config"], "scenes": description["labels"]}
    for what, here in {"features": store.description["config"], "scenes": store.scenes}.items():
        if here != made_for[what]:
            raise UserError(f"{path}: made for the {what} {made_for[what]}, the configured corpus has {here}")
    logits, metrics = score(network, store)
    size = {
        **totals(network),
        **storage(network),
        **costs(network, (1, *store.array.shape[1:])),
        "file_bytes": path.stat().st_size,
    }
    return {"package": str(path), "clips": len(logits), **metrics, "size": size}


def main(package: Annotated[Path, typer.Argument(help="A file that the stage quantize has made.")]) -> None:
    """Measure a model package on the test split of the configured corpus."""
    print(json.dumps(measured(package)))


if __name__ == "__main__":
    run(main, "measure")
