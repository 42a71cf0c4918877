"""LiteRT for Microcontrollers, whose interpreter for this machine computes what the one on a device does.

Its interpreter tells how much memory a graph took on its standard error only, so that is asked of a process of its own:
`python -m asc_core.deploy.tflite.micro FILE`.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asc_core.errors import UserError

ARENA = 1 << 28  # bytes that are offered: far more than any microcontroller has
TOLD = re.compile(r"Arena allocation total (\d+) bytes")


def runner(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """The function that a file is: its input, as its type and shape are, to its output.

    Raises:
        UserError: the interpreter cannot compute it.
        ModuleNotFoundError: it is not installed (the package tflite-micro).
    """
    interpreter = _interpreter(content)

    def run(features: np.ndarray) -> np.ndarray:
        interpreter.set_input(features, 0)
        interpreter.invoke()
        return interpreter.get_output(0)

    return run


def arena(content: bytes) -> int:
    """The bytes of memory that the interpreter takes for a file, as it reports them.

    Raises:
        UserError: it cannot compute the file.
        ModuleNotFoundError: it is not installed (the package tflite-micro).
    """
    import tflite_micro  # noqa: F401  # told here, and not by the other process

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(content)
        done = subprocess.run([sys.executable, "-m", __name__, str(path)], capture_output=True, text=True, check=False)
    told = TOLD.search(done.stderr)
    if done.returncode or told is None:
        raise UserError(f"LiteRT for Microcontrollers cannot compute it ({' '.join(done.stderr.split())[-300:]})")
    return int(told.group(1))


def _interpreter(content: bytes) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_bytes(content, arena_size=ARENA)
    except RuntimeError as error:
        raise UserError(f"LiteRT for Microcontrollers cannot compute it ({error})") from None


if __name__ == "__main__":
    interpreter = _interpreter(Path(sys.argv[1]).read_bytes())
    details = interpreter.get_input_details(0)
    interpreter.set_input(np.zeros(details["shape"], details["dtype"]), 0)
    interpreter.invoke()
    interpreter.print_allocations()
