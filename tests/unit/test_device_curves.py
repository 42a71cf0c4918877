"""The curves of the devices: what is planted in a store is found, whatever the balance of its scenes."""

import numpy as np
import pandas as pd
import pytest
import torch

BANDS = 32


@pytest.fixture
def planted(write_store, tmp_path):
    """Writes a store in which a clip is its scene's spectrum plus its device's curve; returns both and the store."""

    def write(train, test=(("bus", "z", 1),)):
        rng = np.random.default_rng(0)
        spectra = {scene: rng.normal(-5, 3, BANDS) for scene in ("bus", "park", "tram")}
        curves = {device: rng.normal(0, 2, BANDS) for device in "abcz"}
        rows, features = [], []
        for split, cells in (("train", train), ("test", test)):
            for scene, device, count in cells:
                for _ in range(count):
                    name = f"audio/{scene}-city-{len(rows)}-0-{device}.wav"
                    rows.append((name, scene, split, scene, f"city-{len(rows)}", device))
                    pulse = np.sin(2 * np.pi * (np.arange(8) + rng.uniform(0, 8)) / 8)  # a mean of nothing
                    features.append((spectra[scene] + curves[device])[:, None] + pulse)
        columns = ["filename", "scene", "split", "meta_scene", "location", "device"]
        clips = pd.DataFrame(rows, columns=columns).assign(seconds=0.21)
        return write_store(tmp_path / "features", clips, np.stack(features)), curves

    return write


# b has hardly any clips of the loudest scene, c none.
UNBALANCED = (("bus", "a", 9), ("park", "a", 2), ("tram", "a", 1), ("bus", "b", 1), ("park", "b", 7), ("tram", "c", 5),
              ("park", "c", 1))  # fmt: skip


def test_differences_of_curves_are_those_of_the_devices(planted):
    store, curves = planted(UNBALANCED)
    found = store.device_curves(chunk=4)
    assert store.devices == ["a", "b", "c"] and found.shape == (3, BANDS) and found.dtype == torch.float32
    for one, first in enumerate("abc"):
        for other, second in enumerate("abc"):
            expected = torch.tensor(curves[second] - curves[first]).float()
            torch.testing.assert_close(found[other] - found[one], expected, atol=0.02, rtol=0)


def test_devices_without_a_common_scene_are_compared_through_a_third(planted):
    store, curves = planted((("bus", "a", 3), ("park", "a", 1), ("bus", "b", 2), ("park", "c", 2)))
    found = store.device_curves()
    torch.testing.assert_close(found[2] - found[1], torch.tensor(curves["c"] - curves["b"]).float(), atol=0.02, rtol=0)


def test_scenes_that_only_one_device_recorded_do_not_leak_in(planted):
    store, curves = planted((("bus", "a", 3), ("bus", "b", 3), ("tram", "b", 50)))
    found = store.device_curves()
    torch.testing.assert_close(found[1] - found[0], torch.tensor(curves["b"] - curves["a"]).float(), atol=0.02, rtol=0)


def test_clips_know_their_device_among_those_of_the_training(planted):
    store, _ = planted(UNBALANCED)
    expected = [store.devices.index(device) if device in "abc" else -1 for device in store.clips["device"]]
    assert store.device_indices.tolist() == expected and expected[-1] == -1
