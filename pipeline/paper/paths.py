"""Where the tables and what they are made of are."""

from pathlib import Path

EXPERIMENT = "asc-paper"
REPORTS = Path("reports/paper")
RUNS = REPORTS / "runs"


def measured(system: str, seed: int) -> Path:
    """The metrics of a system and seed."""
    return RUNS / f"{system}-{seed}.json"


def trained(system: str, seed: int) -> Path:
    """The network of a system and seed."""
    return Path("models/paper") / f"{system}-{seed}.safetensors"
