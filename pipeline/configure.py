"""Write params.yaml from a profile: `asc configure PROFILE [key=value ...]`, or `python -m pipeline.configure`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import SingleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from asc_core import UserError
from asc_core.cli import run
from asc_core.files import replacing
from asc_core.text import printable
from pipeline import dialect
from pipeline.params import PARAMS, Params
from pipeline.sections import Section, check, nearest, read_yaml

PROFILES = Path(__file__).with_name("conf")
NAMED = ("teachers",)  # sections whose keys are names that a profile chooses
BASE = "base"  # every key with its comment and a value; a profile says what differs


def profiles() -> list[str]:
    """The names of the profiles there are."""
    return sorted(file.stem for file in PROFILES.glob("*.yaml") if file.stem != BASE)


def parameters(profile: str) -> Params:
    """What a profile says, and the base where it says nothing.

    Raises:
        UserError: there is no such profile.
    """
    return check(Params, plain(_profile(profile)), profile)


def configure(profile: str | None, overrides: list[str], path: Path = PARAMS, model: type[Section] = Params) -> None:
    """Write the parameters of `profile`, with `overrides` (dotted.key=YAML value), to `path`; comments are kept.

    Without a profile the overrides go on top of what `path` holds, a file of the kind `model`.

    Raises:
        UserError: an unknown profile or key, or an ill-typed value; `path` is left as it was.
    """
    values = _profile(profile) if profile is not None else _commented(path)
    for override in overrides:
        _override(values, override)
    wanted = check(model, plain(values), path)
    with replacing(path) as temporary:
        dialect.write(temporary, values)
        try:
            same = check(model, dialect.read(temporary), path) == wanted
        except UserError:
            same = False
        if not same:
            raise UserError(f"{path}: would be read in another way than it was to be written; it stays as it was")


def _profile(name: str) -> CommentedMap:
    if name not in profiles():  # a name, and so never a path
        raise UserError(f"{printable(name)}: no such profile, known are {', '.join(profiles())}")
    return over_base(PROFILES / f"{name}.yaml", name)


def over_base(path: Path, name: str) -> CommentedMap:
    """The base with what the profile in a file says otherwise.

    Raises:
        UserError: the profile has a key that the base has not.
    """
    values, profile = _commented(PROFILES / f"{BASE}.yaml"), _commented(path)
    _merge(values, profile, name)
    values.ca.comment = profile.ca.comment  # the head
    return values


def _commented(path: Path) -> CommentedMap:
    if not isinstance(read_yaml(path), dict):
        raise UserError(f"{path}: not a mapping of keys to values")
    return dialect.read_commented(path)


def _merge(values: CommentedMap, profile: CommentedMap, name: str, named: bool = False) -> None:
    """Put what a profile says over the base, key by key: values, and comments where it has its own.

    Where the keys are names, those of the profile are all that there are; one that the base has too says the rest.
    """
    for key in [*values] if named else []:
        if key not in profile:
            del values[key]
    for key, value in profile.items():
        # A value in one line may have keys that it had not.
        if key not in values and not named and not values.fa.flow_style():
            raise UserError(f"{name}: {key}: unknown key, {nearest(key, values)}")
        if is_part(value, values.get(key)):
            _merge(values[key], value, name, key in NAMED)
        else:
            values[key] = value
            if isinstance(value, CommentedMap | CommentedSeq):
                value.ca.comment = None  # the comment at a key, which ruamel keeps twice
        _merge_comment(values, profile, key)


def is_part(value: Any, base: Any) -> bool:
    """Whether a value says some keys of a section; one with another name (a network, say) says all of its own."""
    both = isinstance(value, dict) and isinstance(base, dict)
    return both and value.get("name", base.get("name")) == base.get("name")


def _merge_comment(values: CommentedMap, profile: CommentedMap, key: str) -> None:
    """ruamel keeps the comment at the end of a key's line together with the empty lines behind it, which stay."""
    token = profile.ca.items.get(key, [None] * 4)[2]
    if token and (comment := token.value.partition("\n")[0]):
        tokens = values.ca.items.setdefault(key, [None] * 4)
        behind = tokens[2].value.partition("\n")[2] if tokens[2] else ""
        tokens[2] = CommentToken(f"{comment}\n{behind}", token.start_mark, None)


def _override(values: CommentedMap, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise UserError(f"{printable(override)}: not of the form key=value")
    *sections, last = key.split(".")
    for name in sections:
        values = _section(values, name, key)[name]
    _section(values, last, key)
    try:
        _put(values, last, dialect.parse_value(text))
    except ValueError as error:
        raise UserError(f"{printable(override)}: {error}; a text with such signs goes in quotes") from None


def _section(values: Any, name: str, key: str) -> CommentedMap:
    """The values, if they are a section that has a key of that name."""
    if not isinstance(values, CommentedMap) or name not in values:
        known = nearest(name, values) if isinstance(values, CommentedMap) else "it is in no section"
        raise UserError(f"{printable(key)}: unknown key, {known}")
    return values


def _put(values: CommentedMap, key: str, value: Any) -> None:
    """Set a value in one line; a whole section that is set anew stays in its lines, with its comments."""
    old = values[key]
    if isinstance(old, CommentedMap) and isinstance(value, dict) and old.keys() == value.keys():
        for name in value:
            _put(old, name, value[name])
    else:
        values[key] = in_one_line(value)


def in_one_line(value: Any) -> Any:
    """A value as it is written behind its key."""
    if isinstance(value, str) and not dialect.plain(value):
        return SingleQuotedScalarString(value)
    if not isinstance(value, dict | list):
        return value
    line: CommentedMap | CommentedSeq
    if isinstance(value, dict):
        line = CommentedMap({in_one_line(key): in_one_line(each) for key, each in value.items()})
    else:
        line = CommentedSeq(map(in_one_line, value))
    line.fa.set_flow_style()
    return line


def plain(values: Any) -> Any:
    """ruamel's commented collections as plain ones."""
    if isinstance(values, dict):
        return {str(key): plain(value) for key, value in values.items()}
    return [plain(value) for value in values] if isinstance(values, list) else values


def main(
    profile: Annotated[
        str, typer.Argument(help="quick, folder, tau2020, tau2022, dcase2025, ...: a file in pipeline/conf.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, the key with dots: teachers.asc.network.tau=2")
    ] = None,
) -> None:
    """Write params.yaml from a profile and overrides; `dvc repro` then does the rest."""
    configure(profile, overrides or [])
    print(f"{PARAMS} is {' '.join([profile, *(overrides or [])])}; next: dvc repro")


if __name__ == "__main__":
    run(main, "configure")
