"""Files of parameters, typed and strict: any key of one that is unknown or ill-typed is named."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from asc_core import UserError
from asc_core.config import shown
from asc_core.errors import ConfigError, reason
from pipeline import dialect


class Section(BaseModel):
    """Keys of a file. The ranges of what configures the library are stated there, in its dataclasses."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Checked = TypeVar("Checked", bound=Section)


def check(model: type[Checked], values: object, origin: Path | str) -> Checked:
    """The values of a parsed YAML document as `model`.

    Raises:
        UserError: a key is unknown, missing or ill-typed; the line names each with its full path.
    """
    try:
        # As JSON, because strict validation of Python objects would want dataclass instances and not mappings.
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise UserError(f"{origin}: " + "; ".join(_explain(each, model) for each in error.errors())) from None
    except (TypeError, ValueError, RecursionError) as error:  # a key that is no text, a number of thousands of digits
        raise UserError(f"{origin}: {reason(error)}") from None


def check_names(key: str, names: Iterable[str], known: Iterable[str], told: str = "known are") -> None:
    """Hold the names under a key to those that there are.

    Raises:
        ConfigError: there is another one.
    """
    known = list(known)
    for position, name in enumerate(names):
        if name not in known:
            raise ConfigError(f"unknown name {shown(name)}, {told} {', '.join(known)}", f"{key}.{position}")


def _explain(error: ErrorDetails, model: type[Section]) -> str:
    # Where a value may be of several kinds (data.validation.devices), pydantic names the kind behind the key.
    path = [part for part in error["loc"] if part not in ("int", "list[str]")]
    *section, last = path or [""]
    key = ".".join(str(part) for part in path)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: unknown key, {nearest(str(last), _keys(model, section))}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{key}: missing key"
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        key = ".".join(part for part in (key, cause.field) if part)
        return f"{key}: {cause.reason}" if key else cause.reason
    return f"{key}: {error['msg'].removeprefix('Value error, ')}, got {shown(error['input'])}"


def nearest(name: str, known: Iterable[str]) -> str:
    """What to do about a key that does not exist: the one that was meant, or those that there are."""
    names = list(known)
    close = get_close_matches(name, names, 1)
    return f"the nearest is {close[0]}" if close else f"known are {', '.join(names)}"


def _keys(kind: Any, path: Sequence[str | int]) -> list[str]:
    """The keys of the section that is found along `path`, from a section of the type `kind`."""
    keys: dict[str, Any] = {}
    if get_args(kind):
        return [key for each in get_args(kind) for key in _keys(each, path)]
    if isinstance(kind, type) and issubclass(kind, Section):
        keys = {name: field.annotation for name, field in kind.model_fields.items()}
    elif isinstance(kind, type) and is_dataclass(kind):
        keys = get_type_hints(kind)
        keys = {each.name: keys[each.name] for each in fields(kind)}
    if not path or not keys:
        return list(keys)
    return _keys(keys.get(str(path[0]), kind), path[1:])  # names of releases, and positions, are no keys of a type


def read_yaml(path: Path) -> object:
    """What a file of parameters holds.

    Raises:
        UserError: it is missing, or not YAML in UTF-8.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; run `asc configure quick` in the project")
    return dialect.read(path)
