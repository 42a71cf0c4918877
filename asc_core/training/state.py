"""The state of a training: what it works on and with, and how far it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Generator, Tensor, nn

from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.models.networks import lay_out
from asc_core.training import distributed
from asc_core.training.averages import Averages
from asc_core.training.batches import Batch, batches
from asc_core.training.job import Job
from asc_core.training.optimizer import optimizer


@dataclass
class State:
    """A training after `epoch` epochs.

    Attributes:
        rows: of the training clips in `store`.
        dtype: what convolutions are computed in.
        rng: draws the order of the clips and all augmentation.
        averages: of the network's weights, where the training ends with them.
        answers: of an offline teacher, (clips, classes) probabilities, a row a clip of the store.
    """

    job: Job
    network: nn.Module
    store: FeatureStore
    rows: np.ndarray
    optimizer: torch.optim.Optimizer
    device: torch.device
    dtype: torch.dtype
    epoch: int = 0
    rng: Generator = field(default_factory=Generator)
    averages: Averages | None = None
    answers: Tensor | None = None

    @classmethod
    def begin(cls, network: nn.Module, store: FeatureStore, job: Job) -> "State":
        """Make `network`, in place, and the teacher of `job` ready for training on this process's device.

        Raises:
            UserError: there are fewer training clips than two, fewer clips in a batch than processes or fewer GPUs than
                processes.
        """
        device = distributed.join()
        rows, training = job.rows(store, "train"), job.training
        if len(rows) < 2:
            raise UserError(f"{store.folder}: {len(rows)} training clips, a training needs at least two")
        if (size := min(training.batch_size, len(rows))) < distributed.world():
            raise UserError(f"a batch of {size} has fewer clips than the {distributed.world()} processes that share it")
        network.to(device).train()
        lay_out(network, training=True)
        distributed.synchronise(network)
        if job.layers == "norms":
            for parameter in network.parameters():
                parameter.requires_grad_(parameter.dim() < 2)
        if job.teacher:
            teacher = job.teacher.network.to(device).eval()
            lay_out(teacher, training=True)
        state = cls(
            job, network, store, rows, optimizer(network.parameters(), job.schedule, training), device,
            autocast_dtype(training.precision, device),
        )  # fmt: skip
        if training.ema is not None:
            state.averages = Averages(network, training.ema)
        if job.teacher and job.teacher.config.offline:
            state.answers = job.teacher.offline(store, rows)
        return state

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.rows) // self.job.training.batch_size)

    @property
    def finished(self) -> bool:
        return self.epoch >= self.job.schedule.epochs

    def seed(self) -> None:
        """Make what is random in the next epoch a matter of the seed and its number alone."""
        number = _mix(self.job.seed, self.epoch)
        self.rng.manual_seed(number)
        torch.manual_seed(number + 1 + distributed.rank())  # dropout

    def batches(self) -> Iterator[Batch]:
        """The training clips once, in an order drawn anew."""
        size = self.job.training.batch_size
        return batches(self.store, self.rows, size, self.rng, self.device, self.answers)

    def plain(self) -> Iterator[Tensor]:
        """What the network hears of them, (batch, 1, mel, frame)."""
        return (batch.x for batch in self.batches())


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type that convolutions are computed in for a configured precision."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _mix(seed: int, epoch: int) -> int:
    """One generator seed from two numbers, far apart for neighbours."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 2)
