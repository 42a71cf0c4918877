"""The inference package of the challenge (DCASE 2025 task 1).

    asc submit 2025 ABOUT.yaml [--seed N]

ABOUT.yaml is as that of 2021 (`dcase2021` shows one), with a label like Kim_QTI_task1_1: last name and institute of the
corresponding author, task, number 1 to 4. What is written, to a folder LABEL, once it has been tried:

    pyproject.toml, README.md
    Kim_QTI_task1/                   the package, which needs nothing of this project
        Kim_QTI_task1_1.py           load_model, load_inputs, get_model_for_device, predict
        asc_core/                    what they import
        ckpts/model.asc              the shipped model, with the networks of known devices if it has any
        resources/                   dummy.wav, test.csv
    predictions/Kim_QTI_task1_1/     output.csv of the evaluation list, complexity.json by device

It is tried in a fresh environment, in which it is installed beside the libraries of this one: its logits have to be
those of the networks here, its weights all to be seen, each network within the rules, and the output well-formed.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from importlib.metadata import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import soundfile
import torch
import typer
from pydantic import Field

import asc_core
from asc_core import UserError
from asc_core.cli import run
from asc_core.compression import package, rules
from asc_core.corpus.layout import read_evaluation
from asc_core.deploy.windows import by_device, over_windows
from asc_core.evaluation.measure import cost
from asc_core.features.frontend import shape_of
from asc_core.features.store import FeatureStore
from asc_core.files import read_json, write_json, writing
from asc_core.models.config import NETWORKS
from pipeline import params, sections
from pipeline.challenge import dcase2021_format, inference, trial, vendored
from pipeline.challenge.dcase2021 import FOLDER, output_text, windows
from pipeline.params import Params
from pipeline.paths import FEATURES, corpus_root, made, package_path, shipped_path

RULES = "dcase2025"
DEVICES = ["a", "b", "c", *(f"s{number}" for number in range(1, 11))]  # what the organisers count for
TOLERANCE = 1e-3  # between logits; the size of batches moves them by a hundredth of it


class About(dcase2021_format.About):
    """What the user says."""

    label: Annotated[str, Field(pattern=r"^[A-Za-z]\w*_task1_[1-4]$")]

    @property
    def package(self) -> str:
        return self.label.rpartition("_")[0]


def submit(about: Path, seed: int, folder: Path = FOLDER, settings: Params | None = None) -> Path:
    """Write the inference package of the quantised network of a seed to `folder`; return its folder there.

    Raises:
        UserError: something is missing, beyond the rules, or not as it has to be; nothing is written then.
    """
    settings = settings or params.load()
    if not about.is_file():
        raise UserError(f"{about}: no such file; the head of pipeline/challenge/dcase2021.py shows one")
    told = sections.check(About, sections.read_yaml(about), about)
    target = folder / told.label
    if target.exists():
        raise UserError(f"{target}: is there already; move it away, or name another folder with --out")
    checkpoint = made(shipped_path(seed) if settings.tune_devices else package_path(seed))
    store, root = FeatureStore(made(FEATURES)), corpus_root()
    general, devices, description = package.read_devices(checkpoint)
    shape = shape_of(description)
    complexity = {device: cost(devices.get(device, general), shape) for device in {*DEVICES, *devices}}
    for device, counted in complexity.items():
        for limit in rules.limits(counted, RULES):
            if limit.value > limit.most:
                raise UserError(
                    f"{checkpoint}: {limit.value:,} {limit.name} for device {device}, the rules allow {limit.most:,}"
                )
    listed = read_evaluation(root, settings.data.split_lists)
    listed["device"] = listed["device"].fillna("unknown")
    heard = windows(listed["filename"].tolist(), store, root, description["features"])
    each = by_device(lambda device: devices.get(device, general), listed["device"].tolist())
    expected = over_windows(each, heard, len(listed)).numpy()
    with writing(target), tempfile.TemporaryDirectory(prefix="asc-submit-") as work:
        made_folder = Path(work) / told.label
        _write(made_folder, told, checkpoint, description, root / settings.data.lists.test)
        answer = _try(made_folder, told, root, listed, sorted(complexity))
        _check(told, answer, complexity, expected, description["labels"])
        _write_predictions(made_folder / "predictions" / told.label, answer, listed, complexity)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(made_folder, target)
    return target


def _write(folder: Path, told: About, checkpoint: Path, description: dict[str, Any], test: Path) -> None:
    package = folder / told.package
    for name in ("ckpts", "resources"):
        (package / name).mkdir(parents=True)
    for init in (package, package / "ckpts", package / "resources"):
        (init / "__init__.py").touch()
    api = Path(inference.__file__).read_text(encoding="utf-8")
    network = f"import {NETWORKS[description['network']['name']].partition(':')[0]}"  # which is imported by its name
    modules = vendored.closure([api, network])
    vendored.copy(modules, package, told.package)
    (package / f"{told.label}.py").write_text(vendored.renamed(api, told.package), encoding="utf-8")
    shutil.copyfile(checkpoint, package / "ckpts" / inference.CHECKPOINT)
    shutil.copyfile(test, package / "resources/test.csv")
    noise = np.random.default_rng(0).normal(0, 0.01, 44_100).astype(np.float32)
    soundfile.write(package / "resources/dummy.wav", noise, 44_100, subtype="PCM_24")
    needed = "".join(f"\n    {json.dumps(line)}," for line in vendored.requirements([api, *modules.values()]))
    names = {"package": told.package, "label": told.label, "index": told.label[-1], "name": told.name}
    names |= {"python": metadata("asc")["Requires-Python"], "needed": needed}
    for name, text in (("pyproject.toml", PROJECT), ("README.md", README)):
        (folder / name).write_text(text.format(**names), encoding="utf-8")
    licence = Path(asc_core.__file__).parents[1] / "LICENSE"
    if licence.is_file():
        shutil.copyfile(licence, folder / "LICENSE")


def _try(folder: Path, told: About, root: Path, listed: pd.DataFrame, devices: list[str]) -> dict[str, Any]:
    """What the package answers where nothing of this project is installed: as `trial` writes it.

    Raises:
        UserError: it cannot be installed, or fails.
    """
    work = folder.parent
    environment = work / "environment"
    venv.create(environment, with_pip=False)
    scripts, site = (sysconfig.get_path(kind, "venv", {"base": str(environment)}) for kind in ("scripts", "purelib"))
    python = Path(scripts) / "python"
    # The libraries that are here, without what is installed beside them as links to sources: this project.
    libraries = [path for path in sys.path if path.endswith("-packages")]
    Path(site, "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    shutil.copytree(folder, work / "copy")  # in which the build leaves folders of its own
    install = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", str(work / "copy")]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    _run([*pip, *install], f"{told.label}: the package cannot be installed")
    paths = [str((root / name).absolute()) for name in listed["filename"]]
    write_json(work / "asked.json", {"files": paths, "devices": listed["device"].tolist(), "every_device": devices})
    asked = [str(work / "asked.json"), str(work / "answered.json")]
    _run([str(python), "-I", trial.__file__, told.label, *asked], f"{told.label}: the installed package fails")
    return read_json(work / "answered.json")


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise UserError(f"{problem}: {(done.stderr.strip() or f'exit code {done.returncode}').splitlines()[-1]}")


def _check(
    told: About, answer: dict[str, Any], complexity: dict[str, dict[str, int]], expected: np.ndarray, labels: list[str]
) -> None:
    """Hold what the installed package answers to what the networks here answer.

    Raises:
        UserError: it differs.
    """
    foreign = [name for name in answer["modules"] if name.partition(".")[0] in ("asc_core", "pipeline", "flows")]
    if foreign:
        raise UserError(f"{told.label}: the package imports {foreign[0]} of this project, which the organisers lack")
    if answer["labels"] != labels:
        raise UserError(f"{told.label}: the package says {answer['labels']}, the model {labels}")
    for device, seen in answer["devices"].items():
        if seen["bytes"] != (counted := complexity[device]["parameter_bytes_torch"]):
            raise UserError(
                f"{told.label}: {seen['bytes']:,} bytes of parameters are seen for {device}, not {counted:,}"
            )
    found = np.array(answer["logits"], np.float32)
    if found.shape != expected.shape or not (error := np.abs(found - expected).max()) < TOLERANCE:
        raise UserError(f"{told.label}: the logits of the package differ from the model's by up to {error:.2g}")


def _write_predictions(
    folder: Path, answer: dict[str, Any], listed: pd.DataFrame, complexity: dict[str, dict[str, int]]
) -> None:
    """output.csv and complexity.json.

    Raises:
        UserError: the output is not as the challenge wants it.
    """
    probabilities = torch.tensor(answer["logits"], dtype=torch.float64).softmax(dim=1).numpy()
    names, labels = listed["filename"].tolist(), answer["labels"]
    text = output_text(pd.DataFrame(probabilities, names, labels))
    dcase2021_format.check_output(text, names, labels, "output.csv")
    folder.mkdir(parents=True)
    (folder / "output.csv").write_text(text, encoding="utf-8")
    write_json(folder / "complexity.json", {device: complexity[device] for device in sorted(complexity)})


PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "0.1.0"
description = "Inference package for DCASE 2025 task 1"
readme = "README.md"
license = "Apache-2.0"
requires-python = "{python}"
dependencies = [{needed}
]

[tool.setuptools.packages.find]
include = ["{package}*"]

[tool.setuptools.package-data]
"*" = ["*.asc", "*.csv", "*.wav"]
"""

README = """\
# {label}: {name}

Inference package for DCASE 2025 task 1, low-complexity acoustic scene classification with device information.

    pip install .

`{package}.{label}` has `load_model`, `load_inputs`, `get_model_for_device` and `predict`, as the evaluation
scripts of the challenge call them:

    python test_complexity.py --submission_name {package} --submission_index {index}
    python evaluate_submission.py --submission_name {package} --submission_index {index} \\
        --dev_set_dir DEVELOPMENT --eval_set_dir EVALUATION

`predictions/{label}/output.csv` are its answers to the evaluation list.
"""


def main(
    about: Annotated[Path, typer.Argument(help="YAML: label, name, abbreviation, authors.", metavar="ABOUT.yaml")],
    seed: Annotated[int | None, typer.Option(help="Of the network; the first one if left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the package's folder.")] = FOLDER,
) -> None:
    """Write the inference package of the quantised network, and try it in a fresh environment."""
    settings = params.load()
    print(submit(about, settings.seeds[0] if seed is None else seed, out, settings))


if __name__ == "__main__":
    run(main, "submit")
