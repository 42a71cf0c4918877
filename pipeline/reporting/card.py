"""The model card: what is released, what it was trained and measured on, how large it is, and what it is not for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asc_core.compression import package
from asc_core.compression.rules import DECIMAL_LIMIT, LIMIT
from asc_core.compression.size import TensorSize, account
from pipeline.reporting import device
from pipeline.reporting.tables import BRACKETS, Markup, as_text, cell, markdown_table

LIMITS = {"the challenge's, KB of 1024 bytes": LIMIT, "read as decimal kilobytes": DECIMAL_LIMIT}

CORPORA = {
    "synthetic": "rendered by this project: scenes and devices are synthesised, nothing was recorded anywhere",
    "folder": "recordings of whoever ran the pipeline",
    "tau2020": "TAU Urban Acoustic Scenes 2020 Mobile, development set (https://zenodo.org/records/3819968)",
    "tau2022": "TAU Urban Acoustic Scenes 2022 Mobile, development set (https://zenodo.org/records/6337421)",
}
CAVEATS = {
    "synthetic": "It has heard no real recording: its accuracy says that the pipeline works, nothing about real sound.",
    "folder": "What it does elsewhere than in recordings like those of its corpus was not measured.",
    **dict.fromkeys(
        ("tau2020", "tau2022"),
        "All recordings are from European cities, and those of the devices s1 to s6 are simulated from device a; what "
        "it does in other places and with other microphones was not measured.",
    ),
}
LICENCES = {
    "synthetic": "The corpus is made by the code and has no terms of its own.",
    "folder": "The corpus has the terms under which its recordings were made; state them before you pass the model on.",
    **dict.fromkeys(
        ("tau2020", "tau2022"),
        "The corpus is licensed for non-commercial, academic use only. A model that was trained on it is offered for "
        "such use; for any other, ask the holder of its rights, Tampere University.",
    ),
}


@dataclass(frozen=True)
class Facts:
    """What a card tells.

    Attributes:
        package: the file that it is of.
        seed: the one that the package is of.
        seeds: the metrics of the quantised network of every seed.
        over_seeds: the same over the seeds: mean, standard deviation and interval.
        source: where the corpus comes from (`data.source` of the parameters).
        corpus: what the stage download says of it.
        validation: what the stage validate says of it.
        checks: what the gate found.
        device: what the package and its exported file cost on a device, and what the file answers.
    """

    package: Path
    seed: int
    seeds: dict[int, dict[str, Any]]
    over_seeds: dict[str, Any]
    source: str
    corpus: dict[str, Any]
    validation: dict[str, Any]
    checks: list[dict[str, Any]]
    device: dict[str, Any]


def model_card(facts: Facts) -> str:
    """The card, in Markdown.

    Raises:
        UserError: the package cannot be read.
    """
    network, description = package.read(facts.package)
    rows, size = account(network), facts.over_seeds["size"]
    return "\n".join(
        [
            "# Model card: asc",
            "",
            "A network of a few kilobytes that tells in which acoustic scene a clip was recorded, whatever the device.",
            "",
            _model(facts, description),
            "## Corpus",
            "",
            _corpus(facts),
            "## Results",
            "",
            _results(facts),
            "## Size",
            "",
            "Counted are non-zero entries times the bytes of the type they are stored in. One clip takes "
            f"{size['macs']:,} multiply-accumulates; as the organisers count from 2022 on, biases and normalisations "
            f"included, {size['macs_torchinfo']:,}.",
            "",
            _sizes(rows),
            _limits(rows, facts.checks),
            "## On a device",
            "",
            _device(facts),
            "## Intended use",
            "",
            "Research on acoustic scenes and devices of little memory: labelling whole clips of the scenes above. It "
            "hears no speech and no events, names no location and no person, and knows no answer but those scenes: a "
            "clip of anything else gets one of them as well.",
            "",
            "## Limits",
            "",
            f"{CAVEATS[facts.source]} {_calibration(description)} "
            "Devices and scenes differ in accuracy as the tables show; the mean hides it. Not for surveillance, safety "
            "or decisions about people.",
            "",
            "## Licence",
            "",
            f"The code is under the Apache License 2.0. {LICENCES[facts.source]}",
            "",
        ]
    )


def _model(facts: Facts, description: dict[str, Any]) -> str:
    path, shape = facts.package, description["network"]
    features, config = description["features"], description["features"]["config"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    width = f"tau {shape['tau']:g}" if shape["name"].startswith("bc_") else f"width {shape['width']}"
    asc = shape["name"] == "bc_resnet_asc" and shape["norm"] == "resnorm"
    published = "BC-ResNet-ASC with Residual Normalization, " if asc else ""
    rounded = "; activations in 8 bit, with the steps of its training" if description.get("activations") else ""
    return markdown_table(["", ""], [
        ["network", f"{shape['name']} ({width}, norm {shape['norm']}), deployed: 8-bit convolution weights, scales and "
                    f"shifts in half precision{rounded}"],
        ["input", f"{features['seconds']:g} s at {config['sample_rate']} Hz, mono; {config['n_mels']} log-mel bands, "
                  f"windows of {config['window_ms']:g} ms every {config['hop_ms']:g} ms"],
        ["output", f"probabilities of {', '.join(description['labels'])}"],
        ["file", Markup(f"`{path.name}` of seed {facts.seed}, {path.stat().st_size:,} bytes, SHA-256 `{digest}`")],
        ["method", f"{published}pruned, quantised and distilled as in "
                   "https://arxiv.org/abs/2111.06531 and https://arxiv.org/abs/2206.13909"],
    ])  # fmt: skip


def _calibration(description: dict[str, Any]) -> str:
    if found := description.get("temperature"):
        return f"Its logits are over a temperature of {found:g}, which is part of its last layer."
    return "Its probabilities were not calibrated."


def _corpus(facts: Facts) -> str:
    validation = facts.validation
    counts, held = validation["devices"], ""
    if back := validation["held_back"]:
        names = ", ".join(map(as_text, back["devices"])) or "none"
        held = (
            f" {len(back['locations'])} locations were held back from training to choose settings by; devices: {names}."
        )
    devices = sorted({device for part in counts.values() for device in part})
    table = markdown_table(
        ["split", "clips", *devices],
        [
            [split, str(validation["clips"][split]), *(str(counts[split].get(device, 0)) for device in devices)]
            for split in counts
        ],
    )
    return (
        f"Source `{facts.source}`: {CORPORA[facts.source]}. Fingerprint `{facts.corpus['fingerprint']}`. Clips by "
        f"split and device:\n\n{table}\n"
        "No location is in two splits. Devices that training never heard: "
        f"{', '.join(map(as_text, validation['unseen_devices'])) or 'none'}.{held}\n"
    )


def _results(facts: Facts) -> str:
    over_seeds, own = facts.over_seeds, facts.seeds[facts.seed]

    def row(name: str, accuracy: str, loss: str | None, device: str | None = None) -> list[str]:
        """All seeds: accuracy and log loss; the file's own accuracy."""
        means, alone = (each[accuracy][device] if device else each[accuracy] for each in (over_seeds, own))
        losses = over_seeds[loss][device] if loss and device else over_seeds[loss] if loss else None
        return [name, cell(means), cell(losses, 3) if losses else "", "-" if alone is None else f"{alone:.1f}"]

    results = markdown_table(
        ["", "accuracy", "log loss", f"accuracy, seed {facts.seed}"],
        [
            row("all", "accuracy", "log_loss"),
            row("all, over clips", "accuracy_micro", None),
            row("seen devices", "accuracy_seen", None),
            row("unseen devices", "accuracy_unseen", None),
            *(row(device, "accuracy_by_device", "log_loss_by_device", device) for device in own["accuracy_by_device"]),
        ],
    )
    scenes = [[scene, cell(value)] for scene, value in over_seeds["accuracy_by_scene"].items()]
    return (
        f"On the test split, mean ± standard deviation over the seeds {', '.join(map(str, facts.seeds))}, {BRACKETS}; "
        "accuracy in percent, the mean over the scenes but where it says over clips; log loss with the natural "
        f"logarithm. Confidence and accuracy are {cell(over_seeds['calibration_error'])} points apart (expected "
        f"calibration error). The file is that of seed {facts.seed}, which has the median accuracy: to take the best "
        f"would be to choose by the test split.\n\n{results}\n{markdown_table(['scene', 'accuracy'], scenes)}"
    )


def _sizes(rows: list[TensorSize]) -> str:
    """The account, tensors of a part of the network and of a type together."""
    parts: dict[tuple[str, int], list[TensorSize]] = {}
    for row in rows:
        parts.setdefault((".".join(row.name.split(".")[:2]), row.bits), []).append(row)
    lines = [[name, str(bits), *_sums(tensors)] for (name, bits), tensors in parts.items()]
    return markdown_table(["part", "bits", "parameters", "non-zero", "bytes"], [*lines, ["all", "", *_sums(rows)]])


def _sums(rows: list[TensorSize]) -> list[str]:
    return [f"{sum(getattr(row, name) for row in rows):,}" for name in ("parameters", "nonzero", "counted_bytes")]


def _limits(rows: list[TensorSize], checks: list[dict[str, Any]]) -> str:
    counted = sum(row.counted_bytes for row in rows)
    lines = [
        [f"counted bytes, {name}", f"{counted:,}", f"at most {limit:,}", "kept" if counted <= limit else "MISSED"]
        for name, limit in LIMITS.items()
    ]
    lines += [
        [
            f"gate {check['name']}",
            f"{check['value']:,}" if isinstance(check["value"], int) else f"{check['value']:.2f}",
            f"{check['sense']} {check['limit']:,}",
            "kept" if check["passed"] else "MISSED",
        ]
        for check in checks
    ]
    return markdown_table(["limit", "value", "", ""], lines)


def _device(facts: Facts) -> str:
    """What the package and its exported file cost, and how the file's results compare with the network's."""
    costs = f"{device.MEMORY}\n\n{markdown_table(device.COSTS, device.costs(facts.device))}"
    exported = facts.device["exported"]
    if exported is None:
        return costs
    rows = device.beside(exported, facts.seeds[facts.seed])
    return f"{costs}\n{device.told(exported)}\n\n{markdown_table(['', 'network', exported['form']], rows)}"
