"""The whole pipeline as the Prefect flow `asc` (deployment `full`): `asc run`, or `python -m flows.full`."""

from typing import Annotated, get_args

import typer
from prefect import flow
from prefect.futures import PrefectFuture

from asc_core import UserError
from asc_core.cli import run
from flows.engine import remote as elsewhere
from flows.engine import report
from flows.engine.execution import RUNNER, Execution, Number, StageName
from flows.engine.options import Parallel, Threads
from flows.engine.stages import FINAL_STAGES, TRAINING_STAGES, StageFailed, trainings
from flows.servers.prefect import reachable
from pipeline import params


@flow(name="asc", task_runner=RUNNER)
def asc(
    seeds: list[int] | None = None,
    profile: str | None = None,
    overrides: list[str] | None = None,
    force: list[StageName] | None = None,
    parallel: Number | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
    remote: bool = False,
) -> None:
    """From the corpus to the gate: what DVC finds stale is run, seeds side by side on their share of the cores.

    Args:
        seeds: seeds to train; null keeps those of params.yaml.
        profile: a file of pipeline/conf; null keeps params.yaml.
        overrides: key=value, as pipeline.configure takes them: "prune.ratio=0.8".
        force: stages to run although nothing changed.
        parallel: trainings at once; null for one a core.
        threads: cores for each training; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"train_teacher": 90}; null for generous ones.
        remote: have each seed trained by a worker of asc/seed, in a clone of its own.

    Raises:
        StageFailed: a stage failed or a gate was missed; the text says which and by how much.
        asc_core.UserError: the parameters cannot be used.
    """
    if remote and (forced := sorted({*TRAINING_STAGES} & {*(force or [])})):
        raise UserError(f"force: {forced[0]} is trained elsewhere and cannot be forced; leave out remote")
    with Execution(force, limits) as execution:
        changes = [f"seeds={seeds}"] if seeds is not None else []
        settings = execution.configure(profile, [*(overrides or []), *changes])
        execution.plan(parallel, len(settings.seeds) * len(settings.teachers), threads)
        failed = None
        try:
            prepare(execution, settings)
            execution.collect(train_seeds(execution, settings, remote))
            execution.run(*FINAL_STAGES)
        except StageFailed as error:
            failed = error
        execution.sync()
        text = report.result(execution.name, execution.outcomes, failed)
        execution.publish("summary", text, "Result of the pipeline")
        if any(outcome.stage == "summarise" for outcome in execution.outcomes):
            execution.publish("plots", report.plots(), "Plots of the result")
        if failed:
            raise failed


def prepare(execution: Execution, settings: params.Params) -> None:
    """The corpus and its features."""
    fetch(execution, settings)
    execution.run("validate", "extract_features")


def fetch(execution: Execution, settings: params.Params) -> None:
    """The corpus. A fetch may fail for reasons that pass; what is wrong with a folder does not."""
    execution.run("download", retries=2 if settings.data.source.startswith("tau") else 0)


def train_seeds(execution: Execution, settings: params.Params, remote: bool) -> list[PrefectFuture]:
    """The stages of all seeds, submitted; those that workers train elsewhere when these are done with them."""
    names = list(settings.teachers)
    away = elsewhere.stale(settings.seeds, names) if remote else []
    order = elsewhere.order(execution.name, execution.threads, execution.limits) if away else None
    futures = [future for seed in settings.seeds if seed not in away for future in train(execution, seed, names)]
    if order:
        elsewhere.hand_over(
            away, order, execution.log.info, lambda seed: futures.extend(train(execution, seed, names, pull=True))
        )
    return futures


def train(execution: Execution, seed: int, names: list[str], *, pull: bool = False) -> list[PrefectFuture]:
    """The stages of a seed: its teachers side by side, then each after the one before.

    With `pull`, networks come from the DVC remote if it has them. Metrics are in git and not in the remote, so the
    evaluation is always made here.
    """
    teachers, others = trainings(seed, names)
    futures = [execution.submit(target, pull=pull) for target in teachers]
    for target in others:
        futures.append(execution.submit(target, list(futures), pull=pull))
    futures.append(execution.submit(f"evaluate@{seed}", list(futures)))
    return futures


def main(
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as `asc configure` takes them.")] = None,
    profile: Annotated[str | None, typer.Option(help="As for `asc configure`; else params.yaml as it is.")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Repeat it for several; else those of params.yaml.")] = None,
    force: Annotated[list[str] | None, typer.Option(help="A stage to run although nothing changed.")] = None,
    parallel: Parallel = None,
    threads: Threads = None,
    remote: Annotated[bool, typer.Option("--remote", help="Have workers of asc/seed train the seeds.")] = False,
) -> None:
    """Run the pipeline from the corpus to the gate, seeds side by side; a server is not needed."""
    known = get_args(StageName)
    if unknown := sorted({*(force or [])} - {*known}):
        raise UserError(f"--force: no stage {unknown[0]}, known are {', '.join(known)}")
    forced = [name for name in known if name in (force or [])]
    with reachable():
        asc(seed or None, profile, overrides or None, forced or None, parallel, threads, remote=remote)


if __name__ == "__main__":
    run(main, "asc")
