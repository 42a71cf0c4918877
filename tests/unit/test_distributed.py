"""One training shared by two processes, against the same training in one.

`torchrun` starts this file as a script, once for all tests: each of its processes does every training of JOBS and keeps
what came of it. All but one are in double precision: the trainings amplify a difference tenfold with each step, which
hides a small mistake behind single precision's rounding.
"""

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from asc_core.compression.prune import conv_weights, prune
from asc_core.compression.quantize import start_quantized_training
from asc_core.errors import UserError
from asc_core.features.store import FeatureStore
from asc_core.models.checkpoint import contiguous
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.training import distributed
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.augmentation.freq_mixstyle import FreqMixStyle
from asc_core.training.augmentation.spec_augment import SpecAugment
from asc_core.training.config import DistillationConfig, Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, fit_input
from asc_core.training.objective import Teacher
from asc_core.training.sparsity import Sparsity

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 2
# 47 of the 48 clips make an epoch's only batch, so an epoch's loss is a step's; its halves differ in size.
JOB = Job(
    Schedule(epochs=6, learning_rate=0.05, warmup_epochs=1),
    TrainingConfig(batch_size=47, precision="float32"),
    AugmentConfig(roll_seconds=0.3, spec_augment=SpecAugment(max_bands=4, max_frames=4), freq_mixstyle=FreqMixStyle()),
    seed=3,
)
STOP = 3  # after how many epochs the training that is to be continued stops


def network(store: FeatureStore, seed: int = 0, dropout: float = 0, **config) -> nn.Module:
    torch.manual_seed(seed)
    fresh = build(NetworkConfig(**config), len(store.scenes))
    fit_input(fresh, store)
    for module in fresh.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = dropout
    return fresh.to(torch.get_default_dtype())


def plain(store, folder, **options):
    return train(network(store), store, JOB, **options)


def single_precision(store, folder):
    return plain(store, folder)


def batches(store, folder):
    return train(network(store), store, replace(JOB, training=replace(JOB.training, batch_size=16, precise_bn=True)))


def cp_resnet(store, folder):
    return train(network(store, name="cp_resnet", width=8, norm="freqin"), store, JOB)


def distilled(store, folder):
    return train(network(store), store, replace(JOB, teacher=Teacher(network(store, seed=5), DistillationConfig())))


def pruned(store, folder):
    small = network(store)
    prune(small, 0.6)
    start_quantized_training(small)
    return train(small, store, replace(JOB, sparsity=Sparsity()))


def averaged(store, folder):
    schedule = replace(JOB.schedule, learning_rate=0.002, optimizer="adamw")
    return train(network(store), store, replace(JOB, schedule=schedule, training=replace(JOB.training, ema=0.9)))


def continued(store, folder):
    """Interrupted in all processes once, as by a machine that went down, and taken up again."""

    class Interruption(Exception):
        pass

    state = folder / "state.safetensors"
    stopped = network(store)
    stopped.register_forward_pre_hook(interrupt_at(STOP + 1, Interruption))
    with pytest.raises(Interruption):
        train(stopped, store, JOB, saved=state)
    if distributed.world() > 1:
        torch.distributed.barrier()  # what was interrupted is over before it is taken up
    trained, losses = plain(store, folder, saved=state)
    assert distributed.rank() or not state.exists()
    return trained, losses


def with_dropout(store, folder):
    trained = network(store, dropout=0.5)
    trained.stages[0][0].f1[-1].register_forward_hook(keep_zeros(trained))
    return train(trained, store, replace(JOB, schedule=Schedule(1, 0.05)))


def interrupt_at(call, error):
    calls = []

    def hook(module, inputs):
        calls.append(module)
        if len(calls) == call:
            raise error

    return hook


def keep_zeros(holder):
    """Note which channels of the first clip a dropout zeroes, as a buffer of `holder`."""

    def hook(module, inputs, output):
        holder.register_buffer("dropped", (output[0].abs().amax(dim=(1, 2)) == 0).float())

    return hook


def train(trained, store, job, **options):
    losses = []
    fit(trained, store, job, label="test", on_epoch=lambda epoch, metrics: losses.append(metrics["loss"]), **options)
    return trained, losses


@contextlib.contextmanager
def precision(dtype):
    """Have the library, which asks for `float()` wherever it matters, compute in `dtype`."""
    with pytest.MonkeyPatch.context() as patch:
        if dtype == torch.float64:
            patch.setattr(torch.Tensor, "float", torch.Tensor.double)
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


JOBS = (plain, single_precision, batches, cp_resnet, distilled, pruned, averaged, continued, with_dropout)


def results(store, folder):
    """What JOBS make: by name, the state of the network and `losses`."""
    made = {}
    for job in JOBS:
        with precision(torch.float32 if job is single_precision else torch.float64):
            trained, losses = job(store, folder)
        made[job.__name__] = {**contiguous(trained.state_dict()), "losses": torch.tensor(losses, dtype=torch.float64)}
    return made


def main() -> None:
    store, folder = FeatureStore(Path(sys.argv[1])), Path(sys.argv[2])
    torch.set_num_threads(1)
    for name, tensors in results(store, folder).items():
        save_file(tensors, folder / f"{name}-{distributed.rank()}.safetensors")
    rank = distributed.leave()
    print(f"process {rank} is alone" if distributed.world() == 1 else "still shared")


@pytest.fixture(scope="module")
def shared(store, tmp_path_factory):
    """What each of two processes made, and what they printed."""
    folder = tmp_path_factory.mktemp("shared")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    done = subprocess.run(
        [*command, __file__, store.folder, folder],
        env={**os.environ, "PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    found = [
        {job.__name__: load_file(folder / f"{job.__name__}-{rank}.safetensors") for job in JOBS}
        for rank in range(PROCESSES)
    ]
    return found, done.stdout


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory):
    """What one process makes."""
    return results(store, tmp_path_factory.mktemp("alone"))


SAME = [job.__name__ for job in JOBS if job is not with_dropout]


@pytest.mark.parametrize("job", SAME)
def test_two_processes_have_the_losses_of_one(shared, alone, job):
    losses, expected = shared[0][0][job]["losses"], alone[job]["losses"]
    assert len(losses) == (JOB.schedule.epochs - STOP if job == "continued" else JOB.schedule.epochs)
    # Single precision's rounding has grown past any bound after three steps; by how much depends on the processor.
    steps, bound = (3, 1e-5) if job == "single_precision" else (5, 1e-8)
    torch.testing.assert_close(losses[:steps], expected[:steps], rtol=0, atol=bound)


@pytest.mark.parametrize("job", [job for job in SAME if job != "single_precision"])
def test_two_processes_end_with_the_weights_and_statistics_of_one(shared, alone, job):
    for name, expected in alone[job].items():
        torch.testing.assert_close(shared[0][0][job][name], expected, rtol=1e-6, atol=1e-7, msg=f"{job}: {name}")


@pytest.mark.parametrize("job", SAME)
def test_all_processes_end_with_the_same_weights_bit_for_bit(shared, job):
    first, second = (found[job] for found in shared[0])
    assert all(torch.equal(first[name], second[name]) for name in first if name != "losses")


def test_only_the_first_process_reports_and_each_goes_on_alone(shared):
    (_, second), output = shared
    assert all(len(tensors["losses"]) == 0 for tensors in second.values())
    assert [output.count(f"process {rank} is alone") for rank in range(PROCESSES)] == [1, 1]
    assert output.count(f"test: continues after epoch {STOP}") == 1


def test_a_shared_training_that_continues_ends_as_one_without_interruption(shared):
    whole, continued = (shared[0][0][name] for name in ("plain", "continued"))
    assert all(torch.equal(whole[name], continued[name]) for name in whole if name != "losses")


def test_frozen_zeros_stay_zero_in_a_shared_training(shared, store):
    small = network(store)
    prune(small, 0.6)
    zeros = sum(int((weight == 0).sum()) for weight in conv_weights(small))
    trained = shared[0][0]["pruned"]
    assert sum(int((w == 0).sum()) for name, w in trained.items() if w.dim() == 4) == zeros > 1000


def test_each_process_draws_its_own_dropout(shared, alone):
    first, second = (found["with_dropout"]["dropped"] for found in shared[0])
    assert torch.equal(first, alone["with_dropout"]["dropped"]) and not torch.equal(first, second)


def test_parts_make_a_batch(monkeypatch):
    for world, clips in ((1, 64), (2, 47), (3, 64), (4, 4)):
        monkeypatch.setattr(distributed, "world", lambda world=world: world)
        seen = []
        for rank in range(world):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            seen += range(clips)[distributed.part(clips)]
        assert seen == list(range(clips))


def test_more_processes_than_clips_in_a_batch_is_an_error(store, monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 48)
    with pytest.raises(UserError, match="fewer clips than the 48 processes"):
        fit(network(store), store, JOB, label="test")


if __name__ == "__main__":
    main()
