"""One run at a time in a workspace: a lock that says who holds it.

The kernel lets go of the lock when its holder dies, however it dies. It is between flow runs, whoever started them, on
one machine (and on several that share the folder, as far as their file system has locks). `dvc repro` by hand beside a
flow run needs none: DVC locks the files of each stage that it runs and names who has them.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from asc_core.files import write_json

LOCK = Path(".state/run.lock")
HOLDER = Path(".state/run.json")


@contextmanager
def locked_workspace(
    run: str, run_id: str | None, log: Callable[[str], None], *, borrow_from: str | None = None
) -> Iterator[bool]:
    """Hold the workspace, after waiting for whoever has it.

    Args:
        run: the name under which others are told of this run.
        log: gets the line that says who is waited for.
        borrow_from: id of the flow run for which this one works; where that holds the workspace, it is shared.

    Yields:
        Whether the workspace is this run's alone.
    """
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if borrow_from and holder().get("id") == borrow_from:
            yield False
            return
        log(f"{Path.cwd()} is in use by {described(holder())}; this run goes on when that has ended")
        lock.acquire(poll_interval=1)
    with lock:
        since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
        write_json(HOLDER, {"run": run, "id": run_id, "pid": os.getpid(), "host": socket.gethostname(), "since": since})
        try:
            yield True
        finally:
            HOLDER.unlink(missing_ok=True)


def holder() -> dict[str, Any]:
    """Who holds the workspace, as it wrote itself down; empty where nobody did."""
    with suppress(OSError, ValueError):
        return json.loads(HOLDER.read_text(encoding="utf-8"))
    return {}


def described(holder: dict[str, Any]) -> str:
    """A holder in words."""
    if not holder:
        return "another run"
    return f"{holder['run']} (process {holder['pid']} on {holder['host']}, since {holder['since']})"
