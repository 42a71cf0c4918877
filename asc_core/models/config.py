"""Which network, how large, normalised how."""

from dataclasses import dataclass
from typing import Annotated, Literal

from asc_core.config import Config, Range


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network: its name, its width, and how it normalises frequencies (`asc_core.models.norm`).

    Attributes:
        tau: width of the BC-ResNets, in multiples of their smallest (published: 1 to 8).
        width: channels of the first stage of `cp_resnet` (published: 64).

    Raises:
        ConfigError: a value is of another type or out of range. `build` refuses names that it does not know.
    """

    name: Literal["bc_resnet_asc", "bc_resnet", "cp_resnet"] = "bc_resnet_asc"
    tau: Annotated[float, Range(0.1, 32)] = 1
    norm: Literal["none", "resnorm", "resnorm_input", "freqin", "global_freqnorm", "fixed_pcen"] = "resnorm"
    width: Annotated[int, Range(1, 256)] = 64
