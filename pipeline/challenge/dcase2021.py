"""The submission package of the challenge (DCASE 2021 Task 1A).

    asc submit 2021 ABOUT.yaml [--seed N ...]       (or python -m pipeline.challenge.dcase2021)

ABOUT.yaml says what no program knows:

    label: Kim_QTI_task1a_1          # last name and institute of the corresponding author, task, number 1 to 4
    name: Compressed BC-ResNet-ASC
    abbreviation: BC-ResNet          # at most 10 characters
    authors:                         # in order; exactly one is corresponding
      - lastname: Kim
        firstname: Byeonggeun
        email: someone@example.org
        corresponding: true
        affiliation: {abbreviation: QTI, institute: An Institute, department: null, location: "Seoul, Korea"}
    external_datasets: []            # from here on optional; {name, url, total_audio_length (minutes)}
    external_data_usage: null
    source_code: null                # a URL

What is written, once all of it is as the format wants it, is LABEL.output.csv, LABEL.meta.yaml, and LABEL.zip with
both; the technical report goes with them by hand. Several seeds are an ensemble: probabilities averaged, sizes added.
"""

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
import yaml
from torch import Tensor, nn

from asc_core import UserError
from asc_core.cli import run
from asc_core.compression import package
from asc_core.compression.rules import LIMIT
from asc_core.compression.size import totals
from asc_core.corpus.layout import read_evaluation
from asc_core.deploy.windows import over_windows
from asc_core.evaluation.metrics import accuracy, judge
from asc_core.features.config import FeatureConfig
from asc_core.features.frontend import Frontend
from asc_core.features.store import FeatureStore
from asc_core.files import replacing
from asc_core.progress import track
from pipeline import params, sections
from pipeline.challenge.dcase2021_format import (
    About,
    Complexity,
    Description,
    DevelopmentDataset,
    Meta,
    Results,
    Scores,
    Submission,
    System,
    check_output,
)
from pipeline.params import Params
from pipeline.paths import FEATURES, corpus_root, made, package_path

FOLDER = Path("data/submission")
METHODS = {
    "bc_resnet_asc": "BC-ResNet-ASC",
    "bc_resnet": "BC-ResNet",
    "cp_resnet": "CP-ResNet",
    "cp_resnet_small": "CP-ResNet",
    "cp_mobile": "CP-Mobile",
}


def submit(about: Path, seeds: list[int], folder: Path = FOLDER, settings: Params | None = None) -> Path:
    """Write the submission package of the quantised networks of some seeds to `folder`; return the zip file.

    Raises:
        UserError: something is missing, or not as the challenge's format wants it; nothing is written then.
    """
    settings = settings or params.load()
    if not about.is_file():
        raise UserError(f"{about}: no such file; the head of pipeline/challenge/dcase2021.py shows one")
    told = sections.check(About, sections.read_yaml(about), about)
    if len(set(seeds)) != len(seeds):
        raise UserError(f"--seed: {', '.join(map(str, seeds))} names a seed twice")
    members = [package.read(made(package_path(seed))) for seed in seeds]
    description = members[0][1]
    for seed, (_, other) in zip(seeds, members, strict=True):
        if any(other[key] != description[key] for key in ("labels", "features")):
            raise UserError(f"{package_path(seed)}: has other scenes or features than seed {seeds[0]}; run `dvc repro`")
    networks, scenes = [network for network, _ in members], description["labels"]

    root, store = corpus_root(), FeatureStore(made(FEATURES))
    listed = read_evaluation(root, settings.data.split_lists)["filename"].tolist()
    development = store.clips[store.clips["split"] == "test"].set_index("filename")
    names = list(dict.fromkeys([*listed, *development.index]))
    found = pd.DataFrame(probabilities(networks, names, store, root, description["features"]), names, scenes)

    output = output_text(found.loc[listed])
    meta = meta_of(told, settings, description, [totals(network) for network in networks], found, development)
    text = yaml.safe_dump(meta.model_dump(), sort_keys=False, allow_unicode=True)
    check_output(output, listed, scenes, f"{told.label}.output.csv")
    sections.check(Meta, yaml.safe_load(text), f"{told.label}.meta.yaml")
    files = {f"{told.label}.output.csv": output, f"{told.label}.meta.yaml": text}
    for name, content in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    archive = folder / f"{told.label}.zip"
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files.items():
            pack.writestr(f"{told.label}/{name}", content)
    return archive


def probabilities(
    networks: list[nn.Module], names: list[str], store: FeatureStore, root: Path, features: dict[str, Any]
) -> np.ndarray:
    """The mean over the networks of each file's probabilities: (files, classes) float64."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def answer(batch: Tensor, _: Tensor) -> Tensor:
        return torch.stack([network.to(device)(batch.to(device)) for network in networks], dim=1)

    logits = over_windows(answer, windows(names, store, root, features), len(names))  # (files, networks, classes)
    return logits.double().softmax(dim=2).mean(dim=1).numpy()


def windows(
    names: list[str], store: FeatureStore, root: Path, features: dict[str, Any]
) -> Iterator[tuple[int, np.ndarray]]:
    """The number of each file and the features (1, mel, frame) of its windows: from the store where it has them all,
    else from the audio."""
    frontend = Frontend({"features": features})
    # A store that was made otherwise since holds nothing for these networks, and one of other clips than files
    # something else by their names. Of what may be two windows it has the first.
    same = store.description == features and frontend.config.clip_seconds is None
    whole = store.clips["seconds"] < 2 * features["seconds"] - 0.001
    rows = {str(name): row for row, name in enumerate(store.clips["filename"]) if whole[row]} if same else {}
    for number, name in enumerate(track(names, len(names), "submit", unit="files")):
        if name in rows:
            yield number, store.array[rows[name]][None].astype(np.float32)
        else:
            for window in frontend.windows(root / name):
                yield number, window


def output_text(found: pd.DataFrame) -> str:
    """The rows of LABEL.output.csv: file, most probable scene, and the probabilities of the scenes by alphabet.

    They have all their digits: what the organisers compute from them is what `scores` says.
    """
    table = found[sorted(found.columns)]
    table.insert(0, "scene_label", table.idxmax(axis=1))
    return table.to_csv(sep="\t", index_label="filename", lineterminator="\n")


def meta_of(
    told: About,
    settings: Params,
    description: dict[str, Any],
    sizes: list[dict[str, int]],
    found: pd.DataFrame,
    development: pd.DataFrame,
) -> Meta:
    """LABEL.meta.yaml: what the user says, what the parameters say, and what is counted and measured.

    Raises:
        UserError: the networks are together larger than the challenge allows.
    """
    counted, many = sum(size["counted_bytes"] for size in sizes), len(sizes) > 1
    if counted > LIMIT:
        raise UserError(
            f"{told.label}: the networks are {counted:,} bytes, the challenge allows {LIMIT:,}; submit fewer"
        )
    config = FeatureConfig(**description["features"]["config"])
    augment, stages = settings.augment, (settings.student, settings.prune, settings.quantize)
    augmentation = {
        "time rolling": augment.roll_seconds > 0,
        "mixup": augment.mixup_alpha > 0,
        "SpecAugment": settings.student.spec_augment,
        "Freq-MixStyle": augment.freq_mixstyle is not None,
        "device transfer": augment.device_transfer is not None,
        "random devices": augment.random_device is not None,
    }
    management = {
        "pruning": settings.prune.ratio > 0,
        "weight quantization": True,
        "knowledge distillation": any(stage.distillation for stage in stages),
    }
    name = description["network"]["name"]
    own = {key: getattr(told, key) for key in Submission.model_fields}
    return Meta(
        submission=Submission(**own),
        system=System(
            description=Description(
                input_sampling_rate=f"{config.sample_rate / 1000:g}kHz",
                acoustic_features="log-mel energies",
                embeddings=None,
                data_augmentation=_named(augmentation),
                machine_learning_method=METHODS.get(name, name) + (", ensemble" if many else ""),
                ensemble_method_subsystem_count=len(sizes) if many else None,
                decision_making="average" if many else None,
                external_data_usage=told.external_data_usage,
                complexity_management=_named(management),
            ),
            complexity=Complexity(
                total_parameters=sum(size["parameters"] for size in sizes),
                total_parameters_non_zero=sum(size["nonzero_parameters"] for size in sizes),
                model_size=math.ceil(counted / 1024 * 100) / 100,
            ),
            external_datasets=told.external_datasets,
            source_code=told.source_code,
        ),
        results=Results(development_dataset=scores(found.loc[development.index], development)),
    )


def _named(used: dict[str, bool]) -> str | None:
    return ", ".join(name for name, is_used in used.items() if is_used) or None


def scores(found: pd.DataFrame, clips: pd.DataFrame) -> DevelopmentDataset:
    """Accuracy, over classes, and log loss of probabilities, for clips (by file name too) with scene and device."""
    table = judge(found.to_numpy(), found.columns.get_indexer(pd.Index(clips["scene"])), clips)

    def told(rows: pd.DataFrame) -> Scores:
        return Scores(accuracy=round(accuracy(rows) or 0.0, 2), logloss=round(rows["log_loss"].mean(), 4))

    return DevelopmentDataset(
        overall=told(table),
        class_wise={str(scene): told(rows) for scene, rows in table.groupby("scene")},
        device_wise={str(device): told(rows) for device, rows in table.groupby("device")},
    )


def main(
    about: Annotated[Path, typer.Argument(help="YAML: label, name, abbreviation, authors.", metavar="ABOUT.yaml")],
    seed: Annotated[
        list[int] | None, typer.Option(help="Repeat it for an ensemble; the first one if left out.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the three files.")] = FOLDER,
) -> None:
    """Write the challenge's submission package of the quantised networks."""
    settings = params.load()
    print(submit(about, seed or settings.seeds[:1], out, settings))


if __name__ == "__main__":
    run(main, "submit")
