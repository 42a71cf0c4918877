"""Which network, how large, normalised how."""

from dataclasses import dataclass
from typing import Annotated

from asc_core.config import Config, Range, shown
from asc_core.errors import ConfigError

# The networks and the normalisations: where the one of each name is defined (`asc_core.models.networks` and
# `asc_core.models.norm` say what they have in common). As text, because parameters are read without loading torch.
NETWORKS = {
    "bc_resnet_asc": "asc_core.models.bc_resnet:BCResNetASC",
    "bc_resnet": "asc_core.models.bc_resnet:BCResNet",
    "cp_resnet": "asc_core.models.cp_resnet:CPResNet",
}
NORMS = {
    "none": "asc_core.models.norm:NONE",
    "resnorm": "asc_core.models.norm:RESNORM",
    "resnorm_input": "asc_core.models.norm:RESNORM_INPUT",
    "freqin": "asc_core.models.norm:FREQIN",
    "global_freqnorm": "asc_core.models.norm:GLOBAL_FREQNORM",
    "fixed_pcen": "asc_core.models.norm:FIXED_PCEN",
}


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network: its name, its width, and how it normalises frequencies.

    Attributes:
        name: one of `NETWORKS`.
        norm: one of `NORMS`.
        tau: width of the BC-ResNets, in multiples of their smallest (published: 1 to 8).
        width: channels of the first stage of `cp_resnet` (published: 64).

    Raises:
        ConfigError: a value is of another type or out of range, or a name is unknown.
    """

    name: str = "bc_resnet_asc"
    tau: Annotated[float, Range(0.1, 32)] = 1
    norm: str = "resnorm"
    width: Annotated[int, Range(1, 256)] = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, known in (("name", NETWORKS), ("norm", NORMS)):
            if getattr(self, field) not in known:
                raise ConfigError(f"needs one of {', '.join(known)}, got {shown(getattr(self, field))}", field)
