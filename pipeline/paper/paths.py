"""Where the tables and what they are made of are."""

from pathlib import Path

EXPERIMENT = "asc-paper"
REPORTS = Path("reports/paper")
RUNS = REPORTS / "runs"


def measured(system: str, seed: int) -> Path:
    """The metrics of a system and seed."""
    return RUNS / f"{system}-{seed}.json"


def predictions(system: str, seed: int) -> Path:
    """What a system and seed answered to the clips of the test split."""
    return Path("data/paper/predictions") / f"{system}-{seed}.parquet"


def trained(system: str, seed: int) -> Path:
    """The network of a system and seed."""
    return Path("models/paper") / f"{system}-{seed}.safetensors"
