"""The tables of the publications as a Prefect flow (deployment `asc/paper-tables`): `python -m flows.paper_tables`."""

from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from asc_core import UserError
from flows import server
from flows.execution import RUNNER, Execution
from flows.stages import CORPUS_STAGES, StageFailed
from pipeline.configure import configure
from pipeline.paper import systems
from pipeline.paper.paths import REPORTS

STAGES = "pipeline/paper/dvc.yaml:"


@flow(name="asc", task_runner=RUNNER)
def paper_tables(
    seeds: Annotated[list[int] | None, Field(description="Seeds; null keeps those of paper.yaml.")] = None,
    rows: Annotated[list[str] | None, Field(description="Systems to train; null keeps those of paper.yaml.")] = None,
    parallel: Annotated[int | None, Field(description="Trainings at once; null for one a core.", ge=1)] = None,
) -> None:
    """Every configured row trained and measured, then the tables and the figure, with the features of params.yaml.

    Raises:
        StageFailed: a stage failed; the text is its own.
        asc_core.UserError: paper.yaml cannot be used.
    """
    wanted = {"paper.seeds": seeds, "paper.systems": rows}
    changes = [f"{key}={value}" for key, value in wanted.items() if value is not None]
    if changes:
        configure(None, changes, systems.SETTINGS, systems.PaperFile)
    paper = systems.load()
    execution = Execution(parallel, len(paper.seeds) * len(paper.systems))
    execution.run(*CORPUS_STAGES)
    runs = {
        (system, seed): execution.submit(f"{STAGES}train@{system}-{seed}")
        for system in paper.systems
        for seed in paper.seeds
    }
    compressions = [
        execution.submit(f"{STAGES}compress@{variant}-{seed}", [runs[systems.VANILLA, seed]])
        for variant in paper.compressed
        for seed in paper.seeds
        if systems.VANILLA in paper.systems
    ]
    execution.collect([*runs.values(), *compressions])
    if systems.FIGURE1 in paper.systems:
        execution.run(f"{STAGES}figure1")
    execution.run(f"{STAGES}tables")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(REPORTS.glob("*.md")))
    create_markdown_artifact(key="paper-tables", markdown=text, description="Measured and published figures")


if __name__ == "__main__":
    try:
        with server.reachable():
            paper_tables()
    except (StageFailed, UserError) as error:
        raise SystemExit(f"paper-tables: error: {error}") from None
