"""The format of the challenge's submission package (DCASE 2021 Task 1A), its rules among the types of the meta data."""

import io
from typing import Annotated

import pandas as pd
from pydantic import Field, model_validator

from asc_core import UserError
from asc_core.compression.rules import LIMIT
from pipeline.params import Percent
from pipeline.sections import Section

Text = Annotated[str, Field(min_length=1)]
Score = Annotated[float, Field(ge=0)]


class Affiliation(Section):
    abbreviation: Text
    institute: Text
    department: str | None = None
    location: Text


class Author(Section):
    lastname: Text
    firstname: Text
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    corresponding: bool = False
    affiliation: Affiliation


class Submission(Section):
    label: Annotated[str, Field(pattern=r"^[A-Za-z-]+_[A-Za-z0-9-]+_task1a_[1-4]$")]
    name: Text
    abbreviation: Annotated[str, Field(min_length=1, max_length=10)]
    authors: list[Author]

    @model_validator(mode="after")
    def _one_corresponding(self) -> "Submission":
        count = sum(author.corresponding for author in self.authors)
        if count != 1:
            raise ValueError(f"authors: exactly one has to be `corresponding: true`, {count} are")
        return self


class Dataset(Section):
    name: Text
    url: Text
    total_audio_length: float | None = None  # minutes


class Description(Section):
    input_sampling_rate: Text
    acoustic_features: Text
    embeddings: str | None
    data_augmentation: str | None
    machine_learning_method: Text
    ensemble_method_subsystem_count: Annotated[int, Field(ge=2)] | None
    decision_making: str | None
    external_data_usage: str | None
    complexity_management: str | None


class Complexity(Section):
    total_parameters: Annotated[int, Field(gt=0)]
    total_parameters_non_zero: Annotated[int, Field(gt=0)]
    model_size: Annotated[float, Field(gt=0, le=LIMIT / 1024)]  # KB of 1024 bytes


class System(Section):
    description: Description
    complexity: Complexity
    external_datasets: list[Dataset]
    source_code: str | None


class Scores(Section):
    accuracy: Percent
    logloss: Score


class DevelopmentDataset(Section):
    overall: Scores
    class_wise: dict[str, Scores]
    device_wise: dict[str, Scores]


class Results(Section):
    development_dataset: DevelopmentDataset


class Meta(Section):
    submission: Submission
    system: System
    results: Results


class About(Submission):
    """What the user says."""

    external_datasets: list[Dataset] = Field(default_factory=list)
    external_data_usage: str | None = None
    source_code: str | None = None


def check_output(text: str, listed: list[str], scenes: list[str], origin: str) -> None:
    """Hold the text of LABEL.output.csv to the format.

    Raises:
        UserError: it is not so; the line names every rule that is broken, and the first row that breaks it.
    """
    table = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    heads = ["filename", "scene_label", *sorted(scenes)]
    if list(table.columns) != heads:
        raise UserError(f"{origin}: columns have to be {', '.join(heads)}; they are {', '.join(table.columns)}")
    found = table[sorted(scenes)].apply(pd.to_numeric, errors="coerce")
    known, names = set(listed), table["filename"]
    there = set(names)
    missing = [name for name in dict.fromkeys(listed) if name not in there]
    rules = {
        "is listed twice": names.duplicated(),
        "is not in the evaluation list": ~names.isin(known),
        "has probabilities that are no numbers from 0 to 1": ~((found >= 0) & (found <= 1)).all(axis=1),
        "has probabilities that do not add up to 1": ~((found.sum(axis=1) - 1).abs() < 1e-6),
        "has a scene_label that is not the most probable scene": table["scene_label"] != found.fillna(0).idxmax(axis=1),
    }
    broken = [f"{names[bad].iloc[0]} {rule}" for rule, bad in rules.items() if bad.any()]
    broken += [f"{missing[0]} is in the evaluation list and not here"] if missing else []
    if broken:
        raise UserError(f"{origin}: {'; '.join(broken)}")
