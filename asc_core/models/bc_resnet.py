"""Broadcasted residual learning: BC-ResNet-ASC for acoustic scenes (arXiv 2111.06531) and BC-ResNet, made for keywords,
that it is compared with (arXiv 2106.04140)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.models.config import NetworkConfig
from asc_core.models.networks import check_frames
from asc_core.models.norm import SubSpectralNorm, placement


class BCBlock(nn.Module):
    """One BC-ResBlock (arXiv 2106.04140, section 2.2).

    y = ReLU(identity + f2(x) + broadcast(f1(mean over frequency of f2(x)))). f2 works in two dimensions, f1 along time
    alone; its result is added back to every frequency. A transition block (channels change) first mixes channels with
    a 1x1 convolution and has no identity.

    Args:
        stride: of f2 along frequency; more than 1 in transition blocks only.
        dilation: of f1 along time.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        dropout: float = 0.1,
        groups: int = 4,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.identity = channels_in == channels
        mix = (
            []
            if self.identity
            else [nn.Conv2d(channels_in, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        )
        self.f2 = nn.Sequential(
            *mix,
            nn.Conv2d(channels, channels, (3, 1), (stride, 1), padding=(1, 0), groups=channels, bias=False),
            SubSpectralNorm(channels, groups),
        )
        self.f1 = nn.Sequential(
            nn.Conv2d(
                channels, channels, (1, 3), padding=(0, dilation), dilation=dilation, groups=channels, bias=False
            ),
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
        config: `tau` is the multiplier of the base width, c = 10 * tau; `norm` how frequencies are normalised at the
            input and after every stage.

    Input (batch, 1, frequency, time) log-mel energies, frequency a multiple of 32; output (batch, classes) logits.
    """

    BLOCKS = (2, 2, 2, 3)
    FRAMES = 7  # the fewest that two poolings leave one of

    def __init__(self, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        c = round(10 * config.tau)
        widths = [c, round(1.5 * c), 2 * c, round(2.5 * c)]
        norms = placement(config.norm)
        self.input = norms.input()
        self.input_norm = norms.at_input()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 2 * c, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList()
        channels = 2 * c
        for width, blocks in zip(widths, self.BLOCKS, strict=True):
            stage = [BCBlock(channels, width)] + [BCBlock(width, width) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage, norms.after_stage()))
            channels = width
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def features(self, x: Tensor, stages: int = 4) -> Tensor:
        """What leaves stage number `stages`, before its pooling: (batch, channel, frequency, time)."""
        check_frames(x, self.FRAMES)
        x = self.stem(self.input_norm(self.input(x)))  # (batch, 2c, frequency / 2, time / 2)
        for number, stage in enumerate(self.stages[:stages], start=1):
            x = stage(x)
            if number < min(stages, 3):
                x = self.pool(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.classifier(self.features(x))  # (batch, classes, frequency / 8, time / 8)
        return x.mean(dim=(2, 3))


class BCResNet(nn.Module):
    """BC-ResNet-tau of arXiv 2106.04140, table 1: 317,610 parameters at tau 8 with ten classes and four sub-bands.

    Stem 5x5 that halves frequency alone, four stages of BC-ResBlocks (2, 2, 4, 4) whose temporal convolutions are
    dilated by 1, 2, 4 and 8; the first block of stages 2 and 3 halves frequency. The head is a depthwise 5x5
    convolution without padding of frequency, a 1x1 convolution, the average over frequency and time, and a 1x1
    classifier. Two things differ from keyword spotting: 4 sub-bands instead of 5 (so the comparison in arXiv
    2111.06531), and below 64 bands, where stage 4 leaves fewer than the 5 frequencies of the head's kernel, zeros on
    both sides make up for the missing ones.

    Args:
        classes: number of scenes.
        config: `tau` is the multiplier of the base width, c = 8 * tau; `norm` how frequencies are normalised at the
            input and after every stage (published: none).

    Input (batch, 1, frequency, time) log-mel energies, frequency a multiple of 32; output (batch, classes) logits.
    """

    BLOCKS = (2, 2, 4, 4)
    STRIDES = (1, 2, 2, 1)
    HEAD = 5  # frequencies and frames of the head's kernel

    def __init__(self, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        c = round(8 * config.tau)
        widths = [c, round(1.5 * c), 2 * c, round(2.5 * c)]
        norms = placement(config.norm)
        self.input = norms.input()
        self.input_norm = norms.at_input()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 2 * c, 5, (2, 1), padding=2, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU(inplace=True)
        )
        self.stages = nn.ModuleList()
        channels = 2 * c
        for number, (width, blocks, stride) in enumerate(zip(widths, self.BLOCKS, self.STRIDES, strict=True)):
            stage = [BCBlock(channels, width, stride=stride, dilation=2**number)]
            stage += [BCBlock(width, width, dilation=2**number) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*stage, norms.after_stage()))
            channels = width
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, self.HEAD, padding=(0, 2), groups=channels, bias=False),
            nn.Conv2d(channels, 4 * c, 1, bias=False),
            nn.BatchNorm2d(4 * c),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Conv2d(4 * c, classes, 1)

    def features(self, x: Tensor, stages: int = 4) -> Tensor:
        """What leaves stage number `stages`: (batch, channel, frequency, time); time keeps its resolution."""
        x = self.stem(self.input_norm(self.input(x)))  # (batch, 2c, frequency / 2, time)
        for stage in self.stages[:stages]:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)  # (batch, 2.5c, frequency / 8, time)
        if (missing := int(self.HEAD - x.shape[2])) > 0:  # int: an exporter would have it computed for each clip
            x = functional.pad(x, (0, 0, missing // 2, missing - missing // 2))
        x = self.head(x)  # (batch, 4c, f / 8 - 4, time)
        return self.classifier(x.mean(dim=(2, 3), keepdim=True)).flatten(1)
