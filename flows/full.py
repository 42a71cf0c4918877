"""The whole pipeline as the Prefect flow `asc` (deployment `full`): `python -m flows.full` runs it without a server."""

from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from asc_core import UserError
from flows import server
from flows.execution import RUNNER, Execution
from flows.stages import CORPUS_STAGES, FINAL_STAGES, SEED_STAGES, Outcome, StageFailed
from pipeline import params
from pipeline.configure import configure
from pipeline.paths import GATE, SUMMARY, TABLE


@flow(name="asc", task_runner=RUNNER)
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
    execution = Execution(parallel, len(settings.seeds), force)
    execution.run(*CORPUS_STAGES)
    trainings = []
    for seed in settings.seeds:
        after = None
        for name in SEED_STAGES:
            trainings.append(execution.submit(f"{name}@{seed}", after))
            after = trainings[-1:]
    execution.collect(trainings)
    try:
        execution.run(*FINAL_STAGES)
    finally:
        if SUMMARY.exists():
            text = report(execution.outcomes)
            create_markdown_artifact(key="summary", markdown=text, description="Result of the pipeline")


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
