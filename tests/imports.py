"""Which modules of the project a module imports, directly or not, read from the source."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("asc_core", "pipeline", "flows", "tools")


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


def closure(module: str, without: tuple[str, ...] = ()) -> set[Path]:
    """The source files of a module and of everything of the project that importing it can load.

    Args:
        without: beginnings of paths whose own imports are not followed.
    """
    seen: dict[str, Path] = {}
    waiting = [".".join(module.split(".")[:end]) for end in range(1, module.count(".") + 2)]
    while waiting:
        name = waiting.pop()
        path = source_of(name)
        if name in seen or path is None:
            continue
        seen[name] = path.relative_to(ROOT)
        if not str(seen[name]).startswith(without or "//"):
            waiting += imported(name)
    return set(seen.values())


def circles() -> list[list[str]]:
    """Import circles among the project's modules, imports inside functions included."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }
    # A package is imported by each of its modules and says nothing: only what it names itself counts.
    graph = {module: {name for name in imported(module) if not module.startswith(f"{name}.")} for module in modules}
    return [sorted(group) for group in strongly_connected(graph) if len(group) > 1]


def strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """Tarjan's components of a directed graph."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            found.append(set(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return found
