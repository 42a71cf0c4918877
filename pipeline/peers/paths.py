"""Where the table and what it is made of are."""

from pathlib import Path

EXPERIMENT = "asc-peers"
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


def network(system: str, seed: int, fold: str) -> Path:
    """The network of a system."""
    return Path("models/peers") / f"{system}-{seed}-{fold}.safetensors"


def package(seed: int, fold: str) -> Path:
    """Our quantised network: the file that ships."""
    return Path("models/peers") / f"ours-{seed}-{fold}.asc"


def predictions(system: str, seed: int, fold: str) -> Path:
    """Probabilities for every test clip."""
    return Path("data/peers/predictions") / f"{system}-{seed}-{fold}.parquet"


def measured(system: str, seed: int, fold: str) -> Path:
    """The metrics and the sizes."""
    return REPORTS / "runs" / f"{system}-{seed}-{fold}.json"
