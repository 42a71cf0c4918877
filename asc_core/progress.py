"""Progress of long jobs, on standard error: a bar on a terminal, a line now and then where there is none."""

import atexit
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")
LINE_SECONDS = 10.0


class Progress:
    """How much of a job is done, its rate and the time left; a context manager, for any number of threads.

    While a bar shows, whatever is written to sys.stderr appears above it.

    Args:
        label: what the bar and the lines begin with.
        total: of what is counted.
        unit: what is counted; "bytes" are shown as GB.
        done: what an earlier run had done, which is no part of the rate.
    """

    def __init__(self, label: str, total: int, *, unit: str = "clips", done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._before = self._told = done
        self._start = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            columns = (
                progress.TextColumn("{task.description}", markup=False), progress.BarColumn(),
                progress.TextColumn("{task.fields[state]}", markup=False), progress.TimeRemainingColumn(),
            )  # fmt: skip
            bar = progress.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self._task = bar.add_task(self.label, total=self.total, completed=self.done, state=self._state())
            bar.start()
            atexit.register(bar.stop)  # the cursor comes back even if an exception keeps a generator from closing
            self._bar = bar
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
            atexit.unregister(self._bar.stop)
        elif kind is None and self.done != self._told:
            self._print_line()

    def advance(self, count: int = 1) -> None:
        """Count what was done; fewer than nothing where a part has to be done again."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(self._task, completed=self.done, state=self._state())
            elif time.monotonic() - self._last >= LINE_SECONDS:
                self._print_line()

    def _rate(self) -> float:
        return (self.done - self._before) / max(time.monotonic() - self._start, 1e-9)

    def _state(self) -> str:
        if self.unit == "bytes":
            return f"{self.done / 1e9:.2f} of {self.total / 1e9:.2f} GB, {self._rate() / 1e6:.1f} MB/s"
        return f"{self.done}/{self.total} {self.unit}, {self._rate():.1f}/s"

    def _print_line(self) -> None:
        self._last, self._told = time.monotonic(), self.done
        rate = self._rate()
        left = f"{(self.total - self.done) / rate / 60:.0f} min left" if rate > 0 else "time left unknown"
        note(f"{self.label}: {self._state()}" + (f", {left}" if self.done < self.total else ""))


def track(items: Iterable[Item], total: int, label: str, *, unit: str = "clips") -> Iterator[Item]:
    """Yield `items`, showing how many of `total` are done."""
    with Progress(label, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()


def note(text: str) -> None:
    """Write a line to standard error; it stands above a bar, if there is one."""
    sys.stderr.write(f"{text}\n")  # in one piece, so that the lines of threads do not mix
    sys.stderr.flush()
