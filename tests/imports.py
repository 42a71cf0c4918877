"""Which modules of the project a module imports, directly or not, read from the source."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("asc_core", "pipeline", "flows")


def source_of(module: str) -> Path | None:
    path = ROOT / Path(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imported(module: str) -> frozenset[str]:
    """The project's modules that `module` names in an import, wherever in the file, and the packages around them."""
    path = source_of(module)
    assert path is not None, module
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] in PACKAGES:
                found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return frozenset(name for name in found if source_of(name))


def closure(module: str) -> set[Path]:
    """The source files of a module and of everything of the project that importing it can load."""
    seen: set[str] = set()
    waiting = [".".join(module.split(".")[:end]) for end in range(1, module.count(".") + 2)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += imported(name)
    return {path.relative_to(ROOT) for name in seen if (path := source_of(name))}
