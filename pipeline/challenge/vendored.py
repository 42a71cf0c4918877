"""Parts of the library as parts of another package, which then needs nothing of this project."""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "asc_core"


def closure(sources: Iterable[str]) -> dict[str, str]:
    """The text of each module of the library that is imported by these texts, or by such a module, by dotted name.

    The packages that the modules stand in are among them.
    """
    found: dict[str, str] = {}
    texts = list(sources)
    while texts:
        for name in sorted(set(_imported(texts.pop()))):
            if name.partition(".")[0] == LIBRARY and name not in found and (path := _file(name)):
                found[name] = path.read_text(encoding="utf-8")
                texts.append(found[name])
    return found


def copy(found: dict[str, str], folder: Path, package: str) -> None:
    """Write modules as `closure` finds them below `folder`, the folder of a package of the given name."""
    for name, text in found.items():
        path = folder.joinpath(*name.split("."))
        path = path / "__init__.py" if is_package(name) else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(renamed(text, package), encoding="utf-8")


def renamed(text: str, package: str) -> str:
    """The text of a module with the library as a part of a package; names of modules in texts are renamed too."""
    return re.sub(rf"\b{LIBRARY}\b", f"{package}.{LIBRARY}", text)


def requirements(texts: Iterable[str]) -> list[str]:
    """What these modules import from elsewhere, in the versions that this project requires."""
    names = {name.partition(".")[0] for text in texts for name in _imported(text)} - sys.stdlib_module_names
    ranges = {re.split(r"[^\w-]", line)[0]: line for line in requires("asc") or [] if ";" not in line}
    return sorted(ranges.get(name, name) for name in names - {LIBRARY})


def is_package(name: str) -> bool:
    path = _file(name)
    return path is not None and path.name == "__init__.py"


def _imported(text: str) -> Iterator[str]:
    """Every name that may be a module's, of what a text imports, with the packages around it."""
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _file(name: str) -> Path | None:
    """The source of a module; None where there is no such module."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:  # what stands before the last dot is no package
        return None
    return Path(spec.origin) if spec and spec.origin else None
