"""The best trial as a profile: what params.yaml says with its values, less what the base says too."""

from typing import Any

from ruamel.yaml.comments import CommentedMap

from asc_core import UserError
from asc_core.files import replacing
from pipeline import configure, dialect
from pipeline.configure import NAMED, in_one_line, is_part, plain
from pipeline.params import Params
from pipeline.sections import check
from pipeline.sweep.space import Search

LINE = 119


def write(search: Search, values: dict[str, Any], head: str) -> None:
    """Write `pipeline/conf/NAME.yaml`, which `asc configure NAME` takes.

    Args:
        values: of the trial, by searched key.
        head: what is said of it at the top, in one line; it is wrapped.

    Raises:
        UserError: it cannot be written, or would not say the same as what was tried.
    """
    name, wanted = search.space.name, search.settings(values)
    base = dialect.read_commented(configure.PROFILES / f"{configure.BASE}.yaml")
    found = difference(base, search.changed(values), wanted.model_dump(mode="json"))
    sections = [dialect.text(CommentedMap({key: _laid_out(base[key], value)})) for key, value in found.items()]
    path = configure.PROFILES / f"{name}.yaml"
    with replacing(path) as temporary:
        temporary.write_text("\n".join([_comment(head), *sections]), encoding="utf-8")
        if check(Params, plain(configure.over_base(temporary, name)), path) != wanted:
            raise UserError(f"{path}: would not say what the best trial had; take its values from the report")


def difference(
    base: dict[str, Any], values: dict[str, Any], whole: dict[str, Any], named: bool = False
) -> dict[str, Any]:
    """What `values` say otherwise than `base`; where they leave a key out, what it then is, from `whole`.

    Where the keys are names, those of `values` are all that there are.
    """
    found: dict[str, Any] = {}
    left_out = {} if named else {key: whole[key] for key in base if key not in values}
    for key, value in {**left_out, **values}.items():
        if is_part(value, base.get(key)):
            if (inner := difference(base[key], value, whole[key], key in NAMED)) or named:
                found[key] = inner
        elif key not in base or plain(base[key]) != value:
            found[key] = value
    if named and not any(found.values()) and found.keys() == base.keys():
        return {}
    return {key: found[key] for key in sorted(found, key=[*base, *values].index)}


def _laid_out(base: Any, value: Any) -> Any:
    """Sections in lines of their own, as the base has them, values in one."""
    if isinstance(value, dict) and isinstance(base, CommentedMap) and not base.fa.flow_style():
        return CommentedMap({key: _laid_out(base.get(key), each) for key, each in value.items()})
    return in_one_line(value)


def _comment(text: str) -> str:
    import textwrap

    return "".join(f"# {line}\n" for line in textwrap.wrap(text, LINE - 2, break_long_words=False))
