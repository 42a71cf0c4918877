"""How far a training is, shown in Prefect as a bar: read off the lines that it prints."""

import re
import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

EPOCH = re.compile(r": epoch (\d+)/(\d+)  ")
QUIET_SECONDS = 5  # between two messages to the server


class Progress:
    """Takes the lines of a stage, hands them on, and keeps a progress artifact of its task.

    A server that does not take one costs the bar, and not the training.
    """

    def __init__(self, target: str, log: Callable[[str], None]) -> None:
        self.target, self.log = target.split(":")[-1], log
        self.key = re.sub(r"[^a-z0-9]+", "-", self.target.lower())
        self.artifact: UUID | None = None
        self.last, self.lost = -float("inf"), False

    def __call__(self, line: str) -> None:
        self.log(line)
        if (found := EPOCH.search(line)) and not self.lost:
            epoch, epochs = map(int, found.groups())
            if epoch == epochs or time.monotonic() - self.last >= QUIET_SECONDS:
                self.last = time.monotonic()
                self._show(100 * epoch / epochs, f"{self.target}: epoch {epoch} of {epochs}")

    def _show(self, percent: float, told: str) -> None:
        try:
            if self.artifact is None:
                self.artifact = cast(UUID, create_progress_artifact(percent, key=self.key, description=told))
            else:
                update_progress_artifact(self.artifact, percent, description=told)
        except Exception as error:
            self.lost = True
            self.log(f"{self.target}: its progress is not shown in Prefect ({type(error).__name__})")
