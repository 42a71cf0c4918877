"""Where the table and what it is made of are."""

from pathlib import Path

from pipeline.paths import TableFiles

FILES = TableFiles("peers")


def features(fold: str) -> Path:
    """The feature store of a fold."""
    return FILES.data / "features" / fold


def validation(fold: str) -> Path:
    """What validation found of a fold's corpus."""
    return FILES.reports / "validation" / f"{fold}.json"


def data_docs(fold: str) -> Path:
    """The same as pages to read."""
    return FILES.data / "data_docs" / fold
