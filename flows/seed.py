"""One seed, in whatever clone a worker runs (deployment `asc/seed`): on its own, or for an `asc/full` elsewhere."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.engine import remote, report
from flows.engine.execution import RUNNER, Execution, Number, StageName
from flows.engine.stages import trainings
from flows.full import prepare
from pipeline import params


@flow(name="asc", task_runner=RUNNER)
def asc_seed(
    seed: Annotated[int, Field(ge=0)],
    profile: str | None = None,
    overrides: list[str] | None = None,
    force: list[StageName] | None = None,
    threads: Number | None = None,
    limits: dict[str, float] | None = None,
    order: remote.Order | None = None,
) -> None:
    """The networks of one seed, from teachers to quantised.

    With an order, features come from the DVC remote and each stage's result goes there as soon as it is made; what
    another worker has put there is not trained again. Without one, the corpus and the evaluation are part of it.

    Args:
        seed: the seed; it joins those of params.yaml.
        profile: a file of pipeline/conf; null keeps params.yaml.
        overrides: key=value, as pipeline.configure takes them: "prune.ratio=0.8".
        force: stages to run although nothing changed.
        threads: cores for each training; null for its share of them. Other numbers round differently.
        limits: minutes after which a stage is ended, by its name: {"train_teacher": 90}; null for generous ones.
        order: what asc/full hands over; null for a run of your own.

    Raises:
        StageFailed: a stage failed, or the DVC remote.
        asc_core.UserError: the parameters cannot be used, or the order is for other code than this clone has.
    """
    if order:
        limits, threads = limits or order.limits, threads or order.threads
    name, asked_by = (order.execution, order.flow_run) if order else (None, None)
    with Execution(force, limits, name, borrow_from=asked_by) as execution:
        if order is None:
            settings = execution.configure(profile, overrides)
            if seed not in settings.seeds:
                settings = execution.configure(None, [f"seeds={sorted([*settings.seeds, seed])}"])
            prepare(execution, settings)
        elif execution.alone:
            remote.accept(order)
        execution.plan(1, 1, threads)
        teachers, others = trainings(seed, params.load().teachers)
        for target in [*teachers, *others, *([] if order else [f"evaluate@{seed}"])]:
            execution.collect([execution.submit(target, pull=order is not None)])
            if order:
                remote.push(target)
        execution.sync()
        execution.publish(f"seed-{seed}", report.stages(execution.name, execution.outcomes), f"Seed {seed}")
