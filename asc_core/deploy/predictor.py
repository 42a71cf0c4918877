"""A trained model that is ready to hear: with LiteRT or ONNX Runtime where they are installed, else with torch."""

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
    litert = "litert"
    onnx = "onnx"
    torch = "torch"


FILES = {".onnx": Engine.onnx, ".tflite": Engine.litert}  # of exported files, by how their names end


class Predictor:
    """A model that is ready to hear: `predictor(path)` is the probability of each of its `labels`: (labels,) float64.

    Threads may share one.

    Args:
        path: a package (`.asc`), or what was exported from one (`.onnx`, `.tflite`).
        engine: `auto` is the one that an exported file is for; for a package ONNX Runtime where it is installed, else
            torch. LiteRT is faster once it runs, but exporting to it takes seconds, to ONNX a fraction of one. A
            network whose activations were trained in 8 bit torch computes: in ONNX they are floats.
        threads: of ONNX Runtime or LiteRT (several pay for large networks only); torch keeps to its own setting.
        device: what recorded the sounds, where that is known. A package may have a network that was tuned to it; where
            it has none, its general network hears them. What is used is the attribute `device`, None for the general.

    Raises:
        UserError: the file is missing, foreign or damaged, or an exported one of another device, or the engine is not
            there or cannot compute it.
    """

    def __init__(self, path: Path, engine: Engine = Engine.auto, threads: int = 1, device: str | None = None) -> None:
        from asc_core.features.frontend import Frontend

        self.path = path
        self._logits, description = load(path, engine, threads, device)
        self.device: str | None = description.get("tuned_to")
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
    """Probabilities (..., labels) from finite logits (..., labels)."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def load(path: Path, engine: Engine, threads: int, device: str | None = None) -> tuple[Logits, dict[str, Any]]:
    """The function that a model file is, and its description; for `device`, as `package.read` has it.

    Raises:
        UserError: the file is missing, foreign or damaged, or an exported one of another device, or the engine is not
            there or cannot compute it.
    """
    if path.suffix in FILES:
        logits, description = _load_exported(path, engine, threads)
        if device not in (None, description.get("tuned_to")):
            raise UserError(f"{path}: it is not of the device {device}; export that one's from the package")
        return logits, description
    from asc_core.compression import activations, package

    network, description = package.read(path, device)
    if engine is Engine.torch or (engine is Engine.auto and activations.of(network)):
        return _in_torch(network), description
    try:
        content = exported(path, network, description, Engine.onnx if engine is Engine.auto else engine)
        return RUNNERS[Engine.onnx if engine is Engine.auto else engine](path, content, threads), description
    except ModuleNotFoundError as error:
        if engine is not Engine.auto:
            raise UserError(f"engine {engine}: {error.name} is not installed; install it, or use torch") from None
    return _in_torch(network), description


def _load_exported(path: Path, engine: Engine, threads: int) -> tuple[Logits, dict[str, Any]]:
    own = FILES[path.suffix]
    if engine not in (Engine.auto, own):
        raise UserError(f"{path}: {engine} does not compute {path.suffix} files; use the engine {own}, or the package")
    try:
        if own is Engine.onnx:
            from asc_core.deploy.graph import read
        else:
            from asc_core.deploy.tflite.reading import read
        content, description = read(path)
        return RUNNERS[own](path, content, threads), description
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: {error.name} is not installed; install it, or use the package") from None


def exported(path: Path, network: "nn.Module", description: dict[str, Any], engine: Engine) -> bytes:
    """The file for ONNX Runtime or LiteRT, in 32-bit floats, of what `package.read(path)` has returned.

    Raises:
        UserError: the package does not say what its network was trained on, or the engine cannot express it.
        ModuleNotFoundError: the engine, or what exports to it, is not installed.
    """
    try:
        if engine is Engine.litert:
            from asc_core.deploy.tflite.convert import to_tflite

            return to_tflite(network, description)
        import onnxruntime  # noqa: F401  # before any work for it

        from asc_core.deploy.onnx import to_onnx

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


def in_litert(path: Path, content: bytes, threads: int) -> Logits:
    """The function that a LiteRT file is; `path` is what errors name.

    Raises:
        UserError: LiteRT cannot compute it.
        ModuleNotFoundError: LiteRT is not installed.
    """
    from asc_core.deploy.tflite.running import runner

    return runner(path, content, threads)


RUNNERS = {Engine.onnx: in_onnx_runtime, Engine.litert: in_litert}
