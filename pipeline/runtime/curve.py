"""The learning curve of a training: a row an epoch, in a file beside the state from which the training can continue."""

import csv
import os
from pathlib import Path

from asc_core.files import replacing, writing

TIMES = ("clips_per_second",)  # differ each time; what a stage leaves is the same for the same seed


class Curve:
    """The rows of a training's epochs so far, as text by column."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, str]] = []
        if path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                self.rows = list(csv.DictReader(file))

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Put down an epoch. Later ones are of a training that was interrupted before its state was saved."""
        row = {"epoch": str(epoch), **{name: repr(value) for name, value in metrics.items() if name not in TIMES}}
        self.rows = [*(row for row in self.rows if int(row["epoch"]) < epoch), row]
        with replacing(self.path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def move(self, target: Path) -> None:
        """Leave the file at `target`: the training is over."""
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.path, target)
