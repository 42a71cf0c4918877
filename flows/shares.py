"""Accuracy by the share of the training data as a Prefect flow (deployment `asc/shares`): `asc shares`, or
`python -m flows.shares`."""

from typing import Annotated

import typer
from prefect import flow

from asc_core.cli import run
from flows.engine.execution import RUNNER, Execution, Number
from flows.engine.options import Parallel, Row, Seed, Threads
from flows.engine.table import Table
from flows.full import fetch
from flows.servers.prefect import reachable
from pipeline import params
from pipeline.shares import settings
from pipeline.shares.paths import FILES

TABLE = Table(FILES, settings.SETTINGS, settings.SharesFile, "Accuracy by the share of the training data")


@flow(name="asc", task_runner=RUNNER)
def shares(
    seeds: list[int] | None = None,
    rows: list[str] | None = None,
    percent: list[int] | None = None,
    parallel: Number | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Every configured system and ours, trained on every share and measured, then the table.

    Args:
        seeds: seeds to train; null keeps those of shares.yaml.
        rows: systems to train beside ours; null keeps those of shares.yaml.
        percent: shares to train on, of 5, 10, 25, 50 and 100; null keeps those of shares.yaml.
        parallel: trainings at once; null for one a core.
        threads: cores for each training; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"ours": 90}; null for generous ones.

    Raises:
        StageFailed: a stage failed; the text is its own.
        asc_core.UserError: shares.yaml cannot be used.
    """
    with Execution(limits=limits) as execution:
        TABLE.configure(seeds=seeds, systems=rows, percent=percent)
        configured = settings.load()
        jobs = [(seed, share) for seed in configured.seeds for share in configured.percent]
        execution.plan(parallel, len(jobs) * (1 + len(configured.systems)), threads)
        fetch(execution, params.load())
        execution.run(TABLE.stage("features"))
        names = [f"train@{system}-{seed}-{share}" for system in configured.systems for seed, share in jobs]
        names += [f"ours@{seed}-{share}" for seed, share in jobs]
        execution.collect([execution.submit(TABLE.stage(name)) for name in names])
        TABLE.finish(execution)


def main(
    seed: Seed = None,
    row: Row = None,
    percent: Annotated[list[int] | None, typer.Option(help="A share; repeat it. Else those of the settings.")] = None,
    parallel: Parallel = None,
    threads: Threads = None,
) -> None:
    """Train ours and systems of others on shares of the training data, then compare them in one table."""
    with reachable():
        shares(seed or None, row or None, percent or None, parallel, threads)


if __name__ == "__main__":
    run(main, "shares")
