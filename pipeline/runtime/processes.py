"""Processes that end with those they work for."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def watch(*pids: int) -> None:
    """Have this process end, as by SIGTERM, within two seconds of the end of one of those, even by SIGKILL.

    A stage outlives neither DVC, which would start a second one beside it, nor the flow run; a flow run does not
    outlive its worker. Looking every second works on every system and costs nothing beside a training.
    """
    import psutil

    def look() -> None:
        try:
            leaders = [psutil.Process(pid) for pid in pids]
            while all(alive(leader) for leader in leaders):
                time.sleep(1)
        except psutil.NoSuchProcess:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
        end_children()
        os._exit(130)

    threading.Thread(target=look, daemon=True).start()


def dvc() -> "psutil.Process | None":
    """The DVC that this process descends from; its parent is often the shell that DVC runs a stage's command with."""
    import psutil

    for ancestor in psutil.Process().parents():
        with suppress(psutil.Error):
            if any(Path(word).name == "dvc" for word in ancestor.cmdline()[:3]):  # `python -m dvc`
                return ancestor
    return None


def end_children() -> None:
    """Kill what this process has started: nothing that is of use without it, and a sender's work is done again."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def alive(process: "psutil.Process") -> bool:
    """Whether a process still does anything: it is there, and not only until its parent asks for its exit code."""
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
