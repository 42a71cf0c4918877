"""Where the stages leave what they make: the contracts between them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asc_core import UserError
from asc_core.files import read_json

CORPUS = Path("data/corpus.json")  # where the corpus is
CLIPS = Path("data/clips.parquet")  # its validated clips, a row each
FEATURES = Path("data/features")  # the feature store
PREDICTIONS = Path("data/predictions")  # probabilities for every test clip, a table a seed
VALIDATION = Path("reports/validation.json")
DATA_DOCS = Path("reports/data_docs")
SEEDS = Path("reports/seeds")  # metrics, a file a seed
SIZES = Path("reports/sizes")  # what the rules count, tensor by tensor, a file a seed
CURVES = Path("reports/curves")  # loss and validation metrics by epoch, a file a training
SIZE = Path("reports/size.md")
SUMMARY = Path("reports/summary.json")
TABLE = Path("reports/summary.md")
PLOTS = Path("reports/plots")
HEADLINES = Path("reports/headlines.json")
COST = Path("reports/cost.json")  # what ships on a device: what it costs, and whether it answers alike
GATE = Path("reports/gate.json")
PAGE = Path("reports/index.html")
CARD = Path("reports/model_card.md")


def workspace() -> Path:
    """The project's folder, which outlives whatever runs in it.

    `dvc exp run --temp` and `--queue` work in a copy that is removed with all that Git and DVC do not track; DVC_ROOT
    names the folder that it is a copy of.
    """
    root = os.environ.get("DVC_ROOT")
    return Path(root) if root and Path(root).resolve() != Path.cwd() else Path()


def corpus_root() -> Path:
    """The folder of the corpus that the stage download has put in place, in a copy of the project or beside it."""
    root = Path(read_json(CORPUS)["root"])
    return root if root.exists() else workspace() / root


def teacher_path(seed: int, name: str) -> Path:
    """The teacher of that name of a seed."""
    return Path("models") / str(seed) / "teachers" / f"{name}.safetensors"


def teacher_paths(seed: int, names: Iterable[str]) -> list[Path]:
    """The teachers of a seed, as they are all there.

    Raises:
        UserError: one has not been made.
    """
    return [made(teacher_path(seed, name)) for name in names]


def model_path(seed: int, name: str) -> Path:
    """The network `name` (student, pruned, quantized: before its normalisations are folded) of a seed."""
    return Path("models") / str(seed) / f"{name}.safetensors"


def package_path(seed: int) -> Path:
    """The quantised network of a seed: the file that ships."""
    return Path("models") / str(seed) / "quantized.asc"


def reference_path(seed: int) -> Path:
    """What recordings sounded like in training, for `asc watch`, beside the package of a seed."""
    return Path("models") / str(seed) / "reference.safetensors"


def shipped_path(seed: int) -> Path:
    """The package of a seed with the networks of the training devices beside the general one, where there are any."""
    return Path("models") / str(seed) / "devices.asc"


def curve_path(seed: int, name: str) -> Path:
    """The learning curve of the training that made the network `name` (teacher_NAME, student, ...) of a seed."""
    return CURVES / str(seed) / f"{name}.csv"


@dataclass(frozen=True)
class TableFiles:
    """Where a table of systems is, and what its trainings leave: a file a system, seed and, where the table has parts
    (folds, shares), part.

    Args:
        name: of its folder in `pipeline`.
    """

    name: str

    @property
    def experiment(self) -> str:
        """What its trainings are called in MLflow."""
        return f"asc-{self.name}"

    @property
    def reports(self) -> Path:
        """The folder of the table, and of all that it is told with."""
        return Path("reports") / self.name

    @property
    def page(self) -> Path:
        """The table as a page."""
        return self.reports / "index.html"

    @property
    def data(self) -> Path:
        """The folder of features and the like."""
        return Path("data") / self.name

    @property
    def work(self) -> Path:
        """The folder of features on their way."""
        return Path(".state") / self.name

    def told(self, suffix: str) -> Path:
        """The table as md, json or png."""
        return self.reports / f"{self.name}.{suffix}"

    def network(self, system: str, seed: int, *part: object) -> Path:
        """The network of a system."""
        return Path("models") / self.name / f"{_run(system, seed, *part)}.safetensors"

    def package(self, seed: int, *part: object) -> Path:
        """Our quantised network: the file that ships."""
        return Path("models") / self.name / f"{_run('ours', seed, *part)}.asc"

    def predictions(self, system: str, seed: int, *part: object) -> Path:
        """Probabilities for every test clip."""
        return self.data / "predictions" / f"{_run(system, seed, *part)}.parquet"

    def measured(self, system: str, seed: int, *part: object) -> Path:
        """The metrics and the sizes."""
        return self.reports / "runs" / f"{_run(system, seed, *part)}.json"


def _run(*key: object) -> str:
    return "-".join(map(str, key))


def made(path: Path) -> Path:
    """`path`, which a stage has made.

    Raises:
        UserError: it has not been made.
    """
    if not path.exists():
        raise UserError(f"{path}: not there; run `dvc repro`, which makes it")
    return path
