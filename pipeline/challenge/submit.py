"""Write a submission to the challenge, in the form of its year."""

import typer

from asc_core.cli import run
from pipeline.challenge import dcase2021, dcase2025

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.command("2021")(dcase2021.main)
app.command("2025")(dcase2025.main)

if __name__ == "__main__":
    run(app, "submit")
