"""shares.yaml, typed and strict: which shares, systems and seeds."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.params import Seeds
from pipeline.peers import settings as peers
from pipeline.sections import Section, check, check_names, read_yaml

SETTINGS = Path("pipeline/shares/shares.yaml")


class Shares(Section):
    """What shares.yaml holds."""

    percent: Annotated[list[Literal[5, 10, 25, 50, 100]], Field(min_length=1)]
    seeds: Seeds
    systems: list[str]

    @model_validator(mode="after")
    def _known(self) -> "Shares":
        check_names("systems", self.systems, peers.load().recipes, f"{peers.SETTINGS} has")
        return self


class SharesFile(Section):
    shares: Shares


def load() -> Shares:
    """The settings of the table.

    Raises:
        UserError: the file is missing, or a key is unknown, missing or ill-typed.
    """
    return check(SharesFile, read_yaml(SETTINGS), SETTINGS).shares
