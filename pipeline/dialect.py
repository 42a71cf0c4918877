"""The YAML of our parameters: version 1.2, read by the library by which DVC reads them too.

`on`, `y` and `12:30` are texts and `1e-5` is a number, in a file as behind a key on the command line.
What would make a file say another thing than it seems to is refused: anchors, aliases, tags, keys that come twice.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asc_core.errors import UserError, reason

DEEPEST = 50  # lists and mappings in each other, far above any file of ours
LONGEST = 4096  # bits of a number


def parse(text: str) -> Any:
    """The values in a document: mappings, lists, texts, numbers, true and false, null.

    Raises:
        ValueError: it is not YAML, or not of this dialect; one line says why.
    """
    from ruamel.yaml import YAML

    _check_events(_by_ruamel(lambda: list(YAML(typ="safe", pure=True).parse(text)), text))
    values = _by_ruamel(lambda: YAML(typ="safe").load(text), text)
    _check_values(values)
    return values


def _by_ruamel(read: Callable[[], Any], text: str) -> Any:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return read()
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark and "\n" in text.strip() else ""
        raise ValueError(f"not YAML ({error.problem}{line})") from None
    except (YAMLError, ValueError) as error:  # a sign or a number that YAML does not take
        raise ValueError(f"not YAML ({reason(error)})") from None


def read(path: Path) -> Any:
    """The values in a file.

    Raises:
        UserError: it cannot be read, is not text in UTF-8, or not of this dialect; the line names it.
    """
    try:
        return parse(_text(path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def read_commented(path: Path) -> Any:
    """The same with its comments, for `write`; what `read` refuses is not refused here."""
    return _round_trip().load(_text(path))


def write(path: Path, values: Any) -> None:
    """Write values as `read_commented` gives them."""
    path.write_text(text(values), encoding="utf-8")


def text(values: Any) -> str:
    """The document with values as `read_commented` gives them."""
    stream = io.StringIO()
    _round_trip().dump(values, stream)
    return stream.getvalue()


def _round_trip() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes null, which nothing would stand for else."""

    Representer.add_representer(type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML()
    yaml.Representer = Representer
    yaml.width = 1000  # lines stay as they are, and so do lists
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # with or without the mark that some editors put first
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text in UTF-8; save it in that encoding") from None


def parse_value(text: str) -> Any:
    """The value that stands behind a key on the command line. A text needs no quotes, and is taken whole.

    Raises:
        ValueError: as `parse`, or something stands behind the value.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.events import ScalarEvent

    values = parse(text)
    events = [event for event in YAML(typ="safe", pure=True).parse(text) if event.start_mark.index < len(text)]
    scalars = [event for event in events if isinstance(event, ScalarEvent)]
    if len(scalars) == 1 and not isinstance(values, dict | list) and not scalars[0].style:
        return values if scalars[0].value == text.strip() else text.strip()
    end = max((event.end_mark.index for event in events), default=0)
    if left := text[end:].strip():
        raise ValueError(f"{left!r} stands behind the value")
    return values


def plain(text: str) -> bool:
    """Whether a text may stand without quotes wherever a value may."""
    try:
        return parse(f"[{text}]") == [text]
    except ValueError:
        return False


def _check_events(events: list[Any]) -> None:
    for attribute, what in (("anchor", "anchors and aliases (& and *)"), ("tag", "tags (!)")):
        if any(getattr(event, attribute, None) for event in events):
            raise ValueError(f"{what} are not taken here")
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists in each other")


def _check_values(values: Any) -> None:
    if isinstance(values, dict):
        for key, value in values.items():
            _check_values(key)
            _check_values(value)
    elif isinstance(values, list):
        for value in values:
            _check_values(value)
    elif isinstance(values, int) and values.bit_length() > LONGEST:
        raise ValueError("a number of thousands of digits")
    elif not isinstance(values, str | int | float | None):
        raise ValueError(f"{values} is a {type(values).__name__} in YAML")
