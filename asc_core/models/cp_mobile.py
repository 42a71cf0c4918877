"""CP-Mobile: inverted bottlenecks with a small receptive field, the winner of DCASE 2023 task 1 and, without its
response normalisation, the baseline of 2024 and 2025 (Schmid et al., "Distilling the knowledge of transformers and CNNs
with CP-Mobile", DCASE workshop 2023)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.models.config import STRIDES, NetworkConfig
from asc_core.models.norm import placement


def multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8 that is at least 8 and not below nine tenths of `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class GRN(nn.Module):
    """Global response normalisation (arXiv 2301.00808, section 3.2) with one gamma and one beta for all channels.

    y = gamma * x * n + beta + x, where n is the norm of x over frequency and time, for each clip and channel, over the
    mean of these norms over the channels. It starts as the identity: gamma = beta = 0.
    """

    EPS = 1e-6

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        response = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)  # (batch, channel, 1, 1)
        response = response / (response.mean(dim=1, keepdim=True) + self.EPS)
        # Both are in half precision in a network that ships.
        return self.gamma.to(x.dtype) * (x * response) + self.beta.to(x.dtype) + x


class CPMobileBlock(nn.Module):
    """y = ReLU(GRN(mix(depthwise(expand(x))) + x)), every convolution with batch normalisation.

    x is added where it has as many channels as y, averaged over 3x3 with the block's stride where that is above 1.

    Args:
        hidden: channels between the two 1x1 convolutions.
        stride: of the depthwise convolution, (frequency, time).
    """

    def __init__(
        self, channels_in: int, channels: int, hidden: int, stride: tuple[int, int] = (1, 1), *, grn: bool = True
    ) -> None:
        super().__init__()
        self.identity, self.stride = channels_in == channels, stride
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.norm = GRN() if grn else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.residual(x)
        if self.identity:
            y = y + (x if self.stride == (1, 1) else functional.avg_pool2d(x, 3, self.stride, padding=1))
        return torch.relu(self.norm(y))


class CPMobile(nn.Module):
    """CP-Mobile: with ten classes 61,148 parameters as the baseline of 2024 and 2025, 126,952 as the winner of 2023.

    Stem of two convolutions 3x3 stride 2 (width / 4, then width channels), three stages of 3, 2 and 1 blocks (width,
    width * multiplier, width * multiplier^2 channels), a 1x1 classifier with batch normalisation, averaged over
    frequency and time. All channels are rounded to multiples of 8.

    Args:
        classes: number of scenes.
        config: `width`, `multiplier`, `expansion` (channels within a block over those that enter it), `strides` and
            `grn`; `norm` how frequencies are normalised at the input and after every stage (published: none).

    Input (batch, 1, frequency, time) log-mel energies; output (batch, classes) logits.
    """

    BLOCKS = (3, 2, 1)
    memory_format = torch.channels_last  # on one core 1.3 times as many clips a second

    def __init__(self, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        width, norms, strides = multiple_of_8(config.width), placement(config.norm), STRIDES[config.strides]
        self.input = norms.input()
        self.input_norm = norms.at_input()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width // 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width // 4),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // 4, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList()
        channels, number = width, 0
        for stage, blocks in enumerate(self.BLOCKS):
            layers: list[nn.Module] = []
            for _ in range(blocks):
                number += 1
                channels_in, channels = channels, multiple_of_8(width * config.multiplier**stage)
                hidden, stride = multiple_of_8(channels_in * config.expansion), strides.get(number, (1, 1))
                layers.append(CPMobileBlock(channels_in, channels, hidden, stride, grn=config.grn))
            self.stages.append(nn.Sequential(*layers, norms.after_stage()))
        self.classifier = nn.Sequential(nn.Conv2d(channels, classes, 1, bias=False), nn.BatchNorm2d(classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, x: Tensor, stages: int = 3) -> Tensor:
        """What leaves stage number `stages`: (batch, channel, frequency, time)."""
        x = self.stem(self.input_norm(self.input(x)))  # (batch, width, frequency / 4, time / 4)
        for stage in self.stages[:stages]:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).mean(dim=(2, 3))
