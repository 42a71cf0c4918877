"""peers.yaml, typed and strict: folds, seeds, and how each system is trained."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from asc_core.config import shown
from asc_core.errors import ConfigError
from asc_core.models.config import NetworkConfig
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.config import Schedule
from pipeline.params import Seeds
from pipeline.sections import Section, check, check_names, read_yaml

SETTINGS = Path("pipeline/peers/peers.yaml")
OURS = ("student", "quantized", "ours")  # names that are not free for the systems of others


class Recipe(Section):
    """How a system is trained; `ema` and `precise_bn` are as in training of params.yaml, whose own are not for it."""

    network: NetworkConfig
    augment: AugmentConfig
    schedule: Schedule
    ema: Annotated[float, Field(ge=0, le=0.99999)] | None = None
    precise_bn: bool = False


class Peers(Section):
    """What peers.yaml holds."""

    corpora: Annotated[dict[str, str], Field(min_length=1)]
    seeds: Seeds
    systems: list[str]
    epochs: Annotated[float, Field(gt=0, le=100)]
    bands: Annotated[int, Field(gt=0, le=10_000)]
    recipes: dict[str, Recipe]

    @model_validator(mode="after")
    def _known(self) -> "Peers":
        for key, names in (("corpora", self.corpora), ("recipes", self.recipes)):
            for name in names:  # which is in the names of stages and files
                if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in OURS:
                    told = f"is no name for one; letters, digits and _ make one, but for {', '.join(OURS)}"
                    raise ConfigError(f"{shown(name)} {told}", key)
        check_names("systems", self.systems, self.recipes, "recipes has")
        return self


class PeersFile(Section):
    peers: Peers


def load() -> Peers:
    """The settings of the table.

    Raises:
        UserError: the file is missing, or a key is unknown, missing or ill-typed.
    """
    return check(PeersFile, read_yaml(SETTINGS), SETTINGS).peers
