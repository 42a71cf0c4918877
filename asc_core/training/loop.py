"""One fit loop for teacher, student, pruned and quantised networks: they differ in data and loss, not in code."""

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from asc_core.compression import activations
from asc_core.errors import UserError
from asc_core.evaluation.metrics import metrics_of
from asc_core.features.store import FeatureStore
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict
from asc_core.models.networks import build, lay_out
from asc_core.training import distributed, rounding
from asc_core.training.batches import Batch
from asc_core.training.job import Job
from asc_core.training.objective import objective
from asc_core.training.precise_bn import measure_statistics
from asc_core.training.saved import Unusable, resume, save
from asc_core.training.state import State

Metrics = dict[str, float]


class Diverged(UserError):
    """The loss is no longer a finite number."""


def untrained(config: NetworkConfig, store: FeatureStore, seed: int) -> nn.Module:
    """A network for the clips of `store` as a training begins with it: weights drawn by `seed`, input layer set."""
    torch.manual_seed(seed)
    network = build(config, len(store.scenes))
    fit_input(network, store)
    return network


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
    saved: Path | None = None,
    on_epoch: Callable[[int, Metrics], None] = lambda epoch, metrics: None,
) -> None:
    """Train `network` in place on the training split of `store`; it ends in evaluation mode on the CPU.

    All randomness of an epoch is drawn from (seed, epoch), so a training that continues from the file `saved` (written
    after every epoch, removed at the end) gives the weights that it would have given without the interruption. From a
    file that is damaged or another training's it does not continue: it begins anew, and says so.
    The result is the same on the same machine with the same number of threads.

    Processes that `torchrun` started share the training when each of them calls this with the same arguments
    (`asc_core.training.distributed`): another number of processes changes the result by rounding and dropout alone. All
    of them end with the same weights; only the first prints, writes `saved` and calls `on_epoch`.

    Args:
        label: what progress lines begin with.
        on_epoch: called after every epoch (counted from 1) with its metrics; where `store` has a validation split,
            those on it (`validation_metrics`) are among them. To end a training early it raises an exception of its
            caller's, which passes through: `network` is then as that epoch left it, on its device and in training
            mode, and `saved` as the epoch before left it.

    Raises:
        Diverged: the loss is no longer finite.
        UserError: there are fewer training clips than two, fewer clips in a batch than processes or fewer GPUs than
            processes.
    """
    state, first = State.begin(network, store, job), distributed.rank() == 0
    if saved:
        take_up(saved, state, label)
    began, done_before = time.monotonic(), state.epoch
    while not state.finished:
        metrics = train_epoch(state)
        if state.finished:
            finish(state)
        if first:
            metrics |= validation_metrics(state)
            clips = (state.epoch - done_before) * len(state.rows)
            metrics["clips_per_second"] = clips / (time.monotonic() - began)
            tell(label, state, metrics)
            on_epoch(state.epoch, metrics)
            if saved and not state.finished:
                save(saved, state)
    network.cpu().eval()
    lay_out(network, training=False)
    if saved and first:
        saved.unlink(missing_ok=True)


def take_up(saved: Path, state: State, label: str) -> None:
    """Continue from a file where there is one that this training wrote."""
    line = ""
    try:
        resume(saved, state)
        if state.epoch:
            line = f"continues after epoch {state.epoch}"
    except Unusable as reason:
        line = f"begins anew: cannot continue from {saved}, {reason}"
    if line and distributed.rank() == 0:
        print(f"{label}: {line}", flush=True)


def train_epoch(state: State) -> Metrics:
    """One pass over the training clips: the epoch's mean loss, and the learning rate that it began with."""
    job, epoch = state.job, state.epoch
    state.seed()
    rounding.prepare(state)
    zeros = job.sparsity.apply(state.network, state.averages, epoch) if job.sparsity else None
    augmentations = job.augment.augmentations()
    total = torch.zeros((), device=state.device)
    for step, batch in enumerate(state.batches()):
        for augmentation in augmentations:
            batch = augmentation(batch, state.rng)
        total += train_step(state, batch, job.schedule.rate(epoch + step / state.steps))
        if state.averages:
            state.averages.update(epoch * state.steps + step)
        if zeros:
            zeros.hold()
    loss = distributed.total(total).item() / state.steps
    if not math.isfinite(loss):
        raise Diverged(
            f"the loss is not finite in epoch {epoch + 1}, at a learning rate of {job.schedule.learning_rate:g}"
        )
    state.epoch += 1
    return {"loss": loss, "learning_rate": job.schedule.rate(epoch)}


def train_step(state: State, batch: Batch, rate: float) -> Tensor:
    """One step of the optimiser; this process's share of the batch's loss."""
    part = distributed.part(len(batch.x))
    share = (part.stop - part.start) / len(batch.x)
    x, targets = batch.x[part], batch.targets[part]
    answers = None if batch.answers is None else batch.answers[part]
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(state.device.type, state.dtype, enabled=state.dtype != torch.float32):
        loss = share * objective(state.network(x).float(), targets, x, state.job.teacher, answers)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    distributed.sum_gradients(state.network.parameters())
    state.optimizer.step()
    rounding.share(state)
    return loss.detach()


def finish(state: State) -> None:
    """Give the network the averages of its weights, and statistics measured on the plain clips, as the job has it.

    Where activations are in 8 bit, they were measured before, and the ranges become steps.
    """
    if state.averages:
        state.averages.exchange()
        state.averages = None
    if activations.of(state.network):
        activations.settle(state.network)
    elif state.job.precise_bn:
        measure_statistics(state.network, (x[distributed.part(len(x))] for x in state.plain()))


def validation_metrics(state: State) -> Metrics:
    """What the network (or its averages) is worth on the validation split, in the units of `metrics_of`.

    The training goes on as if it had not been asked: nothing is drawn and no statistics are taken.

    Returns:
        validation_accuracy (macro, percent) and validation_log_loss; validation_accuracy_seen and
        validation_accuracy_unseen, on devices that the training split has and on those it has not, where there are any.
        Nothing where nothing is held back.
    """
    rows = state.job.rows(state.store, "validation")
    if not len(rows):
        return {}
    if state.averages:
        state.averages.exchange()
    found = metrics_of(predict(state.network, state.store, rows), state.store, rows)
    if state.averages:
        state.averages.exchange()
    state.network.train()
    names = ("accuracy", "accuracy_seen", "accuracy_unseen", "log_loss")
    return {f"validation_{name}": found[name] for name in names if found[name] is not None}


def tell(label: str, state: State, metrics: Metrics) -> None:
    """Print a line on the epoch that is over; on a terminal it takes the place of the one before."""
    epochs = state.job.schedule.epochs
    accuracy = f"  validation {metrics['validation_accuracy']:.1f} %" if "validation_accuracy" in metrics else ""
    seconds_left = (epochs - state.epoch) * len(state.rows) / metrics["clips_per_second"]
    line = (
        f"{label}: epoch {state.epoch}/{epochs}  loss {metrics['loss']:.3f}{accuracy}  "
        f"{metrics['clips_per_second']:.0f} clips/s  {seconds_left:.0f} s left"
    )
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="\n" if state.finished else "", flush=True)
    else:
        print(line, flush=True)
