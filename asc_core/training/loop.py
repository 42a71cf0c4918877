"""One fit loop for teacher, student, pruned and quantised networks: they differ in data and loss, not in code."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from asc_core.compression.config import PruningConfig
from asc_core.compression.prune import prune
from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.files import replacing
from asc_core.models.checkpoint import contiguous
from asc_core.models.inference import predict
from asc_core.training import distributed
from asc_core.training.augmentation import augment
from asc_core.training.config import AugmentConfig, DistillationConfig, Schedule, TrainingConfig
from asc_core.training.precise_bn import measure_statistics


@dataclass(frozen=True)
class Teacher:
    """A trained network to learn from, and how."""

    network: nn.Module
    config: DistillationConfig


@dataclass(frozen=True)
class Job:
    """One training: everything that decides its result.

    `frozen_zeros` holds weights that are zero at the start at zero (a pruned network stays pruned); `pruning` makes
    them zero on the way, and holds them there.
    """

    schedule: Schedule
    training: TrainingConfig
    augment: AugmentConfig
    seed: int
    masks: bool = False
    teacher: Teacher | None = None
    frozen_zeros: bool = False
    pruning: PruningConfig | None = None

    @property
    def sparse(self) -> bool:
        return self.frozen_zeros or self.pruning is not None

    @property
    def precise_bn(self) -> bool:
        """Whether statistics are measured anew at the end; those of a sparse network have to be.

        Pruning leaves channels that no longer vary. What a later norm makes of those is their constant, less its
        running mean, some 300 times over: a mean that is still on its way, or was taken in half precision, is too far
        off for that.
        """
        return self.training.precise_bn or self.sparse


def fit_input(network: nn.Module, store: FeatureStore) -> None:
    """Set the input layer of a fresh network from the training split and the frames' rate."""
    mean, std = store.statistics("train")
    network.input.fit(mean, std, store.config.sample_rate / store.config.hop_length)  # type: ignore[union-attr, operator]


def fit(
    network: nn.Module,
    store: FeatureStore,
    job: Job,
    *,
    label: str,
    state: Path | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, metrics: None,
) -> None:
    """Train `network` in place on the training split of `store`; it ends in evaluation mode on the CPU.

    All randomness of an epoch is drawn from (seed, epoch), so a training that continues from the file `state` (written
    after every epoch, removed at the end) gives the weights that it would have given without the interruption.
    The result is the same on the same machine with the same number of threads.

    Processes that `torchrun` started share the training when each of them calls this with the same arguments
    (`asc_core.training.distributed`): another number of processes changes the result by rounding and dropout alone. All
    of them end with the same weights; only the first prints, writes `state` and calls `on_epoch`.

    Args:
        label: what progress lines begin with.
        on_epoch: called after every epoch (counted from 1) with its metrics.

    Raises:
        UserError: the loss is no longer finite, there are fewer training clips than two, fewer clips in a batch than
            processes or fewer GPUs than processes.
    """
    device = distributed.join()
    first = distributed.rank() == 0
    dtype = autocast_dtype(job.training.precision, device)
    rows = store.rows("train")
    if len(rows) < 2:
        raise UserError(f"{store.folder}: {len(rows)} training clips, a training needs at least two")
    if min(job.training.batch_size, len(rows)) < distributed.world():
        raise UserError(f"{label}: a batch has fewer clips than the {distributed.world()} processes that share it")
    network.to(device).train()
    distributed.synchronise(network)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.0, momentum=job.training.momentum, weight_decay=job.training.weight_decay
    )
    if job.teacher:
        job.teacher.network.to(device).eval()
    start = _resume(state, network, optimizer) if state else 0
    if start and first:
        print(f"{label}: continues after epoch {start}", flush=True)
    frames_per_second = 1000 / store.config.hop_ms
    curves = store.device_curves().to(device) if job.augment.device_transfer else None
    steps = max(1, len(rows) // job.training.batch_size)
    began = time.monotonic()
    for epoch in range(start, job.schedule.epochs):
        rng = torch.Generator().manual_seed(_mix(job.seed, epoch))
        torch.manual_seed(_mix(job.seed, epoch) + 1 + distributed.rank())  # dropout
        if job.pruning:
            prune(network, job.pruning.at(epoch))  # what is pruned stays so: zeros are the smallest
        zeros = [(p, p != 0) for p in network.parameters() if p.dim() > 1] if job.sparse else []
        total = torch.zeros((), device=device)
        for step, (x, labels, devices) in enumerate(batches(store, rows, job.training.batch_size, rng, device)):
            targets = functional.one_hot(labels, len(store.scenes)).float()
            x, targets = augment(
                x, targets, job.augment,
                frames_per_second=frames_per_second, masks=job.masks, rng=rng, devices=devices, curves=curves,
            )  # fmt: skip
            part = distributed.part(len(x))
            share = (part.stop - part.start) / len(x)
            x, targets = x[part], targets[part]
            for group in optimizer.param_groups:
                group["lr"] = job.schedule.rate(epoch + step / steps)
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss = share * objective(network(x).float(), targets, x, job.teacher)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            distributed.sum_gradients(network.parameters())
            optimizer.step()
            with torch.no_grad():
                for parameter, keep in zeros:
                    parameter.mul_(keep)
            total += loss.detach()
        mean_loss = distributed.total(total).item() / steps
        if not math.isfinite(mean_loss):
            raise UserError(f"the loss of {label} is not finite in epoch {epoch + 1}; lower its learning_rate")
        if job.precise_bn and epoch + 1 == job.schedule.epochs:
            plain = batches(store, rows, job.training.batch_size, rng, device)
            measure_statistics(network, (x[distributed.part(len(x))] for x, _, _ in plain))
        metrics = {"loss": mean_loss, "learning_rate": job.schedule.rate(epoch)}
        every = job.training.test_every
        if every and ((epoch + 1) % every == 0 or epoch + 1 == job.schedule.epochs):
            test = store.rows("test")
            right = predict(network, store, test).argmax(dim=1) == store.labels[test]
            metrics["test_accuracy"] = 100 * right.float().mean().item()
            network.train()
        done = epoch + 1 - start
        elapsed = time.monotonic() - began
        metrics["clips_per_second"] = done * len(rows) / elapsed
        if first:
            _report(label, epoch + 1, job.schedule.epochs, metrics, elapsed / done * (job.schedule.epochs - epoch - 1))
            on_epoch(epoch + 1, metrics)
            if state and epoch + 1 < job.schedule.epochs:
                _save_state(state, network, optimizer, epoch + 1)
    network.cpu().eval()
    if state and first:
        state.unlink(missing_ok=True)


def objective(logits: Tensor, targets: Tensor, x: Tensor, teacher: Teacher | None) -> Tensor:
    """Cross-entropy with the targets and, with a teacher, the divergence from its softened answer to the same input.

    (1 - w) * CE(targets, student) + w * T^2 * KL(teacher / T || student / T), arXiv 1503.02531, section 2.

    Args:
        logits: (batch, classes) of the network in training.
        targets: (batch, classes) probabilities.
        x: (batch, 1, mel, frame), what the teacher hears.
    """
    loss = functional.cross_entropy(logits, targets)
    if teacher is None:
        return loss
    t, w = teacher.config.temperature, teacher.config.weight
    with torch.no_grad():
        answer = functional.log_softmax(teacher.network(x).float() / t, dim=1)
    student = functional.log_softmax(logits / t, dim=1)
    return (1 - w) * loss + w * t**2 * functional.kl_div(student, answer, reduction="batchmean", log_target=True)


def batches(
    store: FeatureStore, rows: np.ndarray, batch_size: int, rng: torch.Generator, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch of shuffled batches: (batch, 1, mel, frame) float32 features, (batch,) labels and (batch,) recording
    devices (as `store.device_indices`), on `device`.

    The next batch is read while the present one is used. A last batch that is not full is left out, as its statistics
    would be noisier than the others' (unless it is the only one).
    """
    order = rows[torch.randperm(len(rows), generator=rng).numpy()]
    full = len(order) // batch_size * batch_size or len(order)
    parts = [order[at : at + batch_size] for at in range(0, full, batch_size)]
    pinned = device.type == "cuda"

    def read(part: np.ndarray) -> list[Tensor]:
        tensors = [store.batch(part), store.labels[part], store.device_indices[part]]
        return [tensor.pin_memory() for tensor in tensors] if pinned else tensors

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, parts[0])
        for number in range(len(parts)):
            x, labels, devices = (tensor.to(device, non_blocking=True) for tensor in coming.result())
            if number + 1 < len(parts):
                coming = reader.submit(read, parts[number + 1])
            yield x.float(), labels, devices


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


def _report(label: str, epoch: int, epochs: int, metrics: dict[str, float], seconds_left: float) -> None:
    accuracy = f"  test {metrics['test_accuracy']:.1f} %" if "test_accuracy" in metrics else ""
    line = (
        f"{label}: epoch {epoch}/{epochs}  loss {metrics['loss']:.3f}{accuracy}  "
        f"{metrics['clips_per_second']:.0f} clips/s  {seconds_left:.0f} s left"
    )
    if sys.stdout.isatty() and epoch < epochs:
        print(f"\r\033[K{line}", end="", flush=True)
    else:
        print(("\r\033[K" if sys.stdout.isatty() else "") + line, flush=True)


def _save_state(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    from safetensors.torch import save_file

    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for number, slot in optimizer.state_dict()["state"].items():
        if slot.get("momentum_buffer") is not None:
            tensors[f"momentum.{number}"] = slot["momentum_buffer"]
    with replacing(path) as temporary:
        save_file(contiguous(tensors), temporary, metadata={"epoch": json.dumps(epoch)})


def _resume(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load what `_save_state` wrote and return how many epochs it holds; 0 where there is nothing to continue."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            epoch = json.loads((file.metadata() or {})["epoch"])
    except (FileNotFoundError, SafetensorError, KeyError):
        return 0
    network.load_state_dict({name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")})
    description: dict[str, Any] = optimizer.state_dict()
    description["state"] = {
        int(name[9:]): {"momentum_buffer": tensor} for name, tensor in tensors.items() if name.startswith("momentum.")
    }
    optimizer.load_state_dict(description)
    return epoch
