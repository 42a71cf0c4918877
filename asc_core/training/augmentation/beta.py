"""The weights by which two clips are mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


def beta(batch: int, alpha: float, rng: Generator) -> Tensor:
    """(batch,) numbers from Beta(alpha, alpha), as ratios of gammas; torch's Beta takes no generator."""
    import torch

    gammas = torch._standard_gamma(torch.full((2, batch), alpha), generator=rng) + 1e-12
    return gammas[0] / gammas.sum(dim=0)
