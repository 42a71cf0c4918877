"""New recordings held to those that a model was trained on (deployment `asc/watch`): the run fails when they differ."""

import re
from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.engine import report
from flows.engine.execution import RUNNER
from flows.engine.stages import run_command
from pipeline import params
from pipeline.runtime.journal import Journal, execution

LIMIT = 4 * 60  # minutes


@task(cache_policy=NO_CACHE)
def watch_folder(model: str, folder: str) -> None:
    """What `asc watch` says of a folder, in the log and, with where its page is, as an artifact."""
    logger, lines = get_run_logger(), list[str]()

    def log(line: str) -> None:
        lines.append(line)
        logger.info(line)

    try:
        run_command("watch", ["-m", "asc_core.cli", "watch", model, folder], log, timeout=60 * LIMIT)
    finally:
        text = "\n".join(f"    {line}" for line in lines)
        if page := re.search(r"^    report: (\S+), for a browser$", text, re.MULTILINE):
            text += f"\n\nReport: {keep(Path(page[1]))}\n"
        create_markdown_artifact(key="watch", markdown=text, description=f"{folder} beside what {model} was trained on")


def keep(page: Path) -> str:
    """Where the page can be had: where MLflow is a server, it gets it first."""
    if report.tracking_server():
        journal = Journal("watch", None, params.load().model_dump(mode="json"))
        journal.artifact(page, summary=True)
        journal.end("FINISHED", summary=True)
        run_command("sync_tracking", ["-m", "pipeline.release.sync"], get_run_logger().info, timeout=600)
    return report.kept(execution(), "watch", page)


@flow(name="asc", task_runner=RUNNER)
def asc_watch(folder: str, model: str = "models/0/quantized.asc") -> None:
    """Whether the recordings in a folder, without labels, are like those that a model was trained on.

    Args:
        folder: sound files of one device, where the worker runs.
        model: a package with its reference.safetensors beside it, where the worker runs.

    Raises:
        StageFailed: they are not, or cannot be compared.
    """
    watch_folder(model, folder)
