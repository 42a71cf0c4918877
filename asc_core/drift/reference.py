"""What recordings sounded like in training: a small file beside a model, with which new ones are compared."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asc_core.errors import ILL_MADE, UserError, reason
from asc_core.files import read_bytes, replacing

if TYPE_CHECKING:
    from asc_core.features.store import FeatureStore

GROUPS = 16  # of neighbouring mel bands, or as many as there are bands
MOST = 300  # recordings that are kept of a device
BYTES = 1 << 24  # most that is read of such a file
RECORDING = ["location", "device"]  # clips that share them are cut from one recording


@dataclass(frozen=True)
class Reference:
    """Facts about recordings, a row each; the clips of one recording are averaged, as they tell much the same.

    Attributes:
        spectra: (recordings, groups) as `spectrum` has them, of the training split.
        devices: (recordings,) their devices.
        confidences: (answers,) the model's largest probability, for recordings that it was not trained on.
        confidence_devices: (answers,) their devices, which training had.
        rates: sample rates in Hz of the training split.
    """

    spectra: np.ndarray
    devices: np.ndarray
    confidences: np.ndarray
    confidence_devices: np.ndarray
    rates: list[int]


def spectrum(band_means: np.ndarray) -> np.ndarray:
    """The shape of a mean log-mel spectrum: (..., mel) to (..., groups) means of neighbouring bands, in nepers above
    the mean of them all. How loud a scene is tells nothing of what recorded it."""
    count = min(GROUPS, band_means.shape[-1])
    groups = np.stack([part.mean(axis=-1) for part in np.array_split(band_means, count, axis=-1)], axis=-1)
    return groups - groups.mean(axis=-1, keepdims=True)


def reference(store: "FeatureStore", answers: pd.DataFrame) -> Reference:
    """The reference of a network that was trained on a store.

    Args:
        answers: what it answered to the test split (`asc_core.evaluation.predictions`).
    """
    rows = store.rows("train")
    means = np.stack([np.asarray(store.array[row], np.float32).mean(axis=1) for row in rows])
    clips = store.clips.iloc[rows]
    spectra = pd.DataFrame(spectrum(means), index=clips.index).groupby([clips[key] for key in RECORDING]).mean()
    heard = answers[~answers["unseen"]]
    largest = heard.select_dtypes("number").max(axis=1)
    confidences = largest.groupby([heard[key] for key in RECORDING]).mean()
    spectra, sure = _thinned(spectra), _thinned(confidences.to_frame("confidence"))
    return Reference(
        spectra.to_numpy(np.float32),
        spectra.index.get_level_values("device").to_numpy(),
        sure["confidence"].to_numpy(np.float32),
        sure.index.get_level_values("device").to_numpy(),
        sorted({int(rate) for rate in clips["sample_rate"]}),
    )


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    """Up to `MOST` rows of each device, evenly over the locations by name."""
    device = table.index.get_level_values("device")
    kept = [np.flatnonzero(device == name) for name in device.unique()]
    rows = [each[np.linspace(0, len(each) - 1, min(MOST, len(each))).round().astype(int)] for each in kept]
    return table.iloc[np.sort(np.concatenate(rows))]


def write(path: Path, kept: Reference) -> None:
    """Write a reference as safetensors, atomically, in half precision."""
    from safetensors.numpy import save_file

    names = sorted({*kept.devices, *kept.confidence_devices})
    tensors = {
        "spectra": kept.spectra.astype(np.float16),
        "confidences": kept.confidences.astype(np.float16),
        "devices": _indices(kept.devices, names),
        "confidence_devices": _indices(kept.confidence_devices, names),
    }
    description = {"devices": names, "rates": kept.rates}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"reference": json.dumps(description)})


def _indices(devices: Iterable[str], names: list[str]) -> np.ndarray:
    return np.array([names.index(device) for device in devices], np.int16)


def read(path: Path) -> Reference:
    """The reference in a file.

    Raises:
        UserError: the file is missing or too large, or holds no reference.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = read_bytes(path, BYTES)
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        description = json.loads(header["__metadata__"]["reference"])
        names = np.array([str(name) for name in description["devices"]], object)
        found = Reference(
            tensors["spectra"].astype(np.float32),
            names[tensors["devices"]],
            tensors["confidences"].astype(np.float32),
            names[tensors["confidence_devices"]],
            [int(rate) for rate in description["rates"]],
        )
        if found.spectra.ndim != 2 or not len(found.spectra) == len(found.devices) > 0:
            raise ValueError(f"spectra of the shape {found.spectra.shape}")
        if found.confidences.shape != found.confidence_devices.shape:
            raise ValueError(f"confidences of the shape {found.confidences.shape}")
        if not (np.isfinite(found.spectra).all() and np.isfinite(found.confidences).all()):
            raise ValueError("a number that is not finite")
    except (SafetensorError, *ILL_MADE) as error:
        raise UserError(f"{path}: not a usable reference ({reason(error)})") from None
    return found
