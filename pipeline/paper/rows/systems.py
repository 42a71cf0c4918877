"""Every system that the publications report: the network it is, and the figures it reached.

Figures: top-1 accuracy in percent on the test split of TAU Urban Acoustic Scenes 2020 Mobile, from the challenge poster
of arXiv 2111.06531 and 2206.13909.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from asc_core.errors import ConfigError
from asc_core.models.config import NetworkConfig
from asc_core.training.config import DistillationConfig, Schedule
from pipeline.params import Prune, Seeds
from pipeline.sections import Section, check, check_names, read_yaml

SETTINGS = Path("pipeline/paper/paper.yaml")
DEVICES = ("a", "b", "c", "s1", "s2", "s3", "s4", "s5", "s6")


class Quantize(Section):
    schedule: Schedule


class Paper(Section):
    """What paper.yaml holds."""

    seeds: Seeds
    systems: Annotated[list[str], Field(min_length=1)]
    compressed: list[str]
    small_tau: float
    large_tau: float
    bc_resnet_tau: float
    cp_resnet_width: int
    spec_augment_from_tau: float
    schedule: Schedule
    prune: Prune
    quantize: Quantize
    distillation: DistillationConfig

    @model_validator(mode="after")
    def _known(self) -> "Paper":
        for key, known in (("systems", SYSTEMS), ("compressed", COMPRESSION)):
            check_names(key, getattr(self, key), known)
        for system in SYSTEMS.values():
            try:
                system.network(self)
            except ConfigError as error:
                raise ConfigError(error.reason, f"{system.size}_{error.field}") from None
        return self


class PaperFile(Section):
    paper: Paper


def load() -> Paper:
    """The settings of the tables.

    Raises:
        UserError: the file is missing, or a key is unknown, missing or ill-typed.
    """
    return check(PaperFile, read_yaml(SETTINGS), SETTINGS).paper


@dataclass(frozen=True)
class Published:
    """A published row: overall accuracy and its standard deviation, and accuracy by device where it was given.

    No accuracy: the row is this project's own.
    """

    accuracy: float | None = None
    std: float | None = None
    by_device: tuple[float, ...] = ()


@dataclass(frozen=True)
class System:
    """A row of a table: its label there, its network (sizes come from paper.yaml), and what was published.

    Attributes:
        spec_augment: whether the published network, at its full size, was trained with SpecAugment.
    """

    table: str
    label: str
    name: str
    size: str
    norm: str
    published: Published
    spec_augment: bool = False

    def network(self, paper: Paper) -> NetworkConfig:
        """The network at the configured size."""
        if self.name == "cp_resnet":
            return NetworkConfig("cp_resnet", width=paper.cp_resnet_width, norm=self.norm)
        return NetworkConfig(self.name, tau=getattr(paper, f"{self.size}_tau"), norm=self.norm)

    def masked(self, paper: Paper) -> bool:
        """Whether it is trained with SpecAugment: as published, but for networks too small to learn from less."""
        return self.spec_augment and self.network(paper).tau >= paper.spec_augment_from_tau


def _asc(table: str, size: str, norm: str, label: str, accuracy: float, std: float, *by_device: float) -> System:
    return System(table, label, "bc_resnet_asc", size, norm, Published(accuracy, std, by_device), size == "large")


NORMALISATION = "normalisation"
SYSTEMS = {
    "cp_resnet": System("networks", "CP-ResNet", "cp_resnet", "cp_resnet", "none", Published(67.8)),
    "bc_resnet": System("networks", "BC-ResNet", "bc_resnet", "bc_resnet", "none", Published(68.6, 0.4), True),
    "asc_large_none": _asc("networks", "large", "none", "BC-ResNet-ASC", 69.5, 0.3),
    "asc_small_none": _asc(
        NORMALISATION, "small", "none", "small, baseline", 58.9, 0.8,
        73.1, 61.2, 65.3, 58.2, 57.3, 66.2, 51.5, 51.5, 46.3,
    ),
    "asc_small_global_freqnorm": _asc(
        NORMALISATION, "small", "global_freqnorm", "small + Global FreqNorm", 60.0, 0.9,
        73.9, 60.9, 65.5, 60.2, 57.9, 67.9, 50.2, 54.3, 49.4,
    ),
    "asc_small_fixed_pcen": _asc(
        NORMALISATION, "small", "fixed_pcen", "small + Fixed PCEN", 62.2, 0.8,
        68.0, 60.4, 57.2, 64.0, 63.0, 66.2, 62.3, 61.8, 56.5,
    ),
    "asc_small_resnorm": _asc(
        NORMALISATION, "small", "resnorm", "small + ResNorm", 65.8, 0.7,
        76.4, 65.1, 68.3, 66.0, 62.2, 69.7, 63.0, 63.0, 58.3,
    ),
    "asc_small_resnorm_input": _asc(
        NORMALISATION, "small", "resnorm_input", "small, ResNorm at the input only", 67.1, 0.8,
        75.1, 68.9, 67.0, 66.0, 63.9, 69.3, 63.4, 66.9, 63.6,
    ),
    "asc_small_freqin": _asc(
        NORMALISATION, "small", "freqin", "small, no shortcut", 63.9, 0.7,
        68.2, 62.1, 58.6, 64.2, 65.3, 66.3, 65.1, 63.8, 61.3,
    ),
    "asc_large_resnorm": _asc(
        NORMALISATION, "large", "resnorm", "large + ResNorm", 75.2, 0.4,
        81.3, 74.4, 74.2, 75.6, 73.1, 78.6, 73.0, 74.0, 72.7,
    ),
    "asc_large_resnorm_input": _asc(
        NORMALISATION, "large", "resnorm_input", "large, ResNorm at the input only", 74.3, 0.3,
        80.8, 73.7, 73.0, 74.0, 72.9, 77.8, 73.3, 72.1, 71.0,
    ),
    "asc_large_freqin": _asc(
        NORMALISATION, "large", "freqin", "large, no shortcut", 73.2, 0.3,
        78.3, 73.5, 69.1, 73.8, 72.9, 75.6, 72.2, 72.5, 71.0,
    ),
}  # fmt: skip

FIGURE1 = "asc_small_none"  # the network whose features are looked at

# The rows of the compression table; the first is the uncompressed network, trained for longer where it was published.
# Which published figure belongs to which is ours: one source ticks distillation in both compressed rows.
VANILLA = "asc_large_resnorm"
COMPRESSION = {
    VANILLA: ("large + ResNorm, 32 bit", Published(76.3, 0.8)),
    "without_distillation": ("compressed to 8/16 bit", Published(75.1, 0.9)),
    "with_distillation": ("compressed to 8/16 bit, distilled", Published(75.3, 0.8)),
    "gradual": ("pruned step by step, to 8/16 bit, distilled", Published()),
}
