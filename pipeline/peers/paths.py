"""Where the table and what it is made of are."""

from pathlib import Path

from pipeline.paths import SystemFiles

EXPERIMENT = "asc-peers"
FILES = SystemFiles("peers")
REPORTS = Path("reports/peers")
TABLE = REPORTS / "peers.md"
WORK = Path(".state/peers")  # features on their way, a folder a fold


def features(fold: str) -> Path:
    """The feature store of a fold."""
    return Path("data/peers/features") / fold


def validation(fold: str) -> Path:
    """What validation found of a fold's corpus."""
    return REPORTS / "validation" / f"{fold}.json"


def data_docs(fold: str) -> Path:
    """The same as pages to read."""
    return Path("data/peers/data_docs") / fold
