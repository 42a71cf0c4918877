"""Make corpora of another form: `asc corpus split-seconds`."""

from pathlib import Path
from typing import Annotated

import typer

corpus = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@corpus.callback()
def _corpus() -> None:
    """Make corpora of another form."""


@corpus.command("split-seconds")
def split_seconds(
    source: Annotated[Path, typer.Argument(help="A corpus in the TAU layout, of whole recordings.", metavar="FOLDER")],
    target: Annotated[Path, typer.Argument(help="A new folder.", metavar="NEW_FOLDER")],
) -> None:
    """Cut a corpus of recordings into one of their seconds, with nested shares of its training split."""
    from asc_core.corpus import split

    count = split.split_seconds(source, target)
    print(f"{target}: {count} files of a second; split_setup/split*.csv are shares of the training split")
