"""The forms in which a package is made ready for other runtimes."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from asc_core.deploy.predictor import FILES, Engine, exported

FORMS = {"onnx": ".onnx", "tflite": ".tflite", "tflite_int8": "_int8.tflite"}  # how the names of their files end


def write_form(package: Path, form: str, folder: Path, clips: Iterable[np.ndarray]) -> Path:
    """Write a package in one of `FORMS` into a folder; returns the file.

    Args:
        clips: features (1, 1, mel, frame) of real sound, which show a form in 8 bit how far activations go.

    Raises:
        UserError: the package is missing or damaged, does not say what its network was trained on, or the form cannot
            express it.
        ModuleNotFoundError: what makes the form is not installed.
    """
    from asc_core.compression.package import read

    file = folder / f"{package.stem}{FORMS[form]}"
    engine = FILES[file.suffix]
    content = exported(package, *read(package), engine)
    file.write_bytes(in_integers(engine)(content, clips) if form.endswith("int8") else content)
    return file


def in_integers(engine: Engine) -> Callable[[bytes, Iterable[np.ndarray]], bytes]:
    """What makes a file for an engine one in 8 bit."""
    if engine is Engine.litert:
        from asc_core.deploy.tflite.int8 import to_int8
    else:
        from asc_core.deploy.onnx import to_int8
    return to_int8
