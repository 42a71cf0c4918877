"""params.yaml, typed and strict: read once, in one place, and any key that is unknown or ill-typed is named."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from asc_core.compression.config import TEMPERATURES, PruningConfig
from asc_core.config import SEED, shown
from asc_core.corpus.config import FetchConfig, Lists, SyntheticConfig, ValidationSplit
from asc_core.errors import ConfigError
from asc_core.features.config import FeatureConfig
from asc_core.models.config import NetworkConfig
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import DistillationConfig, Layers, Schedule, TrainingConfig
from pipeline.sections import Section, check, read_yaml

PARAMS = Path("params.yaml")

SHARE = "{share}"
Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(gt=0, le=10**12)]
Seeds = Annotated[list[Annotated[int, Field(ge=SEED.least, le=SEED.most)]], Field(min_length=1, max_length=1_000)]


def _ascending(bounds: tuple[int, int | None]) -> tuple[int, int | None]:
    if bounds[1] is not None and bounds[1] < bounds[0]:
        raise ValueError("the least must not be more than the most")
    return bounds


Range = Annotated[tuple[Count, Count | None], AfterValidator(_ascending)]


class ExpectAudio(Section):
    """What every audio file is; null accepts any."""

    sample_rate: Count | None  # Hz
    channels: Count | None
    subtype: str | None  # as libsndfile names it
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None


class SplitSizes(Section):
    train: Count
    test: Count


class Bounds(Section):
    """Least and most clips of each scene, device and city that a split has; null accepts any number."""

    scene: Range | None
    device: Range | None
    city: Range | None


class ExpectCounts(Section):
    train: Bounds
    test: Bounds


class Expect(Section):
    """What validation holds the corpus to; null accepts what the files say."""

    scenes: list[str] | None
    devices: list[str] | None
    unseen_devices: list[str] | None
    audio: ExpectAudio | None
    releases: dict[str, SplitSizes] | None
    counts: ExpectCounts | None


class Data(Section):
    source: Literal["synthetic", "folder", "tau2020", "tau2022"]
    path: str
    lists: Lists
    share: Literal[5, 10, 25, 50, 100] | None  # of the training data, percent; stands for {share} in a list's name
    validation: ValidationSplit | None  # null: nothing is held back from training
    expect: Expect

    @model_validator(mode="after")
    def _share_is_of_a_list(self) -> "Data":
        if (SHARE in self.lists.train) != (self.share is not None):
            raise ConfigError(f"goes with {SHARE} in the name of lists.train, and neither without the other", "share")
        return self

    @property
    def split_lists(self) -> Lists:
        """The lists, of the share that is trained on."""
        return replace(self.lists, train=self.lists.train.replace(SHARE, str(self.share)))


class TeacherStage(Section):
    network: NetworkConfig
    seed: Annotated[int, Field(ge=SEED.least, le=SEED.most)] = 0  # beside that of the run, where it is not 0
    augment: AugmentConfig | None = None  # null: as all trainings have it
    spec_augment: bool
    schedule: Schedule


class StudentStage(Section):
    network: NetworkConfig
    start: Literal["scratch", "teacher"]
    distillation: DistillationConfig | None  # null: it learns from the labels alone
    spec_augment: bool
    schedule: Schedule | None  # null: it stays as it starts

    @model_validator(mode="after")
    def _trained(self) -> "StudentStage":
        if self.schedule is None and self.start == "scratch":
            raise ConfigError("null leaves a student from scratch untrained; it needs start: teacher", "schedule")
        return self


class Prune(Section):
    ratio: float
    rise_epochs: int
    schedule: Schedule | None  # null: nothing is pruned and nothing trained

    @model_validator(mode="after")
    def _risen(self) -> "Prune":
        if self.schedule is None:
            if self.ratio:
                raise ConfigError("null leaves a pruned network untrained; it needs ratio: 0", "schedule")
            return self
        if self.config.rise_epochs > self.schedule.epochs:
            raise ConfigError(f"{self.rise_epochs} is more than its {self.schedule.epochs} epochs", "rise_epochs")
        return self

    @property
    def config(self) -> PruningConfig:
        return PruningConfig(self.ratio, self.rise_epochs)


class PruneStage(Prune):
    distillation: DistillationConfig | None


def _temperature(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "fit" and not (number and value in TEMPERATURES):
        raise ValueError(f"needs a number {TEMPERATURES}, or fit")
    return value


class QuantizeStage(Section):
    distillation: DistillationConfig | None
    schedule: Schedule
    activations: Literal["float16", "int8"]  # what it computes with; int8: as the 8-bit export to LiteRT does
    temperature: Annotated[Any, AfterValidator(_temperature)]  # a number; "fit": the best on the validation split


class TuneDevicesStage(Section):
    layers: Layers
    distillation: DistillationConfig | None
    schedule: Schedule


class ExportGate(Section):
    """How near the exported file of the shipped network must be to it, on the test split; null switches a check off."""

    file: Literal["onnx", "tflite", "tflite_int8"]
    accuracy_drop: Annotated[float, Field(ge=-100, le=100)] | None
    agreement: Percent | None


class Gates(Section):
    """Limits of the released model; null switches a check off."""

    rules: Literal["dcase2021", "dcase2022", "dcase2023", "dcase2024", "dcase2025"] | None
    counted_bytes: Count | None
    file_bytes: Count | None
    accuracy: Percent | None
    seed_accuracy: Percent | None
    accuracy_drop: Annotated[float, Field(ge=-100, le=100)] | None
    worst_device: Percent | None
    ram_bytes: Count | None
    macs_per_second: Count | None
    export: ExportGate | None


class Report(Section):
    """What `reports/index.html` shows of the clips that a model got most wrong."""

    worst_clips: Annotated[int, Field(ge=0, le=100)]
    audio: bool


class Tracking(Section):
    experiment: str


class Params(Section):
    seeds: Seeds
    data: Data
    synthetic: SyntheticConfig
    fetch: FetchConfig
    features: FeatureConfig
    training: TrainingConfig
    augment: AugmentConfig
    teachers: Annotated[dict[str, TeacherStage], Field(min_length=1, max_length=100)]
    student: StudentStage
    prune: PruneStage
    quantize: QuantizeStage
    tune_devices: TuneDevicesStage | None  # null: the general network hears all devices
    gates: Gates
    report: Report
    tracking: Tracking

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        if len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"{shown(self.seeds)} names a seed twice", "seeds")
        first, *others = self.teachers.values()
        if self.student.start == "teacher" and (others or self.student.network != first.network):
            raise ConfigError("teacher needs one teacher, whose network is that of the student", "student.start")
        if self.quantize.temperature == "fit" and self.data.validation is None:
            raise ConfigError("fit needs a validation split, and data.validation is null", "quantize.temperature")
        if self.quantize.activations == "int8" and self.student.network.norm == "fixed_pcen":
            raise ConfigError(
                "int8 is too coarse for the energies of norm fixed_pcen; say float16", "quantize.activations"
            )
        if self.quantize.activations == "int8" and self.tune_devices is not None:
            raise ConfigError(
                "int8 is of the general network alone; tune_devices goes with float16", "quantize.activations"
            )
        if self.report.audio and self.data.source not in ("synthetic", "folder"):
            raise ConfigError(f"the corpus {self.data.source} is not licensed to be passed on", "report.audio")
        return self

    @field_validator("teachers")
    @classmethod
    def _told_apart(cls, teachers: dict[str, TeacherStage]) -> dict[str, TeacherStage]:
        seen: dict[str, str] = {}
        for name, teacher in teachers.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,39}", name):  # it is part of names of stages and of files
                raise ConfigError(f"{shown(name)} is no name of a teacher: letters, digits and _, at most 40")
            if twin := seen.get(repr(teacher)):
                raise ConfigError(f"{name} would be the same network as {twin}; another seed makes another one", name)
            seen[repr(teacher)] = name
        return teachers


def load(path: Path = PARAMS) -> Params:
    """The parameters in a YAML file.

    Raises:
        UserError: the file is missing or not YAML, or a key is unknown, missing or ill-typed.
    """
    return check(Params, read_yaml(path), path)
