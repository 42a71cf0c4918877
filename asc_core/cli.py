"""The command `asc`: it finds its commands, runs one, and tells a user's mistake in one line.

The library's own stand here, so that they are there wherever the library is. Other packages add theirs as entry points
of the group `asc.commands`: each names a function (or a typer app) of a module that does the same as
`python -m MODULE`, by ending in `run(function, name)`.
"""

import ast
import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from asc_core.errors import UserError
from asc_core.progress import note
from asc_core.text import printable

GROUP = "asc.commands"
OWN = {
    name: f"asc_core.commands.{name}:{name}"
    for name in ("predict", "listen", "info", "export", "cost", "networks", "compare", "corpus", "watch")
}


class Commands(TyperGroup):
    """The commands that are installed. A module is imported when its command runs, not when commands are listed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in _targets() if self.get_command(ctx, name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """What a list of commands shows of one: its name and what its source says of it."""
        target = _targets().get(cmd_name)
        told = _docstring(target) if target else None
        if target is None or told is None:
            return None
        package = "models" if cmd_name in OWN else target.partition(".")[0]
        return TyperCommand(cmd_name, help=told, rich_help_panel=package.capitalize())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        module, _, attribute = _targets()[str(name)].partition(":")
        return name, typer.main.get_command(_app(getattr(importlib.import_module(module), attribute))), rest


@cache
def _targets() -> dict[str, str]:
    """`module:function` of each command."""
    return OWN | {entry.name: entry.value for entry in sorted(entry_points(group=GROUP)) if entry.name not in OWN}


def _docstring(target: str) -> str | None:
    """What a function says of itself (of an app, its module), read from the source; None where there is none."""
    module, _, name = target.partition(":")
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # not even the package around it
        return None
    source = getattr(spec and spec.loader, "get_source", lambda _: None)(module)
    if source is None:
        return None
    tree = ast.parse(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return ast.get_docstring(functions[0] if functions else tree) or ""


def run(command: Callable[..., Any] | typer.Typer, name: str, arguments: list[str] | None = None) -> NoReturn:
    """Run a command as what this process is for, and end it.

    Its exit code is 0, 1 after a line that says what is wrong, 2 where the arguments are none of the command's, 130
    after Ctrl-C. Whoever reads the output may go before its end.

    Args:
        command: a function that typer can make a command of, or a typer app.
        name: what a line about an error begins with.
        arguments: of the command line, without the command; None for this process's own.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # what stands in for a terminal need not have it
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # signs that it cannot show
    code: Any = 0
    try:
        try:
            _app(command)(arguments)
        except SystemExit as end:
            code = end.code
        except UserError as error:
            tell(error, name)
            code = 1
        except ModuleNotFoundError as error:
            tell(f"{error.name} is not installed; install it for this command", name)
            code = 1
        sys.stdout.flush()
    except BrokenPipeError:
        # At its end Python would flush once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    raise SystemExit(code)


def tell(problem: object, name: str = "asc") -> None:
    """Say in one line on standard error what is wrong, above a progress bar if there is one."""
    note(printable(f"{name}: error: {problem}"))


def _app(command: Callable[..., Any] | typer.Typer) -> typer.Typer:
    if isinstance(command, typer.Typer):
        return command
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


app = typer.Typer(cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def asc() -> None:
    """Acoustic scenes: models that predict them, and the pipeline that makes such models."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """The command `asc`."""
    run(app, "asc", arguments)


if __name__ == "__main__":
    main()
