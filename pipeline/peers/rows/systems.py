"""Every system of the table: what it is, where its recipe was published, and in what peers.yaml departs from that.

All are trained by the same code on the same features, and measured as float networks without compression. What that
changes for every one of them: batches are as large as params.yaml says, since those of the publications (64, and 256
for CP-Mobile and CP-ResNet) are for corpora of 14,000 and 140,000 clips; the rate falls along a cosine; the features
are those of params.yaml (published for CP-Mobile and CP-ResNet: 32 kHz, window 96 ms, hop 16 and 23 ms).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """A row: its label, where network and recipe were published, and in what that of peers.yaml departs from there."""

    label: str
    source: str
    departures: str


_ROLL = "clips are rolled by up to 1.5 s where theirs, of one second, are by 0.1"
_STORED = "the limits of the mel filters are not varied, as features are stored"
_RATE = "AdamW where they have Adam; a cosine where their rate stays for a quarter of the training and falls linearly"
_RESPONSES = "random responses where they have 66 measured ones"
_AUTHORS = "F. Schmid et al., CP-JKU's system of DCASE 2023 task 1 (github.com/fschmid56/cpjku_dcase23)"
SYSTEMS = {
    "asc_1": System(
        "BC-ResNet-ASC-1, ResNorm",
        "B. Kim et al., arXiv 2111.06531 and 2206.13909; the settings of the training are those of re-implementations",
        "none",
    ),
    "bc_resnet": System(
        "BC-ResNet",
        "B. Kim et al., arXiv 2106.04140, as compared with BC-ResNet-ASC in arXiv 2111.06531",
        "as wide as 128,000 parameters allow, of the published 317,000; so no SpecAugment, which goes with that width",
    ),
    "cp_mobile_61k": System(
        "CP-Mobile, 61k (baseline of 2024 and 2025)",
        "the baseline of DCASE 2024 task 1 (github.com/CPJKU/dcase2024_task1_baseline, run_training.py)",
        f"{_ROLL}; no tuning for single devices",
    ),
    "cp_mobile_127k": System(
        "CP-Mobile, 127k (winner of 2023)",
        f"{_AUTHORS}, run_training.py",
        "no distillation, as its teachers are six transformers that have learned from AudioSet, and six CP-ResNets; "
        f"{_RESPONSES}; {_RATE}; {_ROLL}; {_STORED}",
    ),
    "cp_resnet_128k": System(
        "CP-ResNet, 128k",
        f"{_AUTHORS}, run_cp-resnet_training.py; arXiv 1907.01803",
        f"{_RESPONSES}; {_RATE}; {_ROLL}; {_STORED}",
    ),
}
OURS = {"student": "ours, float", "quantized": "ours, as shipped"}  # networks of the job that params.yaml describes
REFERENCE = "quantized"  # that the others are compared with


def described(name: str) -> System:
    """What is known of a system; of one that peers.yaml alone has, its name."""
    return SYSTEMS.get(name, System(name, "-", "-"))
