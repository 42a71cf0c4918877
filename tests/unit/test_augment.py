"""Augmentations of a batch."""

import pytest
import torch

from asc_core.errors import UserError
from asc_core.training.augmentation import augment, device_transfer, freq_mixstyle, mixup, spec_augment, time_roll
from asc_core.training.config import AugmentConfig, DeviceTransferConfig, FreqMixStyleConfig, SpecAugmentConfig


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def offsets(x: torch.Tensor, rolled: torch.Tensor) -> list[int]:
    """By how much each clip was rolled, from -frames / 2 up; fails where a clip is no rotation of the original."""
    half = x.shape[-1] // 2
    found = []
    for clip, result in zip(x, rolled, strict=True):
        matches = [k for k in range(-half, half) if torch.equal(clip.roll(k, dims=-1), result)]
        assert len(matches) == 1
        found += matches
    return found


def test_time_roll_rotates_each_clip_by_its_own_offset():
    x = torch.randn(200, 1, 4, 30)
    found = offsets(x, time_roll(x, 5, seeded()))
    assert set(found) == set(range(-5, 6))


def test_time_roll_by_nothing_leaves_the_batch():
    x = torch.randn(4, 1, 4, 30)
    assert torch.equal(time_roll(x, 0, seeded()), x)


def test_mixup_mixes_features_and_targets_with_the_same_weights():
    # Clip k is all zeros but a one in band k, so the mixture's bands show the weights.
    x, targets = torch.eye(8).reshape(8, 1, 8, 1).expand(8, 1, 8, 5), torch.eye(8)
    mixed, mixed_targets = mixup(x, targets, 0.3, seeded())
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
    _, mixed = mixup(torch.zeros(n, 1, 1, 1), targets, alpha, seeded())
    own = (mixed * targets).sum(dim=1)[(mixed > 0).all(dim=1)]  # weights of the clips mixed with one of the other kind
    assert abs(len(own) / n - 0.5) < 0.05
    assert abs(own.mean() - 0.5) < 0.02
    assert abs(own.var() - 1 / (4 * (2 * alpha + 1))) < 0.01  # the variance of Beta(alpha, alpha)


def test_mixup_with_alpha_zero_leaves_the_batch():
    x, targets = torch.randn(4, 1, 3, 5), torch.eye(4)
    mixed, mixed_targets = mixup(x, targets, 0, seeded())
    assert torch.equal(mixed, x) and torch.equal(mixed_targets, targets)


def masked_runs(mask: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    return [len(run) for run in "".join("x" if m else " " for m in mask.tolist()).split()]


@pytest.mark.parametrize("axis", ["frequency", "time"])
def test_spec_augment_masks_whole_stripes_within_their_width(axis):
    config = SpecAugmentConfig(1, 6, 0, 0) if axis == "frequency" else SpecAugmentConfig(0, 0, 1, 6)
    x = torch.rand(300, 1, 20, 25) + 1
    y = spec_augment(x, config, seeded())
    changed = (y != x)[:, 0]  # (batch, mel, frame)
    if axis == "time":
        changed = changed.transpose(1, 2)
    stripes = changed.all(dim=2)
    assert torch.equal(changed.any(dim=2), stripes)
    runs = [masked_runs(clip) for clip in stripes]
    assert all(len(run) <= 1 for run in runs)
    assert {sum(run) for run in runs} == set(range(7))
    assert stripes.any(dim=0).all()  # every place can be masked, the edges too


def test_spec_augment_masks_with_the_mean_of_the_clip_and_leaves_the_rest():
    x = torch.randn(50, 1, 20, 25)
    y = spec_augment(x, SpecAugmentConfig(2, 8, 2, 8), seeded())
    mean = x.mean(dim=(1, 2, 3), keepdim=True).expand(x.shape)
    changed = y != x
    torch.testing.assert_close(y[changed], mean[changed])
    rows, columns = changed[:, 0].all(dim=2), changed[:, 0].all(dim=1)
    assert torch.equal(changed[:, 0], rows[:, :, None] | columns[:, None, :])
    assert (rows.sum(dim=1) <= 16).all() and (columns.sum(dim=1) <= 16).all()
    assert rows.any() and columns.any()


def test_masks_wider_than_the_axis_are_no_error():
    x = torch.randn(50, 1, 4, 5)
    assert spec_augment(x, SpecAugmentConfig(2, 40, 2, 80), seeded()).shape == x.shape


def test_the_seed_decides_the_whole_augmentation():
    x, targets = torch.randn(8, 1, 20, 60), torch.eye(8)
    config = AugmentConfig(spec_augment=SpecAugmentConfig(max_bands=5, max_frames=10))

    def run(seed, masks=True):
        return augment(x, targets, config, frames_per_second=10, masks=masks, rng=seeded(seed))

    first, again, other = run(1), run(1), run(2)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0]) and not torch.equal(first[1], other[1])
    assert not torch.equal(first[0], run(1, masks=False)[0])


def test_augment_rolls_by_up_to_the_configured_seconds():
    x, targets = torch.randn(300, 1, 2, 60), torch.zeros(300, 3)
    config = AugmentConfig(roll_seconds=1.5, mixup_alpha=0)
    y, _ = augment(x, targets, config, frames_per_second=10, masks=False, rng=seeded())
    assert set(offsets(x, y)) == set(range(-15, 16))


# Freq-MixStyle.


def test_freq_mixstyle_equals_its_equation():
    """Recovers each clip's partner and weight from its first frequency and holds all others to them."""
    torch.manual_seed(0)
    x = torch.randn(6, 1, 5, 400) * torch.rand(6, 1, 5, 1) + 4 * torch.randn(6, 1, 5, 1)
    y = freq_mixstyle(x, FreqMixStyleConfig(alpha=2.0, p=1.0), seeded())
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


def test_freq_mixstyle_leaves_the_normalised_spectrogram_and_the_labels():
    x, targets = torch.randn(8, 1, 5, 40), torch.eye(8)
    config = AugmentConfig(0, 0, freq_mixstyle=FreqMixStyleConfig(p=1.0))
    y, labels = augment(x, targets, config, frames_per_second=10, masks=False, rng=seeded())

    def normalised(x):
        return (x - x.mean(dim=3, keepdim=True)) / x.std(dim=3, keepdim=True)

    assert torch.equal(labels, targets) and not torch.allclose(x, y, atol=0.01)
    torch.testing.assert_close(normalised(y), normalised(x), atol=1e-3, rtol=1e-3)


def test_a_share_of_the_batches_is_mixed():
    x, rng = torch.randn(4, 1, 3, 9), seeded()
    mixed = [not torch.equal(freq_mixstyle(x, FreqMixStyleConfig(p=0.3), rng), x) for _ in range(500)]
    assert 0.24 < sum(mixed) / 500 < 0.36
    assert torch.equal(freq_mixstyle(x, FreqMixStyleConfig(p=0.0), rng), x)


def test_a_constant_band_stays_finite():
    assert freq_mixstyle(torch.zeros(4, 1, 3, 9), FreqMixStyleConfig(p=1.0), seeded()).isfinite().all()


@pytest.mark.parametrize(("alpha", "p"), [(0, 0.5), (-1, 0.5), (0.3, -0.1), (0.3, 1.1)])
def test_an_impossible_freq_mixstyle_is_an_error(alpha, p):
    with pytest.raises(UserError, match="freq_mixstyle"):
        FreqMixStyleConfig(alpha, p)


# Transfer between devices.


def test_device_transfer_adds_the_difference_of_two_curves():
    torch.manual_seed(0)
    curves, devices = torch.randn(3, 5), torch.arange(600) % 3
    x = torch.randn(600, 1, 5, 7)
    added = device_transfer(x, devices, curves, DeviceTransferConfig(p=0.4), seeded()) - x
    seen = torch.zeros(3, 3)
    for gain, device in zip(added, devices, strict=True):
        steps = (gain[0] - (curves - curves[device])[:, :, None]).abs().amax(dim=(1, 2))  # to each device
        assert steps.min() < 1e-5
        seen[device, steps.argmin()] += 1
    assert (seen.diagonal().sum() / 600 - 0.6).abs() < 0.06  # not moved
    moved = seen[~torch.eye(3, dtype=bool)]
    assert (moved / 600 - 0.4 / 6).abs().max() < 0.03  # every pair alike


def test_with_probability_0_or_a_single_device_nothing_moves():
    x = torch.randn(4, 1, 5, 7)
    nothing = torch.zeros(4, dtype=torch.long)
    assert torch.equal(device_transfer(x, nothing, torch.randn(3, 5), DeviceTransferConfig(0.0), seeded()), x)
    assert torch.equal(device_transfer(x, nothing, torch.randn(1, 5), DeviceTransferConfig(1.0), seeded()), x)


def test_augment_moves_clips_before_it_mixes_them():
    """Of two devices each clip is moved to the other: the mixture is that of the moved clips."""
    x, targets, devices = torch.zeros(8, 1, 2, 3), torch.eye(8), torch.arange(8) % 2
    curves = torch.tensor([[0.0, 0.0], [1.0, -2.0]])
    config = AugmentConfig(0, 0.3, device_transfer=DeviceTransferConfig(1.0))
    y, labels = augment(
        x, targets, config, frames_per_second=10, masks=False, rng=seeded(), devices=devices, curves=curves
    )
    share = labels @ torch.where(devices == 0, 1.0, -1.0)
    torch.testing.assert_close(y[:, 0, :, 0], share[:, None] * curves[1])


def test_impossible_device_transfer_is_an_error():
    with pytest.raises(UserError, match=r"device_transfer\.p: 2"):
        DeviceTransferConfig(2)


def test_options_that_are_off_draw_no_random_numbers():
    x, targets = torch.randn(8, 1, 5, 40), torch.eye(8)
    first, second = seeded(), seeded()
    y, _ = augment(x, targets, AugmentConfig(0.3, 0.3), frames_per_second=10, masks=False, rng=first)
    expected, _ = mixup(time_roll(x, 3, second), targets, 0.3, second)
    assert torch.equal(y, expected) and torch.equal(first.get_state(), second.get_state())
