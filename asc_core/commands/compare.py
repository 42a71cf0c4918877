"""`asc compare`: systems clip by clip, from tables of predictions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from asc_core.errors import UserError
from asc_core.text import printable

if TYPE_CHECKING:
    import pandas as pd

    from asc_core.comparison.systems import Comparison, Difference

WHOLE = {  # what the lines about all clips, or those of some devices, are called
    "accuracy": "accuracy",
    "accuracy_micro": "  over clips",
    "accuracy_seen": "  seen devices",
    "accuracy_unseen": "  unseen devices",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}
PARTS = {"accuracy_by_device": "accuracy by device", "log_loss_by_device": "log loss by device",
         "accuracy_by_scene": "accuracy by scene"}  # fmt: skip
WIDTH = 19  # of a line's name
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class System(NamedTuple):
    """What an argument names: a system, what it is called, and the answers of its networks by file."""

    name: str
    model: str
    tables: "dict[str, pd.DataFrame]"


def compare(
    systems: Annotated[list[str], typer.Argument(help="[NAME=]PATH[,PATH...][:MODEL]", metavar="A B [C...]")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """What A is better or worse at than B (and than C, ...), clip by clip, and whether that is more than chance.

    A system is a parquet file of predictions, or a folder of such files: one for each seed. Several paths, with commas,
    are taken together: seeds where they are of the same clips, corpora or folds where they have none in common. Of a
    file with several models, MODEL says which; without it that is `quantized`. All systems must have answered to the
    same clips. Intervals are a bootstrap over locations, each with all its clips; a location has one name in all files.
    """
    if not 1 < len(systems) <= len(LETTERS):
        raise UserError(f"{len(systems)} given; compare two systems or more, {len(LETTERS)} at most")
    read = [_system(argument) for argument in systems]

    from asc_core.comparison.systems import compare as compared_with

    compared = [compared_with(read[0].tables, other.tables) for other in read[1:]]
    if as_json:
        print(json.dumps(_as_json(read, compared), indent=2, allow_nan=False))
    else:
        print("\n".join(_lines(read, compared)))


def _system(argument: str) -> System:
    """Read what an argument names.

    Raises:
        UserError: there is no such file or model, or one is no table of predictions.
    """
    from asc_core.evaluation import predictions

    name, equals, rest = argument.partition("=")
    if not equals or "/" in name:  # a path may have one
        name, rest = argument, argument
    paths, colon, model = rest.rpartition(":")
    if not colon or "/" in model:
        paths, model = rest, ""
    files = [file for path in paths.split(",") for file in _files(Path(path))]
    tables = {str(file): predictions.read(file, model or None) for file in dict.fromkeys(files)}
    models = sorted({str(table["model"].iloc[0]) for table in tables.values()})
    return System(name, ", ".join(models), tables)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise UserError(f"{path}: no file of predictions (.parquet) in it")
    return found


def _lines(systems: list[System], compared: "list[Comparison]") -> Iterator[str]:
    """The tables, for people: a line of 80 signs for each metric."""
    for letter, system in zip(LETTERS, systems, strict=False):
        networks = f"{len(system.tables)} network{'s' * (len(system.tables) > 1)}"
        yield f"{letter}  {printable(system.name)} ({printable(system.model)}, {networks})"
    yield f"{compared[0].clips:,} clips at {compared[0].locations:,} locations"
    for letter, result in zip(LETTERS[1:], compared, strict=False):
        yield ""
        yield f"{'':{WIDTH}} {'A':>6} {letter:>6} {f'A - {letter}':>7} {'interval':>18}  A is"
        for metric, name in WHOLE.items():
            if difference := result.differences.get((metric,)):
                yield _line(name, difference, 3 if metric == "log_loss" else 1)
        for metric, title in PARTS.items():
            yield title
            for key, difference in result.differences.items():
                if key[0] == metric:
                    yield _line(f"  {key[1]}", difference, 3 if metric.startswith("log_loss") else 1)
    yield ""
    yield from _notes(compared)


def _line(name: str, difference: "Difference", digits: int) -> str:
    shown, bounds = printable(name), "-"
    if len(shown) > WIDTH:
        shown = f"{shown[: WIDTH - 1]}…"
    if difference.interval:
        bounds = "[{:+.{digits}f}, {:+.{digits}f}]".format(*difference.interval, digits=digits)
    values = f"{difference.first:6.{digits}f} {difference.other:6.{digits}f} {difference.difference:+7.{digits}f}"
    return f"{shown:<{WIDTH}} {values} {bounds:>18}  {difference.verdict}"


def _notes(compared: "list[Comparison]") -> Iterator[str]:
    """What is to be known of the intervals."""
    yield "Accuracy in percent, the mean over the scenes. Intervals: 95 %, over locations"
    yield "(bootstrap); those of devices, and of scenes, hold for all of them at once."
    several = [compared[0].several[0], *(result.several[1] for result in compared)]
    single = [letter for letter, more in zip(LETTERS, several, strict=False) if not more]
    if len(single) < len(several):
        yield "Where a system has several networks for a clip, they are resampled too."
    if single:
        yield f"{', '.join(single)}: one network for each clip. What another seed would change is not in"
        yield "the intervals: they are about these networks, not about how they were made."
    if any(difference.interval is None for result in compared for difference in result.differences.values()):
        yield "-: fewer than five locations, too few for an interval."


def _as_json(systems: list[System], compared: "list[Comparison]") -> dict[str, Any]:
    from asc_core.comparison.intervals import nested

    def told(difference: "Difference") -> dict[str, Any]:
        return {
            "first": difference.first,
            "other": difference.other,
            "difference": difference.difference,
            "interval": difference.interval,
            "level": difference.level,
            "verdict": difference.verdict,
        }

    return {
        "clips": compared[0].clips,
        "locations": compared[0].locations,
        "systems": [
            {"name": system.name, "model": system.model, "files": list(system.tables), "seeds_resampled": several}
            for system, several in zip(
                systems, [compared[0].several[0], *(result.several[1] for result in compared)], strict=True
            )
        ],
        "comparisons": [
            {
                "first": systems[0].name,
                "other": other.name,
                "metrics": nested({name: told(each) for name, each in result.differences.items()}),
            }
            for other, result in zip(systems[1:], compared, strict=True)
        ],
    }
