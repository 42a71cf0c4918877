"""Progress of long loops: a bar on a terminal, a line now and then where there is none."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], total: int, label: str, *, unit: str = "clips") -> Iterator[Item]:
    """Yield `items`, showing how many of `total` are done, on standard error."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, unit=f" {unit}", leave=False)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if done == total or now - last >= 10:
            last = now
            rate = done / max(now - start, 1e-9)
            print(f"{label}: {done}/{total} {unit}, {rate:.1f}/s", file=sys.stderr, flush=True)
