"""The registered model `asc` in MLflow: its versions, and which of them is served.

    asc registry show | promote VERSION | rollback            (or python -m pipeline.release.registry)

A run that passes the gate hands its model over in the journal, and `pipeline.release.sync` brings it here as a version.
The newest version is the `challenger`. It becomes the `champion` when there is none yet, or when it beats the champion
on the same clips and features by more than chance; whatever else is a person's decision:

    mlflow models serve --env-manager local --model-uri models:/asc@champion

serves whichever version has the alias (`pipeline.release.shipped.served` says what to send).
"""

import contextlib
import json
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asc_core import UserError
from asc_core.cli import run
from asc_core.files import digest
from asc_core.text import printable
from pipeline.release import mlflow_client
from pipeline.release.shipped import bundle
from pipeline.reporting.terminal import WIDTH, terminal_table
from pipeline.runtime.journal import flat

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

NAME = "asc"
CHAMPION, CHALLENGER = "champion", "challenger"
HISTORY = "champions"  # tag of the registered model: the versions that were champion, the present one last


def register(client: "MlflowClient", run: str, folder: Path, facts: dict[str, Any]) -> None:
    """Make a version of the files in `folder`, unless there is one of the same package, code and measurements.

    Args:
        run: the run that the version belongs to.
        folder: its files (`pipeline.release.shipped.bundle`), as the gate kept them.
        facts: what the gate knows of the model; they become the version's tags.

    Raises:
        MlflowException: MLflow refuses or does not answer; calling again completes what was begun.
    """
    from mlflow.exceptions import MlflowException

    key = digest(facts, bundle.fingerprint(folder))
    found = client.search_model_versions(f"name = '{NAME}' and tag.key = '{key}'")
    if found:
        version = found[0]
    else:
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / f"model-{key}"  # an execution may have its gate run again, with another model
            bundle.save(folder, model)
            client.log_artifacts(run, str(model), model.name)
        with contextlib.suppress(MlflowException):  # it exists; where it cannot be made, the next line says why
            client.create_registered_model(NAME, description="Acoustic scenes, from audio samples to probabilities.")
        version = client.create_model_version(
            NAME,
            f"{client.get_run(run).info.artifact_uri}/{model.name}",
            run,
            tags={"key": key, **{name: str(value) for name, value in flat(facts).items()}},
            description=(folder / bundle.CARD).read_text(encoding="utf-8").partition("\n## ")[0],
        )
    if "verdict" not in version.tags:
        _place(client, version)


def _place(client: "MlflowClient", version: "ModelVersion") -> None:
    """Give a new version its alias, and note why it is that one."""
    number = str(version.version)
    client.set_registered_model_alias(NAME, CHALLENGER, number)
    present = champion(client)
    if present and str(present.version) == number:  # an earlier call was cut off here
        better, why = True, "promoted"
    else:
        better, why = verdict(client, version, present)
    if better:
        promote(client, number)
    client.set_model_version_tag(NAME, number, "verdict", why)
    print(f"registry: {NAME} version {number} is {CHAMPION if better else CHALLENGER}: {why}", flush=True)


def verdict(client: "MlflowClient", challenger: "ModelVersion", champion: "ModelVersion | None") -> tuple[bool, str]:
    """Whether a challenger replaces the champion, and why.

    It does when its accuracy is higher, clip by clip, by more than chance: the 95 % interval of the difference, over
    locations and seeds, is above zero (`asc_core.comparison`).
    """
    from asc_core.comparison.systems import compare

    if champion is None:
        return True, "there was no champion"
    if not challenger.tags.get("features") or challenger.tags["features"] != champion.tags.get("features"):
        return False, "not compared, the champion was measured on other features"
    try:
        own, others = (_answers(client, version) for version in (challenger, champion))
        found = compare(own, others)
    except UserError as error:
        return False, f"not compared, {error}"
    if not any(found.several):
        return False, "not compared, of one seed each nobody knows what another seed would change"
    accuracy = found.differences["accuracy",]
    bounds = "too few locations for an interval"
    if accuracy.interval:
        bounds = "95 % interval {:+.2f} to {:+.2f}".format(*accuracy.interval)
    why = f"{accuracy.verdict}: {accuracy.first:.2f} % against {accuracy.other:.2f} %, {bounds}"
    return accuracy.verdict == "better", why


def _answers(client: "MlflowClient", version: "ModelVersion") -> "dict[str, pd.DataFrame]":
    """The tables of predictions that a version keeps, by what errors call them.

    Raises:
        UserError: it keeps none, or one that cannot be used.
    """
    from asc_core.evaluation import predictions

    run, source = version.run_id or "", version.source or ""  # it may be of other hands
    folder = f"{source.rstrip('/').rpartition('/')[2]}/artifacts/{bundle.PREDICTIONS}"
    if not run or not client.list_artifacts(run, folder):
        raise UserError(f"version {version.version} keeps no predictions")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(client.download_artifacts(run, folder, temporary))
        return {
            f"version {version.version}, {file.name}": predictions.read(file) for file in sorted(path.glob("*.parquet"))
        }


def champion(client: "MlflowClient") -> "ModelVersion | None":
    """The version with the alias champion."""
    version = _aliases(client.get_registered_model(NAME)).get(CHAMPION)
    return client.get_model_version(NAME, version) if version else None


def promote(client: "MlflowClient", version: str) -> None:
    """Make a version the champion; who was it before stays in the history."""
    model = client.get_registered_model(NAME)
    history, aliases = _history(model), _aliases(model)
    for each in (aliases.get(CHAMPION), version):  # the present one too: someone may have set it in MLflow
        if each and history[-1:] != [each]:
            history.append(each)
    client.set_registered_model_tag(NAME, HISTORY, json.dumps(history[-100:]))
    client.set_registered_model_alias(NAME, CHAMPION, version)
    if aliases.get(CHALLENGER) == version:
        client.delete_registered_model_alias(NAME, CHALLENGER)


def rollback(client: "MlflowClient") -> str:
    """Make the version champion that was it before the present one, and return it.

    Raises:
        UserError: none was.
    """
    model = client.get_registered_model(NAME)
    present = _aliases(model).get(CHAMPION)
    existing = {str(version.version) for version in client.search_model_versions(f"name = '{NAME}'")}
    history = [version for version in _history(model) if version in existing]
    while history and history[-1] == present:
        history.pop()
    if not history:
        raise UserError(
            f"no version was champion before version {present or 'this'}; `promote VERSION` makes one champion"
        )
    client.set_registered_model_tag(NAME, HISTORY, json.dumps(history))
    client.set_registered_model_alias(NAME, CHAMPION, history[-1])
    return history[-1]


def _history(model: "RegisteredModel") -> list[str]:
    return json.loads(model.tags.get(HISTORY, "[]"))


def _aliases(model: "RegisteredModel") -> dict[str, str]:
    """The number of the version behind each alias, as text: a database gives whole numbers, a server texts."""
    return {alias: str(number) for alias, number in model.aliases.items()}


app = typer.Typer(
    help="The registered model `asc` in MLflow.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
def show() -> None:
    """List the versions, newest first."""
    with _registry() as client:
        model = client.get_registered_model(NAME)
        versions = client.search_model_versions(f"name = '{NAME}'")
        names: dict[str, list[str]] = defaultdict(list)
        for alias, number in sorted(_aliases(model).items()):
            names[number].append(alias)
        rows, verdicts = [], []
        for version in sorted(versions, key=lambda each: -int(each.version)):
            tags = defaultdict(str, version.tags)  # a version may have been made by other hands
            accuracy = [float(tags[f"accuracy.{name}"] or "nan") for name in ("mean", "std")]
            rows.append([
                str(version.version), ", ".join(names[str(version.version)]), "{:.2f} ±{:.2f}".format(*accuracy),
                tags["seeds"], tags["seed"], tags["counted_bytes"], f"{tags['source']} {tags['features'][:8]}",
            ])  # fmt: skip
            why = printable(f"version {version.version}: {tags['verdict']}")
            verdicts.append(textwrap.fill(why, WIDTH, subsequent_indent="    "))
        heads = ["version", "alias", "accuracy", "seeds", "of", "bytes", "features"]
        print(terminal_table(heads, rows), *verdicts, sep="\n")


@app.command("promote")
def promote_command(version: Annotated[int, typer.Argument(help="As `show` lists them.", min=1)]) -> None:
    """Make VERSION the champion."""
    with _registry() as client:
        if not client.search_model_versions(f"name = '{NAME}' and version_number = {version}"):
            raise UserError(
                f"{NAME} has no version {version}; `python -m pipeline.release.registry show` lists those there are"
            )
        promote(client, str(version))
        print(f"{NAME} version {version} is {CHAMPION}")


@app.command("rollback")
def rollback_command() -> None:
    """Give the alias back to the version that was champion before."""
    with _registry() as client:
        print(f"{NAME} version {rollback(client)} is {CHAMPION}")


@contextlib.contextmanager
def _registry() -> Iterator["MlflowClient"]:
    """A client for a command, while no journal is sent.

    Raises:
        UserError: the store cannot be used, refuses something, or has no such model.
    """
    with mlflow_client.alone():
        client = mlflow_client.connect()
        from mlflow.exceptions import MlflowException

        try:
            if not client.search_registered_models(f"name = '{NAME}'"):
                raise UserError(
                    f"{mlflow_client.shown_address()}: no model {NAME} yet; "
                    "`dvc repro` registers one that passes the gate"
                )
            yield client
        except MlflowException as error:
            raise UserError(f"MLflow at {mlflow_client.shown_address()}: {mlflow_client.one_line(error)}") from None


if __name__ == "__main__":
    run(app, "registry")
