"""The whole pipeline as the Prefect flow `asc` (deployment `full`): `python -m flows.full` runs it without a server."""

import threading
from datetime import datetime
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from asc_core import UserError
from asc_core.cores import usable_cores
from flows import server
from flows.stages import CORPUS_STAGES, FINAL_STAGES, SEED_STAGES, Outcome, StageFailed, run_stage
from pipeline import params
from pipeline.configure import configure
from pipeline.paths import GATE, SUMMARY, TABLE

MOST_TASKS = 1000  # threads that wait cost nothing; how many stages compute at once is limited below


@task(cache_policy=NO_CACHE)
def stage(name: str, slots: threading.Semaphore, threads: int | None, execution: str, force: bool) -> Outcome:
    """One stage of the pipeline, brought up to date by DVC."""
    logger = get_run_logger()
    with slots:
        outcome = run_stage(name, logger.info, threads=threads, execution=execution, force=force)
    logger.info(f"{name}: {outcome.status} in {outcome.seconds:.1f} s")
    return outcome


@flow(name="asc", task_runner=ThreadPoolTaskRunner(max_workers=MOST_TASKS))  # type: ignore[arg-type]
def asc(
    seeds: Annotated[list[int] | None, Field(description="Seeds to train; null keeps those of params.yaml.")] = None,
    profile: Annotated[str | None, Field(description="A file of pipeline/conf; null keeps params.yaml.")] = None,
    overrides: Annotated[list[str] | None, Field(description="key=value, as pipeline.configure takes them.")] = None,
    force: Annotated[list[str] | None, Field(description="Stages to run although nothing changed.")] = None,
    parallel: Annotated[int | None, Field(description="Seeds trained at once; null for one a core.", ge=1)] = None,
) -> None:
    """From the corpus to the gate: what DVC finds stale is run, seeds side by side on their share of the cores.

    Raises:
        StageFailed: a stage failed or a gate was missed; the text says which and by how much.
        asc_core.UserError: the parameters cannot be used.
    """
    changes = [*(overrides or []), *([f"seeds={seeds}"] if seeds is not None else [])]
    if profile or changes:
        configure(profile, changes)
    settings = params.load()
    cores = usable_cores()
    parallel = min(parallel or cores, len(settings.seeds))
    execution = f"{datetime.now():%Y-%m-%d-%H%M%S}-{flow_run.name or 'asc'}"
    slots = threading.BoundedSemaphore(parallel)

    def submit(name: str, after: PrefectFuture | None = None, *, alone: bool = False) -> PrefectFuture:
        threads = None if alone else max(1, cores // parallel)
        forced = bool(force) and name.split("@")[0] in force
        run = stage.with_options(name=name.split("@")[0], task_run_name=name)
        return run.submit(name, slots, threads, execution, forced, wait_for=[after] if after else None)

    outcomes = [_result(submit(name, alone=True)) for name in CORPUS_STAGES]
    chains: list[list[PrefectFuture]] = []
    for seed in settings.seeds:
        chain: list[PrefectFuture] = []
        for name in SEED_STAGES:
            chain.append(submit(f"{name}@{seed}", chain[-1] if chain else None))
        chains.append(chain)
    # A seed that fails leaves the others to finish: their work is done when the pipeline is run again.
    for chain in chains:
        for future in chain:
            future.wait()
    outcomes += [_result(future) for chain in chains for future in chain]
    try:
        outcomes += [_result(submit(name, alone=True)) for name in FINAL_STAGES]
    finally:
        if SUMMARY.exists():
            create_markdown_artifact(key="summary", markdown=report(outcomes), description="Result of the pipeline")


def _result(future: PrefectFuture) -> Outcome:
    """The outcome of a stage, or its failure in the stage's own words."""
    future.wait()
    if future.state.is_completed():
        return future.result()
    error = future.state.result(raise_on_failure=False)
    raise error if isinstance(error, StageFailed) else StageFailed(str(future.state.message))


def report(outcomes: list[Outcome]) -> str:
    """What a run leaves in Prefect: the table of the networks, the gate's checks, and what DVC did."""
    lines = ["# Result", "", TABLE.read_text(encoding="utf-8") if TABLE.exists() else "", "## Gate", ""]
    lines += ["```json", GATE.read_text(encoding="utf-8").strip(), "```"] if GATE.exists() else ["not reached"]
    lines += ["", "## Stages", "", "| stage | DVC | seconds |", "|---|---|---|"]
    lines += [f"| {each.stage} | {each.status} | {each.seconds:.1f} |" for each in outcomes]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        with server.reachable():
            asc()
    except (StageFailed, UserError) as error:
        raise SystemExit(f"asc: error: {error}") from None
