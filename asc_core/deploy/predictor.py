"""A trained model that is ready to hear: with ONNX Runtime where it is installed, else with torch."""

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asc_core.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Logits = Callable[[np.ndarray], np.ndarray]  # features (1, 1, mel, frame) to logits (1, labels)


class Engine(StrEnum):
    """What computes the network."""

    auto = "auto"
    onnx = "onnx"
    torch = "torch"


class Predictor:
    """A model that is ready to hear: `predictor(path)` is the probability of each of its `labels`: (labels,) float64.

    Threads may share one.

    Args:
        path: a package (`.asc`), or what was exported from one (`.onnx`).
        engine: `auto` is ONNX Runtime where it is installed (a package is exported in memory), else torch.
        threads: of ONNX Runtime (several pay for large networks only); torch keeps to its own setting.

    Raises:
        UserError: the file is missing, foreign or damaged, or the engine is not there or cannot compute it.
    """

    def __init__(self, path: Path, engine: Engine = Engine.auto, threads: int = 1) -> None:
        from asc_core.features.frontend import Frontend

        self._logits, description = load(path, engine, threads)
        try:
            self.labels = [str(label) for label in description["labels"]]
            self.frontend = Frontend(description)
        except (UserError, LookupError, TypeError) as error:
            raise UserError(f"{path}: not a usable model: {error}") from None

    def __call__(self, path: Path) -> np.ndarray:
        """The probabilities for a sound file.

        Raises:
            UserError: the file cannot be decoded, or holds no sample or a non-finite one.
        """
        return self.probabilities(self.frontend.read(path))

    def probabilities(self, windows: np.ndarray) -> np.ndarray:
        """The softmax of the mean of the logits of windows (windows, 1, mel, frame), as the front end makes them.

        Raises:
            UserError: the network answers with what is no finite number.
        """
        logits = np.stack([self._logits(window[None])[0] for window in windows]).mean(axis=0, dtype=np.float64)
        if not np.isfinite(logits).all():
            raise UserError("the network's answer is no finite number: its weights may be damaged")
        return softmax(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (labels,) from logits (labels,)."""
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


def load(path: Path, engine: Engine, threads: int) -> tuple[Logits, dict[str, Any]]:
    """The function that a model file is, and its description.

    Raises:
        UserError: the file is missing, foreign or damaged, or the engine is not there or cannot compute it.
    """
    if path.suffix == ".onnx":
        if engine is Engine.torch:
            raise UserError(f"{path}: torch computes packages, not ONNX graphs; use another engine")
        try:
            return in_onnx_runtime(path, _read_bytes(path), threads)
        except ModuleNotFoundError as error:
            raise UserError(f"{path}: {error.name} is not installed; install it, or use the package") from None
    from asc_core.compression import package

    network, description = package.read(path)
    if engine is not Engine.torch:
        try:
            return in_onnx_runtime(path, exported(path, network, description), threads)
        except ModuleNotFoundError as error:
            if engine is Engine.onnx:
                raise UserError(f"engine onnx: {error.name} is not installed; install it, or use torch") from None
    return _in_torch(network), description


def exported(path: Path, network: "nn.Module", description: dict[str, Any]) -> bytes:
    """The ONNX graph of what `package.read(path)` has returned.

    Raises:
        UserError: the package does not say what its network was trained on.
        ModuleNotFoundError: ONNX or its runtime is not installed.
    """
    import onnxruntime  # noqa: F401  # before any work for it

    from asc_core.deploy.onnx import to_onnx

    try:
        return to_onnx(network, description)
    except UserError as error:
        raise UserError(f"{path}: not a usable model: {error}") from None


def _in_torch(network: "nn.Module") -> Logits:
    import torch

    def logits(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(features)).numpy()

    return logits


def in_onnx_runtime(path: Path, graph: bytes, threads: int) -> tuple[Logits, dict[str, Any]]:
    """The function that an ONNX graph is, and its description; `path` is what errors name.

    Raises:
        UserError: it is not a graph of this library.
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        description = json.loads(session.get_modelmeta().custom_metadata_map["asc"])
    except Exception as error:  # what ONNX Runtime raises has no base of its own
        reason = "nothing says what it was trained on" if isinstance(error, LookupError) else str(error).splitlines()[0]
        raise UserError(f"{path}: not a graph that `asc export` has written ({reason})") from None
    return lambda features: session.run(["logits"], {"features": features})[0], description


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
