"""The systems of others beside ours as a Prefect flow (deployment `asc/peers`): `asc peers`, or
`python -m flows.peers`."""

from prefect import flow

from asc_core.cli import run
from flows.engine.execution import RUNNER, Execution, Number
from flows.engine.options import Parallel, Row, Seed, Threads
from flows.engine.table import Table
from flows.full import fetch
from flows.servers.prefect import reachable
from pipeline import params
from pipeline.paths import CORPUS
from pipeline.peers import settings
from pipeline.peers.paths import FILES

TABLE = Table(FILES, settings.SETTINGS, settings.PeersFile, "The systems of others beside ours")


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
        TABLE.configure(seeds=seeds, systems=rows)
        configured = settings.load()
        jobs = [(seed, fold) for seed in configured.seeds for fold in configured.corpora]
        execution.plan(parallel, len(jobs) * (1 + len(configured.systems)), threads)
        if str(CORPUS) in configured.corpora.values():
            fetch(execution, params.load())
        execution.run(*(TABLE.stage(f"features@{fold}") for fold in configured.corpora))
        names = [f"train@{system}-{seed}-{fold}" for system in configured.systems for seed, fold in jobs]
        names += [f"ours@{seed}-{fold}" for seed, fold in jobs]
        execution.collect([execution.submit(TABLE.stage(name)) for name in names])
        TABLE.finish(execution)


def main(seed: Seed = None, row: Row = None, parallel: Parallel = None, threads: Threads = None) -> None:
    """Train the systems of others and ours on every fold, then compare them in one table."""
    with reachable():
        peers(seed or None, row or None, parallel, threads)


if __name__ == "__main__":
    run(main, "peers")
