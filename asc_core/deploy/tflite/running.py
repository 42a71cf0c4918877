"""A LiteRT file as a function, computed by LiteRT."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asc_core.errors import UserError, reason

LEAST, MOST = -128, 127  # of an 8-bit integer


def runner(path: Path, content: bytes, threads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file is: features (1, 1, mel, frame) float32 to logits (1, class) float32.

    Files of integers take and return integers; both are brought to them and back here. Threads may share it: each gets
    an interpreter of its own.

    Args:
        path: what errors name.
        threads: of LiteRT.

    Raises:
        UserError: LiteRT cannot compute it.
        ModuleNotFoundError: LiteRT is not installed.
    """
    from ai_edge_litert.interpreter import Interpreter

    own = threading.local()

    def interpreter() -> Any:
        if not hasattr(own, "interpreter"):
            own.interpreter = Interpreter(model_content=content, num_threads=threads)
            own.interpreter.allocate_tensors()
        return own.interpreter

    def told(error: Exception) -> UserError:
        return UserError(f"{path}: LiteRT cannot compute it ({reason(error)})")

    try:
        with _quiet():
            (features,), (logits,) = (interpreter().get_input_details(), interpreter().get_output_details())
    except Exception as error:  # what LiteRT raises has no base of its own
        raise told(error) from None

    def run(values: np.ndarray) -> np.ndarray:
        try:
            interpreter().set_tensor(features["index"], to_integers(values.reshape(features["shape"]), features))
            interpreter().invoke()
            return from_integers(interpreter().get_tensor(logits["index"]), logits)
        except Exception as error:
            raise told(error) from None

    return run


def to_integers(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Numbers as a tensor takes them, which has a `dtype` and, if that is int8, `quantization` (scale, zero point)."""
    if tensor["dtype"] != np.int8:
        return values
    scale, zero = tensor["quantization"]
    return np.clip(np.round(values / np.float32(scale)) + zero, LEAST, MOST).astype(np.int8)


def from_integers(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """What a tensor returns as numbers."""
    if tensor["dtype"] != np.int8:
        return values
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the line on standard error that LiteRT has for its first interpreter, and no setting for."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
