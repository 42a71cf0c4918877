"""The lines of a journal: what a stage may report, one JSON object a line.

A journal is read by another process, after whatever befell the disk and the stage: a line is an event or is refused.
"""

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from asc_core.text import printable

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what databases take


class Event(BaseModel):
    """What all have: when it was written, in milliseconds since 1970."""

    model_config = ConfigDict(strict=True, ser_json_inf_nan="constants")

    time: Whole = Field(default_factory=lambda: round(time.time() * 1000))


class Start(Event):
    """The first line: the stage, words by which runs can be grouped, the parameters of the execution, and those that
    this stage has otherwise."""

    event: Literal["start"] = "start"
    name: str
    tags: dict[str, str]
    params: dict[str, Any]
    own: dict[str, Any] = {}

    @field_validator("params")
    @classmethod
    def _say_which_experiment(cls, params: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(params.get("tracking.experiment"), str):
            raise ValueError("tracking.experiment is not there")
        return params


class Metrics(Event):
    """Numbers at a step; of a `summary` they belong to the execution and not to the stage."""

    event: Literal["metrics"] = "metrics"
    values: dict[str, float]
    step: Whole = 0
    summary: bool = False


class Tags(Event):
    """Words by which runs can be grouped."""

    event: Literal["tags"] = "tags"
    values: dict[str, str]


class Artifact(Event):
    """A file that was kept."""

    event: Literal["artifact"] = "artifact"
    path: str
    summary: bool = False


class Model(Event):
    """A folder that was kept: the files of a model to register, and what is known of it."""

    event: Literal["model"] = "model"
    path: str
    facts: dict[str, Any]


class End(Event):
    """The last line: how the stage ended, and why; and Git's hash of what dvc.lock was by then.

    Of a `summary` the execution has ended with it, and as it, whatever had become of stages that were tried again.
    """

    event: Literal["end"] = "end"
    status: Literal["FINISHED", "FAILED", "KILLED"]
    message: str = ""
    lock: str = ""
    summary: bool = False


AnyEvent = Start | Metrics | Tags | Artifact | Model | End
_LINE: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="event")])


def parse(line: bytes) -> AnyEvent:
    """The event of a line.

    Raises:
        ValueError: it is none; the text says why.
    """
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        text = ": ".join([".".join(str(key) for key in first["loc"][1:]), first["msg"]]).removeprefix(": ")
        raise ValueError(printable(text[:200])) from None
