"""The inference functions of DCASE 2025 task 1, as the evaluation of the organisers calls them.

This file is copied into the package that is handed in, under the name of the submission, with what it imports.
"""

from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor, nn

from asc_core.compression import package
from asc_core.compression.expose import expose
from asc_core.deploy.windows import by_device, over_windows
from asc_core.features.frontend import Frontend

CHECKPOINT = "model.asc"


class Model(nn.Module):
    """The networks of a package, their weights as parameters, and the front end that they were trained with.

    Attributes:
        model: the general network, and behind it those of devices.
        indices: which of them is that of a device.
        labels: the scenes, in the order of the logits.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        general, devices, description = package.read_devices(path)
        self.labels: list[str] = description["labels"]
        self.frontend = Frontend(description)
        self.indices = {device: index for index, device in enumerate(devices, start=1)}
        self.model = nn.ModuleList([general, *devices.values()])
        for network in self.model:
            expose(network)
        self.eval()


def load_model(model_file_path: str | None = None) -> Model:
    """The model of this package, or of another file.

    Raises:
        UserError: the file is missing, foreign or damaged.
    """
    if model_file_path is not None:
        return Model(Path(model_file_path))
    return Model(Path(str(files(__package__) / "ckpts" / CHECKPOINT)))


def get_model_for_device(model: Model, device_id: str) -> nn.Module:
    """The network of a device, from features (batch, 1, mel, frame) to logits (batch, class); of a device that the
    model does not know, the general one."""
    return model.model[model.indices.get(device_id, 0)]


def load_inputs(file_paths: list[str], device_ids: list[str], model: Model) -> list[Tensor]:
    """The features of each file, (windows, 1, mel, frame) float32 on the CPU.

    A window is as long as the clips of the training; sound that is shorter is repeated to that length.

    Raises:
        UserError: a file cannot be decoded.
    """
    return [torch.from_numpy(model.frontend.read(Path(path))) for path in file_paths]


def predict(
    file_paths: list[str], device_ids: list[str], model_file_path: str | None = None, use_cuda: bool = True
) -> tuple[list[Tensor], list[str]]:
    """The logits of each file, the mean over its windows, (class,) float32 on the CPU; and the scenes in their order.

    Raises:
        UserError: a file cannot be decoded, or the model's is missing, foreign or damaged.
        ValueError: there are more or fewer devices than files.
    """
    model = load_model(model_file_path)
    where = "cuda" if use_cuda and torch.cuda.is_available() else "cpu"
    model.to(where)
    answer = by_device(lambda device: get_model_for_device(model, device), device_ids)
    windows = (
        (number, window)
        for number, (path, _) in enumerate(zip(file_paths, device_ids, strict=True))
        for window in model.frontend.windows(Path(path))
    )
    logits = over_windows(lambda batch, numbers: answer(batch.to(where), numbers), windows, len(file_paths))
    return list(logits), model.labels
