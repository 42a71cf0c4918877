"""CP-ResNet: a ResNet whose receptive field is kept small, so that it cannot learn whole clips (arXiv 1907.01803)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.common_types import _size_2_t

from asc_core.models.config import NetworkConfig
from asc_core.models.networks import check_frames
from asc_core.models.norm import placement


class BasicBlock(nn.Module):
    """y = ReLU(shortcut(x) + conv(ReLU(conv(x)))), every convolution with batch normalisation (arXiv 1512.03385)."""

    def __init__(self, channels_in: int, channels: int, kernels: tuple[int, int], groups: int = 1) -> None:
        super().__init__()
        first, second = kernels
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels, first, padding=first // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, second, padding=second // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.shortcut = (
            nn.Identity()
            if channels_in == channels
            else nn.Sequential(nn.Conv2d(channels_in, channels, 1, groups=groups, bias=False), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))


class CPResNet(nn.Module):
    """CP-ResNet of width 64 and rho 5: 896,980 parameters with ten classes, receptive field 87 x 87 with pooling.

    Stem 5x5 stride 2, three stages of four blocks (w, 2w, 4w channels), max-pooling after blocks 1, 2 and 4 of the
    first stage, a 1x1 classifier with batch normalisation, averaged over frequency and time. `rho` sets the receptive
    field: the first block has kernels 3 and 1, and of the 22 convolutions after it the first rho have kernel 3, the
    others kernel 1. The published comparison states 899k parameters and not its rho: 5 is the value that gives them
    (898,580 with the two input channels of the authors' public code, whose example for width 64 has rho 5 as well; the
    clips here have one channel).

    Args:
        classes: number of scenes.
        config: `width` is the channels of the first stage, `last_width` those of the last; `rho` sets the receptive
            field; `norm` how frequencies are normalised at the input and after every stage (published: none).

    Input (batch, 1, frequency, time) log-mel energies, at least 32 of each; output (batch, classes) logits.
    """

    BLOCKS = (4, 4, 4)
    FRAMES = 17  # the fewest that the poolings leave one of
    GROUPS = (1, 1, 1)  # of the convolutions of a stage
    POOLING: ClassVar[dict[int, _size_2_t]] = {1: 2, 2: 2, 4: 2}  # max-pooling after so many blocks of the first stage
    memory_format = torch.channels_last  # on one core 1.6 times as many clips a second

    def __init__(self, classes: int, config: NetworkConfig) -> None:
        super().__init__()
        width, norms = config.width, placement(config.norm)
        self.input = norms.input()
        self.input_norm = norms.at_input()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        wide = iter([3, 1] + [3 if index < config.rho else 1 for index in range(2 * sum(self.BLOCKS) - 2)])
        kernels = list(zip(wide, wide, strict=True))  # of each block
        widths = (width, 2 * width, config.last_width or 4 * width)
        self.stages = nn.ModuleList()
        channels = width
        for number, (blocks, groups) in enumerate(zip(self.BLOCKS, self.GROUPS, strict=True)):
            stage: list[nn.Module] = []
            pooling = self.POOLING if number == 0 else {}
            for done in range(blocks + 1):
                if done:
                    stage.append(BasicBlock(channels, widths[number], kernels.pop(0), groups))
                    channels = widths[number]
                if done in pooling:
                    stage.append(nn.MaxPool2d(pooling[done]))
            self.stages.append(nn.Sequential(*stage, norms.after_stage()))
        self.classifier = nn.Sequential(nn.Conv2d(channels, classes, 1, bias=False), nn.BatchNorm2d(classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def features(self, x: Tensor, stages: int = 3) -> Tensor:
        """What leaves stage number `stages`: (batch, channel, frequency, time)."""
        check_frames(x, self.FRAMES)
        x = self.stem(self.input_norm(self.input(x)))  # (batch, width, frequency / 2 - 1, time / 2 - 1)
        for stage in self.stages[:stages]:
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).mean(dim=(2, 3))


class CPResNetSmall(CPResNet):
    """CP-ResNet of 127,684 parameters with ten classes: width 32, last width 92, the published teacher of CP-Mobile.

    Fewer blocks (2, 1, 1), the second stage in two groups, and pooling that keeps more of the time: 2x2 before the
    first block, then along frequency alone after each block of the first stage. In its authors' public code its last
    stage has 36 channels less than four times the width, and its receptive field is called rho 8: they count
    convolutions that it does not have, and 5 of those after the first block have kernel 3, as in the larger one.
    """

    BLOCKS = (2, 1, 1)
    FRAMES = 5
    GROUPS = (1, 2, 1)
    POOLING: ClassVar[dict[int, _size_2_t]] = {0: 2, 1: (2, 1), 2: (2, 1)}
