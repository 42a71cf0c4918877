"""What a registered model is made of: the package, its card, and of our code what serves it and nothing else.

The stage gate keeps these files, and the registry makes a version of them; what differs makes another version.
"""

import hashlib
import warnings
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import asc_core
from asc_core.files import digest

PACKAGE, CARD, SERVED = "quantized.asc", "model_card.md", "served.py"  # their names in a model
REFERENCE = "reference.safetensors"  # what training heard, with which `asc watch` compares
PREDICTIONS = "predictions"  # a folder: what the network of each seed answered, by which versions are compared
LIBRARY = Path(asc_core.__file__).parent
# What served.py imports of the library, beside the modules at its top; a test holds this to the real imports.
PACKAGES = ("features", "models", "compression", "deploy")
COMMANDS = "cli.py"
# What a serving environment needs beside MLflow, in the versions that made the model.
REQUIREMENTS = ("torch", "numpy", "pandas", "scipy", "librosa", "soxr", "safetensors")


def contents(package: Path, card: Path, reference: Path, predictions: Iterable[Path] = ()) -> dict[str, Path]:
    """The files of a model, by the names that they have in it.

    Args:
        reference: what `asc watch` compares new recordings with.
        predictions: tables of predictions, one a seed.
    """
    answers = {f"{PREDICTIONS}/{path.name}": path for path in predictions}
    return {PACKAGE: package, CARD: card, REFERENCE: reference, **answers, **code()}


def code() -> dict[str, Path]:
    """The source files that are shipped: served.py and, under `asc_core/`, the library's part."""
    library = [path for path in sorted(LIBRARY.glob("*.py")) if path.name != COMMANDS]
    library += [path for package in PACKAGES for path in _sources(LIBRARY / package)]
    names = {f"{LIBRARY.name}/{file.relative_to(LIBRARY).as_posix()}": file for file in library}
    return {SERVED: Path(__file__).with_name(SERVED), **names}


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))  # and no caches


def missing(folder: Path) -> list[str]:
    """The files that a folder lacks to be a model."""
    return [name for name in (PACKAGE, CARD, SERVED, f"{LIBRARY.name}/__init__.py") if not (folder / name).is_file()]


def fingerprint(folder: Path) -> str:
    """A key of the model in a folder of `contents`: another package, shipped file or way of saving has another one."""
    files = [Path(__file__), *(folder / name for name in (PACKAGE, SERVED)), *_sources(folder / LIBRARY.name)]
    return digest({
        path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name: _sha256(path)
        for path in files
    })  # fmt: skip


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save(folder: Path, path: Path) -> None:
    """Make an MLflow model at `path` of a folder of `contents`."""
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType, Map

    artifacts = {"package": str(folder / PACKAGE), "model_card": str(folder / CARD)}
    if (folder / REFERENCE).is_file():  # a journal of before it was kept has none
        artifacts["reference"] = str(folder / REFERENCE)
    if (folder / PREDICTIONS).is_dir():
        _keep_own(folder / PREDICTIONS)
        artifacts[PREDICTIONS] = str(folder / PREDICTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like an example of the input, and a copy of the model for it
        pyfunc.save_model(
            path,
            python_model=str(folder / SERVED),
            code_paths=[str(folder / LIBRARY.name)],
            artifacts=artifacts,
            signature=ModelSignature(
                # An array of doubles is what the samples are, but MLflow would refuse one of whole numbers.
                Schema([ColSpec(AnyType(), "samples"), ColSpec(DataType.long, "sample_rate")]),
                Schema([ColSpec(DataType.string, "label"), ColSpec(Map(DataType.double), "probabilities")]),
            ),
            # Without the part of a version that names a build for one machine.
            pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS],
        )


def _keep_own(folder: Path) -> None:
    """Of tables of predictions keep what the network answered that ships: the others would take most of the room."""
    import pandas as pd

    for path in folder.glob("*.parquet"):
        table = pd.read_parquet(path)
        table[table["model"] == Path(PACKAGE).stem].to_parquet(path, index=False)
