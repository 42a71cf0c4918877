"""Write params.yaml from a profile: `asc configure PROFILE [key=value ...]`, or `python -m pipeline.configure`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from asc_core import UserError
from asc_core.cli import run
from asc_core.files import replacing
from pipeline.params import PARAMS, Params, Section, check

PROFILES = Path(__file__).with_name("conf")


def configure(profile: str | None, overrides: list[str], path: Path = PARAMS, model: type[Section] = Params) -> None:
    """Write the parameters of `profile`, with `overrides` (dotted.key=YAML value), to `path`; comments are kept.

    Without a profile the overrides go on top of what `path` holds, a file of the kind `model`.

    Raises:
        UserError: an unknown profile or key, or an ill-typed value; `path` is left as it was.
    """
    from ruamel.yaml import YAML

    source = PROFILES / f"{profile}.yaml" if profile else path
    if not source.is_file():
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.yaml")))
        raise UserError(f"{profile}: no such profile, known are {known}")
    yaml = YAML()
    yaml.width = 1000  # lines stay as the profile has them
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    values = yaml.load(source)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"{override}: not of the form key=value")
        _set(values, key, YAML(typ="safe").load(text))
    check(model, _plain(values), source)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        yaml.dump(values, file)


def _set(values: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        values = values.get(parent) if isinstance(values, dict) else None
    if not isinstance(values, dict) or last not in values:
        raise UserError(f"{key}: unknown key, see the profile's file for the keys there are")
    values[last] = value


def _plain(values: Any) -> Any:
    """ruamel's commented collections as plain ones."""
    if isinstance(values, dict):
        return {str(key): _plain(value) for key, value in values.items()}
    return [_plain(value) for value in values] if isinstance(values, list) else values


def main(
    profile: Annotated[str, typer.Argument(help="quick, folder or tau2020: a file in pipeline/conf.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, the key with dots: teacher.network.tau=2")
    ] = None,
) -> None:
    """Write params.yaml from a profile and overrides; `dvc repro` then does the rest."""
    configure(profile, overrides or [])
    print(f"{PARAMS} is {' '.join([profile, *(overrides or [])])}")


if __name__ == "__main__":
    run(main, "configure")
