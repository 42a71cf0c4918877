"""`asc networks`, or `python -m asc_core.models`: the published systems with what they cost."""

from asc_core.features.config import FeatureConfig
from asc_core.models.config import NetworkConfig
from asc_core.models.macs import macs
from asc_core.models.networks import build
from asc_core.models.receptive_field import receptive_field

SYSTEMS = {
    "BC-ResNet-ASC-1": NetworkConfig("bc_resnet_asc", tau=1),
    "BC-ResNet-ASC-8": NetworkConfig("bc_resnet_asc", tau=8),
    "BC-ResNet-8": NetworkConfig("bc_resnet", tau=8, norm="none"),
    "CP-ResNet": NetworkConfig("cp_resnet", width=64, norm="none"),
    "CP-ResNet 128k": NetworkConfig("cp_resnet_small", width=32, last_width=92, norm="none"),
    "CP-Mobile 127k": NetworkConfig("cp_mobile", width=32, norm="none"),
    "CP-Mobile 6k": NetworkConfig("cp_mobile", width=8, norm="none", multiplier=2, expansion=2),
    "CP-Mobile 61k": NetworkConfig(
        "cp_mobile", width=32, norm="none", multiplier=1.8, expansion=2.1, strides="baseline", grn=False
    ),
}
CLASSES, SECONDS = 10, 10.0


def networks() -> None:
    """The published networks: parameters, receptive field and multiply-accumulates of each."""
    print(table())


def table() -> str:
    """A line a system: parameters, receptive field (frequency x time, in bins) and multiply-accumulates per clip."""
    config = FeatureConfig()
    shape = (1, config.n_mels, config.frames(SECONDS))
    lines = [f"{'system':<16} {'parameters':>10} {'receptive field':>16} {'with pooling':>13} {'MMACs':>8}"]
    for name, system in SYSTEMS.items():
        network = build(system, CLASSES)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        published, whole = (
            "{} x {}".format(*receptive_field(network, pooling_kernels=kernels)) for kernels in (False, True)
        )
        lines.append(f"{name:<16} {parameters:>10,} {published:>16} {whole:>13} {macs(network, shape) / 1e6:>8,.1f}")
    lines.append(f"MMACs: millions of multiply-accumulates for {SECONDS:.0f} s, {shape[1]} bands x {shape[2]} frames")
    return "\n".join(lines)
