"""The folder of C that a package becomes."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from asc_core.deploy.c.network import network_source
from asc_core.deploy.c.tables import array, labels, tables_header
from asc_core.errors import UserError
from asc_core.features.frontend import features_of
from asc_core.files import writing

TEMPLATES = ("asc_features.h", "asc_features.c", "asc_kernels.h", "main.c")
MAKEFILE = """\
CFLAGS ?= -O2 -Wall -Wextra
asc: main.c asc_features.c asc_network.c
\t$(CC) -std=c99 $(CFLAGS) -o $@ $^ -lm
"""


def export_c(network: nn.Module, description: dict[str, Any], folder: Path, graph: bytes | None = None) -> None:
    """Write a deployed network to a folder as C, with its LiteRT file as an array for other runtimes.

    Args:
        folder: that does not exist yet, or is empty.
        graph: the LiteRT file; None for the one in 32-bit floats.

    Raises:
        UserError: the folder holds something, or the network cannot be expressed.
        ModuleNotFoundError: LiteRT, whose format the network goes through, is not installed.
    """
    from asc_core.deploy.tflite.convert import to_tflite

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: there is something already; name a folder that is empty or not there")
    config, seconds = features_of(description)
    floats = to_tflite(network, description)
    sources = {
        "asc_tables.h": tables_header(config, seconds),
        "asc_network.h": labels(description["labels"]),
        "asc_network.c": network_source(floats),
        "asc_model.c": array(floats if graph is None else graph),
        "Makefile": MAKEFILE,
    }
    with writing(folder), tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        whole = Path(name) / "c"
        whole.mkdir()
        for file, source in sources.items():
            (whole / file).write_text(source, encoding="utf-8")
        for file in TEMPLATES:
            shutil.copyfile(Path(__file__).with_name(file), whole / file)
        os.replace(whole, folder)
