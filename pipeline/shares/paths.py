"""Where the table and what it is made of are."""

from pathlib import Path

from pipeline.paths import TableFiles

FILES = TableFiles("shares")
FEATURES = FILES.data / "features"  # of the whole training split, and the test split
VALIDATION = FILES.reports / "validation.json"
DATA_DOCS = FILES.data / "data_docs"


def clips(share: int) -> Path:
    """The training clips of a share: filename, scene_label."""
    return FILES.data / "lists" / f"{share}.csv"
