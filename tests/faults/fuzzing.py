"""Hostile inputs by the thousand: what is made of them, in a process of its own whose memory and time are measured.

ASC_FUZZ=1 makes as many inputs as a release needs; the suite makes a few. Seeds are fixed, so both are the same each
time, and an input that breaks something is found again by its number.
"""

import copy
import faulthandler
import json
import multiprocessing
import os
import random
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asc_core.errors import UserError

ALL = "ASC_FUZZ" in os.environ
TIMEOUT = 0 if ALL else 600  # seconds of a whole test; 0: none
HANGS = 60  # seconds after which an input is said to hang, far above what any takes
NUMBERS = [
    0, -1, 1, 2, 3, 1e-300, 0.5, 33, 1000, 1e5, 1e9, 2**31, 2**63, 2**64, 10**30, 1e308,
    float("nan"), float("inf"), float("-inf"),
]  # fmt: skip
OTHERS = [None, True, "", "1", "a" * 10_000, "\x1b[31m\n", "\ud800", "../x", [], {}, [[]], {"": 0}, [1] * 1000]
DIGITS = "5,000 digits"  # becomes a whole number of that many


@dataclass
class Result:
    """What came of the inputs: how many were used and refused, and what must not have been."""

    used: int = 0
    refused: int = 0
    broken: list[str] = field(default_factory=list)  # number of the input, and the traceback
    memory: int = 0  # most bytes that an input took beyond what the process had before
    seconds: float = 0.0  # that the slowest took

    def __str__(self) -> str:
        return (
            f"{self.used} used, {self.refused} refused, {len(self.broken)} broken; "
            f"at most {self.memory / 1e6:.0f} MB and {self.seconds:.2f} s"
        )


def fuzz(
    count: int,
    folder: Path,
    make: Callable[[random.Random, Path, Path], Path],
    use: Callable[[Path], None],
) -> Result:
    """Make `count` inputs and use each, in a process of its own.

    Args:
        folder: holds what inputs are made from.
        make: makes an input below its third argument from what is in its second; the random numbers decide.
        use: takes the input; UserError is what it should raise. Both are functions of a module.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        result = process.submit(_work, count, folder, make, use).result()
    print(f"{make.__name__}: {count} inputs: {result}")
    return result


def _work(count: int, folder: Path, make: Callable, use: Callable) -> Result:
    result = Result()
    target = folder / "made"
    target.mkdir()
    for number in range(-1, count):  # the first is not measured: libraries are imported with it
        path = make(random.Random(number), folder, target)
        before, began = _start_of_memory(), time.perf_counter()
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            use(path)
            result.used += number >= 0
        except UserError as error:
            result.refused += number >= 0
            told = str(error)
            if not told.isprintable() or str(path) not in told or len(told) > 1000:
                result.broken.append(f"{number}: {told!r}")
        except BaseException:
            result.broken.append(f"{number}: {traceback.format_exc()}")
        faulthandler.cancel_dump_traceback_later()
        if number >= 0:
            result.seconds = max(result.seconds, time.perf_counter() - began)
            result.memory = max(result.memory, _memory("VmHWM") - before)
    return result


def _start_of_memory() -> int:
    """The bytes that this process has now; from here on its highest number is counted anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def hostile(rng: random.Random, value: Any) -> Any:
    """A JSON value with one to three of its parts exchanged for others, taken away, or added to."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        value = _exchange(rng, value)
    return value


def text(value: Any) -> str:
    """JSON as Python writes it, NaN included."""
    return json.dumps(value).replace(f'"{DIGITS}"', "9" * 5000)


def _exchange(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
            return value * rng.choice([-1, 0.5, 2, 10, 1000, 10**6])
        return copy.deepcopy(rng.choice([*NUMBERS, *NUMBERS, *OTHERS, DIGITS]))
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    what = rng.random()
    if what < 0.1:
        del value[key]
    elif what < 0.15:
        if isinstance(value, dict):
            value[rng.choice(["", "x", "\x1b[31m", "__class__"])] = rng.choice(NUMBERS)
        else:
            value.append(copy.deepcopy(value[key]))
    else:
        value[key] = _exchange(rng, value[key])
    return value


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes with some flipped, cut out, or put in twice."""
    data = bytearray(data)
    at, length = rng.randrange(len(data)), rng.randint(1, 64)
    what = rng.randrange(4)
    if what == 0:
        data[at] ^= 1 << rng.randrange(8)
    elif what == 1:
        del data[at:]
    elif what == 2:
        del data[at : at + length]
    else:
        data[at:at] = data[at : at + length]
    return bytes(data)
