"""Where the table and what it is made of are."""

from pathlib import Path

EXPERIMENT = "asc-shares"
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


def network(system: str, seed: int, share: int) -> Path:
    """The network of a system."""
    return Path("models/shares") / f"{system}-{seed}-{share}.safetensors"


def package(seed: int, share: int) -> Path:
    """Our quantised network: the file that ships."""
    return Path("models/shares") / f"ours-{seed}-{share}.asc"


def predictions(system: str, seed: int, share: int) -> Path:
    """Probabilities for every test clip."""
    return Path("data/shares/predictions") / f"{system}-{seed}-{share}.parquet"


def measured(system: str, seed: int, share: int) -> Path:
    """The metrics and the sizes."""
    return REPORTS / "runs" / f"{system}-{seed}-{share}.json"
