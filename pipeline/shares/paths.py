"""Where the table and what it is made of are."""

from pathlib import Path

from pipeline.paths import SystemFiles

EXPERIMENT = "asc-shares"
FILES = SystemFiles("shares")
REPORTS = Path("reports/shares")
TABLE = REPORTS / "shares.md"
PLOT = REPORTS / "shares.png"
PAGE = REPORTS / "index.html"
WORK = Path(".state/shares")  # features on their way
FEATURES = Path("data/shares/features")  # of the whole training split, and the test split
LISTS = Path("data/shares/lists")  # the training clips of each share
VALIDATION = REPORTS / "validation.json"
DATA_DOCS = Path("data/shares/data_docs")


def clips(share: int) -> Path:
    """The training clips of a share: filename, scene_label."""
    return LISTS / f"{share}.csv"
