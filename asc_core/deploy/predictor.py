"""A trained model that is ready to hear: with ONNX Runtime where it is installed, else with torch."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asc_core.errors import UserError, reason

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

        self.path = path
        self._logits, description = load(path, engine, threads)
        try:
            self.labels: list[str] = description["labels"]
            self.frontend = Frontend(description)
        except UserError as error:
            raise UserError(f"{path}: not a usable model: {error}") from None

    def __call__(self, path: Path) -> np.ndarray:
        """The probabilities for a sound file, in memory that does not grow with its length.

        Raises:
            UserError: the file cannot be decoded to its end, or holds no sample or an unusable one, or the model's
                answer to it is not finite.
        """
        return self.probabilities(self.frontend.windows(path), str(path))

    def probabilities(self, windows: Iterable[np.ndarray], sound: str = "the sound") -> np.ndarray:
        """The softmax of the mean of the logits of windows (1, mel, frame), as the front end makes them.

        Args:
            windows: one at least.
            sound: what an error calls them.

        Raises:
            UserError: the model's answer is not a finite number for each label.
        """
        total, count = np.zeros(len(self.labels)), 0
        for window in windows:
            logits = self._logits(window[None])
            if logits.shape != (1, len(self.labels)):
                raise UserError(f"{self.path}: its answer has the shape {logits.shape}, not one number for each label")
            total += logits[0]
            count += 1
        if not np.isfinite(total).all():
            raise UserError(f"{sound}: the answer of {self.path} is no finite number: its weights may be damaged")
        return softmax(total / count)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (labels,) from finite logits (labels,)."""
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
        from asc_core.deploy import graph

        try:
            content, description = graph.read(path)
            return in_onnx_runtime(path, content, threads), description
        except ModuleNotFoundError as error:
            raise UserError(f"{path}: {error.name} is not installed; install it, or use the package") from None
    from asc_core.compression import package

    network, description = package.read(path)
    if engine is not Engine.torch:
        try:
            return in_onnx_runtime(path, exported(path, network, description), threads), description
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


def in_onnx_runtime(path: Path, content: bytes, threads: int) -> Logits:
    """The function that an ONNX graph is; `path` is what errors name.

    Raises:
        UserError: ONNX Runtime cannot compute it.
        ModuleNotFoundError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what is wrong is told below

    def told(error: Exception) -> UserError:
        return UserError(f"{path}: ONNX Runtime cannot compute it ({reason(error)})")

    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # what ONNX Runtime raises has no base of its own
        raise told(error) from None

    def logits(features: np.ndarray) -> np.ndarray:
        try:
            return session.run(["logits"], {"features": features})[0]
        except Exception as error:
            raise told(error) from None

    return logits


def _in_torch(network: "nn.Module") -> Logits:
    import torch

    def logits(features: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(features)).numpy()

    return logits
