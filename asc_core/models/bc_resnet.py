"""BC-ResNet-ASC: broadcasted residual learning for acoustic scenes (arXiv 2111.06531; blocks from arXiv 2106.04140)."""

import torch
from torch import Tensor, nn

from asc_core.models.norm import InputNorm, SubSpectralNorm, after_stage


class BCBlock(nn.Module):
    """One BC-ResBlock (arXiv 2106.04140, section 2.2).

    y = ReLU(identity + f2(x) + broadcast(f1(mean over frequency of f2(x)))). f2 works in two dimensions, f1 along time
    alone; its result is added back to every frequency. A transition block (channels change) first mixes channels with
    a 1x1 convolution and has no identity.
    """

    def __init__(self, channels_in: int, channels: int, dropout: float = 0.1, groups: int = 4) -> None:
        super().__init__()
        self.identity = channels_in == channels
        mix = (
            []
            if self.identity
            else [nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        )
        self.f2 = nn.Sequential(
            *mix,
            nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), groups=channels, bias=False),
            SubSpectralNorm(channels, groups),
        )
        self.f1 = nn.Sequential(
            nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.SiLU(inplace=True),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Dropout2d(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        both = self.f2(x)  # (batch, channel, frequency, time)
        time = self.f1(both.mean(dim=2, keepdim=True))  # (batch, channel, 1, time)
        y = both + time
        return torch.relu(y + x if self.identity else y)


class BCResNetASC(nn.Module):
    """BC-ResNet-ASC-tau: 8,055 parameters at tau 1, 314,970 at tau 8, with ten classes.

    Stem 5x5 stride 2, four stages of BC-ResBlocks (2, 2, 2, 3) with max-pooling after the first two, a 1x1 classifier
    averaged over what is left of frequency and time. There is no dilation: stride and pooling limit the receptive
    field to 109 x 109 input bins (pooling kernels not counted).

    Args:
        classes: number of scenes.
        tau: width multiplier; the base width is c = 10 * tau.
        norm: name of the normalisation at the input and after every stage.

    Input (batch, 1, frequency, time) log-mel energies, frequency a multiple of 32; output (batch, classes) logits.
    """

    BLOCKS = (2, 2, 2, 3)

    def __init__(self, classes: int, tau: float = 1, norm: str = "resnorm") -> None:
        super().__init__()
        c = round(10 * tau)
        widths = [c, round(1.5 * c), 2 * c, round(2.5 * c)]
        self.input = InputNorm()
        self.input_norm = after_stage(norm)
        self.stem = nn.Sequential(
            nn.Conv2d(1, 2 * c, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList()
        channels = 2 * c
        for width, blocks in zip(widths, self.BLOCKS, strict=True):
            stage = [BCBlock(channels, width)] + [BCBlock(width, width) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage, after_stage(norm)))
            channels = width
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def features(self, x: Tensor, stages: int = 4) -> Tensor:
        """What leaves stage number `stages`, before its pooling: (batch, channel, frequency, time)."""
        x = self.stem(self.input_norm(self.input(x)))  # (batch, 2c, frequency / 2, time / 2)
        for number, stage in enumerate(self.stages[:stages], start=1):
            x = stage(x)
            if number < min(stages, 3):
                x = self.pool(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.classifier(self.features(x))  # (batch, classes, frequency / 8, time / 8)
        return x.mean(dim=(2, 3))
