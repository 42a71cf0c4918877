"""Which network, how large, normalised how."""

from dataclasses import dataclass
from typing import Literal

from asc_core.config import Config
from asc_core.errors import UserError


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network: its name, its width, and how it normalises frequencies (`asc_core.models.norm`).

    Attributes:
        tau: width of the BC-ResNets, in multiples of their smallest.
        width: channels of the first stage of `cp_resnet`.
    """

    name: Literal["bc_resnet_asc", "bc_resnet", "cp_resnet"] = "bc_resnet_asc"
    tau: float = 1
    norm: Literal["none", "resnorm", "resnorm_input", "freqin", "global_freqnorm", "fixed_pcen"] = "resnorm"
    width: int = 64

    def __post_init__(self) -> None:
        if not 0.1 <= self.tau <= 1000:
            raise UserError(f"network.tau: {self.tau} is not from 0.1 to 1000")
        if self.width < 1:
            raise UserError(f"network.width: {self.width} is less than 1")
