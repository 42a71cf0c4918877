"""A space to search, typed and strict: which parameters, between what, and which number says that a trial is better."""

import json
import math
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, Field, model_validator

from asc_core import UserError
from asc_core.config import SEED, shown
from asc_core.errors import ConfigError
from asc_core.features.clips import unseen_devices
from pipeline import configure, dialect
from pipeline.params import PARAMS, Params
from pipeline.sections import Section, check, nearest, read_yaml

STAGES = ("train_teacher", "train_student", "prune", "quantize")
CORPUS = ("data", "synthetic", "tau2020", "features")


def _number(value: Any) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("needs a number")
    return value


Number = Annotated[Any, AfterValidator(_number)]  # an int stays one


class Interval(Section):
    """Numbers from `low` to `high`, both included: whole ones where both ends are whole."""

    low: Number
    high: Number
    log: bool = False
    step: Number = 0

    @model_validator(mode="after")
    def _consistent(self) -> "Interval":
        if self.low >= self.high:
            raise ConfigError(f"{self.low} is not less than the {self.high} of high", "low")
        if self.log and self.low <= 0:
            raise ConfigError("needs to be above 0 where log is true", "low")
        if self.step and (self.log or not 0 < self.step <= self.high - self.low):
            raise ConfigError("needs to be above 0, at most high - low, and log to be false", "step")
        if self.whole and not isinstance(self.step, int):
            raise ConfigError("needs a whole number where both ends are whole", "step")
        return self

    def rounded(self, value: float) -> float:
        """A value as it is tried and told: with six digits, of which the others would decide nothing."""
        return value if self.whole else min(max(float(f"{value:.6g}"), self.low), self.high)

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def size(self) -> float:
        """How many numbers it has."""
        step = self.step or (1 if self.whole else 0)
        return math.floor((self.high - self.low) / step + 1e-9) + 1 if step else math.inf

    def __str__(self) -> str:
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{step}{', log' if self.log else ''}"


class Space(Section):
    """The file of a sweep; docs/sweeps.md shows one.

    Attributes:
        name: of the study, the report and the profile.
        stage: the stage whose network is judged.
        trials: how many are finished in the end.
        parallel: trials at once; None for one a core.
        seed: of the sampler and of every training.
        space: what to try, by dotted keys of params.yaml: an interval, or a list of choices.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    stage: Literal["train_teacher", "train_student", "prune", "quantize"] = "train_student"
    metric: Literal["validation_accuracy", "validation_accuracy_unseen", "validation_log_loss"]
    trials: Annotated[int, Field(ge=1, le=100_000)]
    parallel: Annotated[int, Field(ge=1, le=10_000)] | None = None
    seed: Annotated[int, Field(ge=SEED.least, le=SEED.most)] = 0
    space: Annotated[dict[str, Any], Field(min_length=1)]

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Which way the metric is better."""
        return "minimize" if self.metric == "validation_log_loss" else "maximize"


@dataclass(frozen=True)
class Search:
    """A space over the parameters of params.yaml.

    Attributes:
        tried: by searched key the values to try.
        values: what params.yaml says.
        before: stages that no searched key concerns, whose networks the trials take from the workspace.
        trained: stages that a trial trains, the judged one last.
        sections: those of params.yaml that these stages depend on.
    """

    space: Space
    tried: dict[str, Interval | list[Any]]
    values: dict[str, Any]
    before: tuple[str, ...]
    trained: tuple[str, ...]
    sections: tuple[str, ...]

    def changed(self, changes: dict[str, Any]) -> dict[str, Any]:
        """What params.yaml says, with these values at searched keys."""
        return changed(self.values, changes, PARAMS)

    def settings(self, changes: dict[str, Any]) -> Params:
        """The parameters with these values at searched keys.

        Raises:
            UserError: they cannot be used.
        """
        return check(Params, self.changed(changes), PARAMS)


def load(path: Path) -> Search:
    """The space in a file, over what params.yaml says.

    Raises:
        UserError: either cannot be read; a searched key is unknown, has nothing to do with the judged stage, or would
            have a value that it cannot have where all other keys are as they are; or nothing is held back to judge by.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; docs/sweeps.md shows one")
    space, values = check(Space, dialect.read(path), path), read_yaml(PARAMS)
    settings = check(Params, values, PARAMS)
    assert isinstance(values, dict)
    if settings.data.validation is None:
        raise UserError(
            f"{PARAMS}: data.validation is null, and a sweep judges on the validation split; hold something back"
        )
    sections = _sections(space.stage)
    tried = {}
    for key, value in space.space.items():
        _check_key(f"{path}: space.{key}", key.split(".")[0], sections, values)
        tried[key] = _tried(f"{path}: space.{key}", value)
        for each in _extremes(tried[key]):
            check(Params, changed(values, {key: each}, f"{path}: space"), f"{path}: space")
    size = math.prod(each.size if isinstance(each, Interval) else len(each) for each in tried.values())
    if space.trials > size:
        raise UserError(f"{path}: trials: {space.trials} is more than the {size} that differ in the space")
    if space.name == configure.BASE or (space.name in configure.profiles() and not found_by_sweep(space.name)):
        raise UserError(f"{path}: name: {space.name} is a profile already; give the sweep another name")
    searched = {key.split(".")[0] for key in space.space}
    stages = list(sections)
    first = next(number for number, stage in enumerate(stages) if searched & sections[stage])
    if first and space.seed not in settings.seeds:
        raise UserError(
            f"{path}: seed: {space.seed} is none of the seeds of {PARAMS}, and the trials take the network of "
            f"{stages[first - 1]} from there"
        )
    used = tuple(sorted(set.union(*sections.values())))
    return Search(space, tried, values, tuple(stages[:first]), tuple(stages[first:]), used)


def found_by_sweep(profile: str) -> bool:
    """Whether a profile was written by the sweep of that name, which then may write it again."""
    first = (configure.PROFILES / f"{profile}.yaml").read_text(encoding="utf-8").partition("\n")[0]
    return first.startswith(f"# Profile {profile}: the best of ")


def check_split(space: Space, clips: pd.DataFrame) -> None:
    """Hold the clips of a feature store to what the metric is measured on.

    Raises:
        UserError: the validation split has no such clips.
    """
    judged = clips[clips["split"] == "validation"]
    if judged.empty:
        raise UserError("data.validation holds nothing back of this corpus; a sweep judges on the validation split")
    if space.metric == "validation_accuracy_unseen" and not judged["device"].isin(unseen_devices(clips)).any():
        raise UserError(
            f"{space.metric}: the validation split has no device that training lacks; hold some back with "
            "data.validation.devices, or take another metric"
        )


def _tried(told: str, value: Any) -> Interval | list[Any]:
    if isinstance(value, dict):
        return check(Interval, value, told)
    if not isinstance(value, list) or not value:
        raise UserError(f"{told}: needs {{low: .., high: ..}} or a list of choices, got {shown(value)}")
    if len({json.dumps(each) for each in value}) < len(value):
        raise UserError(f"{told}: names a value twice")
    return value


def _extremes(tried: Interval | list[Any]) -> list[Any]:
    return [tried.low, tried.high] if isinstance(tried, Interval) else tried


def _sections(judged: str) -> dict[str, set[str]]:
    """Which sections of params.yaml each stage up to the judged one depends on, as dvc.yaml says."""
    stages, wanted = dialect.read(Path("dvc.yaml"))["stages"], STAGES[: STAGES.index(judged) + 1]
    return {stage: {key.partition(".")[0] for key in stages[stage]["params"]} for stage in wanted}


def _check_key(told: str, section: str, sections: dict[str, set[str]], values: dict[str, Any]) -> None:
    if section not in values:
        raise UserError(f"{told}: unknown key, {nearest(section, values)}")
    if section in CORPUS:
        raise UserError(f"{told}: cannot be searched, the corpus and its features are the same for all trials")
    if not any(section in each for each in sections.values()):
        *_, judged = sections
        known = ", ".join(sorted(set.union(*sections.values())))
        raise UserError(f"{told}: cannot be searched, {judged} and what it builds on depend on {known} alone")


def changed(values: dict[str, Any], changes: dict[str, Any], origin: Path | str) -> dict[str, Any]:
    """Parameters with other values at dotted keys; entries of lists are named by their position.

    Raises:
        UserError: there is no section that could have such a key; the line begins with `origin`.
    """
    result = deepcopy(values)
    for key, value in changes.items():
        *sections, last = key.split(".")
        at: Any = result
        for name in sections:
            found = _entry(at, name)
            if not isinstance(found, dict | list):
                known = nearest(name, at) if isinstance(at, dict) and name not in at else f"{name} is no section here"
                raise UserError(f"{origin}: {key}: unknown key, {known}")
            at = found
        if isinstance(at, list) and _entry(at, last) is None:
            raise UserError(f"{origin}: {key}: unknown key, entries are counted from 0 to {len(at) - 1}")
        at[int(last) if isinstance(at, list) else last] = value
    return result


def _entry(at: dict[str, Any] | list[Any], name: str) -> Any:
    if isinstance(at, dict):
        return at.get(name)
    return at[int(name)] if name.isdecimal() and int(name) < len(at) else None
