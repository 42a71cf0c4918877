"""The systems of others beside ours as a Prefect flow (deployment `asc/peers`): `asc peers`, or
`python -m flows.peers`."""

from typing import Annotated

import typer
from prefect import flow

from asc_core.cli import run
from flows.engine import report
from flows.engine.execution import RUNNER, Execution, Number
from flows.engine.options import Parallel, Threads
from flows.servers.prefect import reachable
from pipeline.configure import configure
from pipeline.paths import CORPUS
from pipeline.peers import settings
from pipeline.peers.paths import EXPERIMENT, TABLE

STAGES = "pipeline/peers/dvc.yaml:"


@flow(name="asc", task_runner=RUNNER)
def peers(
    seeds: list[int] | None = None,
    rows: list[str] | None = None,
    parallel: Number | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Every configured system and ours, trained and measured on every fold, then the table.

    Args:
        seeds: seeds to train; null keeps those of peers.yaml.
        rows: systems to train beside ours; null keeps those of peers.yaml.
        parallel: trainings at once; null for one a core.
        threads: cores for each training; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"ours": 90}; null for generous ones.

    Raises:
        StageFailed: a stage failed; the text is its own.
        asc_core.UserError: peers.yaml cannot be used.
    """
    with Execution(limits=limits) as execution:
        wanted = {"peers.seeds": seeds, "peers.systems": rows}
        changes = [f"{key}={value}" for key, value in wanted.items() if value is not None]
        if changes:
            configure(None, changes, settings.SETTINGS, settings.PeersFile)
        configured = settings.load()
        jobs = [(seed, fold) for seed in configured.seeds for fold in configured.corpora]
        execution.plan(parallel, len(jobs) * (1 + len(configured.systems)), threads)
        if str(CORPUS) in configured.corpora.values():
            execution.run("download")
        execution.run(*(f"{STAGES}features@{fold}" for fold in configured.corpora))
        names = [f"train@{system}-{seed}-{fold}" for system in configured.systems for seed, fold in jobs]
        names += [f"ours@{seed}-{fold}" for seed, fold in jobs]
        execution.collect([execution.submit(STAGES + name) for name in names])
        execution.run(f"{STAGES}tables")
        execution.sync()
        text = TABLE.read_text(encoding="utf-8")
        text += "\n" + report.stages(execution.name, execution.outcomes, EXPERIMENT)
        execution.publish("peers", text, "The systems of others beside ours")


def main(
    seed: Annotated[list[int] | None, typer.Option(help="Repeat it for several; else those of peers.yaml.")] = None,
    row: Annotated[list[str] | None, typer.Option(help="A system; repeat it. Else those of peers.yaml.")] = None,
    parallel: Parallel = None,
    threads: Threads = None,
) -> None:
    """Train the systems of others and ours on every fold, then compare them in one table."""
    with reachable():
        peers(seed or None, row or None, parallel, threads)


if __name__ == "__main__":
    run(main, "peers")
