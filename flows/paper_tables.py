"""The tables of the publications as a Prefect flow (deployment `asc/paper-tables`): `asc paper`, or
`python -m flows.paper_tables`."""

from prefect import flow

from asc_core.cli import run
from flows.engine.execution import RUNNER, Execution, Number
from flows.engine.options import Parallel, Row, Seed, Threads
from flows.engine.table import Table
from flows.full import prepare
from flows.servers.prefect import reachable
from pipeline import params
from pipeline.paper.paths import FILES
from pipeline.paper.rows import systems

TABLE = Table(FILES, systems.SETTINGS, systems.PaperFile, "Measured and published figures")


@flow(name="asc", task_runner=RUNNER)
def paper_tables(
    seeds: list[int] | None = None,
    rows: list[str] | None = None,
    parallel: Number | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Every configured row trained and measured, then the tables and the figure, with the features of params.yaml.

    Args:
        seeds: seeds to train; null keeps those of paper.yaml.
        rows: systems to train; null keeps those of paper.yaml.
        parallel: trainings at once; null for one a core.
        threads: cores for each training; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"train_teacher": 90}; null for generous ones.

    Raises:
        StageFailed: a stage failed; the text is its own.
        asc_core.UserError: paper.yaml cannot be used.
    """
    with Execution(limits=limits) as execution:
        TABLE.configure(seeds=seeds, systems=rows)
        paper = systems.load()
        execution.plan(parallel, len(paper.seeds) * len(paper.systems), threads)
        prepare(execution, params.load())
        runs = {
            (system, seed): execution.submit(TABLE.stage(f"train@{system}-{seed}"))
            for system in paper.systems
            for seed in paper.seeds
        }
        compressions = [
            execution.submit(TABLE.stage(f"compress@{variant}-{seed}"), [runs[systems.VANILLA, seed]])
            for variant in paper.compressed
            for seed in paper.seeds
            if systems.VANILLA in paper.systems
        ]
        execution.collect([*runs.values(), *compressions])
        if systems.FIGURE1 in paper.systems:
            execution.run(TABLE.stage("figure1"))
        TABLE.finish(execution)


def main(seed: Seed = None, row: Row = None, parallel: Parallel = None, threads: Threads = None) -> None:
    """Train and measure every row of the publications' tables, then make the tables and the figure."""
    with reachable():
        paper_tables(seed or None, row or None, parallel, threads)


if __name__ == "__main__":
    run(main, "paper-tables")
