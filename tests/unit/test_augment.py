"""Augmentations of a batch."""

from dataclasses import dataclass, replace
from typing import Annotated

import pandas as pd
import pytest
import torch
import yaml
from workspace import ROOT

from asc_core.config import Range
from asc_core.errors import ConfigError, UserError
from asc_core.models.config import NetworkConfig
from asc_core.models.networks import build
from asc_core.training.augmentation.base import Augmentation
from asc_core.training.augmentation.config import AugmentConfig
from asc_core.training.augmentation.device_transfer import DeviceTransfer
from asc_core.training.augmentation.freq_mixstyle import FreqMixStyle
from asc_core.training.augmentation.mixup import Mixup
from asc_core.training.augmentation.roll import Roll
from asc_core.training.augmentation.spec_augment import SpecAugment
from asc_core.training.batches import Batch
from asc_core.training.config import Schedule, TrainingConfig
from asc_core.training.job import Job
from asc_core.training.loop import fit, fit_input
from pipeline.params import Params
from pipeline.sections import check

FRAME = 0.03  # seconds, of the stores


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(x, targets=None, devices=None, store=None) -> Batch:
    return Batch(x, torch.zeros(len(x), 3) if targets is None else targets, devices, store)


def augment(batch, config, rng):
    for augmentation in config.augmentations():
        batch = augmentation(batch, rng)
    return batch


def offsets(x: torch.Tensor, rolled: torch.Tensor) -> list[int]:
    """By how much each clip was rolled, from -frames / 2 up; fails where a clip is no rotation of the original."""
    half = x.shape[-1] // 2
    found = []
    for clip, result in zip(x, rolled, strict=True):
        matches = [k for k in range(-half, half) if torch.equal(clip.roll(k, dims=-1), result)]
        assert len(matches) == 1
        found += matches
    return found


def test_roll_rotates_each_clip_by_its_own_offset(store):
    x = torch.randn(200, 1, 4, 30)
    found = offsets(x, Roll(5 * FRAME)(clips(x, store=store), seeded()).x)
    assert set(found) == set(range(-5, 6))


def test_roll_by_nothing_leaves_the_batch(store):
    x = torch.randn(4, 1, 4, 30)
    assert torch.equal(Roll(0)(clips(x, store=store), seeded()).x, x)


def test_mixup_mixes_features_and_targets_with_the_same_weights():
    # Clip k is all zeros but a one in band k, so the mixture's bands show the weights.
    x, targets = torch.eye(8).reshape(8, 1, 8, 1).expand(8, 1, 8, 5), torch.eye(8)
    result = Mixup(0.3)(clips(x, targets), seeded())
    mixed, mixed_targets = result.x, result.targets
    weights = mixed[:, 0, :, 0]
    assert torch.equal(mixed, weights[:, None, :, None].expand(8, 1, 8, 5))
    torch.testing.assert_close(mixed_targets, weights)
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(8))
    assert ((weights > 0).sum(dim=1) <= 2).all() and len(weights.diagonal().unique()) > 4


@pytest.mark.parametrize("alpha", [0.3, 4.0])
def test_the_weights_of_mixup_follow_a_beta_distribution(alpha):
    n = 20_000
    kind = (torch.arange(n) % 2).float()
    targets = torch.stack([kind, 1 - kind], dim=1)
    mixed = Mixup(alpha)(clips(torch.zeros(n, 1, 1, 1), targets), seeded()).targets
    own = (mixed * targets).sum(dim=1)[(mixed > 0).all(dim=1)]  # weights of the clips mixed with one of the other kind
    assert abs(len(own) / n - 0.5) < 0.05
    assert abs(own.mean() - 0.5) < 0.02
    assert abs(own.var() - 1 / (4 * (2 * alpha + 1))) < 0.01  # the variance of Beta(alpha, alpha)


def test_mixup_with_alpha_zero_leaves_the_batch():
    x, targets = torch.randn(4, 1, 3, 5), torch.eye(4)
    mixed = Mixup(0)(clips(x, targets), seeded())
    assert torch.equal(mixed.x, x) and torch.equal(mixed.targets, targets)


def masked_runs(mask: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    return [len(run) for run in "".join("x" if m else " " for m in mask.tolist()).split()]


@pytest.mark.parametrize("axis", ["frequency", "time"])
def test_spec_augment_masks_whole_stripes_within_their_width(axis):
    masks = SpecAugment(1, 6, 0, 0) if axis == "frequency" else SpecAugment(0, 0, 1, 6)
    x = torch.rand(300, 1, 20, 25) + 1
    y = masks(clips(x), seeded()).x
    changed = (y != x)[:, 0]  # (batch, mel, frame)
    if axis == "time":
        changed = changed.transpose(1, 2)
    stripes = changed.all(dim=2)
    assert torch.equal(changed.any(dim=2), stripes)
    runs = [masked_runs(clip) for clip in stripes]
    assert all(len(run) <= 1 for run in runs)
    assert {sum(run) for run in runs} == set(range(7))
    assert stripes.any(dim=0).all()  # every index can be masked, the edges too


def test_spec_augment_masks_with_the_mean_of_the_clip_and_leaves_the_rest():
    x = torch.randn(50, 1, 20, 25)
    y = SpecAugment(2, 8, 2, 8)(clips(x), seeded()).x
    mean = x.mean(dim=(1, 2, 3), keepdim=True).expand(x.shape)
    changed = y != x
    torch.testing.assert_close(y[changed], mean[changed])
    rows, columns = changed[:, 0].all(dim=2), changed[:, 0].all(dim=1)
    assert torch.equal(changed[:, 0], rows[:, :, None] | columns[:, None, :])
    assert (rows.sum(dim=1) <= 16).all() and (columns.sum(dim=1) <= 16).all()
    assert rows.any() and columns.any()


def test_masks_wider_than_the_axis_are_no_error():
    x = torch.randn(50, 1, 4, 5)
    assert SpecAugment(2, 40, 2, 80)(clips(x), seeded()).x.shape == x.shape


def test_the_seed_decides_the_whole_augmentation(store):
    batch = clips(torch.randn(8, 1, 20, 60), torch.eye(8), store=store)
    config = AugmentConfig(spec_augment=SpecAugment(max_bands=5, max_frames=10))

    def run(seed, masks=True):
        return augment(batch, config.masked(masks), seeded(seed))

    first, again, other = run(1), run(1), run(2)
    assert torch.equal(first.x, again.x) and torch.equal(first.targets, again.targets)
    assert not torch.equal(first.x, other.x) and not torch.equal(first.targets, other.targets)
    assert not torch.equal(first.x, run(1, masks=False).x)


def test_augment_rolls_by_up_to_the_configured_seconds(store):
    x = torch.randn(300, 1, 2, 60)
    config = AugmentConfig(roll_seconds=15 * FRAME, mixup_alpha=0, spec_augment=None)
    assert set(offsets(x, augment(clips(x, store=store), config, seeded()).x)) == set(range(-15, 16))


# Freq-MixStyle.


def test_freq_mixstyle_equals_its_equation():
    """Recovers each clip's partner and weight from its first frequency and holds all others to them."""
    torch.manual_seed(0)
    x = torch.randn(6, 1, 5, 400) * torch.rand(6, 1, 5, 1) + 4 * torch.randn(6, 1, 5, 1)
    y = FreqMixStyle(alpha=2.0, p=1.0)(clips(x), seeded()).x
    mean, std = x.mean(dim=3, keepdim=True), x.std(dim=3, keepdim=True, correction=0)
    for clip in range(6):
        matches = []
        for other in range(6):
            weight = 1.0
            if other != clip:
                gap = mean[clip, 0, 0] - mean[other, 0, 0]
                weight = ((y[clip, 0, 0].mean() - mean[other, 0, 0]) / gap).item()
            mixed = [weight * part[clip] + (1 - weight) * part[other] for part in (std, mean)]
            expected = mixed[0] * (x[clip] - mean[clip]) / std[clip] + mixed[1]
            if -1e-3 <= weight <= 1.001 and torch.allclose(y[clip], expected, atol=1e-3, rtol=1e-3):
                matches.append(other)
        assert len(matches) == 1, clip


def test_freq_mixstyle_leaves_the_normalised_spectrogram_and_the_labels(store):
    x, targets = torch.randn(8, 1, 5, 40), torch.eye(8)
    config = AugmentConfig(0, freq_mixstyle=FreqMixStyle(p=1.0), mixup_alpha=0, spec_augment=None)
    result = augment(clips(x, targets, store=store), config, seeded())
    y, labels = result.x, result.targets

    def normalised(x):
        return (x - x.mean(dim=3, keepdim=True)) / x.std(dim=3, keepdim=True)

    assert torch.equal(labels, targets) and not torch.allclose(x, y, atol=0.01)
    torch.testing.assert_close(normalised(y), normalised(x), atol=1e-3, rtol=1e-3)


def test_a_share_of_the_batches_is_mixed():
    batch, rng = clips(torch.randn(4, 1, 3, 9)), seeded()
    mixed = [not torch.equal(FreqMixStyle(p=0.3)(batch, rng).x, batch.x) for _ in range(500)]
    assert 0.24 < sum(mixed) / 500 < 0.36
    assert torch.equal(FreqMixStyle(p=0.0)(batch, rng).x, batch.x)


def test_a_constant_band_stays_finite():
    assert FreqMixStyle(p=1.0)(clips(torch.zeros(4, 1, 3, 9)), seeded()).x.isfinite().all()


# Transfer between devices.


@pytest.fixture
def store_of(write_store, tmp_path):
    """Makes a store whose training devices have these curves: a clip of a single scene from each."""

    def make(curves):
        devices = [f"s{number}" for number in range(len(curves))]
        table = pd.DataFrame({"scene": "bus", "device": devices, "split": "train"})
        return write_store(tmp_path / "store", table, curves[:, :, None].expand(-1, -1, 4).numpy())

    return make


def test_device_transfer_adds_the_difference_of_two_curves(store_of):
    torch.manual_seed(0)
    curves, devices = torch.randn(3, 32), torch.arange(600) % 3
    x = torch.randn(600, 1, 32, 7)
    moving = DeviceTransfer(p=0.4)
    added = moving(clips(x, devices=devices, store=store_of(curves)), seeded()).x - x
    seen = torch.zeros(3, 3)
    for gain, device in zip(added, devices, strict=True):
        steps = (gain[0] - (curves - curves[device])[:, :, None]).abs().amax(dim=(1, 2))  # to each device
        assert steps.min() < 0.005  # stores are in half precision
        seen[device, steps.argmin()] += 1
    assert (seen.diagonal().sum() / 600 - 0.6).abs() < 0.06  # not moved
    moved = seen[~torch.eye(3, dtype=bool)]
    assert (moved / 600 - 0.4 / 6).abs().max() < 0.03  # every pair alike


@pytest.mark.parametrize(("p", "devices"), [(0.0, 3), (1.0, 1)])
def test_with_probability_0_or_a_single_device_nothing_moves(store_of, p, devices):
    x = torch.randn(4, 1, 32, 7)
    batch = clips(x, devices=torch.zeros(4, dtype=torch.long), store=store_of(torch.randn(devices, 32)))
    assert torch.equal(DeviceTransfer(p)(batch, seeded()).x, x)


def test_clips_are_moved_before_they_are_mixed(store_of):
    """Of two devices each clip is moved to the other: the mixture is that of the moved clips."""
    curves = torch.stack([torch.zeros(32), torch.arange(32) / 4 - 3])
    devices = torch.arange(8) % 2
    batch = clips(torch.zeros(8, 1, 32, 3), torch.eye(8), devices, store_of(curves))
    mixed = augment(batch, AugmentConfig(0, DeviceTransfer(1.0), spec_augment=None), seeded())
    share = mixed.targets @ torch.where(devices == 0, 1.0, -1.0)
    torch.testing.assert_close(mixed.x[:, 0, :, 0], share[:, None] * curves[1])


def test_options_that_are_off_draw_no_random_numbers(store):
    batch = clips(torch.randn(8, 1, 5, 40), torch.eye(8), store=store)
    first, second = seeded(), seeded()
    result = augment(batch, AugmentConfig(0.3, mixup_alpha=0.3, spec_augment=None), first)
    expected = Mixup(0.3)(Roll(0.3)(batch, second), second)
    assert torch.equal(result.x, expected.x) and torch.equal(first.get_state(), second.get_state())


# Configuration.


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (FreqMixStyle, "alpha", 0), (FreqMixStyle, "alpha", -1), (FreqMixStyle, "p", -0.1), (FreqMixStyle, "p", 1.1),
        (DeviceTransfer, "p", 2), (DeviceTransfer, "p", float("nan")),
        (SpecAugment, "frequency_masks", -1), (SpecAugment, "time_masks", 10**6),
        (SpecAugment, "max_bands", -1), (SpecAugment, "max_frames", 10**9),
        (AugmentConfig, "roll_seconds", -1), (AugmentConfig, "roll_seconds", float("inf")),
        (AugmentConfig, "mixup_alpha", -0.1), (AugmentConfig, "mixup_alpha", float("nan")),
    ],
)  # fmt: skip
def test_an_impossible_augmentation_is_an_error_that_names_its_field(kind, field, value):
    with pytest.raises(ConfigError, match=f"^{field}: needs .* from 0.*, got {value}"):
        kind(**{field: value})


@dataclass(frozen=True)
class Louder(Augmentation):
    """Every clip by so much louder."""

    log_gain: Annotated[float, Range(0, 10)] = 1.0

    def __call__(self, batch, rng):
        return replace(batch, x=batch.x + self.log_gain)


@dataclass(frozen=True)
class WithLouder(AugmentConfig):
    louder: Louder | None = None


class ParamsWithLouder(Params):
    augment: WithLouder


def test_a_new_augmentation_is_a_class_and_a_line_and_is_switched_on_by_a_key(store):
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    written["augment"] |= {"roll_seconds": 0, "mixup_alpha": 0, "louder": {"log_gain": 2.5}}
    settings = check(ParamsWithLouder, written, "params.yaml")
    torch.manual_seed(0)
    network = build(NetworkConfig(), len(store.scenes))
    fit_input(network, store)
    heard = []
    network.register_forward_pre_hook(lambda module, inputs: heard.append(inputs[0]))
    training = TrainingConfig(batch_size=len(store.rows("train")), precision="float32")
    fit(network, store, Job(Schedule(1, 0.01), training, settings.augment.masked(False), seed=0), label="test")
    plain = store.batch(store.rows("train")).float()
    assert len(heard) == 1
    nearest = torch.cdist(heard[0].flatten(1).double(), plain.flatten(1).double() + 2.5)
    assert sorted(nearest.argmin(dim=1).tolist()) == list(range(len(plain))) and nearest.amin(dim=1).max() < 1e-3

    written["augment"]["louder"]["log_gain"] = 11
    with pytest.raises(UserError, match=r"params.yaml: augment\.louder\.log_gain: needs a number from 0 to 10, got 11"):
        check(ParamsWithLouder, written, "params.yaml")
