"""What ships on a device, as rows of tables: what it costs, and what its exported file answers."""

from pathlib import Path
from typing import Any

COSTS = ["file", "KB", "multiply-accumulates a second", "KB of memory"]
MEMORY = (
    "Memory is what the activations of a clip take at their peak, and what LiteRT for Microcontrollers keeps of the "
    "graph, as estimated from it; the front end has its own."
)


def costs(device: dict[str, Any]) -> list[list[str]]:
    """A row a file, under `COSTS`."""
    return [
        [Path(row["file"]).name, f"{row['file_bytes'] / 1024:.1f}", f"{row['macs_per_second']:,}", _memory(row)]
        for row in device["costs"]
    ]


def _memory(row: dict[str, Any]) -> str:
    sizes = [f"{size / 1024:,.0f} in {kind}" for kind, size in row["ram_bytes"].items()]
    if row["arena_bytes"] is not None:
        sizes.append(f"{row['arena_bytes'] / 1024:,.0f} as its interpreter says")
    return ", ".join(sizes)


def told(exported: dict[str, Any]) -> str:
    """How near the answers of the exported file are to the network's."""
    return (
        f"The exported file ({exported['form']}) tells the network's scene in {exported['agreement']:.2f} % of the "
        f"test clips. No probability differs by more than {exported['probability_difference']:.2g}; the cosine of "
        f"their logits is {exported['logit_cosine']:.6f}."
    )


def beside(exported: dict[str, Any], network: dict[str, Any]) -> list[list[str]]:
    """A row a metric: its name, the network's value, and the file's."""
    both = (network, exported)
    return [
        ["accuracy", *(f"{each['accuracy']:.1f}" for each in both)],
        ["log loss", *(f"{each['log_loss']:.3f}" for each in both)],
        *(
            [f"accuracy on {device}", *(f"{each['accuracy_by_device'][device]:.1f}" for each in both)]
            for device in network["accuracy_by_device"]
        ),
    ]
