"""A model package on the configured corpus (deployment `asc/evaluate`): accuracy by device, as a table and as JSON."""

import json

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.engine import report
from flows.engine.execution import RUNNER, Execution
from flows.engine.stages import run_command
from flows.full import prepare


@task(cache_policy=NO_CACHE)
def evaluate_package(package: str, timeout: float) -> dict:
    """The metrics of a package on the test split of the corpus that is in place."""
    logger = get_run_logger()
    *_, result = run_command("measure", ["-m", "pipeline.release.measure", package], logger.info, timeout=timeout)
    return json.loads(result)


@flow(name="asc", task_runner=RUNNER)
def asc_evaluate(
    package: str,
    profile: str | None = None,
    overrides: list[str] | None = None,
    limits: dict[str, float] | None = None,
) -> None:
    """Accuracy and log loss of a packaged model: overall, by device, on seen and unseen devices; the log has JSON.

    Args:
        package: a file that the stage quantize has made, or one exported from it, where the worker runs:
            models/0/quantized.asc.
        profile: a file of pipeline/conf; null keeps params.yaml.
        overrides: key=value, as pipeline.configure takes them: "prune.ratio=0.8".
        limits: minutes after which a stage is ended, by its name: {"train_teacher": 90}; null for generous ones.

    Raises:
        StageFailed: the package cannot be used with this corpus, or a stage of the corpus failed.
        asc_core.UserError: the parameters cannot be used.
    """
    with Execution(limits=limits) as execution:
        prepare(execution, execution.configure(profile, overrides))
        result = evaluate_package(package, 60 * execution.limits["evaluate"])
        execution.publish("evaluation", report.evaluation(result), f"{package} on the configured corpus")
