"""What all configuration dataclasses have in common. Each stands in the package that it configures, light to import."""

import dataclasses
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from asc_core.errors import ConfigError

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, both included: `epochs: Annotated[int, Range(1, 10_000)]`."""

    least: float
    most: float
    multiple_of: int = 1  # of whole numbers

    def __contains__(self, value: float) -> bool:
        within = self.least <= value <= self.most  # nothing that is no number is
        return within and (self.multiple_of == 1 or value % self.multiple_of == 0)

    def __str__(self) -> str:
        multiple = f" and a multiple of {self.multiple_of}" if self.multiple_of > 1 else ""
        return f"from {self.least:,} to {self.most:,}{multiple}"


SEED = Range(0, 2**32 - 1)  # what every generator of random numbers takes


class Config:
    """Base of the configurations. Types and ranges are stated once, in the annotations, and hold for every maker.

    A class with rules of its own calls this `__post_init__` first. Readers of files refuse keys that it does not have.

    Raises:
        ConfigError: a value is of another type, or out of range; of a `Literal`, what looks the name up says so.
    """

    # Read by pydantic where a pipeline validates its parameters with it; a plain attribute everywhere else.
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        kinds = get_type_hints(type(self), include_extras=True)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if not _fits(value, kinds[field.name]):
                raise ConfigError(f"needs {_describe(kinds[field.name])}, got {shown(value)}", field.name)


def shown(value: object) -> str:
    """A value as a message shows it: one line, and of a long one the beginning."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:100]}…"


def _fits(value: Any, kind: Any) -> bool:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _fits(value, arguments[0]) and all(value in each for each in arguments[1:] if isinstance(each, Range))
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in arguments)
    if origin is Literal:
        return isinstance(value, tuple({type(name) for name in arguments}))
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_fits, value, arguments))
    if kind in (int, float):  # a whole number is a number, true is none
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, origin or kind)


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return " ".join([_describe(arguments[0]), *map(str, arguments[1:])])
    if origin in (Union, UnionType):
        return " or ".join(_describe(each) for each in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        return f"a list of {', '.join(map(_describe, arguments))}"
    return WORDS.get(kind, f"a {kind.__name__}")
