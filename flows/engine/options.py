"""Options that the commands of several flows have, for typer."""

from typing import Annotated

import typer

Parallel = Annotated[int | None, typer.Option(help="Trainings at once; else one a core.", min=1)]
Threads = Annotated[int | None, typer.Option(help="Cores for each; else its share of them.", min=1)]

# Of a table of systems.
Seed = Annotated[list[int] | None, typer.Option(help="Repeat it for several; else those of the table's settings.")]
Row = Annotated[list[str] | None, typer.Option(help="A system; repeat it. Else those of the table's settings.")]
