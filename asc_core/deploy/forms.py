"""The forms in which a package is made ready for other runtimes."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from asc_core.deploy.predictor import Engine, exported

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

FORMS = {"onnx": Engine.onnx, "tflite": Engine.litert, "tflite_int8": Engine.litert}  # with what computes them


def to_form(
    path: "Path", network: "nn.Module", description: dict[str, Any], form: str, clips: Iterable[np.ndarray]
) -> bytes:
    """A file of one of `FORMS` of what `package.read(path)` has returned.

    Args:
        clips: features (1, 1, mel, frame) of real sound, which show a form in 8 bit how far activations go.

    Raises:
        UserError: the package does not say what its network was trained on, or the form cannot express it.
        ModuleNotFoundError: what makes the form is not installed.
    """
    engine = FORMS[form]
    content = exported(path, network, description, engine)
    return in_integers(engine)(content, clips) if form.endswith("int8") else content


def in_integers(engine: Engine) -> Callable[[bytes, Iterable[np.ndarray]], bytes]:
    """What makes a file for an engine one in 8 bit."""
    if engine is Engine.litert:
        from asc_core.deploy.tflite.int8 import to_int8
    else:
        from asc_core.deploy.onnx import to_int8
    return to_int8
