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
    "cp_resnet_small": "asc_core.models.cp_resnet:CPResNetSmall",
    "cp_mobile": "asc_core.models.cp_mobile:CPMobile",
}
NORMS = {
    "none": "asc_core.models.norm:NONE",
    "resnorm": "asc_core.models.norm:RESNORM",
    "resnorm_input": "asc_core.models.norm:RESNORM_INPUT",
    "freqin": "asc_core.models.norm:FREQIN",
    "global_freqnorm": "asc_core.models.norm:GLOBAL_FREQNORM",
    "fixed_pcen": "asc_core.models.norm:FIXED_PCEN",
}
# Strides (frequency, time) of the blocks of `cp_mobile` that have any, numbered through all stages.
STRIDES = {"winner": {2: (2, 2), 4: (2, 1)}, "baseline": {3: (1, 2), 4: (2, 1)}}


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Which network: its name, its width, and how it normalises frequencies.

    A network reads `name`, `norm` and the fields that say they are of it.

    Attributes:
        name: one of `NETWORKS`.
        norm: one of `NORMS`.
        tau: width of the BC-ResNets, in multiples of their smallest (published: 1 to 8).
        width: channels of the first stage of the CP-ResNets (published: 64, small 32) and of `cp_mobile` (8 to 32).
        last_width: channels of the last stage of the CP-ResNets; null: four times `width` (published: null, small 92).
        rho: convolutions of the CP-ResNets with kernel 3 after the first block, all others have 1 (published: 5).
        multiplier: what the channels of `cp_mobile` grow by from stage to stage (published: winner 2.3, baseline 1.8).
        expansion: channels within a block of `cp_mobile` over those that enter it (published: winner 3, baseline 2.1).
        strides: of `cp_mobile`: `winner` as in 2023, `baseline` as in 2024 and 2025.
        grn: whether `cp_mobile` has global response normalisation (published: winner true, baseline false).

    Raises:
        ConfigError: a value is of another type or out of range, a name is unknown, or an odd width cannot be grouped.
    """

    name: str = "bc_resnet_asc"
    tau: Annotated[float, Range(0.1, 32)] = 1
    norm: str = "resnorm"
    width: Annotated[int, Range(1, 256)] = 64
    last_width: Annotated[int, Range(1, 1024)] | None = None
    rho: Annotated[int, Range(0, 22)] = 5
    multiplier: Annotated[float, Range(1, 4)] = 2.3
    expansion: Annotated[float, Range(1, 8)] = 3
    strides: str = "winner"
    grn: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, known in (("name", NETWORKS), ("norm", NORMS), ("strides", STRIDES)):
            if getattr(self, field) not in known:
                raise ConfigError(f"needs one of {', '.join(known)}, got {shown(getattr(self, field))}", field)
        if self.name == "cp_resnet_small" and self.width % 2:
            raise ConfigError(f"needs an even number for cp_resnet_small, got {self.width}", "width")
