"""How many threads a stage computes with, and how they wait for each other.

Threads of one computation meet many thousand times a second, and the first to arrive spin until the last one does. One
that had to make way for another process keeps all of them waiting for its next turn, so a training on all cores falls
to a few percent of its speed as soon as anything else is busy: a browser, a second training. One core is therefore
left to the rest of the machine, and spinning ends early. `benchmarks/load.py` shows both.
"""

import os

from asc_core.cores import usable_cores

SPINS = 1000  # GNU OpenMP's default, 300,000, holds a core for as long as a time slice of the kernel


def share(processes: int = 1) -> int:
    """The threads of each of so many processes that compute at once."""
    return max(1, (usable_cores() - 1) // processes)


def settle() -> None:
    """Set the variables that the arithmetic libraries read when they are loaded, where the user has not."""
    os.environ.setdefault("OMP_NUM_THREADS", str(share()))
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
